"""Measures the miniature models on held-out scenes: `python -m miniature.evaluate`.

Runs the models that recipes run (`darkroom.models`), on a fixed list of seeds. Prints a table and writes it into the
model card.
"""

from __future__ import annotations

import argparse
import itertools
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from darkroom.imaging.control_pictures import canny
from darkroom.imaging.edit import Edit
from darkroom.models import Memory, ModelNames, Models
from darkroom.models.weights import MINIATURE_WEIGHTS
from darkroom.stages.find import Find
from darkroom.stages.inpaint import Inpaint
from miniature.examples import click
from miniature.judge import classify_colour, classify_object, classify_place, object_chances
from miniature.training.masks import around, grow
from miniature.training.scenes import HELD_OUT_SEEDS, SIZES, SMALLEST
from miniature.training.vae import psnr, to_tensor
from miniature.world import KINDS, PLACES, Scene, Spec, Thing, scene

CARD = Path(__file__).parents[1] / "docs" / "miniatures.md"
BEGIN, END = "<!-- evaluation: begin -->", "<!-- evaluation: end -->"
STEPS, FEW, GUIDANCE = 20, 4, 3.0
SCALE = 3  # of pictures whose objects are repainted, so that there is something to crop: about 384 x 384 px
SWAPS = (
    ("horse", "zebra"),
    ("car", "truck"),
    ("dog", "ball"),
    ("tree", "house"),
    ("truck", "bus"),
    ("cow", "horse"),
    ("dog", "cat"),
    ("house", "boat"),
)
PAIRED = ("car", "horse", "dog", "ball", "tree", "boat", "cow", "house")
WITHIN = 0.02  # of the best of SAM's three masks, for the one it scores best to count as well picked


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        what: what is measured.
        values: one for each case.
        detail: a note on the result.
        share: the values are yes or no.
        target: the value aimed for.
    """

    what: str
    values: Sequence[float]
    detail: str = ""
    share: bool = False
    target: str = ""

    @property
    def mean(self) -> float:
        """The mean of the values."""
        return float(np.mean(self.values))

    def __str__(self) -> str:
        number = f"{self.mean:.0%}" if self.share else f"{self.mean:.4g}"
        return f"{number} ({self.detail})" if self.detail else number


def held_out(count: int, first: int = 0, scale: float = 1, **wanted: Any) -> Iterator[Scene]:
    """Scenes of the sizes that the models are made for, times `scale`; `wanted` are arguments of `scene`."""
    for i in range(first, first + count):
        width, height = SIZES[i % len(SIZES)]
        yield scene(HELD_OUT_SEEDS + i, round(width * scale), round(height * scale), **wanted)


def seen(picture: Scene) -> list[Thing]:
    """The objects large enough to ask about."""
    return [thing for thing in picture.objects if thing.mask.mean() >= SMALLEST]


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two masks."""
    return float((a & b).sum() / max(1, (a | b).sum()))


def miniatures() -> Models:
    """The miniature models, as recipes use them."""
    names = ModelNames(sam="miniature", clipseg="miniature", inpaint="miniature", loras={"dusk": "miniature"})
    return Models(names, Memory(), "cpu")


def segment(models: Models, image: np.ndarray, point: list[int] | None = None, box: tuple | None = None) -> np.ndarray:
    """SAM's masks for a click or a box, NxHxW bool, the best scored first."""
    points = np.array([point], np.float32) if point else np.empty((0, 2), np.float32)
    masks, scores = models.sam.masks(image, points, np.ones(len(points)), None if box is None else np.array(box))
    return np.stack(masks)[np.argsort(-scores)]


def repaint(models: Models, image: np.ndarray, mask: np.ndarray, prompt: str, seed: int, **others: Any) -> np.ndarray:
    """The picture repainted by an `inpaint` stage, HxWx3 uint8.

    Args:
        models: the models.
        image: HxWx3 uint8.
        mask: HxW bool.
        prompt, seed, others: parameters of the stage.
    """
    asked = {"steps": STEPS, "guidance_scale": GUIDANCE, "strength": 1.0} | others
    edit = Edit(image, image).with_mask(mask)
    return Inpaint(prompt=prompt, seed=seed, **asked).apply(edit, models).image


