"""Measures the ops that find things, on scenes with known truth: ``python -m pipeline.miniature.evaluate_masks``.

Every way is a stage as a recipe gives it, applied to pictures that no model was trained on, from a fixed list of
seeds. Prints a table and writes it into ``docs/masks.md``. Another op is one more line of ``WAYS``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import yaml

from pipeline.edit import Edit
from pipeline.models import Models
from pipeline.stages import STAGES, Stage

from .evaluate import BEGIN, END, held_out, iou, miniatures, seen
from .examples import click
from .world import KINDS, Scene, Thing

PAGE = Path(__file__).parents[2] / "docs" / "masks.md"
FIRST, SCALE = 6000, 3  # the seeds that follow the held-out ones' first; pictures of about 384 x 384 px
LOOKALIKES = {
    "horse": "zebra", "zebra": "horse", "car": "truck", "truck": "car",
    "dog": "horse", "ball": "car", "house": "truck", "tree": "house",
}  # fmt: skip
MARGIN = 0.1  # by which `snap` must beat `text` of the same phrase and threshold


@dataclass(frozen=True)
class Case:
    """One thing to find in one picture, and how a person would ask for it."""

    picture: Scene
    thing: Thing

    def stage(self, way: str) -> Stage:
        """One of ``WAYS`` for this thing, which is not to be taken for its lookalike or what else is in the picture."""
        kinds = [LOOKALIKES[self.thing.kind], *(each.kind for each in self.picture.objects)]
        words = {
            "THING": f"a {self.thing.kind}",
            "OTHERS": [f"a {kind}" for kind in dict.fromkeys(kinds) if kind != self.thing.kind],
            "CLICK": click(self.thing.mask),
        }
        ((op, parameters),) = yaml.safe_load(way).items()
        return STAGES[op](**{key: words.get(value, value) for key, value in parameters.items()})


# An op as a recipe would give it; CLICK is in the thing's middle, where a careful person would click.
WAYS = (
    "text: {phrase: THING}",
    "text: {phrase: THING, threshold: otsu}",
    "clip_diff: {source: THING, target: OTHERS}",
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
# `snap` must beat `text`, each with the same parameters, by this much.
PLAIN, SNAPPED, MARGIN = WAYS[0], WAYS[7], 0.1


def alone_or_not(count: int) -> Iterator[Case]:
    """Every object of scenes as they come."""
    for picture in held_out(count, FIRST, scale=SCALE):
        yield from (Case(picture, thing) for thing in seen(picture))


def beside_a_lookalike(count: int) -> Iterator[Case]:
    """A horse beside a zebra, a car beside a truck; each is asked for."""
    for start, kinds in enumerate((("horse", "zebra"), ("car", "truck"))):
        objects = [(kind, KINDS[kind].colours[0] if KINDS[kind].colours else None) for kind in kinds]
        for picture in held_out(count // 2, FIRST + 1000 * (start + 1), scale=SCALE, objects=objects):
            yield from (Case(picture, thing) for thing in seen(picture))


SETS = {"any object": (alone_or_not, 50), "beside a lookalike": (beside_a_lookalike, 24)}


def measure(models: Models, cases: Iterator[Case]) -> dict[str, list[float]]:
    """The IoU of every way in every case; an empty mask counts as 0."""
    results: dict[str, list[float]] = {way: [] for way in WAYS}
    for case in cases:
        edit = Edit(case.picture.image, case.picture.image)
        for way in WAYS:
            mask = case.stage(way).apply(edit, models).need_mask()
            results[way].append(iou(mask > 0.5, case.thing.mask))
    return results


def table(results: dict[str, dict[str, list[float]]]) -> list[str]:
    """The mean IoU of each way on each set, and how often it found the thing at all, as Markdown."""
    sizes = {name: len(next(iter(found.values()))) for name, found in results.items()}
    heads = [head for name, size in sizes.items() for head in (f"{name} (n = {size})", "found")]
    lines = [f"| way | {' | '.join(heads)} |", "|---" * (1 + len(heads)) + "|"]
    for way in WAYS:
        cells = [cell for found in results.values() for cell in _cells(np.array(found[way]))]
        lines.append(f"| `{way}` | {' | '.join(cells)} |")
    return lines


def _cells(values: np.ndarray) -> tuple[str, str]:
    return f"{values.mean():.2f}", f"{(values > 0.5).mean():.0%}"


def margins(results: dict[str, dict[str, list[float]]]) -> dict[str, float]:
    """By how much ``SNAPPED`` beats ``PLAIN``, in mean IoU, on each set."""
    return {name: float(np.mean(found[SNAPPED]) - np.mean(found[PLAIN])) for name, found in results.items()}


def write(lines: list[str], page: Path = PAGE) -> None:
    """Replaces what stands between the markers of the page."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text("\n".join([before + BEGIN, *lines, END + after]), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="default: %(default)s")
    torch.set_num_threads(parser.parse_args().threads)
    models = miniatures()
    results = {name: measure(models, cases(count)) for name, (cases, count) in SETS.items()}
    won = margins(results)
    beaten = ", ".join(f"{margin:+.2f} on {name}" for name, margin in won.items())
    lines = [*table(results), "", f"`snap` against `text`: {beaten} (at least {MARGIN:+.2f} is asked for)."]
    print("\n".join(lines))
    write(lines)
    if min(won.values()) < MARGIN:
        raise SystemExit("snap does not beat text by the margin that is asked for")


if __name__ == "__main__":
    main()
