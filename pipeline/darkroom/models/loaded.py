"""`Models`: the models of a run, loaded when they are first used. Importing it imports no heavy library."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import partial
from threading import RLock
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from darkroom.models import loading
from darkroom.models.chosen import KINDS, ChosenModels
from darkroom.models.loading import Loading
from darkroom.models.names import CONTROLS, ModelKind
from darkroom.models.settings import Memory, ModelNames
from darkroom.models.side_by_side import turns_on, use_threads
from darkroom.models.steering_files import SteeringFiles
from darkroom.system.cores import usable_cores
from darkroom.system.profiling import span
from darkroom.system.start_up import uncollected

if TYPE_CHECKING:
    from darkroom.models.clipseg import ClipSeg
    from darkroom.models.image_networks import Lama, Upscaler
    from darkroom.models.interfaces import (
        DepthEstimator,
        DiffusionModel,
        Embeddings,
        FindModel,
        MattingModel,
        SamModel,
        SubjectModel,
    )

_Model = TypeVar("_Model")

_WORKERS_ON_GPU = 3  # one computes, the others decode, cut, encode and write
_MAX_WORKERS = 8  # on a CPU, unless more are asked for; only one thread at a time runs Python code


class Models(ChosenModels):
    """The models of a run, loaded one by one when they are first used.

    Several threads may use them at once, and get the same results as one. On a CPU they compute side by side, elsewhere
    they take turns. Each thread asks here for a model whenever it uses one, as this sets the number of CPU threads.

    Args:
        weights: the weights of each model.
        memory: how the models use memory.
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.

    Raises:
        SetupError: here if this machine lacks the device, or the device does not support `memory`; at the first use of
            a model if its weights are missing, damaged or of another kind.

    Attributes:
        device: the device in use.
        memory: the memory settings in use, without `auto`.
        embeddings: where SAM's embeddings of photos are kept; None for nowhere but in memory.
        loras: the LoRAs that recipes may use.
    """

    def __init__(self, weights: ModelNames, memory: Memory, device: str = "auto") -> None:
        super().__init__(weights, memory, device)
        self._turns = turns_on(self.device, self.memory, self._name("inpaint") == "miniature")
        self._loading = RLock()  # one model at a time, as the libraries change global state while they load
        self._loaded: dict[ModelKind, Any] = {}
        self.embeddings: Embeddings | None = None

    @property
    def sam(self) -> SamModel:
        """Segment Anything, in fp32."""
        return self._model("sam", loading.sam)

    @property
    def clipseg(self) -> ClipSeg:
        """CLIPSeg, in fp32."""
        return self._model("clipseg", loading.clipseg)

    @property
    def diffusion(self) -> DiffusionModel:
        """The inpainting model, in the dtype of the memory settings."""
        return self._model("inpaint", loading.diffusion)

    @property
    def subject(self) -> SubjectModel:
        """What finds the subject of a photo, in fp32."""
        return self._model("subject", loading.subject)

    @property
    def matting(self) -> MattingModel | None:
        """What finds alpha, in fp32; None for the guided filter, which needs no model."""
        return self._model("matting", loading.matting)

    @property
    def upscale(self) -> Upscaler | None:
        """What enlarges pictures, in fp32; None for the Lanczos filter, which needs no model."""
        return self._model("upscale", loading.upscaler)

    @property
    def lama(self) -> Lama:
        """LaMa, which fills holes, in fp32."""
        return self._model("lama", loading.lama)

    @property
    def depth(self) -> DepthEstimator:
        """What estimates depth, in fp32."""
        return self._model("depth", loading.depth)

    @property
    def find(self) -> FindModel | None:
        """What finds the objects that a phrase names, in fp32; None for CLIPSeg and SAM together."""
        return self._model("find", partial(loading.finder, sam=lambda: self.sam))

    @property
    def batch_size(self) -> int:
        """Pictures per UNet call; does not load the model."""
        loaded: DiffusionModel | None = self._loaded.get("inpaint")
        return loaded.batch_size if loaded else int(self.memory.batch_size)

    @property
    def workers(self) -> int:
        """How many batches are in work at the same time."""
        if self.memory.workers != "auto":
            return self.memory.workers
        if self.device != "cpu":
            return _WORKERS_ON_GPU
        return min(max(1, usable_cores() // int(self.memory.threads)), _MAX_WORKERS)

    def describe(self, kinds: Iterable[ModelKind], loras: Iterable[str] | None = ()) -> dict[str, Any]:
        """The models of a run and their settings, as plain data for `run.json`.

        `pipeline` is null if the inpainting model was not loaded, because all its results were cached.

        Args:
            kinds: the models that it uses.
            loras: the names of the LoRAs that it uses; None for all that are there.
        """
        weights = {kind: {"name": self._name(kind), **self.identity(kind)} for kind in dict.fromkeys(kinds)}
        pipeline = self.diffusion.describe() if "inpaint" in self.loaded() else None
        described = {"device": self.device, "memory": asdict(self.memory), "weights": weights, "pipeline": pipeline}
        return {**described, "loras": found} if (found := self.loras.describe(self._named(loras))) else described

    def loaded(self) -> list[ModelKind]:
        """The models that have been loaded."""
        return [kind for kind in KINDS if kind in self._loaded]

    def _model(self, kind: ModelKind, load: Callable[[Loading], _Model]) -> _Model:
        """The model of a kind, ready for this thread."""
        if self._uses_torch(kind):
            use_threads(int(self.memory.threads))
        if kind not in self._loaded:
            with span("wait"), self._turns, self._loading:
                if kind not in self._loaded:
                    with span("load"), uncollected():
                        self._loaded[kind] = load(self._needed_for(kind))
        model: _Model = self._loaded[kind]
        return model

    def _needed_for(self, kind: ModelKind) -> Loading:
        return Loading(
            files=self._find(kind),
            device=self._device_of(kind),
            memory=self.memory,
            turns=self._turns,
            keep=self._keep_embedding,
            steering=SteeringFiles(lambda name: self._find(f"{CONTROLS}.{name}"), self._reference_files),
            loras=self.loras,
        )

    def _keep_embedding(self, resized: np.ndarray, compute: Callable[[], np.ndarray]) -> np.ndarray:
        """See `sam.KeepEmbedding`."""
        if self.embeddings is None:
            return compute()
        key = hashlib.sha256(repr((sorted(self.identity("sam").items()), resized.shape)).encode())
        key.update(np.ascontiguousarray(resized).tobytes())
        kept = self.embeddings.get(key.hexdigest())
        if kept is None:
            kept = compute()
            self.embeddings.put(key.hexdigest(), kept)
        return kept
