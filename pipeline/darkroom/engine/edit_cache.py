"""Turns edits into stored results, and stored results back into edits."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np

from darkroom.engine.graph import Node
from darkroom.errors import PhotoError
from darkroom.imaging.bands import by_bands
from darkroom.imaging.codec import DecodedPhoto, decode_photo
from darkroom.imaging.compositing import fill_alpha
from darkroom.imaging.edit import Edit
from darkroom.imaging.paste_back import paste_back_problems
from darkroom.imaging.png import decode_png, decode_untrusted_png, encode_png
from darkroom.imaging.thumbnails import mask_thumbnail, photo_thumbnail
from darkroom.models import Models
from darkroom.record import metadata
from darkroom.store import Result, Store


class EditCache:
    """The edits behind nodes, a few at a time in memory, all others in the store.

    Args:
        models: name themselves in the metadata of what they make.
        store: where results are.
    """

    def __init__(self, models: Models, store: Store) -> None:
        self._models = models
        self._store = store
        self._edits: OrderedDict[Node, Edit] = OrderedDict()

    def at(self, node: Node) -> Edit:
        """The photo as it is behind a node that has its result."""
        if node in self._edits:
            self._edits.move_to_end(node)
            return self._edits[node]
        if node.parent is None:
            picture = node.subject.load()
            name = node.subject.photo.name
            return self._remember(node, Edit(picture.pixels, picture.pixels, alpha=picture.alpha, name=name))
        before, result = self.at(node.parent), node.result
        changes: dict[str, Any] = {}
        if result.image:
            changes["image"] = decode_png(self._store.read_blob(result.image), "RGB")
            changes["repainted"] = decode_png(self._store.read_blob(result.repainted), "L")
        if result.mask:
            changes["mask"] = decode_png(self._store.read_blob(result.mask), "L")
            changes["confidence"] = result.figures.get("confidence")
        return self._remember(node, replace(before, **changes))

    def lent(self, node: Node) -> Result | None:
        """A result out of a run folder that is being resumed, if it keeps the contract of paste-back."""
        result = self._store.get_unverified(node.key)
        if result is None:
            return None
        try:
            photo = node.subject.load()
            size = photo.pixels.shape[:2]
            mask, repainted = (
                blob and decode_untrusted_png(self._store.read_blob(blob), "L", size)
                for blob in (result.mask, result.repainted)
            )
            if result.image is None:
                return None if mask is None else result
            if (node.step is None) != (repainted is None):  # the photo itself, or something repainted
                return None
            share = np.zeros(size, np.uint8) if repainted is None else repainted
            picture = decode_photo(self._store.read_blob(result.image))
        except PhotoError:
            return None
        return None if any(paste_back_problems(photo, share, picture)) else result

    def keep_photo(self, root: Node) -> Result:
        """Put a photo as decoded into the store. Raises `PhotoError` where it cannot be decoded."""
        picture = root.subject.load()
        data = _encode(picture)
        small = photo_thumbnail(picture.pixels, picture.alpha, picture.icc)
        return Result(image=self._store.add_blob(data, ".png"), thumbnail=self._store.add_blob(small, ".jpg"))

    def keep(self, node: Node, before: Edit, edit: Edit, seconds: float) -> Result:
        """Check what a step has made and put its files into the store.

        Args:
            node: the step.
            before: what it was given.
            edit: what it has made.
            seconds: what it took.

        Raises:
            PhotoError: it broke the contract of paste-back; nothing is kept.
        """
        outside_max_diff = _check(edit, before)
        result = Result(
            **self._files(node, before, edit),
            artifacts={label: self._add_png(picture) for label, picture in edit.artifacts.items()},
            figures=dict(edit.figures),
            empty=edit.repainted is None and edit.mask is not None and not edit.mask.any(),
            outside_max_diff=outside_max_diff,
            seconds=round(seconds, 3),
        )
        if node.children:
            self._remember(node, edit)
        return result

    def forget(self) -> None:
        """Let go of everything in memory."""
        self._edits.clear()

    def _files(self, node: Node, before: Edit, edit: Edit) -> dict[str, str]:
        if edit.image is not before.image:
            picture = _repainted(node.subject.load(), edit)
            return {
                "image": self._store.add_blob(_encode(picture, self._texts(node)), ".png"),
                "thumbnail": self._store.add_blob(photo_thumbnail(picture.pixels, picture.alpha, picture.icc), ".jpg"),
                "repainted": self._add_png(edit.repainted),
                "mask_thumbnail": self._store.add_blob(mask_thumbnail(edit.repainted), ".png"),
            }
        if edit.mask is not before.mask:
            small = self._store.add_blob(mask_thumbnail(edit.mask), ".png")
            return {"mask": self._add_png(edit.mask), "mask_thumbnail": small}
        return {}

    def _add_png(self, grey: np.ndarray) -> str:
        return self._store.add_blob(encode_png(grey), ".png")

    def _texts(self, node: Node) -> Mapping[str, str]:
        steps = [step for step in node.steps() if not step.stage.is_gate]  # with or without a gate: the same picture
        kinds = dict.fromkeys(kind for step in steps for kind in step.stage.uses)
        return metadata.texts(
            photo=node.subject.digest,
            steps=steps,
            models={kind: self._models.identity(kind) for kind in kinds},
        )

    def _remember(self, node: Node, edit: Edit) -> Edit:
        if node.step and edit.mask is not None:
            name = node.step.name
            confidences = {**edit.confidences, name: edit.confidence}
            wanted = _named_below(node)
            masks = {each: mask for each, mask in (*edit.masks.items(), (name, edit.mask)) if each in wanted}
            edit = replace(edit, masks=masks, confidences=confidences)
        self._edits[node] = edit = replace(edit, artifacts={}, figures={})
        while len(self._edits) > self._models.batch_size + 2:  # a batch's parents, and what is on the way to them
            self._edits.popitem(last=False)
        return edit


def _named_below(node: Node) -> set[str]:
    """The earlier stages whose masks the steps below a node ask for."""
    found: set[str] = set()
    for child in node.children.values():
        found |= {*child.step.stage.needed_masks(), *_named_below(child)}
    return found


def _repainted(photo: DecodedPhoto, edit: Edit) -> DecodedPhoto:
    """The picture of an edit, 16-bit if the photo is: pixels that were not repainted keep all their bits."""
    pixels16 = photo.pixels16
    if pixels16 is not None:
        pixels16 = by_bands(_repainted_16_bits, pixels16, edit.image, edit.repainted)
    return replace(photo, pixels=edit.image, alpha=edit.opacity, pixels16=pixels16)


def _repainted_16_bits(pixels16: np.ndarray, image: np.ndarray, repainted: np.ndarray) -> np.ndarray:
    new, result = repainted > 0, pixels16.copy()
    result[new, :3] = image[new] * np.uint16(257)
    result[..., 3:] = fill_alpha(pixels16[..., 3:], repainted[..., None])
    return result


def _encode(picture: DecodedPhoto, texts: Mapping[str, str] = MappingProxyType({})) -> bytes:
    if picture.pixels16 is not None:
        return encode_png(picture.pixels16, icc=picture.icc, texts=texts, metadata=picture.metadata)
    return encode_png(picture.pixels, alpha=picture.alpha, icc=picture.icc, texts=texts, metadata=picture.metadata)


def _check(edit: Edit, before: Edit) -> int:
    """The paste-back contract, after every stage; returns what was measured, which is 0 where it holds."""
    if edit.image.shape != edit.original.shape:
        raise PhotoError(f"the picture has another size, {edit.image.shape}, than the photo: a bug, please report it")
    if outside_max_diff := edit.outside_max_diff():
        raise PhotoError(f"pixels outside the mask changed by {outside_max_diff}: a bug, please report it")
    if edit.image is not before.image and edit.mask is not before.mask:
        raise PhotoError("a stage changed both picture and mask: a bug, please report it")
    return outside_max_diff
