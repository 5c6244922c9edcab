"""Measures the ops that find objects, on scenes with ground truth: `python -m miniature.evaluate_masks`.

Every way to find an object is a stage with the parameters of a recipe, applied to held-out scenes from a fixed list of
seeds. Prints a table and writes it into `docs/masks.md`. To measure another op, add a line to `WAYS`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import yaml

from darkroom.imaging.edit import Edit
from darkroom.models import Models
from darkroom.stages import STAGES, Stage
from miniature.evaluate import BEGIN, END, held_out, iou, miniatures, seen
from miniature.examples import click
from miniature.world import KINDS, Scene

PAGE = Path(__file__).parents[1] / "docs" / "masks.md"
FIRST, SCALE = 20_000, 3  # of held-out seeds, where no other measure has any; pictures of about 384 x 384 px
LOOKALIKES = {
    "horse": "zebra", "zebra": "horse", "cow": "horse", "dog": "cat", "cat": "dog", "car": "truck", "truck": "bus",
    "bus": "truck", "bicycle": "car", "ball": "car", "house": "truck", "tree": "house", "boat": "house",
}  # fmt: skip
CRUMB = 0.003  # share of the picture below which a mask is as good as empty

Results = dict[str, list[float]]  # by way, one for each case


@dataclass(frozen=True)
class Case:
    """An object to find in a picture.

    Attributes:
        picture: the scene.
        kind: the kind of object.
        truth: HxW bool, its true mask; empty if the picture does not show it.
        colour: its colour, if it is part of the name.
    """

    picture: Scene
    kind: str
    truth: np.ndarray
    colour: str | None = None

    def stage(self, way: str) -> Stage:
        """One of `WAYS` for this object; OTHERS are its lookalike and the other objects of the picture."""
        kinds = [LOOKALIKES[self.kind], *(each.kind for each in self.picture.objects)]
        words = {
            "THING": f"a {self.kind}",
            "LOOKALIKE": f"a {LOOKALIKES[self.kind]}",
            "OTHERS": [f"a {kind}" for kind in dict.fromkeys(kinds) if kind != self.kind],
            "CLICK": click(self.truth),
            "PHOTO": f"a photo of a {' '.join(filter(None, (self.colour, self.kind)))}",
            "CHANGED": f"a photo of a {LOOKALIKES[self.kind]}",
        }
        ((op, parameters),) = yaml.safe_load(way).items()
        return STAGES[op](**{key: words.get(value, value) for key, value in parameters.items()})


# An op as a recipe would give it; CLICK is in the thing's middle, where a careful person would click.
WAYS = (
    "text: {phrase: THING}",
    "text: {phrase: THING, threshold: otsu}",
    "clip_diff: {source: THING, target: LOOKALIKE}",
    "text: {phrase: THING, without: OTHERS, combine: probability, threshold: otsu}",
    "text: {phrase: THING, without: OTHERS, combine: logit}",
    "text: {phrase: THING, without: OTHERS, combine: logit, threshold: otsu}",
    "text: {phrase: THING, without: OTHERS, combine: softmax, threshold: otsu}",
    "snap: {phrase: THING}",
    "snap: {phrase: THING, threshold: otsu}",
    "snap: {phrase: THING, without: OTHERS}",
    "snap: {phrase: THING, without: OTHERS, threshold: otsu}",
    "auto: {choose: text, phrase: THING}",
    "sam: {points: CLICK}",
)
PLAIN, SNAPPED, MARGIN = WAYS[0], WAYS[7], 0.05  # the second must beat the first by so much
CONTRAST, TIMES = "diffedit: {reference: PHOTO, query: CHANGED}", 2  # it must beat chance so many times over
SWAPPED = ("horse", "zebra", "car", "truck")


def as_they_come(count: int) -> Iterator[Case]:
    """Every object of random scenes."""
    for picture in held_out(count, FIRST, scale=SCALE):
        yield from (Case(picture, thing.kind, thing.mask) for thing in seen(picture))


def beside_a_lookalike(count: int) -> Iterator[Case]:
    """A horse beside a zebra, a car beside a truck; either one is to be found."""
    for number, kinds in enumerate((("horse", "zebra"), ("car", "truck")), 1):
        objects = [(kind, KINDS[kind].colours[0] if KINDS[kind].colours else None) for kind in kinds]
        for picture in held_out(count // 2, FIRST + 1000 * number, scale=SCALE, objects=objects):
            yield from (Case(picture, thing.kind, thing.mask) for thing in seen(picture))


def by_itself(count: int) -> Iterator[Case]:
    """An object alone in its picture, to be edited into its lookalike."""
    for number, kind in enumerate(SWAPPED):
        colours = KINDS[kind].colours or (None,)
        for i in range(count // len(SWAPPED)):
            wanted = [(kind, colours[i % len(colours)])]
            (picture,) = held_out(1, FIRST + 100 * number + i, scale=SCALE, objects=wanted)
            yield from (Case(picture, thing.kind, thing.mask, thing.colour) for thing in seen(picture))


def not_there(count: int) -> Iterator[Case]:
    """A kind that the picture does not show, a different one for every picture."""
    for number, picture in enumerate(held_out(count, FIRST, scale=SCALE)):
        missing = [kind for kind in KINDS if kind not in {thing.kind for thing in picture.objects}]
        yield Case(picture, missing[number % len(missing)], np.zeros(picture.image.shape[:2], bool))


def measure(models: Models, cases: Iterator[Case], judge: Callable[[np.ndarray, np.ndarray], float]) -> Results:
    """The judge's value for the mask of each way in every case, from that mask and the true one, both HxW bool."""
    results: Results = {way: [] for way in WAYS}
    for case in cases:
        edit = Edit(case.picture.image, case.picture.image)
        for way in WAYS:
            mask = case.stage(way).apply(edit, models).need_mask()
            results[way].append(judge(mask >= 128, case.truth))
    return results


