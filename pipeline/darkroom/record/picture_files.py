"""The names of a picture's files, such as `car/4_inpaint_seed7.png`, `car/2_refine_mask.png`, `car/1_find_heat.png` and
`results/car.seed7.png`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Literal

from darkroom.config.settings import OutputKind
from darkroom.record.naming import RESULTS, THUMBNAILS, with_kind
from darkroom.record.schema import JournalLine, StepFiles, StepLine
from darkroom.store import Result, Store
from darkroom.system.files import Folder


@dataclass
class PictureFiles:
    """The files of one picture, from the photo to the result. Paths are relative to the run folder.

    Attributes:
        folder: the photo's folder.
        variants: distinguishes the picture from others of the photo, such as `_seed7`.
        files: all files: path to blob.
        steps: the journal's entry for each step.
        source: the photo as decoded.
        image: the latest image.
        mask: everything repainted so far, or, before the first repaint, the latest mask; None without one.
        seconds: computing time of all steps.
        outside_max_diff: of the latest image.
        repainted: whether anything has been repainted.
        flags: the reasons why gates flagged the picture.
        outputs: the files in `results/`, by kind.
        framed_thumbnail: the thumbnail of the delivered picture, if a stage frames it.
        result_name: the name in `results/` that the user's template gives; empty without one.
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
    outputs: dict[OutputKind, str] = field(default_factory=dict)
    framed_thumbnail: str | None = None
    result_name: str = ""

    def add_photo(self, key: str, result: Result) -> None:
        """Add the photo as decoded.

        Args:
            key: its key in the store.
            result: its blobs.
        """
        self.source = f"{self.folder}/0_photo.png"
        self._add(f"{self.folder}/0_photo", "", key, result)

    def add_step(self, number_and_name: str, variant: str, key: str, result: Result) -> None:
        """Add the files of a step.

        Args:
            number_and_name: the start of their names, such as `4_inpaint`.
            variant: the end of their names, such as `seed7`; empty if the step has no variants.
            key: the result's key in the store.
            result: blobs and measurements.
        """
        shared = self.variants
        self.variants += f"_{variant}" if variant else ""
        self._add(f"{self.folder}/{number_and_name}", shared, key, result)

    @property
    def name(self) -> str:
        """The picture's name in `results/`: by the template or, without one, the photo's folder, and its variants after
        a dot, which no folder name contains.
        """
        return self.result_name or self.folder + self.variants.replace("_", ".", 1)

    @property
    def delivered(self) -> str | None:
        """The picture in `results/`, or the first other file there; None without one."""
        return self.outputs.get("picture") or next(iter(self.outputs.values()), None)

    def add_output(self, kind: OutputKind, blob: str) -> None:
        """Add a file in `results/`; its suffix is the blob's."""
        self.outputs[kind] = f"{RESULTS}/{with_kind(self.name, kind)}{PurePosixPath(blob).suffix}"
        self.files[self.outputs[kind]] = blob

    def add_framed_thumbnail(self, blob: str) -> None:
        """Add the thumbnail of a picture that is delivered in another size or shape than the photo's."""
        self.framed_thumbnail = f"{THUMBNAILS}/{RESULTS}/{self.name}.jpg"
        self.files[self.framed_thumbnail] = blob

    @property
    def mask_without_thumbnail(self) -> str | None:
        """The blob of `mask` if a thumbnail of it must still be made."""
        return None if self.mask is None or _thumbnail(self.mask, ".png") in self.files else self.files[self.mask]

    def add_mask_thumbnail(self, blob: str) -> None:
        """Add the thumbnail of `mask`."""
        if self.mask:
            self.files[_thumbnail(self.mask, ".png")] = blob

    def keep_results_only(self) -> None:
        """Leave out all files but those in `results/`."""
        self.files = {path: self.files[path] for path in self.outputs.values()}
        self.source = self.image = self.mask = self.framed_thumbnail = None
        self.steps = [_without_files(step) for step in self.steps]

    def thumbnails(self, done: bool) -> dict[Literal["source", "mask", "result"], str]:
        """The paths of the thumbnails of photo, mask and, if the picture is done, result."""
        paths: dict[Literal["source", "mask", "result"], str] = {}
        if self.source:
            paths["source"] = _thumbnail(self.source, ".jpg")
        if self.mask:
            paths["mask"] = _thumbnail(self.mask, ".png")
        if self.image and done:
            paths["result"] = self.framed_thumbnail or _thumbnail(self.image, ".jpg")
        return {kind: path for kind, path in paths.items() if path in self.files}

    def _add(self, stem: str, shared: str, key: str, result: Result) -> None:
        own, found = self.variants, StepFiles()
        if result.artifacts:
            found["artifacts"] = {label: f"{stem}_{label}{own}.png" for label in result.artifacts}
            for label, path in found["artifacts"].items():
                self.files[path] = result.artifacts[label]
        if result.layers:
            found["layers"] = {side: f"{stem}_{side}{own}.png" for side in result.layers}
            for side, path in found["layers"].items():
                self.files[path] = result.layers[side]
        if result.enlarged:
            found["enlarged"] = f"{stem}{own}.png"
            self.files[found["enlarged"]] = result.enlarged
        if result.figures:
            found["figures"] = dict(result.figures)
        if result.image:
            found["image"] = f"{stem}{own}.png"
            self._add_image(found["image"], result.image, result.thumbnail)
        if result.repainted:  # variants repaint the same mask, so they share one file
            self.repainted = True
            self.outside_max_diff = result.outside_max_diff
            found["repainted"] = f"{stem}_mask{shared}.png"
            self._add_mask(found["repainted"], result.repainted, result.mask_thumbnail, shown=True)
        if result.mask:
            found["mask"] = f"{stem}_mask{own}.png"
            self._add_mask(found["mask"], result.mask, result.mask_thumbnail, shown=not self.repainted)
        self.seconds += result.seconds
        self.steps.append({"key": key, **found, "empty": result.empty, "seconds": round(result.seconds, 3)})

    def _add_image(self, path: str, blob: str, thumbnail: str | None) -> None:
        """Make this the latest image; of earlier ones, only the photo keeps its thumbnail."""
        if self.image and self.image != self.source:
            self.files.pop(_thumbnail(self.image, ".jpg"), None)
        self.image, self.files[path] = path, blob
        if thumbnail:
            self.files[_thumbnail(path, ".jpg")] = thumbnail

    def _add_mask(self, path: str, blob: str, thumbnail: str | None, shown: bool) -> None:
        """Add a mask; if it is to be shown, the one before loses its thumbnail."""
        self.files[path] = blob
        if not shown:
            return
        if self.mask:
            self.files.pop(_thumbnail(self.mask, ".png"), None)
        self.mask = path
        if thumbnail:
            self.add_mask_thumbnail(thumbnail)


