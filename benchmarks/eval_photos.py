"""`make eval-photos DIR=…`: compares what `subject` finds in photographs with true masks.

Every way is a stage or two with the parameters of a recipe, and runs on every photo of the folder that has a true mask.
Masks are compared at one half. Prints a table in Markdown. To measure another way, add a line to `WAYS`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import yaml

from darkroom.errors import DarkroomError
from darkroom.imaging.codec import FORMATS, read_photo
from darkroom.imaging.edit import Edit
from darkroom.models import Memory, ModelNames, Models
from darkroom.stages import STAGES
from darkroom.stages.mask_file import read_mask

# The network, or `grabcut`, and the stages of a recipe.
WAYS = (
    ("u2netp", "{subject: {}}"),
    ("u2netp", "{subject: {keep_largest: null}}"),
    ("u2netp", "{subject: {}, matte: {}}"),
    ("u2netp", "{subject: {}, matte: {strands: true}}"),
    ("grabcut", "{subject: {}}"),
)
TOLERANCE = 0.0075  # of the diagonal: the distance at which two outlines still agree
NEAR = 2  # px: the same, for a strict look


@dataclass(frozen=True)
class Scores:
    """How well a mask agrees with the truth.

    Attributes:
        iou: intersection over union.
        outline: `boundary_f` within `TOLERANCE` of the photo's diagonal.
        near: `boundary_f` within `NEAR` px.
        seconds: that the stages took, without loading the network.
    """

    iou: float
    outline: float
    near: float
    seconds: float


def boundary_f(mask: np.ndarray, truth: np.ndarray, tolerance: float) -> float:
    """The F-score of a mask's outline.

    The mean of precision and recall, 2PR / (P + R): precision is the share of the mask's outline with the true outline
    within the tolerance, recall the share of the true outline with the mask's. Outlines along the photo's border are
    not counted. Source: Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation"
    (DAVIS), CVPR 2016.

    Args:
        mask: (H, W) bool.
        truth: (H, W) bool.
        tolerance: distance in px.

    Returns:
        0 to 1; 1 if neither has an outline.
    """
    found, wanted = outline(mask), outline(truth)
    if not found.any() or not wanted.any():
        return float(found.any() == wanted.any())
    precision = float((distance_to(wanted)[found] <= tolerance).mean())
    recall = float((distance_to(found)[wanted] <= tolerance).mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def outline(mask: np.ndarray) -> np.ndarray:
    """(H, W) bool: pixels whose right, lower or lower right neighbour lies on the mask's other side."""
    edge = np.zeros_like(mask)
    edge[:, :-1] |= mask[:, :-1] ^ mask[:, 1:]
    edge[:-1] |= mask[:-1] ^ mask[1:]
    edge[:-1, :-1] |= mask[:-1, :-1] ^ mask[1:, 1:]
    return edge


def distance_to(pixels: np.ndarray) -> np.ndarray:
    """(H, W) float32: distance in px to the nearest of these pixels, (H, W) bool."""
    distance: np.ndarray = cv2.distanceTransform((~pixels).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return distance


def iou(mask: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union of two (H, W) bool masks; 1 if both are empty."""
    either = (mask | truth).sum()
    return float((mask & truth).sum() / either) if either else 1.0


def scores(mask: np.ndarray, truth: np.ndarray, seconds: float) -> Scores:
    """The scores of a mask, both (H, W) bool."""
    allowed = TOLERANCE * float(np.hypot(*truth.shape))
    return Scores(iou(mask, truth), boundary_f(mask, truth, allowed), boundary_f(mask, truth, NEAR), seconds)


def found(photo: Path, stages: str, models: Models) -> tuple[np.ndarray, float]:
    """The mask that these stages make for a photo, (H, W) bool, and the seconds they take."""
    image = read_photo(photo).pixels
    edit = Edit(image, image, name=photo.name)
    start = time.perf_counter()
    for op, parameters in yaml.safe_load(stages).items():
        edit = STAGES[op](**parameters).apply(edit, models)
    return edit.need_mask() >= 128, time.perf_counter() - start


def photos_with_masks(folder: Path, masks: Path) -> tuple[list[tuple[Path, Path]], list[Path]]:
    """The photos of a folder with their masks, by file name, and the photos that have none."""
    photos = sorted(path for path in folder.iterdir() if path.suffix.lower() in FORMATS)
    pairs = [(photo, masks / f"{photo.stem}.png") for photo in photos]
    return [pair for pair in pairs if pair[1].is_file()], [photo for photo, mask in pairs if not mask.is_file()]


def table(pairs: Sequence[tuple[Path, Path]]) -> Iterator[str]:
    """The scores of every way on every photo, and their means, as Markdown."""
    yield f"| model | stages | photo | IoU | boundary F, {TOLERANCE:.2%} | boundary F, {NEAR} px | seconds |"
    yield "|---|---|---|---|---|---|---|"
    for name, stages in WAYS:
        models = Models(ModelNames(subject=name), Memory(), "cpu")
        _ = models.subject  # loaded before the clock starts
        rows = []
        for photo, path in pairs:
            mask, seconds = found(photo, stages, models)
            rows.append(scores(mask, read_mask(path, mask.shape[::-1])[0] >= 128, seconds))
            yield _row(name, stages, photo.name, rows[-1])
        means = (float(np.mean([getattr(row, key) for row in rows])) for key in ("iou", "outline", "near", "seconds"))
        yield _row(name, stages, "**mean**", Scores(*means))


def _row(name: str, stages: str, photo: str, row: Scores) -> str:
    return f"| {name} | `{stages}` | {photo} | {row.iou:.3f} | {row.outline:.3f} | {row.near:.3f} | {row.seconds:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="the photos")
    parser.add_argument("--masks", type=Path, help="their true masks, NAME.png for NAME.jpg; default: FOLDER/masks")
    given = parser.parse_args()
    masks = given.masks or given.folder / "masks"
    try:
        pairs, without = photos_with_masks(given.folder, masks)
        for photo in without:
            print(f"{photo}: left out, as there is no {masks / photo.stem}.png")
        if not pairs:
            raise SystemExit(f"no photo in {given.folder} has a true mask in {masks}")
        for line in table(pairs):
            print(line, flush=True)
    except (DarkroomError, OSError) as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
