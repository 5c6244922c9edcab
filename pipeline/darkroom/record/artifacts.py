"""Names of what the stages make, `4_inpaint_seed7.png`, `2_refine_mask.png`, `1_find_heat.png`, and of what comes of it
all: `results/car.seed7.png`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from darkroom.errors import PhotoError
from darkroom.imaging.codec import DELIVERED, convert_png
from darkroom.record.naming import RESULTS, THUMBNAILS
from darkroom.record.schema import JournalLine, StepFiles, StepLine
from darkroom.store import Result, Store
from darkroom.system.files import Folder

log = logging.getLogger("darkroom")


@dataclass
class PictureFiles:
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
    steps: list[StepLine] = field(default_factory=list)
    source: str | None = None
    image: str | None = None
    mask: str | None = None
    seconds: float = 0.0
    outside_max_diff: int = 0
    repainted: bool = False
    flags: list[str] = field(default_factory=list)
    delivered: str | None = None

    def add_photo(self, key: str, result: Result) -> None:
        """Add the photo as decoded.

        Args:
            key: its key in the store.
            result: its files.
        """
        self.source = f"{self.folder}/0_photo.png"
        self._add(f"{self.folder}/0_photo", "", key, result)

    def add_step(self, number_and_name: str, variant: str, key: str, result: Result) -> None:
        """Add what a step made.

        Args:
            number_and_name: such as `4_inpaint`; begins the names of its files.
            variant: see `Step.variant`; ends the names of its files.
            key: the result's key in the store.
            result: its files and measurements.
        """
        shared = self.variants
        self.variants += f"_{variant}" if variant else ""
        self._add(f"{self.folder}/{number_and_name}", shared, key, result)

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
                data = convert_png(store.read_blob(blob), format, quality)
                blob, suffix = store.add_blob(data, DELIVERED[format]), DELIVERED[format]
            except PhotoError as error:
                log.warning("%s: kept as PNG: %s", self.name, error)
        self.delivered = f"{RESULTS}/{self.name}{suffix}"
        self.files[self.delivered] = blob

    def thumbnails(self, done: bool) -> dict[str, str]:
        """The thumbnails of photo, mask and, if it is done, result; paths within the run folder."""
        wanted = {"source": self.source, "mask": self.mask, "result": self.image if done else None}
        small = {kind: _thumbnail(path, ".png" if kind == "mask" else ".jpg") for kind, path in wanted.items() if path}
        return {kind: path for kind, path in small.items() if path in self.files}

    def _add(self, stem: str, shared: str, key: str, result: Result) -> None:
        own, found = self.variants, StepFiles()
        if result.artifacts:
            found["artifacts"] = {label: f"{stem}_{label}{own}.png" for label in result.artifacts}
            for label, path in found["artifacts"].items():
                self.files[path] = result.artifacts[label]
        if result.figures:
            found["figures"] = dict(result.figures)
        if result.image:
            self.image = found["image"] = f"{stem}{own}.png"
            self._add_file(self.image, result.image, result.thumbnail, ".jpg")
        if result.repainted:  # variants repaint the same mask, so they share one file
            self.repainted = True
            self.outside_max_diff = result.outside_max_diff
            self.mask = found["repainted"] = f"{stem}_mask{shared}.png"
            self._add_file(self.mask, result.repainted, result.mask_thumbnail, ".png")
        if result.mask:
            found["mask"] = f"{stem}_mask{own}.png"
            self._add_file(found["mask"], result.mask, result.mask_thumbnail, ".png")
            self.mask = self.mask if self.repainted else found["mask"]
        self.seconds += result.seconds
        self.steps.append({"key": key, **found, "empty": result.empty, "seconds": round(result.seconds, 3)})

    def _add_file(self, path: str, blob: str, thumbnail: str | None, suffix: str) -> None:
        self.files[path] = blob
        if thumbnail:
            self.files[_thumbnail(path, suffix)] = thumbnail


def adopt(store: Store, folder: Folder, line: JournalLine) -> None:
    """Lend a store what a line of a journal names, as far as the files still are what they were.

    What a gate has measured is no file, and is measured again.

    Args:
        store: where to.
        folder: the run folder.
        line: of its journal.
    """
    blobs = {path: digest + PurePosixPath(path).suffix for path, digest in line["files"].items()}
    whole = {path for path, blob in blobs.items() if store.import_blob(folder, path, blob)}
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
            store.put_unverified(step["key"], result)


def _thumbnail(path: str | None, suffix: str) -> str | None:
    return f"{THUMBNAILS}/{PurePosixPath(path).with_suffix(suffix)}" if path else None
