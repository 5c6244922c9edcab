"""What the painter is asked to repaint while it learns: backgrounds, objects, and now and then anything."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from pipeline.miniature.world import describe
from pipeline.miniature.world.drawing import texture

from .scenes import Sample

# How far the kept object is grown, in pixels at 128; a recipe grows it by a few pixels of the full
# photograph.
GROWTH, GROWTH_CHANCES = (-1, 0, 1, 2, 3, 4), (0.1, 0.25, 0.28, 0.2, 0.11, 0.06)


@dataclass(frozen=True)
class Repaint:
    """mask: HxW bool, True where to paint. shown: indices of the objects the prompt must name. kind: why."""

    mask: np.ndarray
    shown: tuple[int, ...]
    kind: str


def grow(mask: np.ndarray, pixels: float) -> np.ndarray:
    """The mask grown by a disc of that radius; negative shrinks it."""
    if pixels == 0:
        return mask
    if pixels > 0:
        return ndimage.distance_transform_edt(~mask) <= pixels
    return ndimage.distance_transform_edt(mask) > -pixels


def ragged(mask: np.ndarray, rng: np.random.Generator, pixels: float) -> np.ndarray:
    """The mask with its outline moved in and out by about ``pixels``, as an imperfect segmentation has it."""
    inside = ndimage.distance_transform_edt(mask) - ndimage.distance_transform_edt(~mask)
    return inside + texture(rng, mask.shape, (1, 1)) * pixels > 0


def blob(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A random round-ish area of a picture."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    y, x = rng.uniform(0.2, 0.8, 2) * shape
    radius = rng.uniform(0.15, 0.5) * min(shape)
    return np.hypot(rows - y, columns - x) + texture(rng, shape, (1, 1)) * 0.25 * radius < radius


def around(mask: np.ndarray, rng: np.random.Generator, slack: float = 10) -> np.ndarray:
    """A filled box around the mask, each side up to ``slack`` pixels away."""
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    x0, y0, x1, y1 = (int(v) for v in rng.uniform(0, slack, 4))
    box = np.zeros_like(mask)
    box[max(0, rows[0] - y0) : rows[-1] + 1 + y1, max(0, columns[0] - x0) : columns[-1] + 1 + x1] = True
    return box


def _background(sample: Sample, rng: np.random.Generator, visible: list[int]) -> Repaint:
    kept = visible if rng.random() < 0.75 else [visible[rng.integers(len(visible))]]
    keep = np.isin(sample.labels, [i + 1 for i in kept])
    keep = grow(keep, rng.choice(GROWTH, p=GROWTH_CHANCES))
    if rng.random() < 0.25:
        keep = ragged(keep, rng, rng.uniform(0.5, 2))
    # Objects painted over are no longer in the picture, so prompts that name objects name all that are.
    shown = tuple(kept) if rng.random() < 0.3 else ()
    if len(kept) < len(visible):
        shown = tuple(i for i in visible if i not in kept)
    return Repaint(~keep, shown, "background")


def _object(sample: Sample, rng: np.random.Generator, visible: list[int]) -> Repaint:
    chosen = int(rng.choice(visible))
    mask, draw = sample.mask(chosen), rng.random()
    if draw < 0.4:
        mask = grow(mask, rng.integers(0, 7))
    elif draw < 0.85:
        mask = around(mask, rng, rng.choice((4, 10, 24)))  # boxes of other proportions too: a house where a tree was
    else:
        mask = grow(mask, rng.integers(6, 14))
    return Repaint(mask & np.isin(sample.labels, (0, chosen + 1)), (chosen,), "object")


def random_repaint(sample: Sample, rng: np.random.Generator, objects: float = 0.66) -> Repaint:
    """A task for the painter on this scene; ``objects`` is the share of tasks that repaint one of its objects."""
    visible, draw = sample.visible(), rng.random()
    if visible and draw < objects:
        return _object(sample, rng, visible)
    if visible and draw < 0.94:
        return _background(sample, rng, visible)
    everything = draw > 0.97
    mask = np.ones(sample.labels.shape, bool) if everything else blob(sample.labels.shape, rng)
    return Repaint(mask, tuple(visible), "any")


def prompt(sample: Sample, shown: tuple[int, ...], kind: str, rng: np.random.Generator) -> str:
    """Words for a repaint: the objects it must show, always by name and colour, and mostly the place."""
    things = [sample.things[i] for i in shown]
    place = None if kind == "object" and rng.random() < 0.6 else sample.place
    return describe(place, things, rng, with_colour=1.0 if kind == "object" else 0.8, light=sample.light)
