"""The models behind small adapters, loaded when first asked for. The only importers of torch in a run.

Importing this package imports no heavy library, so that a recipe is checked in well under a second.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from pipeline.errors import SetupError
from pipeline.models.device import choose_device, settle
from pipeline.models.locate import Place, locate
from pipeline.models.names import CLIPSEG, SDXL
from pipeline.models.request import InpaintRequest
from pipeline.models.settings import Memory, Weights

if TYPE_CHECKING:
    from pipeline.models.clipseg import ClipSeg
    from pipeline.models.closeup import CloseUp
    from pipeline.models.diffusion import Diffusion
    from pipeline.models.reduced import Reduced
    from pipeline.models.sam import Sam

__all__ = ["InpaintRequest", "Memory", "ModelKind", "Models", "Weights"]

ModelKind = Literal["sam", "clipseg", "inpaint"]

_ON_GPU = {"sam": "vit_b", "clipseg": CLIPSEG, "inpaint": SDXL}


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

    def __init__(self, weights: Weights, memory: Memory, device: str = "auto") -> None:
        self._asked = device
        self.device = choose_device(device)
        self.memory = settle(memory, self.device)
        self._weights = weights
        self._loaded: dict[str, dict[str, Any]] = {}

    @cached_property
    def sam(self) -> Sam | CloseUp:
        """Segment Anything, in fp32."""
        from pipeline.models.sam import load_sam

        place = self._locate("sam")
        model = load_sam(place.path, self.device)
        self._loaded["sam"] = {"weights": place.name, "identity": place.identity(), "dtype": "float32"}
        return model

    @cached_property
    def clipseg(self) -> ClipSeg:
        """CLIPSeg, in fp32."""
        from pipeline.models.clipseg import load_clipseg

        place = self._locate("clipseg")
        model = load_clipseg(place.path, self.device)
        self._loaded["clipseg"] = {"weights": place.name, "identity": place.identity(), "dtype": "float32"}
        return model

    @cached_property
    def diffusion(self) -> Diffusion | Reduced:
        """The inpainting model, in the number format of the memory settings."""
        from pipeline.models.diffusion import load_diffusion

        place = self._locate("inpaint")
        model = load_diffusion(place, self.memory, self.device)
        self._loaded["inpaint"] = {"weights": place.name, "identity": place.identity()}
        return model

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

    def describe(self, kinds: Iterable[ModelKind]) -> dict[str, Any]:
        """What was loaded so far of these models and how it computes, as plain data for `run.json`."""
        loaded = {kind: dict(self._loaded[kind]) for kind in dict.fromkeys(kinds) if kind in self._loaded}
        if "inpaint" in loaded:
            loaded["inpaint"] |= self.diffusion.describe()
        return {"device": self.device, "memory": asdict(self.memory), "loaded": loaded}

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

    def _locate(self, kind: str) -> Place:
        return locate(kind, self._name(kind))

    def _name(self, kind: str) -> str:
        name = getattr(self._weights, kind)
        if name != "auto":
            return name
        return "miniature" if self.device == "cpu" else _ON_GPU[kind]
