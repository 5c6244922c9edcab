"""Alpha from a mask: how much of each pixel near its edge belongs to what the mask covers. Arrays only.

The thing and its background are told apart by their colours: in the window around a pixel both have a mean colour and a
spread, and alpha is where the pixel lies between the means, in the direction of Fisher's discriminant. This is repeated
in ever smaller windows, where each pixel is weighted by the alpha of the pass before. The clearer the difference, the
less the mask counts. A colour guided filter (He, Sun and Tang, "Guided Image Filtering", PAMI 2013) smooths the result.

All of it is computed on a reduced copy. What is taken to the photo's own size are the coefficients of the linear
function (He and Sun, "Fast Guided Filter", arXiv 1505.00996), so that alpha has the photo's full detail.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from darkroom.imaging.bands import bands
from darkroom.imaging.masks import depth, to_uint8

WORKING_SIDE = 1024
"""Longer side in px of the reduced copy."""

_WINDOWS = (1 / 32, 1 / 48, 1 / 64, 1 / 96)  # radius of each pass, as a share of the longer side
_NOISE = 2 / 255  # deviation of a camera's noise, so that flat areas do not count as infinitely certain
_TRUST = 0.3  # share of the band, next to the mask's edge, where colours count fully; beyond it the mask counts more
_MISTAKEN = 0.1  # squared error of alpha, where it is known, at which colours count half
_HAZE = 0.03  # alpha this close to 0 or 1 becomes it
_SMOOTH, _EPS = 1 / 384, 1e-4  # radius of the guided filter as a share of the longer side, and its regularisation

Pair = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Reduced:
    """A photo and its mask, reduced for work.

    Attributes:
        image: (h, w, 3) float32 RGB in [0, 1].
        prior: (h, w) float32 in [0, 1], the mask with a soft edge; 0 or 1 where it is certain.
        doubt: (h, w) float32, how little the mask is trusted; 0 where it is certain.
        share: (h, w) float32 in [0, 1], the mask itself.
        distance: (h, w) float32, px from the mask's edge.
        side: px of the longer side.
    """

    image: np.ndarray
    prior: np.ndarray
    doubt: np.ndarray
    share: np.ndarray
    distance: np.ndarray
    side: int

    @property
    def unknown(self) -> np.ndarray:
        """Where alpha is to be found, (h, w) bool."""
        unknown: np.ndarray = self.doubt > 0
        return unknown


def working_size(shape: tuple[int, ...]) -> tuple[int, int]:
    """(width, height) of the reduced copy of a photo of this (height, width)."""
    scale = min(1, WORKING_SIDE / max(shape))
    return max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale))


def reduced(image: np.ndarray, mask: np.ndarray, band: float) -> Reduced:
    """The photo and its mask at the working size, with the unknown band around the mask's edge.

    The band holds everything up to `band` from the edge, where the mask passes 0.5.

    Args:
        image: (H, W, 3) uint8 RGB.
        mask: (H, W) uint8.
        band: a share of the longer side.
    """
    size = working_size(mask.shape)
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) / np.float32(255)
    share = cv2.resize(mask, size, interpolation=cv2.INTER_AREA) / np.float32(255)
    side = max(size)
    distance, width = np.minimum(_edge_distance(share >= 0.5), side), max(1, band * side)
    unknown = distance <= width
    beyond = np.maximum(distance / np.float32(_TRUST * width) - 1, 0)
    prior = np.where(unknown, box_mean(share, window_radius(width, _TRUST / 2)), share >= 0.5).astype(np.float32)
    doubt = np.where(unknown, 1 / (1 + beyond * beyond), 0).astype(np.float32)
    return Reduced(small, prior, doubt, share, distance, side)


def guided_alpha(image: np.ndarray, mask: np.ndarray, band: float) -> np.ndarray:
    """Alpha from a mask by colours; see the module.

    Args:
        image: (H, W, 3) uint8 RGB.
        mask: (H, W) uint8, hard or soft.
        band: how far from the mask's edge alpha is unknown, as a share of the longer side.

    Returns:
        (H, W) uint8; 0 or 255 outside the band.
    """
    return found_alpha(image, mask, band, _by_colour)


def modelled_alpha(
    image: np.ndarray, mask: np.ndarray, band: float, estimate: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> np.ndarray:
    """Alpha from a mask by another method, which works on the reduced copy.

    Args:
        image: (H, W, 3) uint8 RGB.
        mask: (H, W) uint8.
        band: see `guided_alpha`.
        estimate: makes alpha, (h, w) float32 in [0, 1], from the reduced photo, (h, w, 3) uint8, and a trimap, (h, w)
            uint8: 255 inside, 0 outside, 128 where alpha is to be found.

    Returns:
        (H, W) uint8; 0 or 255 outside the band.
    """

    def by_model(work: Reduced) -> tuple[np.ndarray, None]:
        trimap = np.where(work.unknown, np.uint8(128), to_uint8(work.prior))
        alpha = np.where(work.unknown, estimate(to_uint8(work.image), trimap), work.prior)
        return alpha.astype(np.float32), None

    return found_alpha(image, mask, band, by_model)


def found_alpha(
    image: np.ndarray,
    mask: np.ndarray,
    band: float,
    find: Callable[[Reduced], tuple[np.ndarray, np.ndarray | None]],
) -> np.ndarray:
    """Alpha of a photo, (H, W) uint8, by a method that finds it on the reduced copy.

    Args:
        image: see `guided_alpha`.
        mask: see `guided_alpha`.
        band: see `guided_alpha`.
        find: returns alpha, and how certain it is, (h, w) float32 each; None for a method whose alpha needs no
            smoothing: it is smoothed only to enlarge it.
    """
    work = reduced(image, mask, band)
    if not work.unknown.any():
        return np.where(mask >= 128, np.uint8(255), np.uint8(0))
    alpha, certainty = find(work)
    if certainty is None and alpha.shape == mask.shape:
        return to_uint8(alpha)
    return _at_full_size(image, np.dstack(smoothing(work, alpha, certainty)), work)


def smoothing(work: Reduced, alpha: np.ndarray, certainty: np.ndarray | None) -> Pair:
    """The guided filter of this alpha, (h, w) float32: see `guided_coefficients`."""
    return guided_coefficients(work.image, alpha, window_radius(work.side, _SMOOTH), _EPS, certainty)


@dataclass(frozen=True)
class Pass:
    """What the colours in windows of one size say.

    Attributes:
        between: (h, w) float32, where each pixel lies between the two colours, 0 to 1 and shortly beyond.
        precision: (h, w) float32, the inverse of its variance.
        mistakes: (h, w) float32, its mean squared error where the mask is certain.
        alpha: (h, w) float32 in [0, 1], alpha after this pass.
        certainty: (h, w) float32, how certain it is.
    """

    between: np.ndarray
    precision: np.ndarray
    mistakes: np.ndarray
    alpha: np.ndarray
    certainty: np.ndarray


def _by_colour(work: Reduced) -> Pair:
    """Alpha, and how certain it is, both (h, w) float32 in [0, 1]."""
    *_, last = colour_passes(work)
    return last.alpha, last.certainty


def colour_passes(work: Reduced) -> Iterator[Pass]:
    """Alpha by colours, in ever smaller windows."""
    products = _products(work.image)
    alpha = work.prior
    for window in _WINDOWS:
        radius = window_radius(work.side, window)
        inside = _Colours(work.image, products, alpha**2 + 1e-4 * work.prior, radius)
        outside = _Colours(work.image, products, (1 - alpha) ** 2 + 1e-4 * (1 - work.prior), radius)
        between, precision = _between(work.image, inside, outside)
        mistakes = _mistakes(between, work, 2 * radius)
        relative = mistakes / _MISTAKEN
        weight = precision * (work.doubt / (1 + relative * relative))
        mean = (weight * between + work.prior) / (weight + 1)
        alpha = np.where(work.unknown, np.clip(mean, 0, 1), work.prior)
        yield Pass(between, precision, mistakes, alpha, np.where(work.unknown, (weight + 0.1) / (weight + 1), 1))


def _mistakes(alpha: np.ndarray, work: Reduced, radius: int) -> np.ndarray:
    """How wrong alpha by colours is around each pixel where the mask is certain: mean squared error, (h, w) float32.

    Colours cannot tell the sides apart where one occurs on both, such as the dark windows of a car in front of a dark
    house.
    """
    alpha, total = np.clip(alpha, 0, 1), np.zeros_like(alpha)
    for side in (1, 0):
        known = (~work.unknown & (work.prior == side)).astype(np.float32)
        total += box_mean(known * (alpha - side) ** 2, radius) / (box_mean(known, radius) + np.float32(1e-4))
    return total


class _Colours:
    """The weighted colours in the window around each pixel.

    Attributes:
        weight: (h, w), the mean weight.
        mean: (h, w, 3), the mean colour.
        covariance: (h, w, 6), the upper triangle of the covariance.
    """

    def __init__(self, image: np.ndarray, products: np.ndarray, weights: np.ndarray, radius: int) -> None:
        self.weight = box_mean(weights, radius)
        total = self.weight[..., None] + np.float32(1e-6)
        self.mean = box_mean(image * weights[..., None], radius) / total
        self.covariance = box_mean(products * weights[..., None], radius) / total - _products(self.mean)


def _between(image: np.ndarray, inside: _Colours, outside: _Colours) -> Pair:
    """Where each pixel lies between two colours, and how precisely this is known.

    Fisher's discriminant: the direction in which the means lie far apart compared with the spread around them. The
    precision is their squared distance in it (Mahalanobis'), the inverse of alpha's variance.

    Returns:
        (h, w) float32 each: 0 at the mean outside, 1 at the mean inside, clipped shortly beyond; the precision.
    """
    spread = (inside.covariance + outside.covariance) / 2
    spread[..., _DIAGONAL] += np.float32(_NOISE**2)
    apart = inside.mean - outside.mean
    direction = _solved(spread, apart)
    distance = np.maximum((direction * apart).sum(-1), 0)
    between = ((image - outside.mean) * direction).sum(-1) / (distance + np.float32(1e-3))
    seen = np.clip(50 * np.minimum(inside.weight, outside.weight), 0, 1)  # a side that is hardly there tells nothing
    return np.clip(between, -0.1, 1.1), distance * seen


def guided_coefficients(
    image: np.ndarray, target: np.ndarray, radius: int, eps: float, weights: np.ndarray | None = None
) -> Pair:
    """The colour guided filter's linear functions: `target` is about slope . image + offset.

    Args:
        image: the guide, (h, w, 3) float32 in [0, 1].
        target: (h, w) float32.
        radius: of the window in px.
        eps: regularisation, a squared colour difference.
        weights: (h, w) float32, how much each pixel counts; None for equal weights.

    Returns:
        slope, (h, w, 3), and offset, (h, w), means over all windows that a pixel is in.
    """
    weights = np.ones_like(target) if weights is None else weights
    around = _Colours(image, _products(image), weights, radius)
    total = around.weight + np.float32(1e-6)
    mean = box_mean(target * weights, radius) / total
    together = box_mean(image * (target * weights)[..., None], radius) / total[..., None]
    around.covariance[..., _DIAGONAL] += np.float32(eps)
    slope = _solved(around.covariance, together - around.mean * mean[..., None])
    return box_mean(slope, radius), box_mean(mean - (slope * around.mean).sum(-1), radius)


def _at_full_size(image: np.ndarray, coefficients: np.ndarray, work: Reduced) -> np.ndarray:
    """Alpha of the photo, (H, W) uint8, from the linear functions at the working size, (h, w, 4)."""
    shape = image.shape[:2]
    alpha = np.empty(shape, np.uint8)
    known = np.where(work.unknown, np.float32(0.5), work.prior)
    for rows in bands(*shape):
        values = enlarged_rows(known, shape, rows, cv2.INTER_NEAREST).copy()
        band = values == 0.5
        linear = enlarged_rows(coefficients, shape, rows)[band]
        value = (linear[:, :3] * (image[rows][band] / np.float32(255))).sum(-1) + linear[:, 3]
        values[band] = np.clip((value - _HAZE) / (1 - 2 * _HAZE), 0, 1)
        alpha[rows] = np.rint(255 * values)
    return alpha


def enlarged_rows(small: np.ndarray, shape: tuple[int, int], rows: slice, how: int = cv2.INTER_LINEAR) -> np.ndarray:
    """Some rows of an array enlarged to another size; the same whatever rows are asked for together.

    Args:
        small: (h, w) or (h, w, up to 4) float32.
        shape: (H, W), the size of the whole.
        rows: which of its rows.
        how: OpenCV's interpolation.
    """
    if small.shape[:2] == tuple(shape):
        return small[rows]
    (h, w), (height, width) = small.shape[:2], shape
    x = (np.arange(width, dtype=np.float32) + np.float32(0.5)) * np.float32(w / width) - np.float32(0.5)
    y = (np.arange(rows.start, rows.stop, dtype=np.float32) + np.float32(0.5)) * np.float32(h / height)
    columns, lines = np.meshgrid(x, y - np.float32(0.5))
    result: np.ndarray = cv2.remap(small, columns, lines, how, borderMode=cv2.BORDER_REPLICATE)
    return result


def box_mean(values: np.ndarray, radius: int) -> np.ndarray:
    """The mean over the square window around each pixel, (h, w, ...) float32; the border is mirrored."""
    if radius < 1 or min(values.shape[:2]) < 2:
        return values
    mean: np.ndarray = cv2.blur(values, (2 * radius + 1,) * 2, borderType=cv2.BORDER_REFLECT)
    return mean.reshape(values.shape)


def window_radius(side: float, share: float) -> int:
    """In px, at least 1."""
    return max(1, round(side * share))


def _edge_distance(mask: np.ndarray) -> np.ndarray:
    """The distance in px of each pixel from the mask's edge, (h, w) float32; huge for an empty or full mask."""
    return np.where(mask, depth(mask), depth(~mask))


_DIAGONAL = [0, 3, 5]


def _products(image: np.ndarray) -> np.ndarray:
    """The products of every two channels, (h, w, 6): rr, rg, rb, gg, gb, bb."""
    red, green, blue = (image[..., i] for i in range(3))
    return np.stack([red * red, red * green, red * blue, green * green, green * blue, blue * blue], -1)


def _solved(matrices: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """The solutions x of M x = v for symmetric M, (h, w, 6), and v, (h, w, 3), by Cramer's rule."""
    rr, rg, rb, gg, gb, bb = (matrices[..., i] for i in range(6))
    first, second, third = gg * bb - gb * gb, rb * gb - rg * bb, rg * gb - rb * gg
    fourth, fifth, sixth = rr * bb - rb * rb, rg * rb - rr * gb, rr * gg - rg * rg
    inverse = ((first, second, third), (second, fourth, fifth), (third, fifth, sixth))
    determinant = rr * first + rg * second + rb * third
    x = [sum(row[i] * vectors[..., i] for i in range(3)) / determinant for row in inverse]
    return np.stack(x, -1)
