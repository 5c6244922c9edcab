"""Measures the effects of crops, harmonising and soft masks: `python -m miniature.evaluate_repaint`.

Every edit is an `inpaint` stage of a recipe, on held-out scenes from a fixed list of seeds. Prints the tables, writes
them into `docs/repaint.md` and draws its pictures.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image

from darkroom.imaging.compositing import paste, to_working_crop
from darkroom.imaging.crops import CropMode, CropPlanner
from darkroom.imaging.edit import Edit
from darkroom.imaging.harmonise import Harmoniser
from darkroom.models import Models
from darkroom.models.weights import MINIATURE_WEIGHTS
from darkroom.report.drawing import padded, row, stack
from darkroom.report.sheet import captioned
from darkroom.stages.inpaint import Inpaint
from darkroom.stages.refine import Refine
from miniature.evaluate import held_out, miniatures
from miniature.evaluate_masks import write
from miniature.judge import classify_object
from miniature.training.vae import to_tensor
from miniature.world import KINDS, PALETTE, PLACES, Scene, Thing

PAGE = Path(__file__).parents[1] / "docs" / "repaint.md"
FOLDER = PAGE.parent / "pictures"
FIRST, SCALE = 30_000, 6  # of held-out seeds, where no other measure has any; pictures of about 768 x 768 px
SMALL = (0.006, 0.03)  # share of the picture that a small object covers
SETTINGS = {"steps": 12, "guidance_scale": 3.0, "strength": 1.0}
SIDE = 128  # px, of the square that the miniature was trained on
WIDTH, GAP = 230, 12


@dataclass(frozen=True)
class Case:
    """A small object to repaint in another colour.

    Attributes:
        picture: the scene.
        thing: the object.
        colour: the colour of the prompt.
        edit: the picture, with the grown object as its mask.
    """

    picture: Scene
    thing: Thing
    colour: str
    edit: Edit

    @property
    def prompt(self) -> str:
        """The prompt for the new colour."""
        return f"a photo of a {self.colour} {self.thing.kind}"

    def kind_is_right(self, image: np.ndarray) -> bool:
        """Whether the judge recognises the object's kind."""
        return classify_object(image, self.thing.box) == self.thing.kind

    def colour_is_right(self, image: np.ndarray) -> bool:
        """Whether the prompt's colour is, of all colours of the kind, the nearest to the mean over the object."""
        mean = image[self.thing.mask].mean(axis=0)
        return self.colour == min(KINDS[self.thing.kind].colours, key=lambda name: np.linalg.norm(mean - PALETTE[name]))


def small_objects(count: int) -> Iterator[Case]:
    """The first small objects of random scenes, to be repainted in the colour that follows their own."""
    found = 0
    for picture in held_out(40 * count, FIRST, scale=SCALE):
        for thing in picture.objects:
            colours = KINDS[thing.kind].colours
            if SMALL[0] < thing.mask.mean() < SMALL[1] and len(colours) > 1:
                colour = colours[(colours.index(thing.colour) + 1) % len(colours)]
                mask = Refine(grow=6, feather=3).apply(Edit(picture.image, picture.image).with_mask(thing.mask), None)
                yield Case(picture, thing, colour, mask)
                found += 1
                if found == count:
                    return


def repaint_small(models: Models, cases: Sequence[Case]) -> dict[str, list[Edit]]:
    """Every case repainted from the whole photo, and from a crop around the mask."""
    return {
        crop: [Inpaint(prompt=case.prompt, crop=crop, **SETTINGS).apply(case.edit, models) for case in cases]
        for crop in ("photo", "mask")
    }


@torch.no_grad()
def at_best(case: Case, mode: CropMode) -> np.ndarray:
    """The original object scaled to the model's size, passed through its autoencoder, and pasted back.

    No repaint can have more detail than this.
    """
    vae = AutoencoderKL.from_pretrained(MINIATURE_WEIGHTS / "sdxl_inpaint" / "vae")
    mask = case.edit.need_mask()
    (crop,) = CropPlanner(mask.shape, SIDE, 8, Inpaint(prompt="").context).plan(mode, mask)
    seen = to_tensor([to_working_crop(case.edit.image, mask, crop).image]).cpu()
    back = ((vae.decode(vae.encode(seen).latent_dist.mean).sample[0] + 1) * 127.5).clamp(0, 255)
    return paste(case.edit.image, mask, crop, back.permute(1, 2, 0).round().numpy().astype(np.uint8))


def likeness(case: Case, image: np.ndarray) -> float:
    """PSNR in dB of the object in this picture against the original object."""
    error = (image[case.thing.mask].astype(float) - case.edit.image[case.thing.mask]) ** 2
    return float(10 * np.log10(255**2 / error.mean()))


def small_table(cases: Sequence[Case], made: dict[str, list[Edit]]) -> list[str]:
    """The shares of right kinds, right colours and both, and the best possible PSNR, as Markdown."""
    lines = [
        f"| {len(cases)} small objects | kind right | colour right | both | at best, PSNR in dB |",
        "|---|---|---|---|---|",
    ]
    for crop, edits in made.items():
        pairs = [(case, edit.image) for case, edit in zip(cases, edits, strict=True)]
        kind = np.array([case.kind_is_right(image) for case, image in pairs])
        colour = np.array([case.colour_is_right(image) for case, image in pairs])
        shares = " | ".join(f"{share.mean():.0%}" for share in (kind, colour, kind & colour))
        best = np.mean([likeness(case, at_best(case, crop)) for case in cases])
        lines.append(f"| `crop: {crop}` | {shares} | {best:.1f} |")
    return lines


