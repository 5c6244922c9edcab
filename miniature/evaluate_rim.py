"""Measures what a new background does to the subject's rim: `python -m miniature.evaluate_rim`.

Drawn scenes with one object are repainted around it. The object's true share of every pixel is known, since scenes are
drawn at twice the size. Prints the table; `miniature.evaluate_edges` writes it into `docs/edges.md`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from darkroom.imaging.compositing import WorkingCrop
from darkroom.imaging.crops import Crop
from darkroom.imaging.edit import Edit
from darkroom.models import Models
from darkroom.stages.inpaint import Inpaint
from darkroom.stages.invert import Invert
from darkroom.stages.matte import Matte
from darkroom.stages.refine import Refine
from miniature.evaluate import held_out, miniatures
from miniature.world import PLACES

FIRST, SCALE = 53_000, 12  # of held-out seeds, where no other measure has any; scenes of about 1536 px, halved
SHARES = (0.04, 0.4)  # of the picture that the object covers
SETTINGS = {"steps": 12, "guidance_scale": 3.0, "strength": 1.0, "seed": 3}
RING, GROUND = 8, (12, 40)  # px from the object: the pixels examined, and the ground that they are compared with
DISTINCT = 60  # least distance in RGB between object and ground for a pixel to be examined


@dataclass(frozen=True)
class Case:
    """A drawn object to put somewhere else.

    Attributes:
        photo: (H, W, 3) uint8.
        alpha: (H, W) uint8, the object's true share of each pixel.
        prompt: of the new place.
    """

    photo: np.ndarray
    alpha: np.ndarray
    prompt: str

    @property
    def click(self) -> np.ndarray:
        """The point of the object that is farthest from its edge, x and y."""
        inside = cv2.distanceTransform((self.alpha == 255).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        return np.array(np.unravel_index(inside.argmax(), inside.shape), float)[::-1]


class RimShown(Inpaint):
    """`inpaint` whose model sees the subject's rim."""

    def _cut(self, edit: Edit, models: Models) -> list[tuple[Crop, WorkingCrop]]:
        return super()._cut(replace(edit, layers=None), models)


def cases(count: int) -> Iterator[Case]:
    """Scenes with one object, and another place to put it."""
    found = 0
    for picture in held_out(40 * count, FIRST, scale=SCALE):
        if found == count:
            return
        if len(picture.objects) == 1 and SHARES[0] < picture.objects[0].mask.mean() < SHARES[1]:
            height, width = (side // 2 for side in picture.image.shape[:2])
            halves = [picture.image, picture.objects[0].mask * np.uint8(255)]
            photo, alpha = (cv2.resize(each, (width, height), interpolation=cv2.INTER_AREA) for each in halves)
            places = [place for place in ("mars", "snow", "beach", "meadow") if place != picture.place]
            yield Case(photo, alpha, PLACES[places[found % len(places)]].phrases[0])
            found += 1


def by_hand(**parameters: float) -> Callable[[Case, Models], Edit]:
    """The true outline with an edge from `refine`."""
    return lambda case, models: Refine(**parameters).apply(_outline(case), models)


def matte(case: Case, models: Models) -> Edit:
    """The true outline with an edge from `matte`."""
    return Matte().apply(_outline(case), models)


def _outline(case: Case) -> Edit:
    return Edit(case.photo, case.photo).with_mask(case.alpha > 127)


EDGES: Mapping[str, tuple[Callable[[Case, Models], Edit], type[Inpaint]]] = {
    "`refine: {feather: 2}`": (by_hand(feather=2), Inpaint),
    "`refine: {grow: -2, feather: 2}`": (by_hand(grow=-2, feather=2), Inpaint),
    "`matte`, its rim shown to the model": (matte, RimShown),
    "`matte`": (matte, Inpaint),
}


def grown(case: Case, result: np.ndarray) -> float:
    """The share of the pixels just outside the object that have the object's colours rather than those of the ground.

    Args:
        case: before.
        result: (H, W, 3) uint8, the object in its new place.
    """
    distance, labels = cv2.distanceTransformWithLabels(
        (case.alpha < 255).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    rows, columns = np.nonzero(case.alpha == 255)
    numbers = np.zeros(labels.max() + 1, int)
    numbers[labels[rows, columns]] = np.arange(len(rows))
    nearest = case.photo[rows, columns][numbers[labels]].astype(np.float32)
    ground = _blurred(result, (distance > GROUND[0]) & (distance < GROUND[1]))
    examined = (case.alpha == 0) & (distance <= RING) & (np.linalg.norm(nearest - ground, axis=-1) > DISTINCT)
    of_object = np.linalg.norm(result - nearest, axis=-1) < np.linalg.norm(result - ground, axis=-1)
    return float(of_object[examined].mean()) if examined.any() else float("nan")


def _blurred(picture: np.ndarray, known: np.ndarray) -> np.ndarray:
    weight = known.astype(np.float32)
    total = cv2.GaussianBlur(weight, (0, 0), 14)
    return cv2.GaussianBlur(picture * weight[..., None], (0, 0), 14) / np.maximum(total, 1e-5)[..., None]


def by_sam(case: Case, picture: np.ndarray, models: Models) -> tuple[float, float]:
    """IoU with the true outline, and area divided by the true one, of what SAM finds with a click."""
    masks, scores = models.sam.masks(picture, case.click[None], np.array([1]), None)
    found, truth = masks[int(np.argmax(scores))] > 0, case.alpha > 127
    return float((found & truth).sum() / (found | truth).sum()), float(found.sum() / truth.sum())


def table(models: Models, count: int) -> list[str]:
    """The measurements as Markdown."""
    values: dict[str, list[tuple[float, float, float]]] = {name: [] for name in ("the photo itself", *EDGES)}
    for case in cases(count):
        values["the photo itself"].append((float("nan"), *by_sam(case, case.photo, models)))
        for name, (edge, repaint) in EDGES.items():
            edit: Any = Invert().apply(edge(case, models), models)
            result = repaint(prompt=case.prompt, **SETTINGS).apply(edit, models).image
            values[name].append((grown(case, result), *by_sam(case, result, models)))
    lines = [f"| {count} objects in new places | grown | IoU | area |", "|---|---|---|---|"]
    for name, rows in values.items():
        share, iou, area = (np.array(column) for column in zip(*rows, strict=True))
        shown = "" if np.isnan(share).all() else f"{np.nanmean(share):.1%}"
        lines.append(f"| {name} | {shown} | {iou.mean():.3f} | {np.median(area):.3f} |")
    return lines


def main() -> None:
    """Measure, print, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=24)
    lines = table(miniatures(), parser.parse_args().cases)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
