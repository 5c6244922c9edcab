"""Names and files of what the stages make: `4_inpaint_seed7.png`, `2_refine_mask.png`, `1_find_heat.png`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pipeline.dataset import Photo
from pipeline.dataset.photo import Picture, encode_png
from pipeline.edit import Edit
from pipeline.plan import Step, settings_of
from pipeline.record import Record, metadata


@dataclass(frozen=True)
class Branch:
    """A photo on its way down the tree of steps, and where its files are.

    Attributes:
        photo: its entry in the dataset.
        picture: the decoded file.
        folder: its folder, a path within the run folder, as are all that follow.
        edit: what the steps so far have made of it.
        steps: those steps.
        source: the photo as decoded.
        image: the picture so far.
        mask: what has been repainted so far, or before the first repaint the latest mask; None without one.
        seconds: what the stages so far have taken; what several pictures share counts for each of them.
    """

    photo: Photo
    picture: Picture
    folder: str
    edit: Edit
    steps: tuple[Step, ...]
    source: str
    image: str
    mask: str | None = None
    seconds: float = 0.0


def begin(record: Record, photo: Photo, picture: Picture) -> Branch:
    """Make the photo's folder and keep the photo as decoded."""
    folder = record.photo_folder(photo.name)
    data = encode_png(picture.pixels, alpha=picture.alpha, icc=picture.icc)
    source = record.write(f"{folder}/0_photo.png", data)
    edit = Edit(picture.pixels, picture.pixels, alpha=picture.alpha, name=photo.name)
    return Branch(photo, picture, folder, edit, (), source, source)


def follow(
    record: Record, branch: Branch, step: Step, edit: Edit, seconds: float, context: Mapping[str, Any]
) -> Branch:
    """Keep what a step has made and return the branch behind it.

    Args:
        record: the run folder.
        branch: where the step started from.
        step: the step.
        edit: its result.
        seconds: what it took.
        context: `recipe` and `models`, for the result's metadata.
    """
    masks = edit.masks if edit.mask is None else {**edit.masks, step.name: edit.mask}
    new = replace(
        branch, edit=replace(edit, masks=masks), steps=(*branch.steps, step), seconds=branch.seconds + seconds
    )
    stem = f"{branch.folder}/{step.index}_{step.name}"
    shared, own = _suffix(branch.steps), _suffix(new.steps)
    for label, picture in edit.artifacts.items():
        record.write(f"{stem}_{label}{own}.png", encode_png(_grey(picture)))
    if edit.image is not branch.edit.image:
        texts = metadata.texts(photo=branch.photo.name, settings=settings_of(new.steps), **context)
        data = encode_png(edit.image, alpha=edit.alpha, icc=branch.picture.icc, texts=texts)
        image = record.write(f"{stem}{own}.png", data)
        # Variants repaint the same mask, so one file serves them all.
        mask = record.write(f"{stem}_mask{shared}.png", encode_png(edit.repainted))
        return replace(new, image=image, mask=mask)
    if edit.mask is not branch.edit.mask:
        mask = record.write(f"{stem}_mask{own}.png", encode_png(_grey(edit.mask)))
        return replace(new, mask=mask if edit.repainted is None else branch.mask)
    return new


def _suffix(steps: tuple[Step, ...]) -> str:
    return "".join(f"_{step.variant}" for step in steps if step.variant)


def _grey(values: np.ndarray) -> np.ndarray:
    return np.rint(values * 255).astype(np.uint8)
