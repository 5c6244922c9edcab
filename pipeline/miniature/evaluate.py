"""Measures the miniature models on scenes they have not seen: ``python -m pipeline.miniature.evaluate``.

Everything goes through the adapters that recipes use (``pipeline.models``), on a fixed list of seeds. Prints a table
and writes it into the model card.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

from pipeline.models import InpaintRequest, Memory, Models, Weights
from pipeline.models.prompts import Prompt

from .examples import click
from .judge import WEIGHTS, classify_object, classify_place
from .training.masks import around, grow
from .training.scenes import HELD_OUT_SEEDS, SIZES
from .training.vae import psnr, to_tensor
from .world import KINDS, PLACES, Scene, Spec, Thing, scene

CARD = Path(__file__).parents[2] / "docs" / "miniatures.md"
BEGIN, END = "<!-- evaluation: begin -->", "<!-- evaluation: end -->"
SMALLEST = 0.004  # share of the picture below which an object is not asked about
STEPS, GUIDANCE = 20, 3.0
SWAPS = (("horse", "zebra"), ("car", "truck"), ("dog", "ball"), ("tree", "house"))


@dataclass(frozen=True)
class Row:
    """One line of the table. values: one per case. share: they are yes or no."""

    what: str
    values: Sequence[float]
    detail: str = ""
    share: bool = False

    @property
    def mean(self) -> float:
        """The mean of the values."""
        return float(np.mean(self.values))

    def __str__(self) -> str:
        number = f"{self.mean:.0%}" if self.share else f"{self.mean:.4g}"
        return f"{number} ({self.detail})" if self.detail else number


def held_out(count: int, first: int = 0, scale: float = 1, **wanted) -> Iterator[Scene]:
    """Scenes of the sizes the models are made for, times ``scale``; ``wanted`` goes to ``scene``."""
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
    """The miniature models, as a recipe gets them."""
    return Models(Weights(sam="miniature", clipseg="miniature", inpaint="miniature"), Memory(), "cpu")


def segment(models: Models, image: np.ndarray, point: list[int] | None = None, box: tuple | None = None) -> np.ndarray:
    """The mask, HxW bool, that SAM itself scores best for a click or a box."""
    points = np.array([point], np.float32) if point else np.empty((0, 2), np.float32)
    masks, scores = models.sam.masks(image, points, np.ones(len(points)), None if box is None else np.array(box))
    return masks[scores.argmax()]


def repaint(models: Models, image: np.ndarray, mask: np.ndarray, prompt: str, seed: int) -> np.ndarray:
    """The picture with the mask (HxW bool) painted anew and the rest kept, the seam softened; HxWx3 uint8."""
    request = InpaintRequest(
        image=image, mask=mask, prompt=Prompt(prompt), seed=seed, steps=STEPS,
        guidance_scale=GUIDANCE, strength=1.0, scheduler="default",
    )  # fmt: skip
    (painted,) = models.diffusion.inpaint([request])
    cover = ndimage.gaussian_filter(mask.astype(np.float32), 0.7)[..., None]
    return np.clip(painted * cover + image * (1 - cover), 0, 255).astype(np.uint8)


def move(models: Models, picture: Scene, number: int, keep: np.ndarray | None = None) -> tuple[np.ndarray, str]:
    """Repaints all but ``keep`` (by default the objects, grown a pixel); the picture and where it now is."""
    others = [place for place in PLACES if place != picture.place]
    place = others[number % len(others)]
    phrases = PLACES[place].phrases
    keep = grow(~picture.background, 1) if keep is None else keep
    return repaint(models, picture.image, ~keep, phrases[number // len(others) % len(phrases)], number), place


def measure_sam(models: Models, count: int = 150) -> list[Row]:
    """Clicks at the deepest point of an object, random clicks inside it, and true boxes."""
    rng = np.random.default_rng(0)
    results: dict[str, list[float]] = {"careful click": [], "random click": [], "box": []}
    for picture in held_out(count, scale=2):
        image = picture.image
        for thing in seen(picture):
            rows, columns = np.nonzero(thing.mask)
            i = rng.integers(len(rows))
            anywhere = [int(columns[i]), int(rows[i])]
            results["careful click"].append(iou(segment(models, image, click(thing.mask)), thing.mask))
            results["random click"].append(iou(segment(models, image, anywhere), thing.mask))
            results["box"].append(iou(segment(models, image, box=thing.box), thing.mask))
    return [
        Row(f"SAM, {kind}: mean IoU", values, detail=f"{np.mean(np.array(values) > 0.8):.0%} above 0.8")
        for kind, values in results.items()
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
            first, second = models.clipseg.heat(picture.image, phrases) > 0.5
            plain[thing.kind].append(iou(first, thing.mask))
            coloured.append(iou(second, thing.mask))
        phrases = [f"a photo of a {missing[number % len(missing)]}", PLACES[picture.place].phrases[1]]
        other, place = models.clipseg.heat(picture.image, phrases) > 0.5
        fires.append(other.mean() > 0.003)
        places.append(iou(place, picture.background))
    kinds = ", ".join(f"{name} {np.mean(values):.2f}" for name, values in plain.items() if values)
    return [
        Row(
            "CLIPSeg, object by its name: mean IoU",
            [value for values in plain.values() for value in values],
            detail=kinds,
        ),
        Row("CLIPSeg, object by colour and name: mean IoU", coloured),
        Row("CLIPSeg, object that is not there: fires on more than 0.3 % of the picture", fires, share=True),
        Row("CLIPSeg, place: mean IoU", places),
    ]


def measure_difference(models: Models, count: int = 40) -> list[Row]:
    """A horse found as horse minus zebra above 0.3, as a recipe for lookalikes does it."""
    rows = []
    cases: dict[str, list[Spec]] = {
        "alone": [("horse", "brown")],
        "beside a zebra": [("horse", "brown"), ("zebra", None)],
    }
    for case, objects in cases.items():
        results = []
        for picture in held_out(count, 1000, scale=2, objects=objects):
            horse, zebra = models.clipseg.heat(picture.image, ["a photo of a horse", "a photo of a zebra"])
            found = horse - zebra > 0.3
            results += [iou(found, thing.mask) for thing in seen(picture) if thing.kind == "horse"]
        rows.append(Row(f"CLIPSeg, horse minus zebra, horse {case}: mean IoU", results))
    return rows


@torch.no_grad()
def measure_vae(_models: Models, count: int = 60) -> list[Row]:
    """Pictures through the autoencoder and back."""
    from diffusers import AutoencoderKL

    vae, quality = AutoencoderKL.from_pretrained(WEIGHTS / "sdxl_inpaint" / "vae"), []
    for picture in held_out(count):
        x = to_tensor([picture.image]).cpu()
        y = vae.decode(vae.encode(x).latent_dist.mean).sample.clamp(-1, 1)
        quality.append(float(psnr(y, x)))
    return [Row("Autoencoder: PSNR in dB", quality, detail=f"worst {min(quality):.1f}")]


def measure_judges(_models: Models, count: int = 200) -> list[Row]:
    """The judges themselves, on unedited scenes."""
    places, objects = [], []
    for picture in held_out(count, 5000):
        places.append(classify_place(picture.image) == picture.place)
        objects += [classify_object(picture.image, thing.box) == thing.kind for thing in seen(picture)]
    return [
        Row("The judges: places right", places, share=True),
        Row("The judges: objects right", objects, share=True),
    ]


def measure_backgrounds(models: Models, count: int = 60) -> list[Row]:
    """Objects kept by their true mask and moved elsewhere."""
    right, kept = [], []
    pictures = [picture for picture in held_out(2 * count, 2000) if seen(picture)][:count]
    for number, picture in enumerate(pictures):
        image, place = move(models, picture, number)
        right.append(classify_place(image) == place)
        kept += [classify_object(image, thing.box) == thing.kind for thing in seen(picture)]
    return [
        Row("Background repainted: classified as prompted", right, share=True),
        Row("The kept object: still classified as what it is", kept, share=True),
    ]


def measure_chain(models: Models, count: int = 24) -> list[Row]:
    """The main job: one click on the subject, SAM's mask, everything else repainted."""
    overlaps, right = [], []
    for number, picture in enumerate(held_out(count, 4000, objects=[("car", "red")])):
        truth = picture.objects[0].mask
        mask = segment(models, picture.image, click(truth))
        overlaps.append(iou(mask, truth))
        image, place = move(models, picture, number, grow(mask, 1))
        right.append(classify_place(image) == place)
    return [
        Row("Click, mask, repaint: mean IoU of the mask", overlaps),
        Row("Click, mask, repaint: background classified as prompted", right, share=True),
    ]