def contrast(models: Models, cases: Iterator[Case]) -> tuple[list[float], list[float]]:
    """IoU of `CONTRAST` in every case, and the better IoU of two guesses: as many random pixels, or all pixels."""
    found, chance = [], []
    for case in cases:
        mask = case.stage(CONTRAST).apply(Edit(case.picture.image, case.picture.image), models).need_mask() >= 128
        found.append(iou(mask, case.truth))
        both = mask.mean() * case.truth.mean()
        chance.append(float(max(case.truth.mean(), both / (mask.mean() + case.truth.mean() - both))))
    return found, chance


def finds_something(mask: np.ndarray, _truth: np.ndarray) -> float:
    """Whether more than a crumb of the mask is white."""
    return float(mask.mean() > CRUMB)


def table(found: dict[str, Results], fooled: Results) -> list[str]:
    """Mean IoU, the share above one half, and how often an absent object is found, on each set, as Markdown."""
    heads = [head for name, each in found.items() for head in (f"{name} (n = {len(each[PLAIN])})", "above 0.5")]
    heads.append(f"false positives (n = {len(fooled[PLAIN])})")
    lines = [f"| stage | {' | '.join(heads)} |", "|---" * (1 + len(heads)) + "|"]
    for way in WAYS:
        cells = [cell for each in found.values() for cell in _cells(np.array(each[way]))]
        cells.append("" if "CLICK" in way else f"{np.mean(fooled[way]):.0%}")
        lines.append(f"| `{way}` | {' | '.join(cells)} |")
    return lines


def _cells(values: np.ndarray) -> tuple[str, str]:
    return f"{values.mean():.2f}", f"{(values > 0.5).mean():.0%}"


def margins(found: dict[str, Results]) -> dict[str, float]:
    """Mean IoU of `SNAPPED` minus that of `PLAIN`, on each set."""
    return {name: float(np.mean(each[SNAPPED]) - np.mean(each[PLAIN])) for name, each in found.items()}


def write(lines: list[str], page: Path = PAGE) -> None:
    """Replace what stands between the markers of the page."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text("\n".join([before + BEGIN, *lines, END + after]), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="default: %(default)s")
    torch.set_num_threads(parser.parse_args().threads)
    models = miniatures()
    sets = {"ordinary scenes": as_they_come(50), "next to a lookalike": beside_a_lookalike(24)}
    found = {name: measure(models, cases, iou) for name, cases in sets.items()}
    fooled = measure(models, not_there(40), finds_something)
    swapped, chance = contrast(models, by_itself(24))
    won = margins(found)
    beaten = ", ".join(f"{margin:+.2f} ({name})" for name, margin in won.items())
    lines = [*table(found, fooled), "", f"`snap` compared with `text`: {beaten}; required: {MARGIN:+.2f}."]
    lines += [
        "",
        f"`{CONTRAST}`, scenes with one object (n = {len(swapped)}): {np.mean(swapped):.2f}; "
        f"chance: {np.mean(chance):.2f}.",
    ]
    print("\n".join(lines))
    write(lines)
    if min(won.values()) < MARGIN:
        raise SystemExit("snap does not beat text by the margin that is asked for")
    if np.mean(swapped) < TIMES * np.mean(chance):
        raise SystemExit("diffedit does not beat chance as clearly as is asked for")


if __name__ == "__main__":
    main()
