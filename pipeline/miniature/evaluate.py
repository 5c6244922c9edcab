"""Measures the miniature models on scenes they have not seen: ``python -m pipeline.miniature.evaluate``.

Everything goes through the public classes (``SamPredictor``, ``CLIPSegForImageSegmentation``,
``StableDiffusionXLInpaintPipeline``) on a fixed list of seeds. Prints a table and writes it into the model
card.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy import ndimage

from .examples import click
from .judge import classify_object, classify_place
from .load import load_clipseg, load_inpainter, load_sam
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


def segment(predictor, point: list[int] | None = None, box: tuple | None = None) -> np.ndarray:
    """The mask that SAM itself scores best, for a click or a box on the picture that was set."""
    prompt = {"box": np.array(box)} if box else {"point_coords": np.array([point]), "point_labels": np.array([1])}
    masks, scores, _ = predictor.predict(**prompt, multimask_output=box is None)
    return masks[scores.argmax()]


@torch.no_grad()
def heat(clipseg, image: np.ndarray, phrases: list[str]) -> np.ndarray:
    """What CLIPSeg answers to each phrase: PxHxW in 0..1."""
    processor, model = clipseg
    inputs = processor(
        text=phrases,
        images=[Image.fromarray(image)] * len(phrases),
        padding="max_length",
        return_tensors="pt",
    )
    logits = model(**inputs).logits.reshape(len(phrases), 1, 256, 256)
    return torch.nn.functional.interpolate(logits.sigmoid(), image.shape[:2], mode="bilinear")[:, 0].numpy()


def repaint(pipeline, image: np.ndarray, mask: np.ndarray, prompt: str, seed: int) -> np.ndarray:
    """The picture with the mask (HxW bool) painted anew, the rest kept; HxWx3 uint8."""
    height, width = mask.shape
    painted = pipeline(
        prompt=prompt,
        image=Image.fromarray(image),
        mask_image=Image.fromarray(mask),
        width=width,
        height=height,
        num_inference_steps=STEPS,
        guidance_scale=GUIDANCE,
        strength=1.0,
        output_type="np",
        generator=torch.Generator().manual_seed(seed),
    ).images[0]
    cover = ndimage.gaussian_filter(mask.astype(np.float32), 0.7)[..., None]
    return np.clip(painted * 255 * cover + image * (1 - cover), 0, 255).astype(np.uint8)


def move(pipeline, picture: Scene, number: int, keep: np.ndarray | None = None) -> tuple[np.ndarray, str]:
    """Repaints all but ``keep`` (by default the objects, grown a pixel); the picture and where it now is."""
    others = [place for place in PLACES if place != picture.place]
    place = others[number % len(others)]
    phrases = PLACES[place].phrases
    keep = grow(~picture.background, 1) if keep is None else keep
    return repaint(pipeline, picture.image, ~keep, phrases[number // len(others) % len(phrases)], number), place


def measure_sam(count: int = 150) -> list[Row]:
    """Clicks at the deepest point of an object, random clicks inside it, and true boxes."""
    from segment_anything import SamPredictor

    predictor, rng = SamPredictor(load_sam()), np.random.default_rng(0)
    results: dict[str, list[float]] = {"careful click": [], "random click": [], "box": []}
    for picture in held_out(count, scale=2):
        predictor.set_image(picture.image)
        for thing in seen(picture):
            rows, columns = np.nonzero(thing.mask)
            i = rng.integers(len(rows))
            anywhere = [int(columns[i]), int(rows[i])]
            results["careful click"].append(iou(segment(predictor, click(thing.mask)), thing.mask))
            results["random click"].append(iou(segment(predictor, anywhere), thing.mask))
            results["box"].append(iou(segment(predictor, box=thing.box), thing.mask))
    return [
        Row(f"SAM, {kind}: mean IoU", values, detail=f"{np.mean(np.array(values) > 0.8):.0%} above 0.8")
        for kind, values in results.items()
    ]


def measure_clipseg(count: int = 150) -> list[Row]:
    """Present and absent kinds, and the place."""
    clipseg, names = load_clipseg(), list(KINDS)
    present, fires, places = [], [], []
    per_kind: dict[str, list[float]] = {name: [] for name in names}
    for number, picture in enumerate(held_out(count, scale=2)):
        things = seen(picture)
        missing = [name for name in names if name not in [thing.kind for thing in picture.objects]]
        phrases = [f"a photo of a {thing.kind}" for thing in things]
        phrases += [f"a photo of a {missing[number % len(missing)]}", PLACES[picture.place].phrases[1]]
        *answers, other, place = heat(clipseg, picture.image, phrases) > 0.5
        for thing, answer in zip(things, answers, strict=True):
            present.append(iou(answer, thing.mask))
            per_kind[thing.kind].append(present[-1])
        fires.append(other.mean() > 0.003)
        places.append(iou(place, picture.background))
    kinds = ", ".join(f"{name} {np.mean(values):.2f}" for name, values in per_kind.items() if values)
    return [
        Row("CLIPSeg, object in the picture: mean IoU", present, detail=kinds),
        Row("CLIPSeg, object not in it: fires on more than 0.3 % of the picture", fires, share=True),
        Row("CLIPSeg, place: mean IoU", places),
    ]


def measure_difference(count: int = 40) -> list[Row]:
    """A horse found as horse minus zebra above 0.3, as a recipe for lookalikes does it."""
    clipseg, rows = load_clipseg(), []
    cases: dict[str, list[Spec]] = {
        "alone": [("horse", "brown")],
        "beside a zebra": [("horse", "brown"), ("zebra", None)],
    }
    for case, objects in cases.items():
        results = []
        for picture in held_out(count, 1000, scale=2, objects=objects):
            horse, zebra = heat(clipseg, picture.image, ["a photo of a horse", "a photo of a zebra"])
            found = horse - zebra > 0.3
            results += [iou(found, thing.mask) for thing in seen(picture) if thing.kind == "horse"]
        rows.append(Row(f"CLIPSeg, horse minus zebra, horse {case}: mean IoU", results))
    return rows


@torch.no_grad()
def measure_vae(count: int = 60) -> list[Row]:
    """Pictures through the autoencoder and back."""
    vae, quality = load_inpainter().vae, []
    for picture in held_out(count):
        x = to_tensor([picture.image]).cpu()
        y = vae.decode(vae.encode(x).latent_dist.mean).sample.clamp(-1, 1)
        quality.append(float(psnr(y, x)))
    return [Row("Autoencoder: PSNR in dB", quality, detail=f"worst {min(quality):.1f}")]


def measure_judges(count: int = 200) -> list[Row]:
    """The judges themselves, on unedited scenes."""
    places, objects = [], []
    for picture in held_out(count, 5000):
        places.append(classify_place(picture.image) == picture.place)
        objects += [classify_object(picture.image, thing.box) == thing.kind for thing in seen(picture)]
    return [
        Row("The judges: places right", places, share=True),
        Row("The judges: objects right", objects, share=True),
    ]


def measure_backgrounds(count: int = 60) -> list[Row]:
    """Objects kept by their true mask and moved elsewhere."""
    pipeline, right, kept = load_inpainter(), [], []
    pictures = [picture for picture in held_out(2 * count, 2000) if seen(picture)][:count]
    for number, picture in enumerate(pictures):
        image, place = move(pipeline, picture, number)
        right.append(classify_place(image) == place)
        kept += [classify_object(image, thing.box) == thing.kind for thing in seen(picture)]
    return [
        Row("Background repainted: classified as prompted", right, share=True),
        Row("The kept object: still classified as what it is", kept, share=True),
    ]


def measure_chain(count: int = 24) -> list[Row]:
    """The main job: one click on the subject, SAM's mask, everything else repainted."""
    from segment_anything import SamPredictor

    predictor, pipeline, overlaps, right = SamPredictor(load_sam()), load_inpainter(), [], []
    for number, picture in enumerate(held_out(count, 4000, objects=[("car", "red")])):
        predictor.set_image(picture.image)
        truth = picture.objects[0].mask
        mask = segment(predictor, click(truth))
        overlaps.append(iou(mask, truth))
        image, place = move(pipeline, picture, number, grow(mask, 1))
        right.append(classify_place(image) == place)
    return [
        Row("Click, mask, repaint: mean IoU of the mask", overlaps),
        Row("Click, mask, repaint: background classified as prompted", right, share=True),
    ]


