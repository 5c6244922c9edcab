"""How visible the edge of a repaint is. Arrays only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from darkroom.imaging.bands import bands


def seams(images: Sequence[np.ndarray], touched: np.ndarray) -> list[float] | None:
    """The mean colour difference across the edge of a mask, between neighbouring pixels inside and outside.

    Args:
        images: (H, W, 3) uint8 RGB each.
        touched: (H, W) bool, the mask.

    Returns:
        CIE 1976 Delta E (CIE Lab) of each image, of which about 2.3 is just noticeable (Mahy, Van Eycken and
        Oosterlinck, 1994); None where the mask has no edge.
    """
    totals, count = np.zeros(len(images)), 0
    for one, other in _across(touched):
        count += len(one)
        for number, image in enumerate(images):
            pixels = image.reshape(-1, 3)
            totals[number] += np.linalg.norm(_lab(pixels[one]) - _lab(pixels[other]), axis=1).sum()
    return (totals / count).tolist() if count else None


def _across(touched: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The (N,) numbers of the pixels on both sides of the edge, vertical and horizontal neighbours, band by band."""
    height, width = touched.shape
    for rows in bands(height, width):
        part, first = touched[rows.start : rows.stop + 1], rows.start * width  # with the first row of the next band
        above = np.flatnonzero(part[1:] != part[:-1]) + first  # faster than an index of two dimensions
        row, column = np.divmod(np.flatnonzero(touched[rows, 1:] != touched[rows, :-1]), max(width - 1, 1))
        left = row * width + column + first
        if len(above) or len(left):
            yield np.concatenate([above + width, left + 1]), np.concatenate([above, left])


def seam_figures(before: np.ndarray, after: np.ndarray, blend_mask: np.ndarray) -> dict[str, float]:
    """The seam measurements that a repaint records: `seam` of its result, `seam_before` at the same edge before it.

    Args:
        before: (H, W, 3) uint8 RGB.
        after: likewise.
        blend_mask: (H, W) uint8, the share of the new picture.
    """
    values = seams((after, before), blend_mask > 0)
    return {label: round(value, 3) for label, value in zip(("seam", "seam_before"), values or (), strict=False)}


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
