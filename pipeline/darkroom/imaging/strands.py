"""Alpha far from the mask's edge, where loose hair, fur or spokes reach out of the mask. Arrays only.

In a wide band, colours alone find the strands, but also every stone and shadow that has the subject's colours. So the
alpha of `matting` is corrected, pixel by pixel, by a small network: a perceptron with two hidden layers, which sees how
alpha looks around the pixel, how clear the colours were in each window, and how far the mask's edge is. It was trained
on drawn scenes (`miniature.training.strands`). Its correction counts near the edge, and farther away only where
alpha is full of thin structures, as in hair, and unlike along the outline of a car.
"""

from __future__ import annotations

from functools import cache, partial
from importlib.resources import files

import cv2
import numpy as np

from darkroom.imaging.matting import Pair, Pass, Reduced, box_mean, colour_passes, found_alpha, smoothing, window_radius

REACH = 0.05
"""How far from the mask's edge strands are looked for, as a share of the longer side; the network knows no other."""

_THIN = (1 / 512, 1 / 256, 1 / 96)  # radii of openings and closings, as shares of the longer side
_AROUND, _WIDER = (1 / 384, 1 / 128), (1 / 48, 1 / 24)  # radii of means of alpha; the narrow ones with deviations
_TEXTURE = (1 / 384, 1 / 100, 1 / 32)  # radii of deviations of the grey photo
_HAIRY = (0.05, 0.09)  # share of thin structures at which the correction begins to count, and counts fully
_CHUNK = 1 << 16  # pixels that the network sees at once


def strands_alpha(image: np.ndarray, mask: np.ndarray, band: float) -> np.ndarray:
    """Alpha from a mask, with the strands that reach out of it.

    Args:
        image: (H, W, 3) uint8 RGB.
        mask: (H, W) uint8, hard or soft.
        band: how far from the mask's edge alpha is unknown where there are no strands, as a share of the longer side.

    Returns:
        (H, W) uint8; 0 or 255 farther than `REACH` from the edge.
    """
    return found_alpha(image, mask, REACH, partial(_corrected, band=band))


def _corrected(work: Reduced, band: float) -> Pair:
    """Alpha and a certainty of 1, both (h, w) float32."""
    offset = signed_distance(work)
    seen, guided = evidence(work)
    alpha = work.prior.copy()
    alpha[work.unknown] = np.clip(guided[work.unknown] + _network(seen[work.unknown]), 0, 1)
    near = (1.2 * band - np.abs(offset) * REACH) / (0.4 * band)  # fades out around the band's end
    hairy = (_hairiness(alpha, offset, work) - _HAIRY[0]) / (_HAIRY[1] - _HAIRY[0])
    hard = (offset > 0).astype(np.float32)
    alpha = np.where(work.unknown, hard + np.clip(np.maximum(near, hairy), 0, 1) * (alpha - hard), work.prior)
    return alpha.astype(np.float32), np.ones_like(work.prior)


def signed_distance(work: Reduced) -> np.ndarray:
    """(h, w) float32, from the mask's edge in units of `REACH`: positive inside, -1 to 1."""
    side = np.where(work.share >= 0.5, work.distance, -work.distance)
    return np.clip(side / np.float32(REACH * work.side), -1, 1).astype(np.float32)


def evidence(work: Reduced) -> tuple[np.ndarray, np.ndarray]:
    """What the network sees of each pixel, (h, w, 39) float32, and the alpha that it corrects, (h, w) float32."""
    passes = list(colour_passes(work))
    slope, constant = smoothing(work, passes[-1].alpha, passes[-1].certainty)
    guided = np.where(work.unknown, np.clip((work.image * slope).sum(-1) + constant, 0, 1), work.prior)
    guided, offset = guided.astype(np.float32), signed_distance(work)
    seen = [
        *(each for found in passes for each in _of_pass(found)),
        *(passes[-1].alpha, passes[-1].certainty, offset, np.abs(offset), work.share),
        box_mean(work.share, window_radius(work.side, 0.01)),
        *_of_photo(work),
        *_of_alpha(guided, work.side),
        *_disagreement(guided, offset, work.side),
    ]
    return np.dstack([each.astype(np.float32) for each in seen]), guided


