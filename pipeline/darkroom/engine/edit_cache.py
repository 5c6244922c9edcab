"""Turns edits into stored results, and stored results back into edits."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from darkroom.engine.graph import Node, PhotoNode, StepNode
from darkroom.errors import PhotoError
from darkroom.imaging.bands import by_bands
from darkroom.imaging.codec import DecodedPhoto, decode_photo
from darkroom.imaging.compositing import fill_alpha
from darkroom.imaging.edit import Edit
from darkroom.imaging.layers import Layers, LayerSide
from darkroom.imaging.paste_back import paste_back_problems
from darkroom.imaging.png import decode_png, decode_untrusted_png, encode_png, png_file
from darkroom.imaging.png_rows import CompressedRows, compress_rows
from darkroom.imaging.thumbnails import mask_thumbnail, photo_thumbnail
from darkroom.models import Models
from darkroom.planning.plan import Step
from darkroom.store import Result, Store
from darkroom.system.profiling import spanned

MetadataTexts = Callable[[str, Sequence[Step], Mapping[str, Any]], Mapping[str, str]]
"""Makes the text chunks of a result PNG: of the photo's SHA-256, the steps without gates, and `Models.identity` by
kind."""


class EditCache:
    """The edit after each node: the latest few in memory, all others in the store. Several threads may use it.

    Args:
        models: named in the metadata of results.
        store: has the results.
        texts: see `MetadataTexts`.
    """

    def __init__(self, models: Models, store: Store, texts: MetadataTexts) -> None:
        self._models = models
        self._store = store
        self._texts = texts
        self._edits: OrderedDict[Node, Edit] = OrderedDict()
        self._lock = threading.Lock()  # of `_edits`
        self._size = models.workers * (models.batch_size + 2)  # a batch's parents, and the nodes before one of them

    def edit_after(self, node: Node) -> Edit:
        """The edit after a node that has a result."""
        with node.root.lock:
            with self._lock:
                if node in self._edits:
                    self._edits.move_to_end(node)
                    return self._edits[node]
            if isinstance(node, PhotoNode):
                photo = node.load()
                edit = Edit(photo.pixels, photo.pixels, alpha=photo.alpha, icc=photo.icc, name=node.photo.name)
            else:
                edit = replace(self.edit_after(node.parent), **self._changes(node))
            return self._remember(node, edit)

    def get_unverified(self, node: Node) -> Result | None:
        """A result from a run folder that is being resumed; None if there is none, or its files break the paste-back
        contract.
        """
        result = self._store.get_unverified(node.key)
        if result is None:
            return None
        try:
            return result if self._is_valid(node, result) else None
        except PhotoError:
            return None

    def store_photo(self, root: PhotoNode) -> Result:
        """Store a photo as decoded. Raises `PhotoError` if it cannot be decoded."""
        photo = root.load()
        root.rows = _compressed(photo)
        data = png_file(root.rows, icc=photo.icc, metadata=photo.metadata)
        small = photo_thumbnail(photo.pixels, photo.alpha, photo.icc)
        return Result(image=self._store.add_blob(data, ".png"), thumbnail=self._store.add_blob(small, ".jpg"))

    def store_edit(self, node: StepNode, before: Edit, after: Edit, seconds: float) -> Result:
        """Check what a step made and store its files.

        Args:
            node: the step.
            before: the edit before the step.
            after: the edit after the step.
            seconds: computing time.

        Raises:
            PhotoError: the step violated the paste-back contract; nothing is stored.
        """
        outside_max_diff = _check_paste_back(before, after)
        files = self._store_files(node, before, after)
        result = Result(
            **files,
            layers=self._add_layers(after.layers) if files else {},
            enlarged=self._add_enlarged(node, after) if node.step.stage.enlarges else None,
            artifacts={label: self._add_png(picture) for label, picture in after.artifacts.items()},
            figures=dict(after.figures),
            empty=after.repainted is None and after.mask is not None and not after.mask.any(),
            outside_max_diff=outside_max_diff,
            seconds=round(seconds, 3),
        )
        if node.children:
            self._remember(node, after)
        return result

    def forget(self, root: PhotoNode) -> None:
        """Free the pixels of a photo and of its edits."""
        root.close()
        with self._lock:
            for node in [node for node in self._edits if node.root is root]:
                del self._edits[node]

    def _changes(self, node: StepNode) -> dict[str, Any]:
        """The attributes of `Edit` that a step changed, from its stored result."""
        result = node.result
        assert result is not None
        changes: dict[str, Any] = {}
        if result.image and result.repainted:
            changes["image"] = decode_png(self._store.read_blob(result.image), "RGB")
            changes["repainted"] = decode_png(self._store.read_blob(result.repainted), "L")
        if result.mask:
            changes["mask"] = decode_png(self._store.read_blob(result.mask), "L")
            changes["confidence"] = result.figures.get("confidence")
        if changes:
            changes["layers"] = self._layers(result)
        if node.step.stage.frames:
            changes["framing"] = node.step.stage.framing(result.figures)
        return changes

    def _layers(self, result: Result) -> Layers | None:
        pictures = {side: decode_png(self._store.read_blob(blob), "RGB") for side, blob in result.layers.items()}
        return Layers(**pictures) if pictures else None

    def _is_valid(self, node: Node, result: Result) -> bool:
        """Whether the files of a result have the photo's size and keep the paste-back contract.

        Gates and frames make no files: what a run folder says that they measured is never used.
        """
        if isinstance(node, StepNode) and (node.step.stage.is_gate or node.step.stage.frames):
            return False
        photo = node.root.load()
        size = photo.pixels.shape[:2]
        if result.layers and set(result.layers) != {"inside", "outside"}:
            return False
        for blob in result.layers.values():
            decode_untrusted_png(self._store.read_blob(blob), "RGB", size)
        mask, repainted = (self._untrusted_mask(blob, size) for blob in (result.mask, result.repainted))
        if result.image is None:
            return mask is not None
        if isinstance(node, PhotoNode) != (repainted is None):  # an image is the photo itself, or is repainted
            return False
        alpha = np.zeros(size, np.uint8) if repainted is None else repainted
        return not any(paste_back_problems(photo, alpha, decode_photo(self._store.read_blob(result.image))))

    def _untrusted_mask(self, blob: str | None, size: tuple[int, int]) -> np.ndarray | None:
        return decode_untrusted_png(self._store.read_blob(blob), "L", size) if blob else None

    def _store_files(self, node: StepNode, before: Edit, after: Edit) -> dict[str, str]:
        if after.image is not before.image and after.repainted is not None:
            picture = _repainted(node.root.load(), after.image, after.repainted, after.opacity)
            rows = _compressed(picture, node.root.rows)
            data = png_file(rows, icc=picture.icc, texts=self._metadata(node), metadata=picture.metadata)
            small = photo_thumbnail(picture.pixels, picture.alpha, picture.icc)
            return {
                "image": self._store.add_blob(data, ".png"),
                "thumbnail": self._store.add_blob(small, ".jpg"),
                "repainted": self._add_png(after.repainted),
                "mask_thumbnail": self._store.add_blob(mask_thumbnail(after.repainted), ".png"),
            }
        if after.mask is not before.mask and after.mask is not None:
            files = {"mask": self._add_png(after.mask)}
            if all(stage.is_gate or stage.frames for stage in node.leads_to):  # otherwise, a later mask is shown
                files["mask_thumbnail"] = self._store.add_blob(mask_thumbnail(after.mask), ".png")
            return files
        return {}

    def _add_layers(self, layers: Layers | None) -> dict[LayerSide, str]:
        return {"inside": self._add_png(layers.inside), "outside": self._add_png(layers.outside)} if layers else {}

    def _add_enlarged(self, node: StepNode, after: Edit) -> str:
        assert after.enlarged is not None
        pixels, alpha = after.enlarged[..., :3], after.enlarged[..., 3] if after.enlarged.shape[2] == 4 else None
        texts, metadata = self._metadata(node), node.root.load().metadata
        data = encode_png(np.ascontiguousarray(pixels), alpha=alpha, icc=after.icc, texts=texts, metadata=metadata)
        return self._store.add_blob(data, ".png")

    def _add_png(self, pixels: np.ndarray) -> str:
        return self._store.add_blob(encode_png(pixels), ".png")

    def _metadata(self, node: StepNode) -> Mapping[str, str]:
        steps = [step for step in node.steps() if not step.stage.is_gate]  # a gate does not change the picture
        kinds = dict.fromkeys(kind for step in steps for kind in step.stage.models())
        return self._texts(node.root.digest, steps, {kind: self._models.identity(kind) for kind in kinds})

    def _remember(self, node: Node, edit: Edit) -> Edit:
        if isinstance(node, StepNode) and edit.mask is not None:
            name, needed = node.step.name, _masks_needed_after(node)
            masks = {stage: mask for stage, mask in (*edit.masks.items(), (name, edit.mask)) if stage in needed}
            edit = replace(edit, masks=masks, confidences={**edit.confidences, name: edit.confidence})
        edit = replace(edit, artifacts={}, figures={})
        with self._lock:
            self._edits[node] = edit
            while len(self._edits) > self._size:
                self._edits.popitem(last=False)
        return edit


def _masks_needed_after(node: StepNode) -> set[str]:
    """The names of the stages whose masks are needed by steps after a node."""
    names: set[str] = set()
    for child in node.children.values():
        names |= {*child.step.stage.needed_masks(), *_masks_needed_after(child)}
    return names


def _repainted(photo: DecodedPhoto, image: np.ndarray, repainted: np.ndarray, alpha: np.ndarray | None) -> DecodedPhoto:
    """A repainted photo, 16-bit if the photo is: pixels that were not repainted keep all their bits."""
    pixels16 = photo.pixels16
    if pixels16 is not None:
        pixels16 = by_bands(_repainted_16_bits, pixels16, image, repainted)
    return replace(photo, pixels=image, alpha=alpha, pixels16=pixels16)


def _repainted_16_bits(pixels16: np.ndarray, image: np.ndarray, repainted: np.ndarray) -> np.ndarray:
    new, result = repainted > 0, pixels16.copy()
    result[new, :3] = image[new] * np.uint16(257)
    result[..., 3:] = fill_alpha(pixels16[..., 3:], repainted[..., None])
    return result


def _compressed(picture: DecodedPhoto, like: CompressedRows | None = None) -> CompressedRows:
    if picture.pixels16 is not None:
        return compress_rows(picture.pixels16, like=like)
    return compress_rows(picture.pixels, picture.alpha, like)


@spanned("check")
def _check_paste_back(before: Edit, after: Edit) -> int:
    """Check the paste-back contract.

    Returns:
        the largest difference to the photo where nothing was repainted, which is always 0.

    Raises:
        PhotoError: the contract is violated.
    """
    if after.image.shape != after.original.shape:
        raise PhotoError(f"the picture has another size, {after.image.shape}, than the photo: a bug, please report it")
    if outside_max_diff := after.outside_max_diff():
        raise PhotoError(f"pixels outside the mask changed by {outside_max_diff}: a bug, please report it")
    if after.image is not before.image and after.mask is not before.mask:
        raise PhotoError("a stage changed both picture and mask: a bug, please report it")
    return outside_max_diff