def move(
    models: Models, picture: Scene, number: int, keep: np.ndarray | None = None, **others: Any
) -> tuple[np.ndarray, str]:
    """The picture with all but `keep` (by default the objects, grown a pixel) repainted, and the new place.

    `others` are arguments of `repaint`.
    """
    elsewhere = [place for place in PLACES if place != picture.place]
    place = elsewhere[number % len(elsewhere)]
    phrases = PLACES[place].phrases
    keep = grow(~picture.background, 1) if keep is None else keep
    return repaint(
        models, picture.image, ~keep, phrases[number // len(elsewhere) % len(phrases)], number, **others
    ), place


def measure_sam(models: Models, count: int = 150) -> list[Row]:
    """Clicks at the deepest point of an object, random clicks inside it, and true boxes."""
    rng = np.random.default_rng(0)
    results: dict[str, list[float]] = {"careful click": [], "random click": [], "box": []}
    picked = []
    for picture in held_out(count, scale=2):
        image = picture.image
        for thing in seen(picture):
            rows, columns = np.nonzero(thing.mask)
            i = rng.integers(len(rows))
            anywhere = [int(columns[i]), int(rows[i])]
            overlaps = [iou(mask, thing.mask) for mask in segment(models, image, click(thing.mask))]
            picked.append(max(overlaps) - overlaps[0] <= WITHIN)
            results["careful click"].append(overlaps[0])
            results["random click"].append(iou(segment(models, image, anywhere)[0], thing.mask))
            results["box"].append(iou(segment(models, image, box=thing.box)[0], thing.mask))
    return [
        *(
            Row(f"SAM, {kind}: mean IoU", values, f"{np.mean(np.array(values) > 0.8):.0%} above 0.8", target=target)
            for (kind, values), target in zip(results.items(), ("0.92", "", "0.94"), strict=True)
        ),
        Row(f"SAM, careful click: picks the best of its three, within {WITHIN}", picked, share=True, target="90%"),
    ]


def measure_clipseg(models: Models, count: int = 150) -> list[Row]:
    """Present and absent kinds, and the place."""
    names, fires, places = list(KINDS), [], []
    plain: dict[str, list[float]] = {name: [] for name in names}
    coloured: list[float] = []
    for number, picture in enumerate(held_out(count, scale=2)):
        missing = [name for name in names if name not in [thing.kind for thing in picture.objects]]
        for thing in seen(picture):
            colour = f"{thing.colour} " if thing.colour else ""
            phrases = [f"a photo of a {thing.kind}", f"a photo of a {colour}{thing.kind}"]
            first, second = models.clipseg.heatmaps(picture.image, phrases) > 0.5
            plain[thing.kind].append(iou(first, thing.mask))
            coloured.append(iou(second, thing.mask))
        phrases = [f"a photo of a {missing[number % len(missing)]}", PLACES[picture.place].phrases[1]]
        other, place = models.clipseg.heatmaps(picture.image, phrases) > 0.5
        fires.append(other.mean() > 0.003)
        places.append(iou(place, picture.background))
    kinds = ", ".join(f"{name} {np.mean(values):.2f}" for name, values in plain.items() if values)
    return [
        Row(
            "CLIPSeg, object by its name: mean IoU",
            [value for values in plain.values() for value in values],
            detail=kinds,
            target="0.75",
        ),
        Row("CLIPSeg, object by colour and name: mean IoU", coloured),
        Row(
            "CLIPSeg, object that is not there: fires on more than 0.3 % of the picture", fires, share=True, target="5%"
        ),
        Row("CLIPSeg, place: mean IoU", places),
    ]


def measure_difference(models: Models, count: int = 40) -> list[Row]:
    """A horse found by horse minus zebra above 0.3, as in a recipe for lookalikes."""
    rows = []
    cases: dict[str, list[Spec]] = {
        "alone": [("horse", "brown")],
        "beside a zebra": [("horse", "brown"), ("zebra", None)],
    }
    for case, objects in cases.items():
        results = []
        for picture in held_out(count, 1000, scale=2, objects=objects):
            horse, zebra = models.clipseg.heatmaps(picture.image, ["a photo of a horse", "a photo of a zebra"])
            found = horse - zebra > 0.3
            results += [iou(found, thing.mask) for thing in seen(picture) if thing.kind == "horse"]
        target = "0.7" if len(objects) == 2 else ""
        rows.append(Row(f"CLIPSeg, horse minus zebra, horse {case}: mean IoU", results, target=target))
    return rows


@torch.no_grad()
def measure_find(models: Models, count: int = 48) -> list[Row]:
    """`find` in scenes with two objects of one kind, which have two colours where the kind has several."""
    overlaps, masks_of_something = [], []
    for number, kind in enumerate(PAIRED):
        colours = KINDS[kind].colours or (None,)
        pair = [(kind, colours[0]), (kind, colours[-1])]
        for picture in held_out(count // len(PAIRED), 25_000 + 100 * number, scale=SCALE, objects=pair):
            found = Find(phrase=f"a {kind}").apply(Edit(picture.image, picture.image), models)
            greys = found.artifacts["instances"]
            masks = [greys == grey for grey in np.unique(greys[greys > 0])]
            truths = [thing.mask for thing in seen(picture)]
            overlaps += [max((iou(mask, truth) for mask in masks), default=0.0) for truth in truths]
            masks_of_something += [max(iou(mask, truth) for truth in truths) > 0.5 for mask in masks]
    above = f"{np.mean(np.array(overlaps) > 0.5):.0%} above 0.5"
    return [
        Row("`find`, two objects of a kind: IoU of each with its best mask, mean", overlaps, above),
        Row("`find`, two objects of a kind: masks that show an object", masks_of_something, share=True),
    ]


def measure_vae(_models: Models, count: int = 60) -> list[Row]:
    """Pictures through the autoencoder and back."""
    from diffusers import AutoencoderKL

    vae, quality = AutoencoderKL.from_pretrained(MINIATURE_WEIGHTS / "sdxl_inpaint" / "vae"), []
    for picture in held_out(count):
        x = to_tensor([picture.image]).cpu()
        y = vae.decode(vae.encode(x).latent_dist.mean).sample.clamp(-1, 1)
        quality.append(float(psnr(y, x)))
    return [Row("Autoencoder: PSNR in dB", quality, detail=f"worst {min(quality):.1f}", target="32 (worst 26)")]


def measure_judges(_models: Models, count: int = 200) -> list[Row]:
    """The judges themselves, on unedited scenes."""
    places, objects, colours = [], [], []
    for picture in held_out(count, 5000):
        image = picture.image
        places.append(classify_place(image) == picture.place)
        objects += [classify_object(image, thing.box) == thing.kind for thing in seen(picture)]
        colours += [classify_colour(image, thing.box) == thing.colour for thing in seen(picture) if thing.colour]
    return [
        Row("The judges: places right", places, share=True),
        Row("The judges: objects right", objects, share=True),
        Row("The judges: colours right", colours, share=True),
    ]


def measure_backgrounds(models: Models, count: int = 60, steps: int = STEPS) -> list[Row]:
    """Objects kept by their true mask and moved to another place."""
    right, kept = [], []
    pictures = [picture for picture in held_out(2 * count, 2000) if seen(picture)][:count]
    for number, picture in enumerate(pictures):
        image, place = move(models, picture, number, steps=steps)
        right.append(classify_place(image) == place)
        kept += [classify_object(image, thing.box) == thing.kind for thing in seen(picture)]
    return [
        Row(f"Background repainted in {steps} steps: classified as prompted", right, share=True, target="97%"),
        Row("The kept object: still classified as what it is", kept, share=True),
    ]


def measure_chain(models: Models, count: int = 24) -> list[Row]:
    """The main use: one click on the subject, SAM's mask, everything else repainted."""
    overlaps, right = [], []
    for number, picture in enumerate(held_out(count, 4000, objects=[("car", "red")])):
        truth = picture.objects[0].mask
        mask = segment(models, picture.image, click(truth))[0]
        overlaps.append(iou(mask, truth))
        image, place = move(models, picture, number, grow(mask, 1))
        right.append(classify_place(image) == place)
    return [
        Row("Click, mask, repaint: mean IoU of the mask", overlaps),
        Row("Click, mask, repaint: background classified as prompted", right, share=True),
    ]


def swap(models: Models, source: str, target: str, number: int, **others: Any) -> tuple[Scene, str | None, np.ndarray]:
    """A scene, the colour asked for, and the scene with its object repainted as another kind.

    Zebras and horses replace each other inside the grown outline; other kinds get the outline's box. `others` are
    arguments of `repaint`.
    """
    objects = [(source, KINDS[source].colours[0])]
    (picture,) = held_out(1, 3000 + number, scale=SCALE, objects=objects)
    outline = picture.objects[0].mask
    alike = {source, target} == {"horse", "zebra"}
    mask = grow(outline, 2 * SCALE) if alike else around(outline, np.random.default_rng(number), 4 * SCALE)
    colours = KINDS[target].colours
    colour = colours[number % len(colours)] if colours else None
    words = f"a photo of a {colour} {target}" if colour else f"a photo of a {target}"
    return picture, colour, repaint(models, picture.image, mask, words, number, **others)


def measure_swaps(models: Models, count: int = 12, steps: int = STEPS) -> list[Row]:
    """One object repainted as another: does it have the kind and colour of the prompt?"""
    kinds: dict[str, list[bool]] = {}
    colours = []
    for source, target in SWAPS:
        for number in range(count):
            picture, colour, image = swap(models, source, target, number, steps=steps)
            box = picture.objects[0].box
            kinds.setdefault(f"{source} to {target}", []).append(classify_object(image, box) == target)
            if colour:
                colours.append(classify_colour(image, box) == colour)
    every = [hit for hits in kinds.values() for hit in hits]
    pairs = ", ".join(f"{pair} {np.mean(hits):.0%}" for pair, hits in kinds.items())
    return [
        Row(f"Subject repainted in {steps} steps: classified as prompted", every, pairs, share=True, target="90%"),
        Row(f"Subject repainted in {steps} steps: has the colour prompted", colours, share=True, target="85%"),
    ]


def measure_few_steps(models: Models) -> list[Row]:
    """The repaints in `FEW` steps."""
    return [*measure_backgrounds(models, steps=FEW)[:1], *measure_swaps(models, steps=FEW)]


def measure_time(models: Models, count: int = 5) -> list[Row]:
    """The time of one edit of `STEPS` steps on this machine, without loading the model."""
    seconds = []
    for picture in held_out(count + 1, 7000):
        started = time.perf_counter()
        move(models, picture, 0)
        seconds.append(time.perf_counter() - started)
    detail = f"{torch.get_num_threads()} threads of {platform.machine()}"
    return [Row(f"An edit of {STEPS} steps: seconds", seconds[1:], detail, target="4")]


def rises(values: Sequence[float]) -> bool:
    """Whether numbers never fall."""
    return all(a <= b for a, b in itertools.pairwise(values))


def chance(models: Models, source: str, target: str, number: int, guidance: float) -> float:
    """The judge's probability for the kind that an object was repainted as."""
    picture, _, image = swap(models, source, target, number, guidance_scale=guidance)
    return object_chances(image, picture.objects[0].box)[target]


def curve(chances: dict[float, list[float]]) -> str:
    """The mean value at each setting, as text."""
    return ", ".join(f"{np.mean(values):.2f} at {guidance:g}" for guidance, values in chances.items())


def measure_guidance(models: Models, count: int = 3) -> list[Row]:
    """The effect of guidance on each of `SWAPS`."""
    chances = {
        guidance: [chance(models, *pair, number, guidance) for pair in SWAPS for number in range(count)]
        for guidance in (1.0, 2.0, GUIDANCE, 4.0, 6.0, 8.0)
    }
    return [Row("Subject repainted: chance of the prompted object", chances[GUIDANCE], detail=curve(chances))]


def measure_controls(models: Models, count: int = 6) -> list[Row]:
    """The effects of guidance, negative prompt, strength and seed."""
    chances: dict[float, list[float]] = {1.0: [], 3.0: [], 6.0: []}
    strengths, seeds, negatives = [], [], []
    for number in range(count):
        for guidance, values in chances.items():
            values.append(chance(models, "car", "truck", number, guidance))
        picture = next(held_out(1, 6000 + number))
        everything = np.ones(picture.image.shape[:2], bool)

        def paint(
            seed: int, words: str, image: np.ndarray = picture.image, mask: np.ndarray = everything, **others: Any
        ) -> np.ndarray:
            return repaint(models, image, mask, words, seed, **others)

        words = PLACES[picture.place].phrases[1]
        moved = [paint(number, words, strength=s).astype(float) - picture.image for s in (0.3, 0.6, 1.0)]
        strengths.append(rises([np.abs(change).mean() for change in moved]))
        again, other = paint(number, words), paint(number + 1000, words)
        seeds.append(np.array_equal(again, moved[-1] + picture.image) and not np.array_equal(again, other))
        unasked = classify_place(paint(number, "a photo"))
        avoided = paint(number, "a photo", negative_prompt=PLACES[unasked].phrases[0])
        negatives.append(classify_place(avoided) != unasked)
    higher = rises([float(np.mean(values)) for values in chances.values()])
    return [
        Row("Guidance up, chance of the prompted object up", [higher], curve(chances), share=True, target="100%"),
        Row("Strength up, change of the picture up", strengths, share=True, target="100%"),
        Row("Same seed, same picture; another seed, another picture", seeds, share=True, target="100%"),
        Row("Negative prompt: the place it would have shown is gone", negatives, share=True, target="100%"),
    ]


def outlines_kept(before: np.ndarray, after: np.ndarray, mask: np.ndarray, within: int = 2) -> float:
    """The F-score of the outlines in a masked part of two pictures; an outline may move by `within` pixels."""
    first, second = (canny(np.ascontiguousarray(image)) > 0 for image in (before, after))
    first, second = first & mask, second & mask
    recall = (first & grow(second, within)).sum() / max(1, first.sum())
    precision = (second & grow(first, within)).sum() / max(1, second.sum())
    return float(2 * recall * precision / max(1e-9, recall + precision))


def measure_outlines(models: Models, count: int = 12, steps: int = 8) -> list[Row]:
    """Whole scenes repainted in other colours, with the control `canny` at several weights."""
    weights = (0.0, 0.5, 1.0)
    kept: dict[float, list[float]] = {weight: [] for weight in weights}
    for number in range(count):
        kind = list(KINDS)[number % len(KINDS)]
        colours = KINDS[kind].colours
        (picture,) = held_out(1, 8000 + number, objects=[(kind, colours[0] if colours else None)])
        thing = f"{colours[-1]} {kind}" if colours else kind
        words = f"a photo of a {thing}, {PLACES[picture.place].phrases[1]}"
        everything = np.ones(picture.image.shape[:2], bool)
        for weight, values in kept.items():
            steering = {"crop": "photo", "steps": steps, "control": {"canny": weight}}
            image = repaint(models, picture.image, everything, words, number, **steering)
            values.append(outlines_kept(picture.image, image, everything))
    means = {weight: float(np.mean(values)) for weight, values in kept.items()}
    return [
        Row("Control `canny` at 1: outlines kept, F-score within 2 px", kept[1.0], curve(kept)),
        Row("Control `canny`: outlines kept rise with its weight", [rises(list(means.values()))], share=True),
    ]


def measure_dusk(models: Models, count: int = 24, steps: int = STEPS) -> list[Row]:
    """Backgrounds repainted with the LoRA `dusk` at several weights: how bright they are, and which place they show."""
    weights = (0.0, 0.5, 1.0)
    brightness: dict[float, list[float]] = {weight: [] for weight in weights}
    right: dict[float, list[float]] = {weight: [] for weight in weights}
    pictures = [picture for picture in held_out(2 * count, 9000) if seen(picture)][:count]
    for number, picture in enumerate(pictures):
        for weight in weights:
            image, place = move(models, picture, number, steps=steps, lora={"dusk": weight})
            brightness[weight].append(image[picture.background].mean() / 255)
            right[weight].append(classify_place(image) == place)
    falls = [a > b > c for a, b, c in zip(*brightness.values(), strict=True)]
    means = [float(np.mean(values)) for values in brightness.values()]
    return [
        Row("LoRA `dusk` at 1: mean brightness of the background, 0 to 1", brightness[1.0], curve(brightness)),
        Row("LoRA `dusk`: mean brightness falls with its weight", [rises(means[::-1])], share=True),
        Row("LoRA `dusk`: brightness falls in a single picture", falls, share=True),
        Row("LoRA `dusk` at 1: place classified as prompted", right[1.0], curve(right), share=True),
    ]


MEASURES: dict[str, Callable[[Models], list[Row]]] = {
    "sam": measure_sam,
    "clipseg": measure_clipseg,
    "difference": measure_difference,
    "find": measure_find,
    "vae": measure_vae,
    "judges": measure_judges,
    "backgrounds": measure_backgrounds,
    "chain": measure_chain,
    "swaps": measure_swaps,
    "few_steps": measure_few_steps,
    "guidance": measure_guidance,
    "controls": measure_controls,
    "outlines": measure_outlines,
    "dusk": measure_dusk,
    "time": measure_time,
}


def write_card(rows: list[Row], path: Path = CARD) -> None:
    """Replace the table between the markers of the model card."""
    lines = [
        "| measured | result | target | of |",
        "|---|---|---|---|",
        *(f"| {row.what} | {row} | {row.target} | {len(row.values)} |" for row in rows),
    ]
    before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    path.write_text("\n".join([before + BEGIN, *lines, END + after]), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only",
        choices=MEASURES,
        action="append",
        help="measure just this, and leave the card alone; may be repeated",
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="default: %(default)s")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    models, rows = miniatures(), []
    for name in options.only or MEASURES:
        for row in MEASURES[name](models):
            rows.append(row)
            print(f"{row.what:72} {row}  (n={len(row.values)})", flush=True)
    if not options.only:
        write_card(rows)


if __name__ == "__main__":
    main()
