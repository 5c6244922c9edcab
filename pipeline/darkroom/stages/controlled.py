"""`Controlled`: a repaint that is steered by control pictures, such as the outlines of the photo."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import numpy as np
from pydantic import Field, model_validator

from darkroom.errors import PhotoError
from darkroom.imaging.codec import read_photo
from darkroom.imaging.compositing import WorkingCrop, flatten
from darkroom.imaging.control_pictures import canny, fitted, line_art, on_photo
from darkroom.imaging.crops import Crop
from darkroom.models.names import CONTROLS, DRAWN
from darkroom.models.request import Control
from darkroom.stages.base import Problem, stage
from darkroom.stages.fields import scalar
from darkroom.stages.files import is_file
from darkroom.stages.markers import EachValue, PathField, StageName
from darkroom.stages.named_values import NamedTexts, SeveralStrengths, names_in
from darkroom.stages.repainting import Repainting

if TYPE_CHECKING:
    from darkroom.imaging.edit import Edit
    from darkroom.models import ModelKind, Models

_FROM_CROP = {"canny": canny, "lineart": line_art}  # drawn at the size at which the model works
_DEPTH = "depth"


@stage
class Controlled(Repainting):
    """A repaint that control models (ControlNet, T2I-Adapter) steer by pictures of outlines, depth and the like."""

    control: Annotated[SeveralStrengths, EachValue()] = Field(
        None,
        description="Control models by their names in `models.controls`, and how strongly each acts: `{canny: 0.6}`. "
        "The control pictures of `canny`, `lineart` and `depth` are made from the photo. A list makes one picture for "
        "each of its mappings; `{}` is no control.",
    )
    control_images: Annotated[NamedTexts, PathField()] = Field(
        None,
        description="Files with the control pictures of some controls, as large as the photo or of its proportions: "
        '`{depth: "${item.depth}"}`.',
    )
    control_masks: Annotated[NamedTexts, StageName()] = Field(
        None, description="Earlier stages whose masks are the control pictures of some controls: `{scribble: sketch}`."
    )
    control_end: float = Field(
        1, gt=0, le=1, description="Share of the steps in which the controls act; the model is free in the others."
    )

    @model_validator(mode="after")
    def _check_controls(self) -> Self:
        if twice := set(names_in(self.control_images)) & set(names_in(self.control_masks)):
            raise ValueError(f"`control_images` and `control_masks` both give a picture for {min(twice)}")
        return self

    @classmethod
    def models_of(cls, parameters: Mapping[str, Any]) -> tuple[ModelKind, ...]:
        """See `Stage.models_of`: also the control models, and what estimates depth."""
        names = names_in(parameters.get("control"))
        given = {*names_in(parameters.get("control_images")), *names_in(parameters.get("control_masks"))}
        depth = (_DEPTH,) if _DEPTH in names and _DEPTH not in given else ()
        return (*super().models_of(parameters), *(f"{CONTROLS}.{name}" for name in names), *depth)

    def input_files(self, name: str) -> Sequence[Path]:
        """See `Stage.input_files`."""
        images: Mapping[str, str] = self.control_images or {}
        used = [Path(path) for control, path in images.items() if control in names_in(self.control)]
        return [*super().input_files(name), *used]

    def refusals(self, models: Models) -> Iterator[Problem]:
        """See `Stage.refusals`: control models for another base model, and controls without a picture."""
        for name in names_in(self.control):
            if name not in (*DRAWN, *names_in(self.control_images), *names_in(self.control_masks)):
                yield (
                    "control",
                    f"{name} needs its picture in `control_images` or `control_masks`: from the photo "
                    + (f"Darkroom makes only {', '.join(DRAWN)}"),
                )
            if problem := models.control_problem(name):
                yield "control", problem
        for path in (self.control_images or {}).values():
            if not is_file(Path(path)):
                yield "control_images", f"{path}: no such file"

    def controls(self, crop: WorkingCrop) -> tuple[Control, ...]:
        """The controls of a crop, for the request to the model."""
        weights = scalar(self.control)
        if not weights:
            return ()
        return tuple(Control(name, weights[name], picture) for name, picture in crop.controls.items())

    def _cut(self, edit: Edit, models: Models) -> list[tuple[Crop, WorkingCrop]]:
        crops = super()._cut(edit, models)
        names = [name for name, weight in (scalar(self.control) or {}).items() if weight]
        whole = {name: self._whole(name, edit, models) for name in names}

        def picture(name: str, crop: Crop, working: WorkingCrop) -> np.ndarray:
            full = whole[name]
            return _FROM_CROP[name](working.image) if full is None else fitted(full, crop, edit.size)

        return [
            (crop, replace(working, controls={name: picture(name, crop, working) for name in names}))
            for crop, working in crops
        ]

    def _whole(self, name: str, edit: Edit, models: Models) -> np.ndarray | None:
        """The control picture of the whole photo, (H, W) or (H, W, 3) uint8; None if it is drawn from each crop."""
        if self.control_masks and name in self.control_masks:
            return edit.masks[self.control_masks[name]]
        if self.control_images and name in self.control_images:
            return _read(Path(self.control_images[name]), edit.size)
        return models.depth.map(edit.flattened) if name == _DEPTH else None

    def _finished(self, edit: Edit, painted: Sequence[tuple[Crop, WorkingCrop, np.ndarray]]) -> Edit:
        after = super()._finished(edit, painted)
        shown: dict[str, np.ndarray] = {}
        for name in painted[0][1].controls:
            pictures = [(crop, working.controls[name]) for crop, working, _ in painted]
            shown[f"control_{name}"] = on_photo(pictures, edit.original.shape[:2])
        return replace(after, artifacts=shown)


def _read(path: Path, size: tuple[int, int]) -> np.ndarray:
    """The control picture in a file, (H, W, 3) uint8, of the photo's proportions. Raises `PhotoError`."""
    try:
        photo = read_photo(path)
    except PhotoError as error:
        raise PhotoError(f"the control picture {path}: {error}") from None
    pixels = photo.pixels if photo.alpha is None else flatten(photo.pixels, photo.alpha)
    height, width = pixels.shape[:2]
    if abs(width * size[1] - height * size[0]) > max(width, height, *size):
        raise PhotoError(
            f"the control picture {path} is {width} x {height} px, but the photo is {size[0]} x {size[1]} px; "
            "its proportions differ"
        )
    return pixels
