"""Plans crops: which part of a photo the model sees, and at which size. Arrays only."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import cv2
import numpy as np

from darkroom.errors import PhotoError

CropMode = Literal["mask", "regions", "each", "photo"]

# The longest shape that SDXL was trained on: 512 x 2048 (Podell et al., arXiv 2307.01952, appendix I). A narrower crop
# is widened to it where the photo has room.
TRAINED_ASPECT = 4
# Heuristic: a narrower working picture shows nothing recognisable, so the photo is refused.
LARGEST_ASPECT = 8
# Chosen by judgement: a crop enlarged more than this is blurred, and more of the surroundings helps the model more.
LARGEST_ENLARGEMENT = 4
# Chosen by judgement: each region is a model call, and a mask with more pieces is noise.
MOST_REGIONS = 1000


@dataclass(frozen=True)
class Crop:
    """A part of a photo, and the size at which the model works on it.

    Attributes:
        x0, y0, x1, y1: edges in pixels of the photo, x1 and y1 exclusive; always inside it.
        width, height: of the working picture, in pixels.
        region: the number (`numbered_regions`) of the only region of the mask that is repainted in it; 0 for all.
    """

    x0: int
    y0: int
    x1: int
    y1: int
    width: int
    height: int
    region: int = 0

    @classmethod
    def whole(cls, shape: tuple[int, ...]) -> Crop:
        """All of a photo, an (H, W, ...) array, at its own size."""
        height, width = shape[:2]
        return cls(0, 0, width, height, width, height)

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of the part in an (H, W, ...) array."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)


@lru_cache
def shapes(native: int, multiple: int) -> np.ndarray:
    """Picture sizes in the training range of a model with `native` px squares, (N, 2) of height and width in px.

    Sides are multiples of a 16th of `native` and at least half of it, areas from 0.9 to 1.0 of its square. For 1024
    these are the 40 sizes of SDXL's training (Podell et al., arXiv 2307.01952, appendix I) and 704 x 1344 in the
    orientation that is missing there. For other models the same rule is scaled.

    Args:
        native: side of the squares, px.
        multiple: all sides are multiples of this, px.
    """
    step = max(1, round(native / 16 / multiple)) * multiple
    count = max(1, round(native / step))
    sides = range(math.ceil(count / 2), 2 * count + 1)
    known = [(rows, columns) for rows in sides for columns in sides if 0.9 <= rows * columns / count**2 <= 1]
    sizes = np.array(known) * step
    sizes.flags.writeable = False  # the cache returns the same array again
    return sizes


@dataclass(frozen=True)
class CropPlanner:
    """Plans crops of photos of one size.

    Attributes:
        size: (height, width) of the photo.
        native: side in px of the square pictures that the model was trained on.
        multiple: the sides of a working picture are multiples of this, px.
        context: crop side / object side, at least 1; the object is the box around what is repainted.
    """

    size: tuple[int, int]
    native: int
    multiple: int
    context: float = 1.0

    def plan(self, mode: CropMode, mask: np.ndarray) -> list[Crop]:
        """The crops to work on. Every white pixel is repainted in exactly one crop, together with its whole region.

        Args:
            mode: `mask`, one crop around everything white; `regions`, one around each connected region, but a common
                one for regions that would be visible in each other's crop; `each`, one around each, whatever else is
                visible in it; `photo`, the whole photo.
            mask: (H, W) uint8, not 0 everywhere.

        Returns:
            One crop; for `regions` and `each` one or more, ordered by the upper edge of the white in them.

        Raises:
            PhotoError: a crop would be more than `LARGEST_ASPECT` times as long as wide because the photo has no room;
                the mask has more than `MOST_REGIONS` regions.
        """
        if mode == "photo":
            return [self.photo()]
        white = (mask > 0).astype(np.uint8)
        if mode == "mask":
            x0, y0, width, height = cv2.boundingRect(white)
            return [self._around(np.array([y0, x0, y0 + height, x0 + width]))]
        boxes = _boxes(white)
        if len(boxes) > MOST_REGIONS:
            raise PhotoError(
                f"the mask has {len(boxes)} regions, more than {MOST_REGIONS}: drop specks with "
                "`refine: {open: 2}`, or set `crop: mask`"
            )
        if mode == "each":
            return [replace(self._around(box), region=place + 1) for place, box in enumerate(boxes)]
        return self._apart(boxes)

    def photo(self) -> Crop:
        """The whole photo. Raises `PhotoError` if it is more than `LARGEST_ASPECT` times as long as wide."""
        height, width = self.size
        return self._as_it_is(np.array([0, 0, height, width]))

    def _apart(self, boxes: np.ndarray) -> list[Crop]:
        """One crop per box, joining boxes until no crop shows white of another crop's box."""
        from scipy.sparse.csgraph import connected_components

        while True:
            crops = [self._around(box) for box in boxes]
            seen = np.array([[crop.y0, crop.x0, crop.y1, crop.x1] for crop in crops])[:, None]
            shows = (seen[..., :2] < boxes[:, 2:]).all(axis=2) & (boxes[:, :2] < seen[..., 2:]).all(axis=2)
            count, group = connected_components(shows, directed=False)
            if count == len(boxes):
                return crops
            joined = np.array([_union(boxes[group == number]) for number in range(count)])
            boxes = joined[np.lexsort((joined[:, 1], joined[:, 0]))]

    def _around(self, box: np.ndarray) -> Crop:
        """A crop around a box (y0, x0, y1, x1), in one of the `shapes` of the model.

        It is the smallest that holds the box with its context. If the photo has no room for that, the largest that
        holds the box; if that does not fit either, the box and as much context as there is, in its own shape.
        """
        known, size = shapes(self.native, self.multiple), np.array(self.size)
        inner = box[2:] - box[:2]
        wanted = np.maximum(inner * self.context, min(self.native / LARGEST_ENLARGEMENT, *self.size))
        wanted = np.minimum(np.ceil(wanted), size)
        least, most = (wanted / known).max(axis=1), (size / known).min(axis=1)  # px of the photo per px of the model
        if (least <= most).any():
            chosen = np.where(least <= most, known.prod(axis=1) * least**2, np.inf).argmin()
            return self._placed(box, np.rint(known[chosen] * least[chosen]).astype(int), known[chosen])
        if (holds := (inner / known).max(axis=1) <= most).any():
            chosen = np.where(holds, known.prod(axis=1) * most**2, 0).argmax()
            return self._placed(box, np.rint(known[chosen] * most[chosen]).astype(int), known[chosen])
        return self._as_it_is(box)

    def _as_it_is(self, box: np.ndarray) -> Crop:
        """A crop in the shape of a box with its context, of about `native` squared working pixels.

        Rounding the sides of the working picture to `multiple` stretches it by at most half a multiple per side.
        """
        wanted = (box[2:] - box[:2]) * self.context
        wanted = np.maximum(wanted, wanted.max() / TRAINED_ASPECT)
        sides = np.minimum(np.ceil(wanted).astype(int), self.size)
        if sides.max() > LARGEST_ASPECT * sides.min():
            raise PhotoError(
                f"the part to repaint is {sides[1]} x {sides[0]} px, more than {LARGEST_ASPECT} times as long as "
                "wide; the model was not trained on such shapes: crop the photo"
            )
        scale = self.native / math.sqrt(sides.prod())
        working = np.maximum(np.rint(sides * scale / self.multiple), 1).astype(int) * self.multiple
        return self._placed(box, sides, working)

    def _placed(self, box: np.ndarray, sides: np.ndarray, working: np.ndarray) -> Crop:
        """A crop with the box in its middle, as far as the photo allows."""
        start = np.rint((box[:2] + box[2:] - sides) / 2).astype(int)
        y0, x0 = np.clip(start, 0, np.array(self.size) - sides).tolist()
        rows, columns = sides.tolist()
        height, width = working.tolist()
        return Crop(x0, y0, x0 + columns, y0 + rows, width, height)


