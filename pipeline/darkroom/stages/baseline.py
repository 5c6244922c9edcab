"""`Baseline`: the usual value of a measurement among many photos, and which values are outliers."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from statistics import fmean, median
from typing import Self

FEWEST_PHOTOS = 5  # our choice: fewer photos have no usual value

# The standard deviation of a normal distribution, divided by its median and by its mean absolute deviation.
_MEDIAN_DEVIATION, _MEAN_DEVIATION = 1 / 0.6745, 1.253314


@dataclass(frozen=True)
class Baseline:
    """Median and spread of a measurement over many photos.

    Outliers are found by the modified z-score of Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993, who
    recommend a limit of 3.5: the distance from the median in standard deviations, which are estimated from the median
    absolute deviation. That deviation is 0 if more than half of the values are equal; then, as in IBM SPSS, the mean
    absolute deviation is used instead.

    Attributes:
        photos: number of photos.
        median: of all values.
        deviation: estimated standard deviation; 0 if all values are equal.
    """

    photos: int
    median: float
    deviation: float

    @classmethod
    def of(cls, photos: Collection[Collection[float]]) -> Self | None:
        """The baseline of some photos; None for fewer than `FEWEST_PHOTOS`.

        Args:
            photos: the values of each photo, which has several if an earlier stage has variants.
        """
        if len(photos) < FEWEST_PHOTOS:
            return None
        values = [value for photo in photos for value in photo]
        middle = median(values)
        distances = [abs(value - middle) for value in values]
        return cls(len(photos), middle, median(distances) * _MEDIAN_DEVIATION or fmean(distances) * _MEAN_DEVIATION)

    def is_outlier(self, value: float, limit: float) -> bool:
        """Whether a value is more than `limit` deviations from the median."""
        return abs(value - self.median) > limit * self.deviation

    def score(self, value: float) -> float:
        """Distance of a value from the median, in deviations."""
        off = abs(value - self.median)
        return off / self.deviation if self.deviation else math.inf if off else 0.0
