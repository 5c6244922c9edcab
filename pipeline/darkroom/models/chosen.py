"""Which weights a run uses, on which device, and all that its results depend on. Loads nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from functools import cache, cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from darkroom.errors import SetupError, suggest
from darkroom.models.device import choose_device, resolve_memory, resolve_threads
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
    SD15,
    SDXL,
    ModelKind,
)
from darkroom.models.painter_families import STABLE_DIFFUSION, PainterFamily
from darkroom.models.reference_info import ReferenceFiles, find_reference, reference_problem
from darkroom.models.settings import Memory, ModelNames
from darkroom.models.subject_networks import GRABCUT, SMALLEST
from darkroom.models.weights import ModelFiles, find_weights, subject_commands

if TYPE_CHECKING:
    from darkroom.models.checkpoint_info import CheckpointInfo

_ON_GPU: dict[ModelKind, str] = {"sam": "vit_b", "clipseg": CLIPSEG, "inpaint": SDXL}
KINDS: tuple[ModelKind, ...] = ("sam", "clipseg", "inpaint", "subject", "matting", "upscale", "lama", "depth", "find")
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
_ASKED_BY = {CONTROLS: "control", REFERENCE: "reference"}  # the parameter of `inpaint`
_MATTING_LIBRARIES: dict[str, tuple[str, ...]] = {GUIDED: (), CLOSED_FORM: ("pymatting",)}  # they run on the CPU


class ChosenModels:
    """The models of a run, chosen and identified.

    Args:
        weights: the weights of each model.
        memory: how the models use memory.
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.

    Raises:
        SetupError: this machine lacks the device, or the device does not support `memory`.

    Attributes:
        device: the device in use.
        memory: the memory settings in use, without `auto`.
        loras: the LoRAs that recipes may use.
    """

    def __init__(self, weights: ModelNames, memory: Memory, device: str = "auto") -> None:
        self._asked = device
        self.device = choose_device(device)
        self._weights = weights
        resolved = resolve_memory(memory, self.device, self._painter())
        miniature = {self._name(kind) for kind in _ON_GPU} == {"miniature"}
        self.memory = replace(resolved, threads=resolve_threads(resolved.threads, miniature))
        self.loras = Loras(weights.loras, lambda: self.checkpoint_info.folder)

    def _painter(self) -> PainterFamily:
        """The family of the inpainting model; Stable Diffusion if its files are missing, as `require` reports that."""
        if self._name("inpaint") in ("miniature", SDXL, SD15):
            return STABLE_DIFFUSION
        try:
            return self.checkpoint_info.family
        except SetupError:
            return STABLE_DIFFUSION

    @property
    def batch_size(self) -> int:
        """Pictures per UNet call."""
        return int(self.memory.batch_size)

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
        try:
            problem = control_problem(name, files.path, self.checkpoint_info)
        except SetupError as error:
            raise SetupError(f"models.controls.{name}={error}") from None
        return f"models.controls.{name}={files.name} {problem}" if problem else None

    def reference_problem(self) -> str | None:
        """Why the IP-Adapter cannot work with the inpainting model; None if it can. Loads no weights.

        Raises:
            SetupError: its files are missing or damaged.
        """
        problem = reference_problem(self._reference_files(), self.checkpoint_info)
        return f"models.reference={self._name(REFERENCE)} {problem}" if problem else None

    def phrase_problem(self, phrase: str) -> str | None:
        """Why the model of `find` cannot look for a phrase; None if it can. Loads no weights.

        Raises:
            SetupError: its files are missing or damaged.
        """
        name = self._name("find")
        if name == BY_CLIPSEG or self._classes is None:
            return None
        from darkroom.models.finder_info import class_problem

        problem = class_problem(self._classes, phrase)
        return f"models.find={name} {problem}" if problem else None

    @cached_property
    def _classes(self) -> dict[str, list[int]] | None:  # read once, and asked about for every photo
        from darkroom.models.finder_info import known_classes

        return known_classes(self._find("find").path)

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
            numerics["kept_in"] = memory["weights"]
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
                **{kind: self._name(kind) for kind in KINDS},
                REFERENCE: self._weights.reference,
                CONTROLS: dict(self._weights.controls),
                "loras": self.loras.given,
            },
        }

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

    def _uses_torch(self, kind: ModelKind) -> bool:
        return kind != "subject" and self._name(kind) not in (*_MATTING_LIBRARIES, LANCZOS)

    @cached_property
    def _subject_name(self) -> str:  # of `auto`; kept, as the file may appear during a run
        return GRABCUT if subject_commands() else SMALLEST

    def _helpers(self, kind: ModelKind) -> tuple[ModelKind, ...]:
        """The other models that this one works with."""
        if kind != "find":
            return ()
        if self._name(kind) == BY_CLIPSEG:
            return ("clipseg", "sam")
        from darkroom.models.finder_info import SAM3, kind_of

        return () if kind_of(self._find(kind).path) == SAM3 else ("sam",)

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
        asked_by = _ASKED_BY.get(kind.partition(".")[0])
        if asked_by and (lacking := self._painter().limits.get(asked_by)):
            raise SetupError(f"models.{kind}: {self._painter().title} {lacking}")
        if kind == REFERENCE:
            return self._reference_files()
        return find_weights(kind, self._name(kind))

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
