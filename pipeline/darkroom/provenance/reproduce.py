"""Makes a run's pictures again from its own folder and compares them with the files there."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from darkroom.config.settings import Settings
from darkroom.config.stage_defaults import op_of
from darkroom.dataset import Photo
from darkroom.engine.runner import Runner
from darkroom.engine.step_result import StepResult, outcome
from darkroom.errors import EmptyMask, PhotoError, RecipeError, RecordError
from darkroom.imaging import codec
from darkroom.imaging.codec import DecodedPhoto
from darkroom.imaging.compare import SizesDiffer, compare
from darkroom.imaging.png import decode_png
from darkroom.models import ModelKind, Models
from darkroom.models.loras import find_again
from darkroom.planning.plan import Step
from darkroom.planning.preflight import refusals
from darkroom.provenance.differences import environment_changes
from darkroom.record import (
    JOURNAL,
    environment,
    keeps_results_only,
    metadata,
    read_facts,
    read_journal,
    resolved_config,
)
from darkroom.record.schema import JournalLine, ModelRecord
from darkroom.stages import STAGES, Stage
from darkroom.store import Result, Store
from darkroom.system.files import Folder

_StagePath = tuple[tuple[str, str, Stage], ...]  # to a picture: name, op and parameters of every stage
_Made = tuple[_StagePath, Sequence[StepResult | PhotoError]]


@dataclass(frozen=True)
class Reproduced:
    """One picture made again.

    Attributes:
        picture: its path in the run folder.
        identical: no pixel differs.
        within_tolerance: no pixel differs by more than the tolerance.
        summary: `identical`, the differences, or the reason why there is no picture to compare.
    """

    picture: str
    identical: bool
    within_tolerance: bool
    summary: str


class Reproduction:
    """Makes the pictures of a run again. It takes nothing from the store and leaves no files behind.

    Run folders may come from strangers: no picture outside the folder is opened, whatever the journal names.

    Args:
        run_dir: the run folder, wherever it is now.
        only: the path in it of the one picture to make; None for all finished pictures.
        changed: settings that replace recorded ones, by dotted key: `device`, `models.*`, `memory.*`.
        tolerance: the largest accepted difference of any pixel, 0 to 255.

    Attributes:
        not_tried: the number of pictures left out because the run has no result for them.

    Raises:
        RecordError: this is not a run folder, or its record is damaged or from another version.
        SetupError: this machine lacks something that the run needs.
    """

    def __init__(self, run_dir: Path, only: str | None, changed: Mapping[str, Any], tolerance: int) -> None:
        self._run_dir = run_dir
        self._files = Folder(run_dir)
        self._only = only
        self._tolerance = tolerance
        self._facts = read_facts(run_dir)
        if keeps_results_only(self._facts):
            reason = "has results.only=true, so it lacks what its pictures could be compared with"
            raise RecordError(f"{run_dir}: {reason}; to make them again, run its recipe.yaml")
        config = _with_changes(resolved_config(self._facts), changed)
        self._settings = Settings.parse(_with_found_loras(config, self._facts["models"].get("loras", {})))
        self._input_problems: dict[str, None] = {}  # an ordered set
        self.not_tried = 0

    def pictures(self) -> Iterator[Reproduced]:
        """Make the pictures, photo by photo, and compare each with its file."""
        models = self._settings.models()
        models.require(self._kinds())
        for _, group in groupby(self._finished(), key=lambda finished: finished.source):
            finished = list(group)
            with tempfile.TemporaryDirectory() as folder:
                store = Store(Path(folder))
                store.create()  # before blobs, so that embeddings find a store
                yield from self._photo(finished, models, store)

    def input_problems(self) -> list[str]:
        """The inputs so far that are missing or have changed, one line each."""
        return list(self._input_problems)

    def environment_changes(self) -> list[str]:
        """How versions, device, models and commit differ from the recorded ones, one line each."""
        then = self._facts["models"]
        now = self._settings.models().describe(self._kinds(), then.get("loras", {}))
        both = ({key: value for key, value in models.items() if key != "pipeline"} for models in (then, now))
        environments = self._facts["environment"], environment()
        return environment_changes(*({"environment": e, "models": m} for e, m in zip(environments, both, strict=True)))

    def _kinds(self) -> list[ModelKind]:
        """The models that the recorded stages use."""
        stages = self._facts["config"].get("stages")
        if not isinstance(stages, Mapping):
            return []
        names, until = list(stages), self._facts["config"].get("until")
        names = names[: names.index(until) + 1] if until in names else names
        kinds: list[ModelKind] = []
        for name in names:
            op = op_of(name, stages[name])
            if isinstance(op, str) and op in STAGES:
                kinds += STAGES[op].models_of(stages[name] if isinstance(stages[name], Mapping) else {})
        return kinds

    def _finished(self) -> Iterator[_Finished]:
        found = False
        for line in read_journal(self._run_dir):
            if self._only not in (None, line["result"], *line["outputs"].values()):
                continue
            found = True
            if line["status"] == "done":
                yield _Finished.of(line, self._run_dir / JOURNAL)
            else:
                self.not_tried += 1
        if self._only and not found:
            raise RecordError(f"{self._run_dir / self._only}: this run's journal names no such picture")

    def _photo(self, finished: Sequence[_Finished], models: Models, store: Store) -> Iterator[Reproduced]:
        """Make all pictures of one photo again."""
        self._check_inputs(finished)
        paths = [_stage_path(picture.line["settings"]) for picture in finished]
        stages = {(name, stage): None for path in paths for name, _, stage in path}
        if refused := [text for name, stage in stages for text in refusals(name, stage, models)]:
            raise RecipeError(refused)
        try:
            photo = self._source(finished[0])
        except PhotoError as error:
            yield from (_failure(picture.result, f"cannot be made: {error}") for picture in finished)
            return
        collector = _Collector(tuple(_tree(paths)))
        Runner(models, store, metadata.texts).run([photo], [collector])
        for picture, path in zip(finished, paths, strict=True):
            if path not in collector.results:  # the path to another picture leads through this one
                raise RecordError(f"{self._run_dir / JOURNAL}: the settings of {picture.result} are incomplete")
            yield self._compare(picture, collector.results[path], store)

    def _check_inputs(self, finished: Sequence[_Finished]) -> None:
        recorded = {path: digest for picture in finished for path, digest in picture.line["inputs"].items()}
        for path, digest in recorded.items():
            if problem := _problem(Path(path), digest):
                self._input_problems[f"{path}: {problem}"] = None

    def _source(self, finished: _Finished) -> Photo:
        """The photo's own file if it is unchanged, else its decoded copy in the run folder."""
        line = finished.line
        original = Photo(Path(line["path"]), line["photo"], line["item"])
        problem = _problem(original.path, finished.digest)
        if problem is None:
            return original
        self._input_problems[f"{original.path}: {problem}; using its decoded copy in the run folder"] = None
        try:
            intact = self._files.digest(finished.source) == line["files"].get(finished.source)
        except OSError:
            intact = False
        if not intact:
            raise PhotoError(f"{finished.source} has changed since it was written, and the photo is not available")
        copy = Path(finished.source)
        return _DecodedCopy(copy, line["photo"], line["item"], folder=self._files, recorded=finished.digest)

    def _compare(self, finished: _Finished, results: Sequence[StepResult | PhotoError], store: Store) -> Reproduced:
        made, error = outcome(results)
        kept = isinstance(error, EmptyMask) and finished.result == finished.source  # kept by on_empty: keep
        if error and not kept:
            return _failure(finished.result, f"cannot be made: {error}")
        path, blob = _to_compare(finished, [step.result for step in made])
        try:
            then = codec.decode_photo(self._files.read(path))
            difference = compare(then.pixels, decode_png(store.read_blob(blob), "RGB"))
        except (PhotoError, SizesDiffer) as problem:
            return _failure(finished.result, f"cannot be compared: {problem}")
        except OSError as problem:
            return _failure(finished.result, f"{path}: cannot be read: {problem.strerror}")
        summary = str(difference)
        if then.digest != finished.line["files"].get(path):
            summary += "; the file has changed since it was written"
        return Reproduced(finished.result, difference.max == 0, difference.max <= self._tolerance, summary)