def numbered_regions(mask: np.ndarray) -> np.ndarray:
    """The number of the region of each pixel, (H, W) uint16: 8-connected regions above 0, from 1, from top to bottom.

    Args:
        mask: (H, W) uint8 with at most `MOST_REGIONS` regions.
    """
    _, labels, stats, _ = cv2.connectedComponentsWithStats((mask > 0).astype(np.uint8), connectivity=8)
    numbers = np.zeros(len(stats), np.uint16)
    numbers[1 + _order(stats)] = np.arange(1, len(stats))
    numbered: np.ndarray = numbers[labels]
    return numbered


def of_region(crop: Crop, numbers: np.ndarray | None, values: np.ndarray) -> np.ndarray:
    """Values of a mask, (H, W), that are 0 where another region than that of the crop is.

    Args:
        crop: any; one without a region takes all values as they are.
        numbers: see `numbered_regions`; None if no crop has a region.
        values: (H, W).
    """
    return values if numbers is None else np.where(numbers == crop.region, values, 0)


def _boxes(white: np.ndarray) -> np.ndarray:
    """(N, 4) boxes (y0, x0, y1, x1) of the 8-connected regions above 0, from top to bottom."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(white, connectivity=8)
    x0, y0, width, height = stats[1:, :4].T  # 0 is the background
    boxes: np.ndarray = np.stack([y0, x0, y0 + height, x0 + width], axis=1)[_order(stats)]
    return boxes


def _order(stats: np.ndarray) -> np.ndarray:
    """The places of the regions among those of OpenCV's statistics, from top to bottom, and left to right."""
    return np.lexsort((stats[1:, cv2.CC_STAT_LEFT], stats[1:, cv2.CC_STAT_TOP]))


def _union(boxes: np.ndarray) -> np.ndarray:
    """The box around (N, 4) boxes."""
    return np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])
