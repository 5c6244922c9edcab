"""How visible the edge of a repaint is. Arrays only."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from darkroom.imaging.bands import bands


def seam(image: np.ndarray, touched: np.ndarray) -> float | None:
    """The mean colour difference across the edge of a mask, between neighbouring pixels inside and outside.

    Args:
        image: (H, W, 3) uint8 RGB.
        touched: (H, W) bool, the mask.

    Returns:
        CIE 1976 Delta E (CIE Lab), of which about 2.3 is just noticeable (Mahy, Van Eycken and Oosterlinck, 1994);
        None where the mask has no edge.
    """
    steps, count = 0.0, 0
    for rows in bands(*touched.shape):
        below = slice(rows.start, rows.stop + 1)  # with the first row of the next band, if there is one
        for one, other in _across(image[below], touched[below], len(touched[rows])):
            steps += float(np.linalg.norm(_lab(one) - _lab(other), axis=1).sum())
            count += len(one)
    return steps / count if count else None


def _across(image: np.ndarray, touched: np.ndarray, height: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of (N, 3) pixels on both sides of the edge: vertical neighbours, then horizontal ones in `height` rows."""
    width, pixels = touched.shape[1], image.reshape(-1, 3)
    upper = np.flatnonzero(touched[1:] != touched[:-1])  # faster than an index of two dimensions
    yield pixels[upper + width], pixels[upper]
    rows, columns = np.divmod(np.flatnonzero(touched[:height, 1:] != touched[:height, :-1]), max(width - 1, 1))
    left = rows * width + columns
    yield pixels[left + 1], pixels[left]


def seam_figures(before: np.ndarray, after: np.ndarray, blend_mask: np.ndarray) -> dict[str, float]:
    """The seam measurements that a repaint records: `seam` of its result, `seam_before` at the same edge before it.

    Args:
        before: (H, W, 3) uint8 RGB.
        after: likewise.
        blend_mask: (H, W) uint8, the share of the new picture.
    """
    figures = {"seam": seam(after, blend_mask > 0), "seam_before": seam(before, blend_mask > 0)}
    return {label: round(value, 3) for label, value in figures.items() if value is not None}


def _lab(pixels: np.ndarray) -> np.ndarray:
    """(N, 3) uint8 sRGB as CIE Lab under D65, from the definitions; OpenCV's tables are off by up to 0.2."""
    values = pixels / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array(_TO_XYZ)
    relative = linear @ to_xyz / to_xyz.sum(axis=0)  # relative to white
    roots = np.where(relative > (6 / 29) ** 3, np.cbrt(relative), relative * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = roots.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


_TO_XYZ = (0.4124, 0.2126, 0.0193), (0.3576, 0.7152, 0.1192), (0.1805, 0.0722, 0.9505)  # IEC 61966-2-1
