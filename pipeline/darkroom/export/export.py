"""From a run folder to a data set in a new folder, which appears when it is complete."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from darkroom.errors import OutputError, RecipeError, RecordError
from darkroom.export import coco, imagefolder, webdataset
from darkroom.export.pictures import Example, ExportSettings, Pictures
from darkroom.record import RUN, read_facts
from darkroom.record.schema import RunFacts
from darkroom.system.files import writing

FORMATS = ("coco", "imagefolder", "webdataset")


@dataclass(frozen=True)
class Exported:
    """What a data set has got.

    Attributes:
        folder: where it is.
        splits: the number of its pictures by split; None stands for photos without splits.
        without_mask: how many of them have no mask, as a line; None if all have one.
        left_out: the number of pictures that it has not got, by reason.
        problem: what is wrong with the first of those that are missing or damaged; None if none is.
    """

    folder: Path
    splits: Mapping[str | None, int]
    without_mask: str | None
    left_out: Mapping[str, int]
    problem: str | None

    def lines(self) -> Iterator[str]:
        """What a person reads of it."""
        splits = ", ".join(f"{split} {number}" for split, number in self.splits.items() if split)
        number = sum(self.splits.values())
        yield f"{self.folder}: {number} picture{'s' * (number != 1)}{splits and f' ({splits})'}"
        if self.without_mask:
            yield self.without_mask
        if self.left_out:
            yield f"left out: {_counts(self.left_out)}{f'; first: {self.problem}' if self.problem else ''}"


def export(run_dir: Path, target: Path, settings: ExportSettings) -> Exported:
    """Write the finished pictures of a run into a new folder. The same run gives the same bytes.

    Args:
        run_dir: the run folder; nothing is written into it.
        target: the new folder: nothing yet, or an empty folder.
        settings: what the data set is to hold.

    Raises:
        RecordError: there is no finished run in this folder, its record is damaged, or no picture is left.
        RecipeError: the target exists, or the settings do not fit the run.
        OutputError: the target cannot be written.
    """
    facts = read_facts(run_dir)
    if facts["status"] not in ("done", "failed"):
        raise RecordError(f"{run_dir / RUN}: status {facts['status']}: the run has not finished; resume= finishes it")
    pictures = Pictures(run_dir, facts, settings)
    splits: Counter[str | None] = Counter()
    without_mask = 0

    def counted() -> Iterator[Example]:
        nonlocal without_mask
        for example in pictures:
            splits[example.split] += 1
            without_mask += example.object is None
            yield example

    with _new_folder(target) as folder:
        _write(folder, facts, counted(), settings)
        if not splits:
            first = f"; first: {pictures.problem}" if pictures.problem else ""
            raise RecordError(f"{run_dir}: no picture to export: {_counts(pictures.left_out) or 'it has none'}{first}")
    masks = f"{without_mask} {pictures.no_mask}" if without_mask else None
    return Exported(target, splits, masks, pictures.left_out, pictures.problem)


def _write(folder: Path, facts: RunFacts, examples: Iterable[Example], settings: ExportSettings) -> None:
    if settings.format == "coco":
        coco.write(folder, facts, examples)
    elif settings.format == "imagefolder":
        imagefolder.write(folder, examples)
    else:
        webdataset.write(folder, examples, settings.shard_mb)


def _counts(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {reason}" for reason, number in reasons.items())


@contextmanager
def _new_folder(target: Path) -> Iterator[Path]:
    """A folder to write to, which gets the name `target` when everything is written, and is removed after an error.

    A process that is killed leaves it; the next export to this target says so and leaves it alone, too.
    """
    _check_free(target)
    _check_outside_runs(target)
    partial = target.with_name(f"{target.name}.partial")
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.mkdir()
        except FileExistsError:
            reason = "another export is writing here, or one was killed: then delete this folder"
            raise OutputError(f"{partial}: exists: {reason}") from None
        try:
            yield partial
            with suppress(FileNotFoundError):
                target.rmdir()  # only if it is empty
            partial.rename(target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _check_outside_runs(target: Path) -> None:
    inside = next((folder for folder in target.resolve().parents if (folder / RUN).is_file()), None)
    if inside:
        raise RecipeError(f"{target}: is inside the run folder {inside}; to=FOLDER names a folder elsewhere")


def _check_free(target: Path) -> None:
    try:
        is_free = not target.exists() or (target.is_dir() and not any(target.iterdir()))
    except (OSError, ValueError) as error:  # such as a name of more than 255 letters
        raise RecipeError(f"{target!s:.200}: no folder: {getattr(error, 'strerror', None) or error}") from None
    if not is_free or target.is_symlink():
        raise RecipeError(f"{target}: exists already; to=FOLDER names a new or empty folder")
