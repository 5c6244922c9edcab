"""Names of what the stages make, `4_inpaint_seed7.png`, `2_refine_mask.png`, `1_find_heat.png`, and of what comes of it
all: `results/car.seed7.png`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Self

from darkroom.errors import EmptyMask, PhotoError
from darkroom.imaging.codec import DELIVERED, convert_png
from darkroom.planning.plan import Step
from darkroom.record.naming import RESULTS, THUMBNAILS
from darkroom.record.schema import Line
from darkroom.store import Result, Store
from darkroom.system.files import Folder

log = logging.getLogger("darkroom")


@dataclass(frozen=True)
class Made:
    """A result, how it is called, and the step that made it; `step` is None for the photo as decoded.

    A gate that did not let the photo pass unmarked has left a flag.
    """

    step: Step | None
    key: str
    result: Result
    flag: str | None = None


@dataclass
class Trail:
    """The files of one picture, from the photo to the result; all paths are within the run folder.

    Attributes:
        folder: the photo's.
        variants: what tells it from the photo's other pictures, such as `_seed7`.
        files: path to blob of everything.
        steps: what each step has made, as the journal tells it.
        source: the photo as decoded.
        image: the picture so far.
        mask: what has been repainted so far, or before the first repaint the latest mask; None without one.
        seconds: what the stages took.
        outside_max_diff: of the picture so far.
        repainted: whether anything has been repainted.
        flags: what gates have marked the picture with.
        delivered: what a person takes away; None until then.
    """

    folder: str
    variants: str = ""
    files: dict[str, str] = field(default_factory=dict)
    steps: list[dict[str, Any]] = field(default_factory=list)
    source: str | None = None
    image: str | None = None
    mask: str | None = None
    seconds: float = 0.0
    outside_max_diff: int = 0
    repainted: bool = False
    flags: list[str] = field(default_factory=list)
    delivered: str | None = None

    @classmethod
    def of(cls, folder: str, way: Sequence[Made]) -> Self:
        """Follow the way to a picture.

        Args:
            folder: the photo's, within the run folder.
            way: the photo and what was made of it, as far as it came.
        """
        trail = cls(folder)
        for made in way:
            before = trail.variants
            if made.step is None:
                stem, trail.source = f"{folder}/0_photo", f"{folder}/0_photo.png"
            else:
                stem = f"{folder}/{made.step.index}_{made.step.name}"
                trail.variants += f"_{made.step.variant}" if made.step.variant else ""
            trail._add(made, stem, before, trail.variants)
        return trail

    @property
    def name(self) -> str:
        """Of the picture: its photo's folder and, after a dot that no folder has, its variants."""
        return self.folder + self.variants.replace("_", ".", 1)

    def deliver(self, store: Store, finds_only: bool, format: str, quality: int) -> None:
        """Give what a person takes away a name of its own, in one folder with that of all other photos.

        It is the picture; of a recipe that repaints nothing the mask, a PNG in any case.

        Args:
            store: where the pictures are, and where one in another format goes.
            finds_only: the recipe repaints nothing.
            format: `png`, which is the picture itself, or another of `DELIVERED`.
            quality: 1 to 100, of the other formats.
        """
        is_mask = finds_only and self.mask is not None
        blob, suffix = self.files[self.mask if is_mask else self.image], DELIVERED["png"]
        if format != "png" and not is_mask:
            try:
                data = convert_png(store.read(blob), format, quality)
                blob, suffix = store.add(data, DELIVERED[format]), DELIVERED[format]
            except PhotoError as error:
                log.warning("%s: kept as PNG: %s", self.name, error)
        self.delivered = f"{RESULTS}/{self.name}{suffix}"
        self.files[self.delivered] = blob

    def thumbnails(self, done: bool) -> dict[str, str]:
        """The thumbnails of photo, mask and, if it is done, result; paths within the run folder."""
        wanted = {"source": self.source, "mask": self.mask, "result": self.image if done else None}
        small = {kind: _thumbnail(path, ".png" if kind == "mask" else ".jpg") for kind, path in wanted.items() if path}
        return {kind: path for kind, path in small.items() if path in self.files}

    def _add(self, made: Made, stem: str, shared: str, own: str) -> None:
        result, entry = made.result, {"key": made.key}
        if result.artifacts:
            entry["artifacts"] = {label: f"{stem}_{label}{own}.png" for label in result.artifacts}
            for label, path in entry["artifacts"].items():
                self.files[path] = result.artifacts[label]
        if result.figures:
            entry["figures"] = dict(result.figures)
        if result.image:
            self.image = entry["image"] = f"{stem}{own}.png"
            self._file(self.image, result.image, result.thumbnail, ".jpg")
        if result.repainted:  # variants repaint the same mask, so one file serves them all
            self.repainted = True
            self.outside_max_diff = result.outside_max_diff
            self.mask = entry["repainted"] = f"{stem}_mask{shared}.png"
            self._file(self.mask, result.repainted, result.mask_thumbnail, ".png")
        if result.mask:
            entry["mask"] = f"{stem}_mask{own}.png"
            self._file(entry["mask"], result.mask, result.mask_thumbnail, ".png")
            self.mask = self.mask if self.repainted else entry["mask"]
        self.flags += [made.flag] if made.flag else []
        self.seconds += result.seconds
        self.steps.append(entry | {"empty": result.empty, "seconds": round(result.seconds, 3)})

    def _file(self, path: str, blob: str, thumbnail: str | None, suffix: str) -> None:
        self.files[path] = blob
        if thumbnail:
            self.files[_thumbnail(path, suffix)] = thumbnail


def adopt(store: Store, folder: Folder, line: Line) -> None:
    """Lend a store what a line of a journal names, as far as the files still are what they were.

    What a gate has measured is no file, and is measured again.

    Args:
        store: where to.
        folder: the run folder.
        line: of its journal.
    """
    blobs = {path: digest + PurePosixPath(path).suffix for path, digest in line["files"].items()}
    whole = {path for path, blob in blobs.items() if store.adopt(folder, path, blob)}
    for step in line["steps"]:
        named = {kind: step[kind] for kind in ("image", "mask", "repainted") if kind in step}
        artifacts = step.get("artifacts", {})
        small = {
            "thumbnail": _thumbnail(named.get("image"), ".jpg"),
            "mask_thumbnail": _thumbnail(named.get("repainted") or named.get("mask"), ".png"),
        }
        named |= {kind: path for kind, path in small.items() if path in blobs}
        if named and {*named.values(), *artifacts.values()} <= whole and step["key"]:
            result = Result(
                **{kind: blobs[path] for kind, path in named.items()},
                artifacts={label: blobs[path] for label, path in artifacts.items()},
                figures=step.get("figures", {}),
                empty=step["empty"],
                seconds=step["seconds"],
            )
            store.lend(step["key"], result)


def fate(way: Sequence[Made | PhotoError]) -> tuple[list[Made], PhotoError | None]:
    """How far a picture came, and what stopped it.

    A recipe that repaints nothing has to find something: an empty mask at its end is a failure too.
    """
    made = []
    for each in way:
        if isinstance(each, PhotoError):
            return made, each
        made.append(each)
    if made[-1].result.empty:
        return made, EmptyMask("nothing found: the mask is empty")
    return made, None


def _thumbnail(path: str | None, suffix: str) -> str | None:
    return f"{THUMBNAILS}/{PurePosixPath(path).with_suffix(suffix)}" if path else None
