"""`Referenced`: a repaint that is to resemble reference pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field

from darkroom.errors import PhotoError
from darkroom.imaging.codec import read_photo
from darkroom.imaging.colour_profiles import converted
from darkroom.imaging.compositing import WorkingCrop, flatten
from darkroom.imaging.crops import Crop
from darkroom.models.names import REFERENCE
from darkroom.stages.base import Problem, stage
from darkroom.stages.controlled import Controlled
from darkroom.stages.fields import Texts, as_tuple
from darkroom.stages.files import is_file
from darkroom.stages.markers import PathField

if TYPE_CHECKING:
    from darkroom.imaging.edit import Edit
    from darkroom.models import ModelKind, Models


@stage
class Referenced(Controlled):
    """A repaint that an IP-Adapter steers by reference pictures. Source: Ye et al., 2023 (arXiv 2308.06721)."""

    reference: Annotated[Texts | None, PathField()] = Field(
        None,
        description="A picture file that the repainted part should resemble, for all photos or, as "
        '`"${item.product}"`, from a column of the table. A list of files acts together.',
    )
    reference_weight: float = Field(
        0.6, ge=0, le=2, description="How strongly the reference acts, beside the prompt; 0: not at all."
    )

    @classmethod
    def models_of(cls, parameters: Mapping[str, Any]) -> tuple[ModelKind, ...]:
        """See `Stage.models_of`: also the IP-Adapter."""
        return (*super().models_of(parameters), *((REFERENCE,) if parameters.get("reference") else ()))

    def input_files(self, name: str) -> Sequence[Path]:
        """See `Stage.input_files`."""
        return [*super().input_files(name), *self._references()]

    def refusals(self, models: Models) -> Iterator[Problem]:
        """See `Stage.refusals`: an IP-Adapter for another base model, and missing files."""
        yield from super().refusals(models)
        if self.reference and (problem := models.reference_problem()):
            yield "reference", problem
        for path in self._references():
            if not is_file(path):
                yield "reference", f"{path}: no such file"

    def _references(self) -> list[Path]:
        return [Path(path) for path in as_tuple(self.reference or ())]

    def _cut(self, edit: Edit, models: Models) -> list[tuple[Crop, WorkingCrop]]:
        crops = super()._cut(edit, models)
        if not self.reference_weight:
            return crops
        pictures = tuple(map(_read, self._references()))
        return [(crop, replace(working, references=pictures)) for crop, working in crops]


def _read(path: Path) -> np.ndarray:
    """A reference picture over white in sRGB, (H, W, 3) uint8. Raises `PhotoError`."""
    try:
        photo = read_photo(path)
    except PhotoError as error:
        raise PhotoError(f"the reference picture {path}: {error}") from None
    pixels = photo.pixels if photo.alpha is None else flatten(photo.pixels, photo.alpha)
    return converted(pixels, photo.icc, None)