def measure_swaps(models: Models, count: int = 12) -> list[Row]:
    """One object painted over by another, inside its grown outline (equids) or its box (the rest)."""
    rows = []
    for source, target in SWAPS:
        hits = []
        for number, picture in enumerate(held_out(count, 3000, objects=[(source, KINDS[source].colours[0])])):
            thing = picture.objects[0]
            mask = grow(thing.mask, 2) if target == "zebra" else around(thing.mask, np.random.default_rng(number), 4)
            colours = KINDS[target].colours
            name = f"{colours[number % len(colours)]} {target}" if colours else target
            image = repaint(models, picture.image, mask, f"a photo of a {name}", number)
            hits.append(classify_object(image, thing.box) == target)
        rows.append(Row(f"Subject repainted, {source} to {target}: classified as prompted", hits, share=True))
    return rows


MEASURES: dict[str, Callable[[Models], list[Row]]] = {
    "sam": measure_sam,
    "clipseg": measure_clipseg,
    "difference": measure_difference,
    "vae": measure_vae,
    "judges": measure_judges,
    "backgrounds": measure_backgrounds,
    "chain": measure_chain,
    "swaps": measure_swaps,
}


def write_card(rows: list[Row], path: Path = CARD) -> None:
    """Replaces the table between the markers of the model card."""
    lines = [
        "| measured | result | of |",
        "|---|---|---|",
        *(f"| {row.what} | {row} | {len(row.values)} |" for row in rows),
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