def measure_swaps(count: int = 12) -> list[Row]:
    """One object painted over by another, inside its grown outline (equids) or its box (the rest)."""
    pipeline, rows = load_inpainter(), []
    for source, target in SWAPS:
        hits = []
        for number, picture in enumerate(held_out(count, 3000, objects=[(source, KINDS[source].colours[0])])):
            thing = picture.objects[0]
            mask = grow(thing.mask, 2) if target == "zebra" else around(thing.mask, np.random.default_rng(number), 4)
            colours = KINDS[target].colours
            name = f"{colours[number % len(colours)]} {target}" if colours else target
            image = repaint(pipeline, picture.image, mask, f"a photo of a {name}", number)
            hits.append(classify_object(image, thing.box) == target)
        rows.append(Row(f"Subject repainted, {source} to {target}: classified as prompted", hits, share=True))
    return rows


MEASURES: dict[str, Callable[[], list[Row]]] = {
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
        *(f"| {r.what} | {r.value} | {r.count} |" for r in rows),
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
    rows = []
    for name in options.only or MEASURES:
        for row in MEASURES[name]():
            rows.append(row)
            print(f"{row.what:72} {row}  (n={len(row.values)})", flush=True)
    if not options.only:
        write_card(rows)


if __name__ == "__main__":
    main()