def holes(count: int) -> Iterator[tuple[Edit, str]]:
    """A disc as the mask in empty scenes, and the name of the place, which is the prompt."""
    for picture in held_out(count, FIRST + 1000, scale=2, objects=[]):
        height, width = picture.image.shape[:2]
        rows, columns = np.ogrid[:height, :width]
        disc = np.hypot(rows - 0.5 * height, columns - 0.45 * width) < 0.22 * min(height, width)
        yield Edit(picture.image, picture.image).with_mask(disc), PLACES[picture.place].phrases[0]


def harmonise_holes(models: Models, count: int) -> dict[str, list[Edit]]:
    """Every hole repainted with the same seed, and pasted with every kind of harmonising."""
    return {
        how: [Inpaint(prompt=prompt, harmonise=how, **SETTINGS).apply(edit, models) for edit, prompt in holes(count)]
        for how in get_args(Harmoniser)
    }


def seam_table(made: dict[str, list[Edit]]) -> list[str]:
    """The recorded seams, and the distance from the original colours, as Markdown."""
    before = np.mean([edit.figures["seam_before"] for edit in made["none"]])
    lines = [
        f"| {len(made['none'])} holes | seam (in the photo: {before:.1f}) | difference from the photo |",
        "|---|---|---|",
    ]
    for how, edits in made.items():
        seams = [edit.figures["seam"] for edit in edits]
        off = [np.abs(edit.image.astype(int) - edit.original)[edit.mask > 0].mean() for edit in edits]
        lines.append(f"| `harmonise: {how}` | {np.mean(seams):.1f} | {np.mean(off):.1f} |")
    return lines


def draw_small(cases: Sequence[Case], made: dict[str, list[Edit]]) -> Image.Image:
    """The surroundings of every object: before, at best, and with either crop."""
    rows = []
    for number, case in enumerate(cases):
        image, mask = case.picture.image, (case.edit.mask > 0).astype(np.uint8)
        (near,) = CropPlanner(mask.shape, 64, 8, 2.2).plan("mask", mask)
        cells = [_cell(image, f"{case.thing.mask.mean():.1%} of the picture"), _cell(image[near.slices], "near by")]
        cells += [_cell(at_best(case, crop)[near.slices], f"at best, crop: {crop}") for crop in made]
        for crop, edits in made.items():
            cells.append(_cell(edits[number].image[near.slices], f"{case.colour}, crop: {crop}"))
        rows.append(row(cells, GAP))
    return padded(stack(rows, GAP), 0, GAP)


def draw_holes(made: dict[str, list[Edit]], shown: Sequence[int]) -> Image.Image:
    """A row for every hole: where it is, and the results of every kind of harmonising."""
    rows = []
    for number in shown:
        first = made["none"][number]
        hole = np.where(first.mask[..., None] > 0, first.original // 2 + 110, first.original).astype(np.uint8)
        cells = [_cell(hole, f"the hole, {first.figures['seam_before']:.1f}")]
        cells += [
            _cell(edits[number].image, f"{how}, {edits[number].figures['seam']:.1f}") for how, edits in made.items()
        ]
        rows.append(row(cells, GAP))
    return padded(stack(rows, GAP), 0, GAP)


def draw_soft(models: Models) -> Image.Image:
    """A ramp as a mask: used to blend, and used by the model as a change map."""
    rows = []
    for picture, place in zip(
        held_out(2, FIRST + 2000, scale=2, objects=[("tree", "green")]), ("mars", "snow"), strict=True
    ):
        width = picture.image.shape[1]
        ramp = np.clip(np.linspace(-0.2, 1.2, width), 0, 1)[None].repeat(picture.image.shape[0], axis=0)
        edit = Edit(picture.image, picture.image).with_mask(ramp)
        stages = [
            Inpaint(prompt=PLACES[place].phrases[0], soft_mask=soft, seed=1, **SETTINGS) for soft in (False, True)
        ]
        made = [stage.apply(edit, models).image for stage in stages]
        mask = np.rint(ramp * 255).astype(np.uint8)[..., None].repeat(3, axis=2)
        captions = ("the photo", "the mask", "its greys blend", "soft_mask: true")
        rows.append(row([_cell(*pair) for pair in zip((picture.image, mask, *made), captions, strict=True)], GAP))
    return padded(stack(rows, GAP), 0, GAP)


def _cell(picture: np.ndarray, caption: str) -> Image.Image:
    size = WIDTH, round(picture.shape[0] * WIDTH / picture.shape[1])
    return captioned(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS), caption, WIDTH)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="default: %(default)s")
    torch.set_num_threads(parser.parse_args().threads)
    models, cases = miniatures(), list(small_objects(40))
    small, harmonised = repaint_small(models, cases), harmonise_holes(models, 4)
    lines = [*small_table(cases, small), "", *seam_table(harmonised)]
    print("\n".join(lines))
    write(lines, PAGE)
    draw_small(cases[:3], small).save(FOLDER / "small_objects.png", optimize=True)
    draw_holes(harmonised, (0, 1, 3)).save(FOLDER / "harmonise.png", optimize=True)
    draw_soft(models).save(FOLDER / "soft_mask.png", optimize=True)


if __name__ == "__main__":
    main()
