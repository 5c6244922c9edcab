"""Making a run's pictures again from its own folder, and telling how far they are from what they were."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline.compare import SizesDiffer, compare
from pipeline.dataset import Photo
from pipeline.dataset.photo import Picture, decode_png, digest
from pipeline.errors import EmptyMask, PhotoError, RecipeError
from pipeline.models import Models
from pipeline.plan import Step, settings_of
from pipeline.record import environment, read_facts
from pipeline.record.artifacts import Made, fate
from pipeline.record.differences import differences
from pipeline.record.journal import read_journal
from pipeline.runner import Runner
from pipeline.settings import Settings
from pipeline.stages import STAGES
from pipeline.store import Store

Line = Mapping[str, Any]


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

    Args:
        run_dir: the run folder, wherever it lies now.
        only: path within it of the one picture to make; None for all that were made.
        changed: settings that differ from the recorded ones, by dotted key: `device`, `models.*`, `memory.*`.
        tolerance: differences of any pixel up to this, of 255, are told but are well.

    Raises:
        RecipeError: it is no run folder, or was made by something else than its journal says.
        SetupError: this machine lacks what the run needs.
    """

    def __init__(self, run_dir: Path, only: str | None, changed: Mapping[str, Any], tolerance: int) -> None:
        self._run_dir = run_dir
        self._only = only
        self._tolerance = tolerance
        self._facts = read_facts(run_dir)
        self._settings = Settings.parse(_changed(self._facts["config"], changed))
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
        then, now = self._facts.get("models", {}), self._settings.models().describe(kinds)
        both = ({key: value for key, value in models.items() if key != "pipeline"} for models in (then, now))
        environments = self._facts["environment"], environment()
        return differences(*({"environment": e, "models": m} for e, m in zip(environments, both, strict=True)))

    def _ops(self) -> list[str]:
        stages = self._facts["config"].get("stages") or {}
        return [op for op in (stage.get("op") for stage in stages.values() if stage) if op in STAGES]

    def _lines(self) -> Iterator[Line]:
        found = False
        for line in read_journal(self._run_dir):
            if self._only not in (None, line["result"]):
                continue
            found = True
            if line["status"] == "done":
                yield line
            else:
                self.not_tried += 1
        if self._only and not found:
            raise RecipeError(f"{self._run_dir / self._only}: no picture that this run's journal tells of")

    def _photo(self, lines: Sequence[Line], models: Models, store: Store) -> Iterator[Verdict]:
        for line in lines:
            for path, recorded in line["inputs"].items():
                self._check_input(Path(path), recorded, "what is there now is used")
        try:
            photo = self._source(lines[0])
        except PhotoError as error:
            yield from (Verdict(line["result"], False, False, f"cannot be made: {error}") for line in lines)
            return
        again = _Again(tuple(_grow([line["settings"] for line in lines])))
        Runner(models, store).run([photo], [again])
        for line in lines:
            yield self._judge(line, again.ways[_signature(line["settings"])], store)

    def _source(self, line: Line) -> Photo:
        """The photo's file, where it is still what it was; else its decoded copy in the run folder."""
        copy = self._run_dir / line["source"]
        original = Photo(Path(line["path"]), line["photo"], line["item"])
        if self._check_input(original.path, line["digest"], "its decoded copy in the run folder is used"):
            return original
        if not self._untouched(line, line["source"]):
            raise PhotoError(f"{line['source']} was changed since it was written, and the photo is not there either")
        return _Copy(copy, line["photo"], line["item"], recorded=line["digest"])

    def _check_input(self, path: Path, recorded: str, then: str) -> bool:
        try:
            found = digest(path)
        except PhotoError as error:
            self._inputs[f"{path}: {error}; {then}"] = None
            return False
        if found != recorded:
            self._inputs[f"{path}: was changed since; {then}"] = None
        return found == recorded

    def _judge(self, line: Line, way: Sequence[Made | PhotoError], store: Store) -> Verdict:
        made, error = fate(way)
        picture = line["result"]
        if error and not isinstance(error, EmptyMask):  # with an empty mask, it was kept as it is
            return Verdict(picture, False, False, f"cannot be made: {error}")
        image = next(each.result.image for each in reversed(made) if each.result.image)
        if line["files"][picture] == Path(image).stem and self._untouched(line, picture):
            return Verdict(picture, True, True, "identical")
        return self._compare(picture, decode_png(store.read(image), "RGB"))

    def _untouched(self, line: Line, path: str) -> bool:
        """Whether a file of the run folder is still what was written."""
        try:
            return hashlib.sha256(_read(self._run_dir / path)).hexdigest() == line["files"][path]
        except PhotoError:
            return False

    def _compare(self, picture: str, again: Any) -> Verdict:
        try:
            then = decode_png(_read(self._run_dir / picture), "RGB")
            far = compare(then, again)
        except (PhotoError, SizesDiffer) as error:
            return Verdict(picture, False, False, f"cannot be compared: {error}")
        told = f"max {far.max} of 255, mean {far.mean:.4f}, SSIM {far.ssim:.5f}" if far.max else "identical"
        return Verdict(picture, far.max == 0, far.max <= self._tolerance, told)


class _Again:
    """One photo's pictures, wanted again (`runner.Job` and `runner.Tray`)."""

    def __init__(self, tree: Sequence[Step]) -> None:
        self._tree = tree
        self.ways: dict[str, Sequence[Made | PhotoError]] = {}

    def tree(self, photo: Photo) -> Sequence[Step]:
        return self._tree

    def begin(self, photo: Photo, digest: str | None, pictures: int) -> _Again:
        return self

    def deliver(self, steps: Sequence[Step], way: Sequence[Made | PhotoError]) -> None:
        self.ways[_signature(settings_of(steps))] = way

    def flush(self) -> None:
        pass


@dataclass(frozen=True, kw_only=True)
class _Copy(Photo):
    """A photo's decoded copy, which passes for the photo that it was made from."""

    recorded: str

    def digest(self) -> str:
        return self.recorded

    def load(self) -> Picture:
        return replace(super().load(), digest=self.recorded)


def _grow(ways: Sequence[Sequence[Mapping[str, Any]]], depth: int = 0) -> Iterator[Step]:
    """The tree that has these ways, each the settings of its steps."""
    together: dict[str, list[Sequence[Mapping[str, Any]]]] = {}
    for way in ways:
        if depth < len(way):
            together.setdefault(_signature(way[depth]), []).append(way)
    for group in together.values():
        setting = dict(group[0][depth])
        name, op = setting.pop("stage"), setting.pop("op")
        try:
            stage = STAGES[op](**setting)
        except (KeyError, ValidationError):
            raise RecipeError(f"{name}: this version of Darkroom has no op `{op}` with these parameters") from None
        yield Step(depth + 1, name, op, stage, "", tuple(_grow(group, depth + 1)))


def _signature(settings: Any) -> str:
    return json.dumps(settings, sort_keys=True)


def _changed(config: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with some dotted keys set anew."""
    new = json.loads(json.dumps(config))
    for key, value in changed.items():
        section, _, name = key.partition(".")
        if name:
            new.setdefault(section, {})[name] = value
        else:
            new[section] = value
    return new


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PhotoError(f"{path}: cannot be read: {error.strerror}") from None
