"""The pictures of a run folder that a data set gets. Run folders may come from strangers: every file is checked."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from darkroom.errors import PhotoError, RecipeError, RecordError
from darkroom.export.instances import instances, instances_path
from darkroom.export.labels import label_of, split_of, utf8
from darkroom.export.objects import AUTO, KEPT, ObjectMask, makes_mask, object_mask, repaints
from darkroom.imaging.codec import DecodedPhoto, decode_photo
from darkroom.imaging.framing import framed_grey
from darkroom.provenance.verify_delivered import recorded_framing
from darkroom.record import JOURNAL, keeps_results_only, read_journal
from darkroom.record.schema import JournalLine, RunFacts
from darkroom.stages import STAGES
from darkroom.system.file_names import is_portable
from darkroom.system.files import Folder

OBJECT = "object"  # the label of an object that keeps its name, which nobody has told

_ONLY = " (results.only=true keeps none; with results.what=[picture,mask] it keeps those of kept objects)"
_SUFFIXES = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp", "TIFF": ".tif"}
_SPLIT = re.compile(r"\w{1,50}")
_MAX_SPLITS = 50

Columns = dict[str, str | int | float | None]


@dataclass(frozen=True)
class ExportSettings:
    """What a data set is to hold.

    Attributes:
        format: `coco`, `imagefolder` or `webdataset`.
        label: where the labels of objects come from: `prompt`, `item.COLUMN`, or None.
        object: see `object_mask`.
        shard_mb: the largest size of a tar file of `webdataset`, MB.
    """

    format: str
    label: str | None = None
    object: str = AUTO
    shard_mb: int = 1000

    @property
    def needs_objects(self) -> bool:
        """Whether pictures without the mask and the label of an object are left out."""
        return self.format == "coco"


@dataclass(frozen=True)
class Example:
    """One picture of a data set.

    Attributes:
        name: a number, such as `000001`, in the order of the journal.
        suffix: of its file, such as `.png`; by its content.
        data: its file.
        size: (height, width).
        object: (H, W) bool, where its object is; None if the run folder does not hold the mask.
        instances: (H, W) bool each, the objects that `object` consists of, if `find` has told several apart; else
            `object` alone. They can be read once.
        label: of the object; None if nobody has told it.
        split: such as `train`; None if the run's photos have none.
        columns: where it comes from, by name. None is unknown.
    """

    name: str
    suffix: str
    data: bytes
    size: tuple[int, int]
    object: np.ndarray | None
    instances: Iterable[np.ndarray]
    label: str | None
    split: str | None
    columns: Columns


class _LeftOut(Exception):
    """Why a picture is no part of the data set, as in `3 failed`; and, if it is damage, what is wrong with it."""

    def __init__(self, reason: str, problem: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.problem = problem


class Pictures:
    """The pictures of a run that a data set gets, in the order of the journal.

    Args:
        run_dir: the run folder; nothing is written into it.
        facts: its `run.json`.
        settings: what the data set is to hold.

    Attributes:
        left_out: the number of pictures that it does not get, by reason; complete after iterating.
        no_mask: the reason of those without the mask of an object.
        problem: what is wrong with the first of those that are damaged; None if none is.

    Raises:
        RecordError: the journal is damaged, or its splits cannot be used.
    """

    def __init__(self, run_dir: Path, facts: RunFacts, settings: ExportSettings) -> None:
        self.left_out: Counter[str] = Counter()
        self.problem: str | None = None
        self.no_mask = f"without a mask{_ONLY if keeps_results_only(facts) else ''}"
        self._run_dir, self._settings = run_dir, settings
        self._folder = Folder(run_dir)
        self._stages = _number_of_stages(facts)
        self._models = _digests(facts["models"].get("weights", {}))
        self._loras = _digests(facts["models"].get("loras", {}))
        self._grey = lru_cache(maxsize=2)(self._decoded_mask)  # variants share a mask
        _check_splits(run_dir)

    def __iter__(self) -> Iterator[Example]:
        number = 0
        for line in read_journal(self._run_dir):
            try:
                yield self._example(line, f"{number + 1:06}")
                number += 1
            except _LeftOut as why:
                self.left_out[why.reason] += 1
                self.problem = self.problem or why.problem

    def _example(self, line: JournalLine, name: str) -> Example:
        self._check_finished(line)
        label, mask = self._label_and_mask(line)
        path, is_framed = _picture(line)
        data = self._data(path, line["files"].get(path))
        decoded = _decoded(path, data)
        if decoded.format not in _SUFFIXES:
            raise _LeftOut("damaged", f"{path}: {decoded.format} is no format of results")
        size = decoded.pixels.shape[:2]
        found = self._object(line, mask, size, is_framed)
        if found is not None and not found.any():
            raise _LeftOut("without an object")
        split, origin = split_of(line), mask.path if found is not None else None
        columns = self._columns(line, path, origin)
        parts = self._instances(line, found, is_framed) if found is not None else []
        return Example(name, _SUFFIXES[decoded.format], data, size, found, parts, label, split, columns)

    def _check_finished(self, line: JournalLine) -> None:
        if line["status"] != "done":
            raise _LeftOut(line["status"])
        if line["flags"]:
            raise _LeftOut("flagged")
        if len(line["settings"]) < self._stages:
            raise _LeftOut("kept as they were")

    def _label_and_mask(self, line: JournalLine) -> tuple[str | None, ObjectMask]:
        source, mask = self._settings.label, object_mask(line, self._settings.object)
        if source is not None:
            if source == "prompt" and not mask.repainted and self._settings.object in (AUTO, KEPT):
                raise RecipeError(
                    "command line: label=prompt: only for objects that were repainted, and these were not; "
                    "label=item.COLUMN takes a column of the table"
                )
            label = label_of(line, source)
            if label is None:
                raise _LeftOut("without a label")
            return label, mask
        if mask.repainted and self._settings.needs_objects:
            raise RecipeError(
                "command line: label: the objects were repainted, so they need new labels: label=prompt, or "
                "label=item.COLUMN for a column of the table"
            )
        return OBJECT if self._settings.needs_objects else None, mask

    def _object(self, line: JournalLine, mask: ObjectMask, size: tuple[int, int], is_framed: bool) -> np.ndarray | None:
        """Where the object is, (H, W) bool: in pixels that are at least half the object's."""
        if mask.path is None or not self._folder.holds(mask.path):
            if self._settings.needs_objects:
                raise _LeftOut(self.no_mask, f"{mask.path}: missing" if mask.path else None)
            return None
        grey = self._grey(mask.path, line["files"].get(mask.path))
        grey = 255 - grey if mask.inverted else grey
        if is_framed and not mask.framed:
            grey = _framed(grey, line)
        if grey.shape != size:
            raise _LeftOut("damaged", f"{mask.path}: has not the size of the picture")
        return np.asarray(grey >= 128)

    def _instances(self, line: JournalLine, whole: np.ndarray, is_framed: bool) -> Iterable[np.ndarray]:
        """See `Example.instances`."""
        path = instances_path(line)
        if path is None or not self._folder.holds(path):
            return [whole]
        greys = self._grey(path, line["files"].get(path))
        framed = partial(_framed, line=line) if is_framed else np.asarray
        if framed(greys).shape != whole.shape:
            raise _LeftOut("damaged", f"{path}: has not the size of the picture")
        return instances(whole, greys, framed)

    def _decoded_mask(self, path: str, digest: str | None) -> np.ndarray:
        return _decoded(path, self._data(path, digest)).pixels[..., 0]

    def _data(self, path: str, digest: str | None) -> bytes:
        """The content of a file of the run folder, if it is as it was written."""
        try:
            data = self._folder.read(path)
        except FileNotFoundError:
            raise _LeftOut("with missing files", f"{path}: missing") from None
        except OSError as error:
            raise _LeftOut("damaged", f"{path}: cannot be read: {error.strerror}") from None
        if hashlib.sha256(data).hexdigest() != digest:
            raise _LeftOut("damaged", f"{path}: changed since it was written")
        return data

    def _columns(self, line: JournalLine, path: str, mask: str | None) -> Columns:
        columns: Columns = {
            "picture": path,
            "source": line["photo"],
            "source_digest": line["digest"],
            "split": split_of(line),
            "prompt": line["prompt"],
            "seed": line["seed"],
            "mask_digest": line["files"].get(mask) if mask else None,
        }
        known = [(settings, op) for settings in line["settings"] if (op := STAGES.get(settings["op"]))]
        kinds = {kind for settings, op in known for kind in op.models_of(settings)}
        columns |= {f"model_{kind}": digest for kind, digest in self._models.items() if kind in kinds}
        loras = {name for settings, op in known for name in op.loras_of(settings)}
        columns |= {f"lora_{name}": digest for name, digest in self._loras.items() if name in loras}
        columns |= _gate_figures(line)
        return {name: utf8(value) if isinstance(value, str) else value for name, value in columns.items()}


