"""The models behind small adapters, loaded when they are first used. Only this package imports torch in a run.

Importing it imports no heavy library, so that a recipe is checked in well under a second.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from functools import cache, cached_property, partial
from importlib.metadata import version
from threading import RLock
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from darkroom.errors import SetupError, suggest
from darkroom.models import loading
from darkroom.models.device import choose_device, resolve_memory, resolve_threads
from darkroom.models.loading import Loading, ModelKind
from darkroom.models.loras import Loras
from darkroom.models.names import (
    BY_CLIPSEG,
    CLIPSEG,
    CLOSED_FORM,
    CONTROLS,
    DEPTH,
    GUIDED,
    IP_ADAPTERS,
    LANCZOS,
    REFERENCE,
    SDXL,
)
from darkroom.models.reference_info import ReferenceFiles, find_reference, reference_problem
from darkroom.models.request import InpaintRequest
from darkroom.models.settings import Memory, ModelNames
from darkroom.models.side_by_side import turns_on, use_threads
from darkroom.models.steering_files import SteeringFiles
from darkroom.models.subject_networks import GRABCUT, SMALLEST
from darkroom.models.weights import ModelFiles, find_weights, subject_commands
from darkroom.system.cores import usable_cores
from darkroom.system.profiling import span

if TYPE_CHECKING:
    from darkroom.models.checkpoint_info import CheckpointInfo
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

__all__ = ["InpaintRequest", "Memory", "ModelKind", "ModelNames", "Models"]

_ON_GPU: dict[ModelKind, str] = {"sam": "vit_b", "clipseg": CLIPSEG, "inpaint": SDXL}
_KINDS: tuple[ModelKind, ...] = ("sam", "clipseg", "inpaint", "subject", "matting", "upscale", "lama", "depth", "find")
_Model = TypeVar("_Model")
# Of Darkroom's own code: raise one if its results change.
_VERSIONS: dict[ModelKind, int] = {
    "sam": 2,
    "clipseg": 1,
    "inpaint": 2,
    "subject": 1,
    "matting": 1,
    "upscale": 1,
    "lama": 1,
    "depth": 1,
    "find": 1,
    CONTROLS: 1,
    REFERENCE: 1,
}
_LIBRARIES: dict[ModelKind, tuple[str, ...]] = {
    "sam": ("torch", "torchvision", "segment-anything"),
    "clipseg": ("torch", "transformers"),
    "inpaint": ("torch", "transformers", "diffusers", "compel"),
    "subject": (),  # onnxruntime has several distributions: see `Models._libraries`
    "matting": ("torch", "transformers"),  # of ViTMatte
    "upscale": ("torch", "spandrel"),
    "lama": ("torch", "spandrel"),
    "depth": ("torch", "transformers"),
    "find": ("torch", "transformers"),
}
_MATTING_LIBRARIES: dict[str, tuple[str, ...]] = {GUIDED: (), CLOSED_FORM: ("pymatting",)}  # they run on the CPU


_WORKERS_ON_GPU = 3  # one computes, the others decode, cut, encode and write
_MAX_WORKERS = 8  # on a CPU, unless more are asked for; only one thread at a time runs Python code


class Models:
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
        self._asked = device
        self.device = choose_device(device)
        self._weights = weights
        resolved = resolve_memory(memory, self.device)
        miniature = {self._name(kind) for kind in _ON_GPU} == {"miniature"}
        self.memory = replace(resolved, threads=resolve_threads(resolved.threads, miniature))
        self._turns = turns_on(self.device, self.memory)
        self._loading = RLock()  # one model at a time, as the libraries change global state while they load
        self._loaded: dict[ModelKind, Any] = {}
        self.embeddings: Embeddings | None = None
        self.loras = Loras(weights.loras, lambda: self.checkpoint_info.folder)

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
    def matting_needs_model(self) -> bool:
        """Whether `matting` is a model; does not load it."""
        return self._name("matting") != GUIDED

    @property
    def rough_subject(self) -> str | None:
        """Why `models.subject=auto` means GrabCut here, and the command that changes it; None if it does not."""
        commands = subject_commands() if self._weights.subject == "auto" and self._name("subject") == GRABCUT else []
        what = "found by its colours alone (models.subject=grabcut), which is rough; to use a network:"
        return f"{what} {' && '.join(commands)}" if commands else None

    @cached_property
    def checkpoint_info(self) -> CheckpointInfo:
        """Properties of the inpainting model, without loading it."""
        from darkroom.models.checkpoint_info import CheckpointInfo

        return CheckpointInfo(self._find("inpaint").path)

    def control_problem(self, name: str) -> str | None:
        """Why the control model of this name cannot steer the inpainting model; None if it can. Loads no weights.

        Raises:
            SetupError: its files are missing or damaged.
        """
        from darkroom.models.control_info import control_problem

        files = self._find(f"{CONTROLS}.{name}")
        problem = control_problem(name, files.path, self.checkpoint_info)
        return f"models.controls.{name}={files.name} {problem}" if problem else None

    def reference_problem(self) -> str | None:
        """Why the IP-Adapter cannot work with the inpainting model; None if it can. Loads no weights.

        Raises:
            SetupError: its files are missing or damaged.
        """
        problem = reference_problem(self._reference_files(), self.checkpoint_info)
        return f"models.reference={self._name(REFERENCE)} {problem}" if problem else None

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

    def require(self, kinds: Iterable[ModelKind]) -> None:
        """Check that the weights of these models are on this machine, without loading them.

        Raises:
            SetupError: with a line for each model that is missing: its size and the command that downloads it.
        """
        missing = []
        for kind in dict.fromkeys(kinds):
            try:
                self._find(kind)
                self.require(self._helpers(kind))
            except SetupError as error:
                missing.append(str(error))
        if missing:
            raise SetupError(missing)

    def identity(self, kind: ModelKind) -> dict[str, Any]:
        """All that a model's results depend on: the content of its weights, the numerics, the libraries.

        Loads nothing. `offload` is left out, because it moves weights and changes no number; so is the number of CPU
        threads of a model on a GPU.
        """
        group, _, name = kind.partition(".")
        if name or kind == REFERENCE:  # beside the painter, whose identity has the rest
            return {"weights": self._find(kind).identity(), "version": _VERSIONS[group]}
        numerics: dict[str, Any] = {"dtype": "fp32"}
        if kind == "inpaint":
            memory = asdict(self.memory)
            numerics = {key: memory[key] for key in ("dtype", "vae_slicing", "vae_tiling", "channels_last", "compile")}
            numerics["batch_size"] = self.batch_size  # smaller than the setting once a GPU ran out of memory
        if self._uses_torch(kind) and self._device_of(kind) == "cpu":
            numerics["threads"] = self.memory.threads
        return {
            "weights": self._find(kind).identity(),
            "version": _VERSIONS[kind],
            "device": self._device_of(kind).split(":")[0],
            **numerics,
            "libraries": self._libraries(kind),
            **{helper: self.identity(helper) for helper in self._helpers(kind)},
        }

    def resolved_settings(self) -> dict[str, Any]:
        """The settings in use, without `auto`; resuming and reproducing a run use these."""
        return {
            "device": self.device,
            "memory": asdict(self.memory),
            "models": {
                **{kind: self._name(kind) for kind in _KINDS},
                REFERENCE: self._weights.reference,
                CONTROLS: dict(self._weights.controls),
                "loras": self.loras.given,
            },
        }

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
        return [kind for kind in _KINDS if kind in self._loaded]

    def bytes_of(self, kinds: Iterable[ModelKind]) -> int:
        """Size of these models' weights on disk."""
        return sum(self._find(kind).size() for kind in dict.fromkeys(kinds))

    def summary(self, kinds: Iterable[ModelKind], loras: Iterable[str] | None = ()) -> str:
        """One line on the models of a run.

        Args:
            kinds: the models that it uses. `subject` is named only if it is among them.
            loras: the names of the LoRAs that it uses; None for any.
        """
        subject = f"; subject={self._name('subject')}" if "subject" in kinds else ""
        named = ", ".join(dict.fromkeys(self._named(loras)))
        return f"{self._chosen}{subject}{f'; LoRA: {named}' if named else ''}"

    def lora_identity(self, weights: Mapping[str, float]) -> list[Any]:
        """All that LoRAs add to what a result depends on; empty if their weights are 0.

        Raises:
            SetupError: one is not there.
        """
        state = self.loras.state(weights)
        return [state, {"peft": _series(_version("peft"))}] if state else []

    def _named(self, loras: Iterable[str] | None) -> Iterable[str]:
        return self.loras.names if loras is None else loras

    @property
    def _chosen(self) -> str:
        names = {kind: self._name(kind) for kind in _ON_GPU}
        if set(names.values()) == {"miniature"}:
            automatic = any(getattr(self._weights, kind) == "auto" for kind in names)
            reason = "" if not automatic else "no GPU: " if self._asked == "auto" else f"device={self._asked}: "
            return f"{reason}the miniature models (a preview on real photographs)"
        shown = ", ".join(f"{kind}={name}" for kind, name in names.items())
        return f"{shown} on {self.device} ({self.memory.dtype})"

    def _model(self, kind: ModelKind, load: Callable[[Loading], _Model]) -> _Model:
        """The model of a kind, ready for this thread."""
        if self._uses_torch(kind):
            use_threads(int(self.memory.threads))
        if kind not in self._loaded:
            with span("wait"), self._turns, self._loading:
                if kind not in self._loaded:
                    with span("load"):
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

    def _uses_torch(self, kind: ModelKind) -> bool:
        return kind != "subject" and self._name(kind) not in (*_MATTING_LIBRARIES, LANCZOS)

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

    @cached_property
    def _subject_name(self) -> str:  # of `auto`; kept, as the file may appear during a run
        return GRABCUT if subject_commands() else SMALLEST

    def _helpers(self, kind: ModelKind) -> tuple[ModelKind, ...]:
        """The other models that this one works with."""
        if kind != "find":
            return ()
        if self._name(kind) == BY_CLIPSEG:
            return ("clipseg", "sam")
        from darkroom.models.finders import kind_of

        return () if kind_of(self._find(kind).path) == "sam3" else ("sam",)

    def _device_of(self, kind: ModelKind) -> str:
        if kind == "matting":
            return "cpu" if self._name(kind) in _MATTING_LIBRARIES else self.device
        if kind == "upscale" and self._name(kind) == LANCZOS:
            return "cpu"
        if kind != "subject":
            return self.device
        from darkroom.models.subject import subject_device

        return "cpu" if self._name(kind) == GRABCUT else subject_device(self.device)

    def _libraries(self, kind: ModelKind) -> dict[str, str]:
        if kind == "upscale" and self._name(kind) == LANCZOS:
            return {}
        if kind != "subject":
            names = _MATTING_LIBRARIES.get(self._name(kind), _LIBRARIES[kind])
            if kind == "sam":
                from darkroom.models.sam2 import libraries_of

                names = libraries_of(self._find(kind).path) or names
            return {name: _series(_version(name)) for name in names}
        if self._name(kind) == GRABCUT:
            return {}
        from darkroom.models.subject import onnxruntime_version

        return {"onnxruntime": _series(onnxruntime_version())}

    def _reference_files(self) -> ReferenceFiles:
        return find_reference(self._name(REFERENCE))

    def _find(self, kind: ModelKind) -> ModelFiles:
        if kind == REFERENCE:
            return self._reference_files()
        return find_weights(kind.partition(".")[0], self._name(kind))

    def _name(self, kind: ModelKind) -> str:
        group, _, name = kind.partition(".")
        if group == CONTROLS:
            return self._control_name(name)
        return self._single_name(kind)

    def _control_name(self, name: str) -> str:
        if name in self._weights.controls:
            return self._weights.controls[name]
        if name == "canny" and self._name("inpaint") == "miniature":
            return "miniature"
        known = suggest(name, list(self._weights.controls)) if self._weights.controls else "no controls are set"
        raise SetupError(f"models.controls.{name}: names no control model; set it to a folder or a repository; {known}")

    def _single_name(self, kind: ModelKind) -> str:
        name: str = getattr(self._weights, kind)
        if name != "auto":
            return name
        if kind == "subject":
            return self._subject_name
        if kind == "depth":  # no miniature
            return DEPTH
        if kind == REFERENCE:
            return IP_ADAPTERS[self.checkpoint_info.text_encoders]
        return "miniature" if self.device == "cpu" else _ON_GPU[kind]


@cache
def _version(package: str) -> str:
    return version(package)


def _series(release: str) -> str:
    """The releases that promise the same behaviour: the major version, before 1.0 also the minor one."""
    major, minor, *_ = release.split(".")
    return f"{major}.{minor}" if major == "0" else major
