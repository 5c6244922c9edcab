"""Making a run's pictures again from its own folder, and telling how far they are from what they were."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from darkroom.config.recipe_file import with_defaults
from darkroom.config.settings import Settings
from darkroom.dataset import Photo
from darkroom.engine.runner import Runner
from darkroom.engine.step_result import StepResult, outcome
from darkroom.errors import EmptyMask, PhotoError, RecipeError, RecordError
from darkroom.imaging import codec as photo
from darkroom.imaging.codec import Picture, decode_png
from darkroom.imaging.compare import SizesDiffer, compare
from darkroom.models import Models
from darkroom.planning.plan import Step
from darkroom.planning.preflight import refusals
from darkroom.provenance.differences import environment_changes
from darkroom.record import JOURNAL, environment, read_facts, read_journal, resolved_config
from darkroom.record.schema import JournalLine
from darkroom.stages import STAGES, Stage
from darkroom.store import Store
from darkroom.system.files import Folder

Way = tuple[tuple[str, str, Stage], ...]  # to a picture: name, op and parameters of each stage


@dataclass(frozen=True)
class Verdict:
    """What came of one picture.

    Attributes:
        picture: its path within the run folder.
        identical: every pixel is what it was.
        within: no pixel is further from what it was than is tolerated.
        told: `identical`, how far off it is, or why it could not be made.
    """

    picture: str
    identical: bool
    within: bool
    told: str


class Reproduction:
    """A run that is made again. Nothing is taken from the store, and nothing is left behind.

    Run folders come from strangers, too: of the pictures that a journal names, none outside its folder is opened.

    Args:
        run_dir: the run folder, wherever it lies now.
        only: path within it of the one picture to make; None for all that were made.
        changed: settings that differ from the recorded ones, by dotted key: `device`, `models.*`, `memory.*`.
        tolerance: differences of any pixel up to this, of 255, are told but are well.

    Raises:
        RecordError: it is no run folder, or its record is damaged or another version's.
        SetupError: this machine lacks what the run needs.
    """

    def __init__(self, run_dir: Path, only: str | None, changed: Mapping[str, Any], tolerance: int) -> None:
        self._run_dir = run_dir
        self._files = Folder(run_dir)
        self._only = only
        self._tolerance = tolerance
        self._facts = read_facts(run_dir)
        self._settings = Settings.parse(_changed(resolved_config(self._facts), changed))
        self._inputs: dict[str, None] = {}  # those that are missing or changed, each told once
        self.not_tried = 0

    def verdicts(self) -> Iterator[Verdict]:
        """Make the pictures, photo by photo, and judge each."""
        models = self._settings.models()
        models.require({kind for name in self._ops() for kind in STAGES[name].uses})
        for _, group in groupby(self._lines(), key=lambda line: line["source"]):
            lines = list(group)
            with tempfile.TemporaryDirectory() as folder:
                yield from self._photo(lines, models, Store(Path(folder)))

    def inputs(self) -> list[str]:
        """The inputs that are missing or changed, as far as they were met."""
        return list(self._inputs)

    def differences(self) -> list[str]:
        """What else is not as it was: versions, device, models, commit."""
        kinds = [kind for name in self._ops() for kind in STAGES[name].uses]
        then, now = self._facts["models"], self._settings.models().describe(kinds)
        both = ({key: value for key, value in models.items() if key != "pipeline"} for models in (then, now))
        environments = self._facts["environment"], environment()
        return environment_changes(*({"environment": e, "models": m} for e, m in zip(environments, both, strict=True)))

    def _ops(self) -> list[str]:
        stages = self._facts["config"].get("stages")
        names = list(stages) if isinstance(stages, Mapping) else []
        until = self._facts["config"].get("until")
        names = names[: names.index(until) + 1] if until in names else names
        full = [with_defaults(name, stages[name]) for name in names]
        return [op for op in STAGES if any(isinstance(stage, Mapping) and stage.get("op") == op for stage in full)]

    def _lines(self) -> Iterator[JournalLine]:
        found = False
        for line in read_journal(self._run_dir):
            if self._only not in (None, line["result"], line["delivered"]):
                continue
            found = True
            if line["status"] == "done":
                if not (line["source"] and line["result"] and line["digest"]):
                    text = "a finished picture has no photo or result: damaged, or of another version of Darkroom"
                    raise RecordError(f"{self._run_dir / JOURNAL}: {text}")
                yield line
            else:
                self.not_tried += 1
        if self._only and not found:
            raise RecordError(f"{self._run_dir / self._only}: no picture that this run's journal names")

    def _photo(self, lines: Sequence[JournalLine], models: Models, store: Store) -> Iterator[Verdict]:
        for path, recorded in {path: each for line in lines for path, each in line["inputs"].items()}.items():
            if problem := _problem(Path(path), recorded):
                self._inputs[f"{path}: {problem}"] = None
        ways = [_way(line["settings"]) for line in lines]
        stages = {(name, stage): None for way in ways for name, _, stage in way}
        if refused := [line for name, stage in stages for line in refusals(name, stage, models)]:
            raise RecipeError(refused)
        try:
            source = self._source(lines[0])
        except PhotoError as error:
            yield from (Verdict(line["result"], False, False, f"cannot be made: {error}") for line in lines)
            return
        again = _Again(tuple(_grow(ways)))
        Runner(models, store).run([source], [again])
        for line, way in zip(lines, ways, strict=True):
            if way not in again.made:  # the way to another picture leads through it
                raise RecordError(f"{self._run_dir / JOURNAL}: the settings of {line['result']} are not whole")
            yield self._judge(line, again.made[way], store)

    def _source(self, line: JournalLine) -> Photo:
        """The photo's file, where it is still what it was; else its decoded copy in the run folder."""
        original = Photo(Path(line["path"]), line["photo"], line["item"])
        problem = _problem(original.path, line["digest"])
        if problem is None:
            return original
        self._inputs[f"{original.path}: {problem}; its decoded copy in the run folder is used"] = None
        try:
            whole = self._files.digest(line["source"]) == line["files"].get(line["source"])
        except OSError:
            whole = False
        if not whole:
            raise PhotoError(f"{line['source']} is not what was written, and the photo is not there either")
        place = Path(line["source"])
        return _Copy(place, line["photo"], line["item"], folder=self._files, recorded=line["digest"])

    def _judge(self, line: JournalLine, way: Sequence[StepResult | PhotoError], store: Store) -> Verdict:
        made, error = outcome(way)
        picture = line["result"]
        kept = isinstance(error, EmptyMask) and picture == line["source"]  # as it was, with on_empty: keep
        if error and not kept:
            return Verdict(picture, False, False, f"cannot be made: {error}")
        path, blob = picture, next(each.result.image for each in reversed(made) if each.result.image)
        if picture == line["source"] and line["mask"]:  # nothing was repainted: the mask is what was made
            path, blob = line["mask"], next(each.result.mask for each in reversed(made) if each.result.mask)
        try:
            then = photo.decode(self._files.read(path))
            far = compare(then.pixels, decode_png(store.read(blob), "RGB"))
        except (PhotoError, SizesDiffer) as error:
            return Verdict(picture, False, False, f"cannot be compared: {error}")
        except OSError as error:
            return Verdict(picture, False, False, f"{path}: cannot be read: {error.strerror}")
        told = f"max {far.max} of 255, mean {far.mean:.4f}, SSIM {far.ssim:.5f}" if far.max else "identical"
        if then.digest != line["files"].get(path):
            told += "; the file was changed since it was written"
        return Verdict(picture, far.max == 0, far.max <= self._tolerance, told)


