"""Measures soft edges on drawn scenes with known alpha: `python -m miniature.evaluate_edges`.

Each scene is put on four new backgrounds with its true alpha and colours, and with those of every way to make an edge.
The seeds were never looked at before the table was made; parameters were chosen on other seeds and on photographs.
Prints the tables and writes them into `docs/edges.md`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from darkroom.imaging.edit import Edit
from darkroom.imaging.layers import is_band
from darkroom.imaging.masks import to_uint8
from darkroom.imaging.unmixing import unmixed
from darkroom.models import Memory, ModelNames, Models
from darkroom.stages.matte import Matte
from darkroom.stages.refine import Refine
from miniature import evaluate_rim
from miniature.edge_scenes import (
    KINDS,
    EdgeScene,
    backdrop,
    edge_scene,
    mask_as_a_salient_network_makes_it,
    mask_as_sam_makes_it,
)
from miniature.evaluate import miniatures
from miniature.evaluate_masks import write

PAGE = Path(__file__).parents[1] / "docs" / "edges.md"
FIRST = 1000  # of the seeds
NEAR = 8  # px from the mask's edge or the true one, at 768 px: the edge band
MASKS = {"like SAM's": mask_as_sam_makes_it, "like a salient network's": mask_as_a_salient_network_makes_it}

Way = Callable[[EdgeScene, Edit], Edit]


@dataclass(frozen=True)
class Case:
    """A scene, and a mask of its thing.

    Attributes:
        kind: of the scene.
        seed: of the scene.
        scene: photo and truth.
        edit: the photo with the mask.
    """

    kind: str
    seed: int
    scene: EdgeScene
    edit: Edit

    def error(self, edit: Edit) -> float:
        """The mean absolute error, 0 to 255, of the thing on new backgrounds in the edge band."""
        band = near_edge(self.edit.need_mask() >= 128) | near_edge(self.scene.alpha >= 0.5)
        share, truth = edit.need_mask()[band][:, None] / 255, self.scene.alpha[band][:, None]
        colours = edit.image
        if edit.layers:
            colours = np.where(is_band(edit.need_mask())[..., None], edit.layers.inside, edit.image)
        rng = np.random.default_rng([self.seed, 99])
        errors = []
        for new in (np.full(3, 255), np.full(3, 20), np.array([30, 200, 60]), backdrop(rng)[band]):
            made, right = (a * each[band] + (1 - a) * new for a, each in ((share, colours), (truth, self.scene.inside)))
            errors.append(np.abs(made - right).mean())
        return float(np.mean(errors))


def near_edge(mask: np.ndarray) -> np.ndarray:
    """The pixels within `NEAR` px of the edge of a mask, (H, W) bool."""
    inner, outer = (cv2.distanceTransform(side.astype(np.uint8), cv2.DIST_L2, 5) for side in (mask, ~mask))
    near: np.ndarray = np.maximum(inner, outer) <= NEAR
    return near


def refined(**parameters: float) -> Way:
    """An edge of `refine`."""
    return lambda scene, edit: Refine(**parameters).apply(edit, None)


def matted(models: Models, band: float = 0.01, strands: bool = False, colours: bool = True) -> Way:
    """An edge of `matte`, with or without its unmixed colours."""

    def apply(scene: EdgeScene, edit: Edit) -> Edit:
        found = Matte(band=band, strands=strands).apply(edit, models)
        return found if colours else found.with_mask(found.need_mask())

    return apply


def true_alpha(colours: bool) -> Way:
    """The true alpha, with or without colours unmixed by it."""

    def apply(scene: EdgeScene, edit: Edit) -> Edit:
        alpha = to_uint8(scene.alpha)
        return edit.with_mask(alpha, layers=unmixed(edit.image, alpha) if colours else None)

    return apply


def ways() -> Mapping[str, Way]:
    """Everything that is compared, by the name that the table shows."""
    guided = Models(ModelNames(), Memory(), "cpu")
    closed_form = Models(ModelNames(matting="closed_form"), Memory(), "cpu")
    return {
        "hard mask": refined(),
        "`refine: {feather: 2}`": refined(feather=2),
        "`refine: {grow: -2, feather: 2}`, as in the recipes of drawn scenes": refined(grow=-2, feather=2),
        "`refine: {grow: -4, feather: 8}`": refined(grow=-4, feather=8),
        "`matte`, its alpha alone": matted(guided, colours=False),
        "**`matte`**": matted(guided),
        "**`matte: {strands: true}`**": matted(guided, strands=True),
        "`matte: {band: 0.04}`": matted(guided, band=0.04),
        "`models.matting=closed_form`": matted(closed_form),
        "true alpha": true_alpha(colours=False),
        "true alpha, unmixed colours": true_alpha(colours=True),
    }


def cases(mask: str, seeds: int) -> Iterator[Case]:
    """Scenes of all kinds."""
    for seed in range(FIRST, FIRST + seeds):
        for kind in KINDS:
            scene = edge_scene(kind, seed)
            yield Case(kind, seed, scene, Edit(scene.photo, scene.photo).with_mask(MASKS[mask](scene.alpha, seed)))


def table(mask: str, seeds: int) -> list[str]:
    """The mean errors by kind of thing, as Markdown; the last columns are the mean, its spread and the time."""
    found = list(cases(mask, seeds))
    lines = [
        f"| masks {mask} | {' | '.join(KINDS)} | mean | over seeds | seconds |",
        f"|---|{'---|' * (len(KINDS) + 3)}",
    ]
    for name, way in ways().items():
        errors: dict[str, list[float]] = {kind: [] for kind in KINDS}
        start = time.perf_counter()
        edits = [way(case.scene, case.edit) for case in found]
        seconds = (time.perf_counter() - start) / len(found)
        for case, edit in zip(found, edits, strict=True):
            errors[case.kind].append(case.error(edit))
        lines.append(_row(name, list(errors.values()), seconds))
        print(lines[-1], flush=True)
    return lines


def _row(name: str, errors: Sequence[Sequence[float]], seconds: float) -> str:
    shown = " | ".join(f"{np.mean(values):.1f}" for values in errors)
    by_seed = np.mean(errors, axis=0)
    return f"| {name} | {shown} | {by_seed.mean():.1f} | {by_seed.min():.1f} – {by_seed.max():.1f} | {seconds:.1f} |"


def main() -> None:
    """Measure, print, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=4, help="scenes of each kind; default: %(default)s")
    parser.add_argument("--objects", type=int, default=16, help="objects in new places; default: %(default)s")
    given = parser.parse_args()
    lines = [line for mask in MASKS for line in (*table(mask, given.seeds), "")]
    rim = evaluate_rim.table(miniatures(), given.objects)
    print("\n".join(rim))
    write([*lines, *rim], PAGE)


if __name__ == "__main__":
    main()
