"""`gate`: check the mask, and stop or flag photos that break a bound."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

import cv2
import numpy as np
from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from darkroom.errors import EmptyMask, PhotoError, Stopped
from darkroom.imaging.masks import to_float
from darkroom.stages.base import Stage, stage
from darkroom.stages.baseline import FEWEST_PHOTOS, Baseline
from darkroom.stages.fields import Share, Shares, bounds
from darkroom.stages.markers import ComparesPhotos, NeedsConfidence

if TYPE_CHECKING:
    from darkroom.imaging.edit import Edit
    from darkroom.models import Models

log = logging.getLogger("darkroom")


Counts = Annotated[tuple[int, int], BeforeValidator(bounds), WithJsonSchema({"type": "[low, high]"})]


@stage
class Gate(Stage):
    """Measures the mask, passes it on unchanged, and stops or flags the photo if a bound is broken.

    `coverage` counts grey pixels in part; `regions` and `border` count pixels that are at least half white, and regions
    connect across corners. An empty mask never passes: the recipe's `on_empty` decides what happens.
    """

    needs_mask: ClassVar[bool] = True
    is_gate: ClassVar[bool] = True

    coverage: Shares | None = Field(None, description="Allowed range of the mask's area, as a share of the photo.")
    regions: Counts | None = Field(None, description="Allowed range of the number of connected regions.")
    border: Share | None = Field(
        None,
        description="Maximum share of the photo's border that the mask may cover; 0: the mask must not touch "
        "the border.",
    )
    confidence: Annotated[Share | None, NeedsConfidence()] = Field(
        None, description="Minimum confidence of the stage that found the mask."
    )
    outlier: Annotated[float | None, ComparesPhotos()] = Field(
        None,
        gt=0,
        le=1000,
        description="Maximum distance of the coverage from the median of all photos, in standard deviations; "
        "3.5 is usual.",
    )
    policy: Literal["fail", "skip", "flag", "keep"] = Field(
        "fail",
        description="What happens to a photo that breaks a bound: it fails (`fail`), is left out (`skip`), "
        "is flagged and continues (`flag`), or is delivered as it is at this stage (`keep`).",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if all(bound is None for bound in (self.coverage, self.regions, self.border, self.confidence, self.outlier)):
            raise ValueError("gate needs a bound: `coverage`, `regions`, `border`, `confidence` or `outlier`")
        return self

    def apply(self, edit: Edit, models: Models) -> Edit:
        """See `Stage.apply`: measures the mask. Raises `EmptyMask`."""
        mask = edit.need_mask()
        if not mask.any():
            raise EmptyMask("nothing found: the mask is empty")
        return replace(edit, figures=measured(mask, edit.confidence), artifacts={})

    def check(self, name: str, figures: Mapping[str, float], baseline: Baseline | None) -> str | None:
        """See `Stage.check`."""
        broken = "; ".join(self._broken(figures, baseline))
        if not broken:
            return None
        reason = f"{name}: {broken}"
        if self.policy != "flag":
            raise Stopped(reason, self.policy)
        return reason

    @classmethod
    def baseline(cls, name: str, photos: Sequence[Sequence[Mapping[str, float]]]) -> Baseline | None:
        """See `Stage.baseline`: of the coverages. Equal coverages of one photo count once."""
        found = Baseline.of([{figures["coverage"] for figures in photo} for photo in photos])
        if found is None:
            log.info(
                "gate %s: too few photos have a mask to find outliers; at least %d are needed", name, FEWEST_PHOTOS
            )
        return found

    def _broken(self, figures: Mapping[str, float], baseline: Baseline | None) -> Iterator[str]:
        """A line for each broken bound."""
        yield from _outside(figures["coverage"], self.coverage, "the mask covers {} of the photo", _percent)
        yield from _outside(figures["regions"], self.regions, "the mask has {}", _regions)
        if self.border is not None:
            text = "the mask takes {} of the photo's border"
            yield from _outside(figures["border"], (0, self.border), text, _percent)
        if self.confidence is not None:
            if "confidence" not in figures:
                raise PhotoError("`confidence`: the stage that made the mask reports no confidence")
            yield from _outside(figures["confidence"], (self.confidence, 1), "the mask's confidence is {}", str)
        if self.outlier is not None and baseline is not None:
            yield from _outlying(figures["coverage"], self.outlier, baseline)


def measured(mask: np.ndarray, confidence: float | None) -> dict[str, float]:
    """The figures of an (H, W) uint8 mask: `coverage` and `border`, 0 to 1, and `regions`, a count.

    Args:
        mask: to be measured.
        confidence: the mask's confidence, which becomes a figure too; None if it is unknown.
    """
    white = mask >= 128
    regions, _ = cv2.connectedComponents(white.astype(np.uint8), connectivity=8)
    rim = np.ones_like(white)
    rim[1:-1, 1:-1] = False
    figures = {
        "coverage": round(float(to_float(mask).mean(dtype=np.float64)), 6),
        "regions": regions - 1,  # 0 is the background
        "border": round(float(white[rim].mean()), 6),
    }
    return figures if confidence is None else figures | {"confidence": confidence}


def _outside(
    value: float, bounds: tuple[float, float] | None, text: str, shown: Callable[[float], str]
) -> Iterator[str]:
    """One line if a value is outside its bounds.

    Args:
        value: as measured.
        bounds: low and high; None allows everything.
        text: with `{}` for the value.
        shown: formats the value and the bounds.
    """
    if bounds is None or bounds[0] <= value <= bounds[1]:
        return
    low, high = map(shown, bounds)
    limit = f"at least {low} is required" if value < bounds[0] else f"at most {high} is allowed"
    yield f"{text.format(shown(value))}; {limit}"


def _outlying(coverage: float, limit: float, baseline: Baseline) -> Iterator[str]:
    """One line if a coverage is an outlier."""
    if baseline.is_outlier(coverage, limit):
        off = f"{_percent(coverage)} of the photo, {baseline.score(coverage):.1f} deviations from"
        usual = f"the median of {baseline.photos} photos, {_percent(baseline.median)}"
        yield f"the mask covers {off} {usual}; at most {limit:g} is allowed"


def _regions(number: float) -> str:
    return f"{number:.0f} region{'s' * (number != 1)}"


def _percent(share: float) -> str:
    """A share as a percentage, such as `72 %`; small ones with two significant digits.

    >>> _percent(0.72), _percent(0.00123), _percent(1)
    ('72 %', '0.12 %', '100 %')
    """
    return f"{100 * share:.3g} %" if share >= 0.01 else f"{100 * share:.2g} %"