def _picture(line: JournalLine) -> tuple[str, bool]:
    """The path of the picture, and whether it may be framed. If a recipe only makes masks, it is the photo."""
    if any(map(makes_mask, line["settings"])) and not any(map(repaints, line["settings"])):
        path, is_framed = line["source"], False
    elif "picture" in line["outputs"]:
        path, is_framed = line["outputs"]["picture"], True
    else:
        path, is_framed = line["result"], False
    if path is None:
        raise _LeftOut("with missing files", f"{line['photo']}: the run folder keeps no picture of it")
    return path, is_framed


def _decoded(path: str, data: bytes) -> DecodedPhoto:
    try:
        return decode_photo(data)
    except PhotoError as error:
        raise _LeftOut("damaged", f"{path}: {error}") from None


def _framed(grey: np.ndarray, line: JournalLine) -> np.ndarray:
    """A mask in the geometry of the delivered picture."""
    try:
        framing = recorded_framing(line)
        return grey if framing is None else framed_grey(framing, grey)
    except PhotoError as error:
        raise _LeftOut("damaged", f"{line['photo']}: {error}") from None


def _gate_figures(line: JournalLine) -> Columns:
    """What the gates measured, such as `gate_size_coverage`."""
    return {
        f"gate_{settings['stage']}_{name}": float(value)
        for settings, step in zip(line["settings"], line["steps"][1:], strict=False)
        if settings["op"] == "gate"
        for name, value in step.get("figures", {}).items()
    }


