"""`ControlModels`: the ControlNets and T2I-Adapters that steer a painter, loaded when they are first needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from darkroom.errors import SetupError
from darkroom.models.control_info import control_class
from darkroom.models.load_errors import as_setup_error
from darkroom.models.offload import place_beside, torch_dtype
from darkroom.models.settings import Memory
from darkroom.models.weights import ModelFiles

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class ControlModel:
    """A loaded control model.

    Attributes:
        kind: its class, one of those in `control_info`.
        net: the module.
        free: moves its weights off the device, if the memory settings ask for that.
    """

    kind: str
    net: Any
    free: Callable[[], None]

    @property
    def channels(self) -> int:
        """Channels of its control pictures: 1 (grey) or 3 (RGB)."""
        config = self.net.config
        return int(config.get("conditioning_channels") or config.get("in_channels") or 3)


class ControlModels:
    """The control models of one painter, by the names of the settings. Safe to use from several threads.

    Args:
        find: the files of a name.
        memory: resolved settings.
        device: of the painter.
    """

    def __init__(self, find: Callable[[str], ModelFiles], memory: Memory, device: str) -> None:
        self._find = find
        self._memory = memory
        self._device = device
        self._loaded: dict[Path, ControlModel] = {}
        self._lock = Lock()

    def get(self, name: str) -> ControlModel:
        """The control model of this name; names of the same files share one.

        Raises:
            SetupError: its weights are missing, damaged, or of another kind.
        """
        folder = self._find(name).path
        with self._lock:
            if folder not in self._loaded:
                self._loaded[folder] = load_control(folder, self._memory, self._device)
            return self._loaded[folder]


def load_control(folder: Path, memory: Memory, device: str) -> ControlModel:
    """Load a control model beside its painter. Raises `SetupError` as `ControlModels.get` does."""
    import torch

    kind = control_class(folder)
    with as_setup_error(folder, f"a {kind}"):
        # On a CPU, others may compute meanwhile, for whom loading in another dtype would change torch's default.
        net = _load(kind, folder, torch.float32 if device == "cpu" else torch_dtype(memory)).to(torch_dtype(memory))
    return ControlModel(kind, net, place_beside(net, memory, device))


def _load(kind: str, folder: Path, dtype: torch.dtype) -> Any:
    import diffusers

    plain = (folder / "diffusion_pytorch_model.safetensors").is_file() or any(folder.glob("*.safetensors.index.json"))
    net, report = getattr(diffusers, kind).from_pretrained(
        folder,
        torch_dtype=dtype,
        variant=None if plain else "fp16",
        use_safetensors=True,
        local_files_only=True,
        output_loading_info=True,
    )
    if report["missing_keys"]:
        raise SetupError(f"{folder}: lacks tensors: {', '.join(sorted(report['missing_keys'])[:3])} ...")
    return net.eval().requires_grad_(False)
