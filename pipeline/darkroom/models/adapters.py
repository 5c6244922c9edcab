"""Attaches LoRAs to the networks of a pipeline, and takes them off again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from darkroom.errors import SetupError
from darkroom.models.adapter_switch import AdapterSwitch
from darkroom.models.load_errors import as_setup_error
from darkroom.models.lora_file import layers_of, names_of, read_tensors
from darkroom.models.loras import LoraState

if TYPE_CHECKING:
    from darkroom.models.diffusers_interfaces import Pipeline

_KEPT = 4  # LoRAs that stay in memory after their last use; those for SDXL take up to 1 GB each


class Adapters:
    """The LoRAs on the networks of a pipeline, whose threads share these.

    Attached LoRAs stay in the networks, switched off, until others take their place: then the networks compute what
    they compute without, bit for bit, and to switch between pictures costs next to nothing.

    Args:
        pipe: the pipeline; other pipelines may share its networks.
        path_of: the file of a LoRA, by its digest.
    """

    def __init__(self, pipe: Pipeline, path_of: Callable[[str], Path]) -> None:
        self._pipe = pipe
        self._path_of = path_of
        self._loaded: dict[str, bool] = {}  # digest: whether text encoders are adapted; the last used comes last
        self._switch: AdapterSwitch[LoraState] = AdapterSwitch((), self._attach, self._detach)

    @contextmanager
    def using(self, state: LoraState) -> Iterator[LoraState]:
        """See `AdapterSwitch.using`. Yields the part of the state that changes text encoders.

        Raises:
            SetupError: a LoRA cannot be loaded.
        """
        with self._switch.using(state):
            yield tuple((digest, weight) for digest, weight in state if self._loaded[digest])

    def _attach(self, state: LoraState) -> None:
        for digest, _ in state:
            has_text = self._loaded.pop(digest) if digest in self._loaded else self._load(digest)
            self._loaded[digest] = has_text
        for digest in [digest for digest in self._loaded if digest not in dict(state)][: -_KEPT or None]:
            self._pipe.delete_adapters([_name(digest)])
            del self._loaded[digest]
        self._pipe.enable_lora()
        self._pipe.set_adapters([_name(digest) for digest, _ in state], [weight for _, weight in state])

    def _detach(self, state: LoraState) -> None:
        if self._loaded:
            self._pipe.disable_lora()

    def _load(self, digest: str) -> bool:
        """Load a LoRA by diffusers, in the dtype of the networks. Whether it adapts text encoders."""
        file, pipe = self._path_of(digest), self._pipe
        tensors, texts = read_tensors(file)
        with as_setup_error(file, "a LoRA"):
            layers = layers_of(tensors, texts, pipe.unet.config, hasattr(pipe, "text_encoder_2"))
            cast = {name: tensor.to(pipe.unet.dtype) if tensor.dim() else tensor for name, tensor in tensors.items()}
            pipe.load_lora_weights(cast, adapter_name=_name(digest))
            for (component, name), layer in layers.items():
                _set_alpha(getattr(pipe, component), name, _name(digest), layer.alpha)
        return any(component != "unet" for component, _ in layers)


def _name(digest: str) -> str:
    """PEFT's name of a LoRA; names become those of modules, so they begin with a letter."""
    return f"lora_{digest[:32]}"


def _set_alpha(network: Any, layer: str, adapter: str, alpha: float) -> None:
    """diffusers reads alpha only from some layouts, and mixes up alphas that differ between layers."""
    modules = dict(network.named_modules())
    module: Any = next((modules[name] for name in names_of(layer) if name in modules), None)
    if adapter not in getattr(module, "lora_alpha", {}):
        raise SetupError(f"{layer}: diffusers has not attached it")
    module.lora_alpha[adapter] = alpha