def _number_of_stages(facts: RunFacts) -> int:
    """How many stages a picture of the run has that no stage has stopped."""
    names, until = list(facts["config"].get("stages", {})), facts["config"].get("until")
    return names.index(until) + 1 if until in names else len(names)


def _digests(weights: Mapping[str, Any]) -> Mapping[str, str]:
    return {kind: model["weights"] for kind, model in sorted(weights.items()) if "weights" in model}


def _check_splits(run_dir: Path) -> None:
    """Check that either all photos have a split or none, and that no photo is in two of them.

    Raises:
        RecordError: with the photo at fault.
    """
    splits: dict[str, str] = {}  # by the photo's digest
    names: dict[str, str] = {}  # by the name in lower case
    without: str | None = None
    for line in read_journal(run_dir):
        if line["status"] != "done":
            continue
        photo, split = line["photo"], split_of(line)
        where = f"{run_dir / JOURNAL}: {photo}: split"
        if split is None:
            without = photo
        elif not _SPLIT.fullmatch(split) or not is_portable(split):
            raise RecordError(f"{where} {split!r:.80}: a name of letters, digits and _, such as train or test")
        elif names.setdefault(split.casefold(), split) != split:
            raise RecordError(f"{where} '{split}': others have '{names[split.casefold()]}'; spell it alike")
        elif line["digest"] and splits.setdefault(line["digest"], split) != split:
            raise RecordError(f"{where} '{split}': the same photo is in '{splits[line['digest']]}', too")
        if names and without is not None:
            raise RecordError(f"{run_dir / JOURNAL}: {without}: has no split, but others have: fill the column `split`")
        if len(names) > _MAX_SPLITS:
            raise RecordError(f"{where}: there are more than {_MAX_SPLITS} splits; name them train, validation, test")
