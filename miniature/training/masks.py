"""The painter's training tasks: backgrounds, objects, and now and then anything."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image
from scipy import ndimage

from miniature.training.scenes import CLASSIFIER_SEEDS, TRAINING_SEEDS, Sample
from miniature.world import describe, scene
from miniature.world.drawing import texture

# Width and height in pixels of parts of scenes, and by how much they exceed the mask, which then fills about as many
# latents as in the crops of the product: those have the area of 128x128 and a context of 1.5.
CLOSEUPS, CONTEXT = ((96, 96), (120, 80), (80, 120)), (1.08, 1.6)
LARGE, OBJECT = 40, 64  # longer side of an object worth a close view, in its scene, and about what it is then

# How far the kept object is grown, in pixels at 128; a recipe grows it by a few pixels of the full
# photograph.
GROWTH, GROWTH_CHANCES = (-1, 0, 1, 2, 3, 4), (0.1, 0.25, 0.28, 0.2, 0.11, 0.06)


@dataclass(frozen=True)
class Repaint:
    """A task for the painter.

    Attributes:
        mask: HxW bool, True where to paint.
        shown: indices of the objects that the prompt must name.
        kind: the kind of task.
    """

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


def box_of(mask: np.ndarray) -> tuple[slice, slice]:
    """The rows and columns that hold a mask."""
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def ragged(mask: np.ndarray, rng: np.random.Generator, pixels: float) -> np.ndarray:
    """The mask with its outline moved in and out by about `pixels`, like that of an imperfect segmentation."""
    inside = ndimage.distance_transform_edt(mask) - ndimage.distance_transform_edt(~mask)
    return inside + texture(rng, mask.shape, (1, 1)) * pixels > 0


def blob(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A random round-ish area of a picture."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    y, x = rng.uniform(0.2, 0.8, 2) * shape
    radius = rng.uniform(0.15, 0.5) * min(shape)
    return np.hypot(rows - y, columns - x) + texture(rng, shape, (1, 1)) * 0.25 * radius < radius


def around(mask: np.ndarray, rng: np.random.Generator, slack: float | np.ndarray) -> np.ndarray:
    """A filled box around the mask, its sides up to `slack` pixels away: one number, or across and down."""
    rows, columns = box_of(mask)
    x0, y0, x1, y1 = (int(v) for v in rng.uniform(0, np.tile(np.broadcast_to(slack, 2), 2)))
    box = np.zeros_like(mask)
    box[max(0, rows.start - y0) : rows.stop + y1, max(0, columns.start - x0) : columns.stop + x1] = True
    return box


def over_another(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The mask together with that of an object of another scene, scaled to its box, as if that object were repainted.

    The box has up to 8 pixels of slack. A scene without objects gives the whole box.
    """
    things = scene(int(rng.integers(TRAINING_SEEDS, CLASSIFIER_SEEDS)), 64, 64).objects
    outline = max((thing.mask for thing in things), key=np.count_nonzero, default=np.ones((1, 1), bool))
    shape, place = outline[box_of(outline)], box_of(around(mask, rng, 8))
    size = (place[1].stop - place[1].start, place[0].stop - place[0].start)
    both = mask.copy()
    both[place] |= np.asarray(Image.fromarray(shape.astype(np.uint8)).resize(size, Image.Resampling.NEAREST)) > 0
    return both


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


def _object(sample: Sample, rng: np.random.Generator, chosen: int, pixel: float = 1) -> Repaint:
    mask, draw = sample.mask(chosen), rng.random()
    if draw < 0.28:
        mask = grow(mask, rng.integers(0, 7) * pixel)
    elif draw < 0.7:
        # Boxes of other proportions too: a ball where a dog was.
        mask = around(mask, rng, rng.choice((4, 10, 24, 44), 2) * pixel)
    elif draw < 0.9:
        mask = grow(over_another(mask, rng), rng.integers(0, 4) * pixel)
    else:
        mask = grow(mask, rng.integers(6, 14) * pixel)
    return Repaint(mask & np.isin(sample.labels, (0, chosen + 1)), (chosen,), "object")


def closeup(sample: Sample, rng: np.random.Generator) -> tuple[Sample, Repaint] | None:
    """A crop around one object that is to be repainted, as an `inpaint` stage crops it.

    So the painter sees objects at much the same size, whatever their size in the scene. The crop has one of the sizes
    in `CLOSEUPS`.

    Returns:
        The crop and the task in it; None if no object is large enough.
    """
    boxes = {i: np.argwhere(sample.mask(i)) for i in sample.visible()}
    sides = {i: max(np.ptp(box, axis=0) + 1) for i, box in boxes.items()}
    large = [i for i, side in sides.items() if side >= LARGE]
    if not large:
        return None
    chosen = int(rng.choice(large))
    task = _object(sample, rng, chosen, sides[chosen] / OBJECT)
    rows, columns = box_of(task.mask)
    height, width = rows.stop - rows.start, columns.stop - columns.start
    shape = min(CLOSEUPS, key=lambda size: abs(np.log(size[0] / size[1] * height / width)))
    scale = max(width / shape[0], height / shape[1]) * rng.uniform(*CONTEXT)
    scale = min(scale, *(np.array(task.mask.shape[::-1]) / shape))
    corners = []
    for box, side, full in zip((columns, rows), shape, task.mask.shape[::-1], strict=True):
        slack = side * scale - (box.stop - box.start)  # less than 0 where the scene has not room for all of the mask
        start = box.start - slack * rng.uniform(0.3, 0.7)
        corners.append(float(np.clip(start, 0, full - side * scale)))
    part = (*corners, *(corner + side * scale for corner, side in zip(corners, shape, strict=True)))
    image = np.asarray(Image.fromarray(sample.image).resize(shape, Image.Resampling.LANCZOS, box=part))
    labels = np.asarray(Image.fromarray(sample.labels).resize(shape, Image.Resampling.NEAREST, box=part))
    mask = np.asarray(Image.fromarray(task.mask.astype(np.uint8)).resize(shape, Image.Resampling.NEAREST, box=part)) > 0
    return replace(sample, image=image, labels=labels), replace(task, mask=mask)


def random_repaint(sample: Sample, rng: np.random.Generator, objects: float = 0.2) -> Repaint:
    """A task for the painter on this scene; `objects` is the share of tasks that repaint one of its objects."""
    visible, draw = sample.visible(), rng.random()
    if visible and draw < objects:
        return _object(sample, rng, int(rng.choice(visible)))
    if visible and draw < 0.94:
        return _background(sample, rng, visible)
    everything = draw > 0.97
    mask = np.ones(sample.labels.shape, bool) if everything else blob(sample.labels.shape, rng)
    return Repaint(mask, tuple(visible), "any")


def prompt(sample: Sample, shown: tuple[int, ...], kind: str, rng: np.random.Generator) -> str:
    """The prompt of a task: the objects it must show, always by name and colour, and mostly the place."""
    things = [sample.things[i] for i in shown]
    place = None if kind == "object" and rng.random() < 0.6 else sample.place
    return describe(place, things, rng, with_colour=1.0 if kind == "object" else 0.8, light=sample.light)
