"""The models behind small adapters, loaded when first asked for. The only importers of torch in a run.

Importing this package imports no heavy library, so that a recipe is checked in well under a second.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from functools import cache, cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal

from darkroom.errors import SetupError
from darkroom.models.device import choose_device, resolve_memory
from darkroom.models.names import CLIPSEG, SDXL
from darkroom.models.request import InpaintRequest
from darkroom.models.settings import Memory, ModelNames
from darkroom.models.weights import ModelFiles, find_weights

if TYPE_CHECKING:
    from darkroom.models.checkpoint_info import CheckpointInfo
    from darkroom.models.clipseg import ClipSeg
    from darkroom.models.diffusion import Diffusion
    from darkroom.models.miniature.two_pass_sam import TwoPassSam
    from darkroom.models.miniature.upscaled_diffusion import UpscaledDiffusion
    from darkroom.models.sam import Sam

__all__ = ["InpaintRequest", "Memory", "ModelKind", "ModelNames", "Models"]

ModelKind = Literal["sam", "clipseg", "inpaint"]

_ON_GPU = {"sam": "vit_b", "clipseg": CLIPSEG, "inpaint": SDXL}
_VERSIONS = {"sam": 1, "clipseg": 1, "inpaint": 2}  # of what stands here around them; raised by hand, as with stages
_LIBRARIES = {
    "sam": ("torch", "torchvision", "segment-anything"),
    "clipseg": ("torch", "transformers"),
    "inpaint": ("torch", "transformers", "diffusers", "compel"),
}


class Models:
    """The models a run may ask, each loaded once, when it is first asked for.

    Args:
        weights: which weights.
        memory: how to use memory.
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.

    Raises:
        SetupError: here for a device that this machine has not or that cannot do what `memory` asks for; at
            the first use of a model for weights that are missing, damaged or of another kind.

    Attributes:
        device: the device in use.
        memory: the memory settings in use, every `auto` chosen.
    """

    def __init__(self, weights: ModelNames, memory: Memory, device: str = "auto") -> None:
        self._asked = device
        self.device = choose_device(device)
        self.memory = resolve_memory(memory, self.device)
        self._weights = weights

    @cached_property
    def sam(self) -> Sam | TwoPassSam:
        """Segment Anything, in fp32."""
        from darkroom.models.sam import load_sam

        return load_sam(self._locate("sam").path, self.device)

    @cached_property
    def clipseg(self) -> ClipSeg:
        """CLIPSeg, in fp32."""
        from darkroom.models.clipseg import load_clipseg

        return load_clipseg(self._locate("clipseg").path, self.device)

    @cached_property
    def diffusion(self) -> Diffusion | UpscaledDiffusion:
        """The inpainting model, in the number format of the memory settings."""
        from darkroom.models.diffusion import load_diffusion

        return load_diffusion(self._locate("inpaint"), self.memory, self.device)

    @cached_property
    def checkpoint_info(self) -> CheckpointInfo:
        """What the inpainting model is like, without loading it."""
        from darkroom.models.checkpoint_info import CheckpointInfo

        return CheckpointInfo(self._locate("inpaint").path)

    @property
    def batch_size(self) -> int:
        """Pictures per UNet call, without loading the model for the answer."""
        loaded = self.__dict__.get("diffusion")
        return loaded.batch_size if loaded else self.memory.batch_size

    def require(self, kinds: Iterable[ModelKind]) -> None:
        """Make sure, without loading anything, that the weights of these models are on this machine.

        Raises:
            SetupError: with one line for each that is missing: its size and the command that gets it.
        """
        missing = []
        for kind in dict.fromkeys(kinds):
            try:
                self._locate(kind)
            except SetupError as error:
                missing.append(str(error))
        if missing:
            raise SetupError("\n".join(missing))

    def identity(self, kind: ModelKind) -> dict[str, Any]:
        """All about a model that its answers depend on: the weights' content, the numerics, the libraries.

        Loads nothing. `offload` moves weights about and changes no number, so it is not part of it; nor is the
        number of CPU threads, which alters last bits only.
        """
        numerics = {"dtype": "fp32"}
        if kind == "inpaint":
            memory = asdict(self.memory)
            numerics = {key: memory[key] for key in ("dtype", "vae_slicing", "vae_tiling")}
            numerics["batch_size"] = self.batch_size  # less than asked for once a GPU ran out of memory
        return {
            "weights": self._locate(kind).identity(),
            "version": _VERSIONS[kind],
            "device": self.device.split(":")[0],
            **numerics,
            "libraries": {name: _series(name) for name in _LIBRARIES[kind]},
        }

    def resolved_settings(self) -> dict[str, Any]:
        """The settings as they are in use, every `auto` chosen: a run that is resumed or reproduced takes these."""
        return {
            "device": self.device,
            "memory": asdict(self.memory),
            "models": {kind: self._name(kind) for kind in _ON_GPU},
        }

    def describe(self, kinds: Iterable[ModelKind]) -> dict[str, Any]:
        """The models of a run and how they compute, as plain data for `run.json`.

        `pipeline` is null where the inpainting model was not loaded, since all its results were there already.
        """
        weights = {kind: {"name": self._name(kind), **self.identity(kind)} for kind in dict.fromkeys(kinds)}
        pipeline = self.diffusion.describe() if "inpaint" in self.loaded() else None
        return {"device": self.device, "memory": asdict(self.memory), "weights": weights, "pipeline": pipeline}

    def loaded(self) -> list[ModelKind]:
        """The models that have been loaded."""
        names = {"sam": "sam", "clipseg": "clipseg", "inpaint": "diffusion"}
        return [kind for kind, name in names.items() if name in self.__dict__]

    def bytes_of(self, kinds: Iterable[ModelKind]) -> int:
        """Size of these models' weights on the disk."""
        return sum(self._locate(kind).size() for kind in dict.fromkeys(kinds))

    @property
    def summary(self) -> str:
        """One line on which models the run takes."""
        names = {kind: self._name(kind) for kind in _ON_GPU}
        if set(names.values()) == {"miniature"}:
            chosen = "auto" in asdict(self._weights).values()
            reason = "" if not chosen else "no GPU: " if self._asked == "auto" else f"device={self._asked}: "
            return f"{reason}the miniature models (a preview on real photographs)"
        shown = ", ".join(f"{kind}={name}" for kind, name in names.items())
        return f"{shown} on {self.device} ({self.memory.dtype})"

    def _locate(self, kind: str) -> ModelFiles:
        return find_weights(kind, self._name(kind))

    def _name(self, kind: str) -> str:
        name = getattr(self._weights, kind)
        if name != "auto":
            return name
        return "miniature" if self.device == "cpu" else _ON_GPU[kind]


@cache
def _series(package: str) -> str:
    """The releases that promise the same behaviour: the major version, before 1.0 the minor one too."""
    major, minor, *_ = version(package).split(".")
    return f"{major}.{minor}" if major == "0" else major