def _to_compare(finished: _Finished, results: Sequence[Result]) -> tuple[str, str]:
    """The path of the old picture in the run folder, and the blob of the new one."""
    mask = finished.line["mask"]
    enlarged = next((step["enlarged"] for step in finished.line["steps"] if "enlarged" in step), None)
    new = next((result.enlarged for result in results if result.enlarged), None)
    if enlarged and new:
        return enlarged, new
    if finished.result == finished.source and mask:  # nothing was repainted: compare the masks
        return mask, next(result.mask for result in reversed(results) if result.mask)
    return finished.result, next(result.image for result in reversed(results) if result.image)


@dataclass(frozen=True)
class _Finished:
    """A finished picture of the journal.

    Attributes:
        line: its line.
        source: the path of the photo's decoded copy in the run folder.
        result: the path of the picture.
        digest: SHA-256 of the photo's file.
    """

    line: JournalLine
    source: str
    result: str
    digest: str

    @classmethod
    def of(cls, line: JournalLine, journal: Path) -> _Finished:
        """Check a line with status `done`. RecordError if it lacks a photo or a result."""
        if not (line["source"] and line["result"] and line["digest"]):
            text = "a finished picture has no photo or result: damaged, or written by another version of Darkroom"
            raise RecordError(f"{journal}: {text}")
        return cls(line, line["source"], line["result"], line["digest"])