class _Again:
    """One photo's pictures, wanted again (`runner.Consumer` and `runner.ResultSink`)."""

    def __init__(self, tree: Sequence[Step]) -> None:
        self.remaining = tree
        self.made: dict[Way, Sequence[StepResult | PhotoError]] = {}

    def tree(self, photo: Photo) -> Sequence[Step]:
        return self.remaining

    def begin(self, photo: Photo, digest: str | PhotoError, tree: Sequence[Step] | PhotoError) -> _Again:
        return self

    def deliver(self, steps: Sequence[Step], way: Sequence[StepResult | PhotoError]) -> None:
        self.made[tuple((step.name, step.op, step.stage) for step in steps)] = way

    def flush(self) -> None:
        pass


@dataclass(frozen=True, kw_only=True)
class _Copy(Photo):
    """A photo's decoded copy in a run folder, which passes for the photo that it was made from."""

    folder: Folder
    recorded: str

    def digest(self) -> str:
        return self.recorded

    def load(self) -> Picture:
        try:
            data = self.folder.read(self.path.as_posix())
        except OSError as error:
            raise PhotoError(f"{self.path}: cannot be read: {error.strerror}") from None
        return replace(photo.decode(data), digest=self.recorded)


def _problem(path: Path, recorded: str | None) -> str | None:
    """What is wrong with a file that a run has read or written; None where it is what it was."""
    try:
        return None if photo.digest(path) == recorded else "was changed since"
    except PhotoError as error:
        return str(error)


def _way(settings: Sequence[Any]) -> Way:
    """What the settings of a journal's line say. A parameter that they do not know, being older, has its default."""
    way = []
    for each in settings:
        try:
            parameters = dict(each)
            name, op = parameters.pop("stage"), parameters.pop("op")
            way.append((str(name), op, STAGES[op](**parameters)))
        except (KeyError, TypeError, ValueError):
            text = f"settings that this version of Darkroom does not have: {each!s:.200}"
            raise RecordError(f"{JOURNAL}: {text}") from None
    return tuple(way)


def _grow(ways: Sequence[Way], depth: int = 0) -> Iterator[Step]:
    """The tree that has these ways."""
    together: dict[Any, list[Way]] = {}
    for way in ways:
        if depth < len(way):
            together.setdefault(way[depth], []).append(way)
    for (name, op, stage), group in together.items():
        yield Step(depth + 1, name, op, stage, "", tuple(_grow(group, depth + 1)))


def _changed(config: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with some dotted keys set anew."""
    new = deepcopy(dict(config))
    for key, value in changed.items():
        section, _, name = key.partition(".")
        if name:
            new.setdefault(section, {})[name] = value
        else:
            new[section] = value
    return new
