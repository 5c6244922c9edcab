"""Draws the pictures of README and docs: `python -m miniature.pictures [NAME ...]`.

One picture for every op: a piece of a recipe, run by the miniature models on one of the examples. It shows the photo
and the result of every stage, with the stage's lines of the recipe below. `finders` compares the ops that find objects,
`recipes` shows the results of four whole recipes. `photographs/...` are those of `docs/photographs.md`: recipes without
a miniature model, on the photographs in `examples/`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from darkroom.imaging.edit import Edit
from darkroom.imaging.framing import framed
from darkroom.models import Memory, ModelNames, Models
from darkroom.record import read_journal
from darkroom.report.drawing import SOFT, TINT, label, padded, row, stack
from darkroom.stages import STAGES
from darkroom.stages.auto import Auto
from darkroom.stages.inpaint import Inpaint
from darkroom.stages.snap import Snap
from darkroom.stages.text import Text
from miniature.evaluate import held_out, miniatures
from miniature.examples import EXAMPLES, FLEET, Example
from miniature.text_to_image import write_text_to_image

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "pictures"
WIDTH, GAP = 300, 14
RECIPES, LARGE = ("car_on_mars", "horse_to_zebra", "car_swap", "two_passes"), 512

# The example, and the stages that are run on it. TRUTH is a folder with the true mask of the example's main object.
DOGS = Example(7, (768, 512), "meadow", (("dog", "brown"), ("dog", "black")), "")
SHOWN: dict[str, tuple[str, str]] = {
    "subject": ("coffee.jpg", "subject: {}"),
    "sam": ("car.png", "sam: {points: [[330, 360]]}"),
    "text": ("dog.png", "text: {phrase: a dog}"),
    "find": ("dogs.png", "find: {phrase: a dog}"),
    "clip_diff": ("horse.png", "clip_diff: {source: a horse, target: a zebra}"),
    "snap": ("dog.png", "snap: {phrase: a dog}"),
    "auto": ("truck.jpg", "auto: {choose: nearest}"),
    "diffedit": ("horse.png", "diffedit: {reference: a photo of a brown horse, query: a photo of a zebra}"),
    "grabcut": ("car.png", "grabcut: {box: [135, 210, 535, 460]}"),
    "mask_file": ("car.png", "mask_file: {folder: TRUTH}"),
    "refine": (
        "car.png",
        "{text: {phrase: a car}, refine: {fill_holes: true, keep_largest: 1, grow: 12, feather: 24}}",
    ),
    "matte": ("dog.png", "{sam: {points: [[330, 330]]}, matte: {}}"),
    "invert": ("car.png", "{sam: {points: [[330, 360]]}, invert: {}}"),
    "combine": (
        "car_and_tree.jpg",
        "{tree: {op: text, phrase: a tree}, car: {op: sam, points: [[198, 374]]}, combine: {mask: tree, how: union}}",
    ),
    "gate": (
        "dog.png",
        "{snap: {phrase: a dog}, gate: {coverage: [0.02, 0.6], border: 0, confidence: 0.5, policy: flag}}",
    ),
    "inpaint": (
        "car.png",
        "{sam: {points: [[330, 360]]}, invert: {}, "
        "inpaint: {prompt: 'red desert of Mars, dusty sky', steps: 20, guidance_scale: 3, strength: 1}}",
    ),
    "erase": (
        "car.png",
        "{grabcut: {box: [545, 340, 690, 398]}, refine: {open: 1, grow: 4, feather: 3}, erase: {}}",
    ),
    "background": (
        "car.png",
        "{sam: {points: [[330, 360]]}, refine: {grow: -1, feather: 2}, invert: {}, "
        "background: {gradient: [white, '#aab2bd']}}",
    ),
    "shadow": (
        "car.png",
        "{sam: {points: [[330, 360]]}, refine: {grow: -1, feather: 2}, invert: {}, "
        "background: {gradient: [white, '#aab2bd']}, shadow: {direction: 60, length: 0.5}}",
    ),
    "frame": (
        "car.png",
        "{sam: {points: [[330, 360]]}, invert: {}, "
        "inpaint: {prompt: 'red desert of Mars, dusty sky', steps: 20, guidance_scale: 3, strength: 1}, "
        "frame: {size: [600, 600], share: 0.8, inside: true}}",
    ),
    "upscale": (
        "coffee.jpg",
        "{subject: {}, matte: {}, invert: {}, background: {colour: '#eef1f4'}, "
        "frame: {size: [600, 600], share: 0.8, fill: '#eef1f4'}, upscale: {scale: 2}}",
    ),
    "diffedit_repaint": (
        "horse.png",
        "{sam: {points: [[380, 300]]}, refine: {grow: 6, feather: 6}, "
        "diffedit_repaint: {prompt: a photo of a zebra, ratio: 0.7, guidance_scale: 5}}",
    ),
}

# The same for photographs.
PHOTOGRAPHS: dict[str, tuple[str, str]] = {
    "coffee": (
        "coffee.jpg",
        "{subject: {}, matte: {}, invert: {}, background: {colour: '#eef1f4'}, "
        "shadow: {direction: 310, length: 0.4, contact_size: 0.008}, "
        "frame: {size: [600, 600], share: 0.8, fill: '#eef1f4'}}",
    ),
    "portrait": (
        "astronaut.jpg",
        "{subject: {}, matte: {}, invert: {}, background: {gradient: ['#3b5b7a', '#0e1b2a'], radial: true}, "
        "frame: {aspect: '4:5'}}",
    ),
    "cat": ("cat.jpg", "{subject: {}, matte: {}, invert: {}, background: {colour: '#3b5b7a'}}"),
}
# Left, top, right and bottom of what is shown at 400 %, before a background of this colour.
CLOSE = (("astronaut.jpg", (140, 10, 215, 85)), ("coffee.jpg", (375, 55, 450, 130)))
NEW_BACKGROUND = "{invert: {}, background: {colour: '#1f5f4a'}}"
EDGES = (
    "{subject: {}, refine: {threshold: 0.5}}",
    "{subject: {}, refine: {feather: 3}}",
    "{subject: {}, matte: {}}",
)


def shown(name: str, text: str, models: Models, truth: Path) -> Image.Image:
    """A piece of a recipe on an example; `truth` is the folder that `TRUTH` stands for."""
    photo = _example(name)
    edit, cells = Edit(photo, photo, name=name), [_cell(photo, name)]
    for stage, given in yaml.safe_load(text).items():
        kind = given.get("op", stage)
        parameters = {key: str(truth) if value == "TRUTH" else value for key, value in given.items() if key != "op"}
        made = STAGES[kind](**parameters)
        after = made.apply(edit, models)
        if STAGES[kind].frames:
            picture, _ = framed(made.framing(after.figures), after.image, None)
            cells.append(_cell(picture if after.enlarged is None else after.enlarged, f"{stage}: {_flow(given)}"))
            edit = after
            continue
        measured = f" — {_flow(after.figures)}" if STAGES[kind].is_gate else ""
        cells += _views(edit, after, f"{stage}: {_flow(given)}{measured}")
        edit = replace(after, masks={**edit.masks, stage: after.mask}, artifacts={})
    return padded(row(cells, GAP), 0, GAP)


def _example(name: str) -> np.ndarray:
    """A drawn example as it was drawn, or a photograph in `examples/`."""
    drawn = {**EXAMPLES, **FLEET, "dogs.png": DOGS}
    return drawn[name].scene().image if name in drawn else np.asarray(Image.open(ROOT / "examples" / name))


def edges(models: Models) -> Image.Image:
    """A row for each of `CLOSE`: a part of the photo at 400 %, and with each of `EDGES` on a new background."""
    rows = []
    for name, (left, top, right, bottom) in CLOSE:
        photo = _example(name)
        pictures = {"the photo at 400 %": photo}
        for text in EDGES:
            edit = Edit(photo, photo, name=name)
            for op, given in {**yaml.safe_load(text), **yaml.safe_load(NEW_BACKGROUND)}.items():
                edit = STAGES[op](**given).apply(edit, models)
            pictures[text] = edit.image
        size = 4 * (right - left), 4 * (bottom - top)
        cells = []
        for caption, picture in pictures.items():
            large = Image.fromarray(picture[top:bottom, left:right]).resize(size, Image.Resampling.NEAREST)
            cells.append(_cell(np.asarray(large), caption))
        rows.append(row(cells, GAP))
    return padded(stack(rows, GAP), 0, GAP)


def finders(models: Models) -> Image.Image:
    """A row for each of three examples: the photo, and the heatmaps and masks of `text`, `snap` and `auto`."""
    rows = []
    for name in ("car.png", "dog.png", "truck.jpg"):
        example = {**EXAMPLES, **FLEET}[name]
        picture, phrase = example.scene().image, f"a {example.objects[0][0]}"
        photo = Edit(picture, picture)
        text, snap, auto = (one.apply(photo, models) for one in (Text(phrase=phrase), Snap(phrase=phrase), Auto()))
        cells = [
            _cell(picture, name),
            _cell(_grey(text.artifacts["heat"]), f"the heat of “{phrase}”"),
            _cell(_tinted(text), "text"),
            _cell(_tinted(snap), "snap"),
            _cell(_grey(auto.artifacts["segments"]), "the segments of auto"),
            _cell(_tinted(auto), "auto, nearest"),
        ]
        rows.append(row(cells, GAP))
    return padded(stack(rows, GAP), 0, GAP)


def recipes() -> Image.Image:
    """A row for each of `RECIPES`, run by the command: the photo and the first two results.

    For a recipe with two passes these are the results of the passes.
    """
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in RECIPES:
            command = [
                sys.executable,
                ROOT / "run.py",
                f"recipe={name}",
                "models=miniature",
                f"outputs={folder}/{name}",
            ]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            (run,) = Path(folder, name).glob(f"*_{name}")
            lines = list(read_journal(run))
            passes = [step["image"] for step in lines[0]["steps"] if "repainted" in step]
            prompts = {line["prompt"]: line["result"] for line in reversed(lines)}
            results = [line["result"] for line in lines]
            pictures = passes if len(passes) > 1 else [*prompts.values()][::-1] if len(prompts) > 1 else results
            cells = [np.asarray(Image.open(run / path)) for path in (lines[0]["source"], *pictures[:2])]
            texts = (name, *(["first pass", "second pass"] if len(passes) > 1 else [*prompts][::-1]))
            rows.append(row([_cell(cell, text, LARGE) for cell, text in zip_longest(cells, texts, fillvalue="")], GAP))
    return padded(stack(rows, GAP), 0, GAP)


def control() -> Image.Image:
    """A scene, its outlines, and the whole scene repainted with the control `canny` at three weights."""
    (scene,) = held_out(1, 8003, scale=2, objects=[("bus", "red")])
    edit = Edit(scene.image, scene.image).with_mask(np.ones(scene.image.shape[:2], bool))
    cells = [_cell(scene.image, "a scene", 200)]
    for weight in (0.0, 0.5, 1.0):
        words = "a photo of a orange bus, open sea"
        settings = {"prompt": words, "seed": 3, "steps": 8, "guidance_scale": 3, "strength": 1}
        after = Inpaint(**settings, crop="photo", control={"canny": weight}).apply(edit, miniatures())
        cells.append(_cell(after.image, f"control: {{canny: {weight:g}}}", 200))
    cells.insert(1, _cell(_grey(after.artifacts["control_canny"]), "its outlines", 200))
    return padded(row(cells, GAP), 0, GAP)


def lora() -> Image.Image:
    """The car on a street, and on Mars with the LoRA `dusk` at three weights."""
    photo = _example("car.png")
    edit, models = Edit(photo, photo), miniatures()
    for op, given in (("sam", {"points": [[330, 360]]}), ("refine", {"grow": -1, "feather": 2}), ("invert", {})):
        edit = STAGES[op](**given).apply(edit, models)
    cells = [_cell(photo, "car.png", 250)]
    for weight in (0.0, 0.5, 1.0):
        settings = {"prompt": "red desert of Mars, dusty sky", "steps": 20, "guidance_scale": 3, "strength": 1}
        after = Inpaint(**settings, lora={"dusk": weight}).apply(edit, models)
        cells.append(_cell(after.image, f"lora: {{dusk: {weight:g}}}", 250))
    return padded(row(cells, GAP), 0, GAP)


def _views(before: Edit, after: Edit, caption: str) -> Iterator[Image.Image]:
    for kind, heat in after.artifacts.items():
        yield _cell(_grey(heat), f"its {kind}")
    yield _cell(after.image if after.image is not before.image else _tinted(after), caption)


def _flow(given: Mapping[str, Any]) -> str:
    """Parameters as YAML on one line."""
    return yaml.safe_dump(dict(given), default_flow_style=True, width=1000, sort_keys=False).strip() if given else ""


def _cell(picture: np.ndarray, caption: str, width: int = WIDTH) -> Image.Image:
    size = width, round(picture.shape[0] * width / picture.shape[1])
    small = Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS)
    return stack([small, label(caption, width, 18, colour=SOFT, lines=6)], 6)


def _grey(heat: np.ndarray) -> np.ndarray:
    return np.repeat(heat[..., None], 3, axis=2)


def _tinted(edit: Edit) -> np.ndarray:
    """The photo with the masked part in violet."""
    photo = Image.fromarray(edit.image)
    violet = Image.blend(photo.convert("L").convert("RGB"), Image.new("RGB", photo.size, TINT), 0.6)
    mask = Image.fromarray(edit.need_mask())
    return np.asarray(Image.composite(violet, photo, mask))


def op_picture(op: str) -> Image.Image:
    """See `SHOWN`."""
    with tempfile.TemporaryDirectory() as folder:
        truth = Path(folder)
        for name, example in EXAMPLES.items():
            Image.fromarray(example.main().mask).save(truth / name)
        models = miniatures()
        if op == "diffedit_repaint":  # which takes no inpainting model
            weights = write_text_to_image(truth / "text_to_image")
            models = Models(ModelNames(sam="miniature", clipseg="miniature", inpaint=str(weights)), Memory(), "cpu")
        return shown(*SHOWN[op], models, truth)


def photograph(name: str) -> Image.Image:
    """See `PHOTOGRAPHS`."""
    return shown(*PHOTOGRAPHS[name], miniatures(), Path())


DRAWN: dict[str, Callable[[], Image.Image]] = {
    **{f"ops/{op}": partial(op_picture, op) for op in SHOWN},
    "control": control,
    "lora": lora,
    "finders": lambda: finders(miniatures()),
    "recipes": recipes,
    "photographs/edges": lambda: edges(miniatures()),
    **{f"photographs/{name}": partial(photograph, name) for name in PHOTOGRAPHS},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(DRAWN)} (default: all)")
    for name in parser.parse_args().names or DRAWN:
        suffix = ".jpg" if name.startswith("photographs/") else ".png"
        DRAWN[name]().save(FOLDER / f"{name}{suffix}", optimize=True, quality=85)


if __name__ == "__main__":
    main()