def _of_pass(found: Pass) -> list[np.ndarray]:
    return [found.between, np.log1p(found.precision) / 4, np.sqrt(np.maximum(found.mistakes, 0))]


def _of_photo(work: Reduced) -> list[np.ndarray]:
    """How much texture there is around each pixel, and how much it differs from its neighbours."""
    grey = work.image.mean(-1)
    deviations = [4 * _deviation(grey, window_radius(work.side, share)) for share in _TEXTURE]
    return [*deviations, 8 * np.abs(grey - box_mean(grey, window_radius(work.side, 1 / 384)))]


def _of_alpha(alpha: np.ndarray, side: int) -> list[np.ndarray]:
    """Alpha, what of it is thin, and its means and deviations."""
    thin = [each for share in _THIN for each in _thin(alpha, window_radius(side, share))]
    near = [window_radius(side, share) for share in _AROUND]
    around = [each for radius in near for each in (box_mean(alpha, radius), _deviation(alpha, radius))]
    return [alpha, *thin, *around, *(box_mean(alpha, window_radius(side, share)) for share in _WIDER)]


def _disagreement(alpha: np.ndarray, offset: np.ndarray, side: int) -> list[np.ndarray]:
    """How much alpha adds to the mask and takes from it around each pixel, near its edge and in the whole reach."""
    hard, radius, found = (offset > 0).astype(np.float32), window_radius(side, 1 / 32), []
    for width in (0.25, 1):
        zone = (np.abs(offset) < width).astype(np.float32)
        total = box_mean(zone, radius) + np.float32(1e-3)
        found += [box_mean(zone * np.maximum(sign * (alpha - hard), 0), radius) / total for sign in (1, -1)]
    return found


def _hairiness(alpha: np.ndarray, offset: np.ndarray, work: Reduced) -> np.ndarray:
    """The mean share of thin structures around each pixel, (h, w) float32; the mask's own edge does not count."""
    thin = np.maximum(*_thin(alpha, window_radius(work.side, 1 / 256)))
    zone = (work.unknown & (np.abs(offset) > 0.12)).astype(np.float32)
    radius = window_radius(work.side, 1 / 24)
    share: np.ndarray = box_mean(thin * zone, radius) / (box_mean(zone, radius) + np.float32(0.01))
    return share


def _thin(alpha: np.ndarray, radius: int) -> Pair:
    """What an opening takes from alpha, and what a closing adds to it: thin strands, and thin gaps."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2)
    opened, closed = (cv2.morphologyEx(alpha, how, disc) for how in (cv2.MORPH_OPEN, cv2.MORPH_CLOSE))
    return alpha - opened, closed - alpha


def _deviation(values: np.ndarray, radius: int) -> np.ndarray:
    mean = box_mean(values, radius)
    deviation: np.ndarray = np.sqrt(np.maximum(box_mean(values * values, radius) - mean * mean, 0))
    return deviation


@cache
def _weights() -> tuple[np.ndarray, ...]:
    """The matrix and the offsets of each layer, float32."""
    with files("darkroom.imaging").joinpath("strands.npz").open("rb") as file:
        stored = np.load(file, allow_pickle=False)
        return tuple(stored[name] for name in sorted(stored.files))


def _network(seen: np.ndarray) -> np.ndarray:
    """The corrections of alpha, (n,) float32, for `evidence` of n pixels, (n, 39) float32."""
    first, first_offset, second, second_offset, last, last_offset = _weights()
    found = [np.zeros(0, np.float32)]
    for start in range(0, len(seen), _CHUNK):
        hidden = np.maximum(seen[start : start + _CHUNK] @ first + first_offset, 0)
        found.append(np.maximum(hidden @ second + second_offset, 0) @ last + last_offset)
    return np.concatenate(found)