def _without_files(step: StepLine) -> StepLine:
    rest: StepLine = {"key": step["key"], "empty": step["empty"], "seconds": step["seconds"]}
    return {**rest, "figures": step["figures"]} if "figures" in step else rest


def import_results(store: Store, folder: Folder, line: JournalLine) -> None:
    """Copy the results of a journal's line into a store, unverified, as far as their files are unchanged.

    The measurements of gates are not files; gates measure again.

    Args:
        store: where to.
        folder: the run folder.
        line: a line of its journal.
    """
    blobs = {path: digest + PurePosixPath(path).suffix for path, digest in line["files"].items()}
    intact = {path for path, blob in blobs.items() if store.import_blob(folder, path, blob)}
    for step in line["steps"]:
        image, mask, repainted = step.get("image"), step.get("mask"), step.get("repainted")
        thumbnail = image and _thumbnail(image, ".jpg")
        mask_thumbnail = (shown := repainted or mask) and _thumbnail(shown, ".png")
        layers, artifacts = step.get("layers", {}), step.get("artifacts", {})
        needed = {path for path in (image, mask, repainted, *layers.values(), *artifacts.values()) if path}
        needed |= {path for path in (thumbnail, mask_thumbnail) if path and path in blobs}
        if (image or mask or repainted) and needed <= intact and step["key"]:
            result = Result(
                image=image and blobs[image],
                mask=mask and blobs[mask],
                repainted=repainted and blobs[repainted],
                layers={side: blobs[path] for side, path in layers.items()},
                artifacts={label: blobs[path] for label, path in artifacts.items()},
                figures=step.get("figures", {}),
                thumbnail=thumbnail and blobs.get(thumbnail),
                mask_thumbnail=mask_thumbnail and blobs.get(mask_thumbnail),
                empty=step["empty"],
                seconds=step["seconds"],
            )
            store.put_unverified(step["key"], result)


def _thumbnail(path: str, suffix: str) -> str:
    return f"{THUMBNAILS}/{PurePosixPath(path).with_suffix(suffix)}"