class _Collector:
    """Collects the results of one photo (`consumer.Consumer` and `consumer.ResultSink`)."""

    def __init__(self, tree: Sequence[Step]) -> None:
        self.remaining: Sequence[Step] | PhotoError = tree
        self._tree = tree
        self.results: dict[_StagePath, Sequence[StepResult | PhotoError]] = {}

    def tree(self, photo: Photo) -> Sequence[Step]:
        return self._tree

    def begin(self, photo: Photo, digest: str | PhotoError, tree: Sequence[Step] | PhotoError) -> _Collector:
        return self

    def start(self) -> None:
        pass

    def prepare(self, steps: Sequence[Step], results: Sequence[StepResult | PhotoError]) -> _Made:
        return tuple((step.name, step.op, step.stage) for step in steps), results

    def deliver(self, prepared: _Made) -> None:
        path, results = prepared
        self.results[path] = results

    def flush(self) -> None:
        pass


@dataclass(frozen=True, kw_only=True)
class _DecodedCopy(Photo):
    """A photo's decoded copy in a run folder; it has the digest of the photo.

    Attributes:
        folder: the run folder.
        recorded: SHA-256 of the photo's file.
    """

    folder: Folder
    recorded: str

    def digest(self) -> str:
        return self.recorded

    def load(self) -> DecodedPhoto:
        try:
            data = self.folder.read(self.path.as_posix())
        except OSError as error:
            raise PhotoError(f"{self.path}: cannot be read: {error.strerror}") from None
        return replace(codec.decode_photo(data), digest=self.recorded)


def _failure(picture: str, summary: str) -> Reproduced:
    return Reproduced(picture, identical=False, within_tolerance=False, summary=summary)


def _problem(path: Path, recorded: str) -> str | None:
    """Why a file is not the one that the run read; None if it is."""
    try:
        return None if codec.photo_digest(path) == recorded else "has changed since the run"
    except PhotoError as error:
        return str(error)


def _stage_path(settings: Sequence[Any]) -> _StagePath:
    """The stages in the settings of a journal line. A parameter that an older version did not have gets its default."""
    path = []
    for step in settings:
        try:
            parameters = dict(step)
            name, op = parameters.pop("stage"), parameters.pop("op")
            path.append((str(name), op, STAGES[op](**parameters)))
        except (KeyError, TypeError, ValueError):
            text = f"settings that this version of Darkroom does not have: {step!s:.200}"
            raise RecordError(f"{JOURNAL}: {text}") from None
    return tuple(path)


def _tree(paths: Sequence[_StagePath], depth: int = 0) -> Iterator[Step]:
    """The tree of steps with these paths from its root."""
    groups: dict[tuple[str, str, Stage], list[_StagePath]] = {}
    for path in paths:
        if depth < len(path):
            groups.setdefault(path[depth], []).append(path)
    for (name, op, stage), group in groups.items():
        yield Step(depth + 1, name, op, stage, "", tuple(_tree(group, depth + 1)))


def _with_changes(config: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with new values at some dotted keys."""
    new = deepcopy(dict(config))
    for key, value in changed.items():
        *sections, name = key.split(".", maxsplit=2)  # three parts: `models.loras.NAME`
        section = new
        for each in sections:
            section = section.setdefault(each, {})
        section[name] = value
    return new


def _with_found_loras(config: dict[str, Any], recorded: Mapping[str, ModelRecord]) -> dict[str, Any]:
    """A configuration with each LoRA of a run where its file is now, if a file with its digest is found."""
    models = config.get("models")
    loras = models.get("loras") if isinstance(models, Mapping) else None
    if isinstance(loras, Mapping):
        places = {name: place for name, place in loras.items() if isinstance(place, str)}
        found = {name: find_again(name, places, lora.get("weights", "")) for name, lora in recorded.items()}
        config["models"]["loras"] = {**loras, **{name: place for name, place in found.items() if place}}
    return config
