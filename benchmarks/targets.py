"""What `make bench` is to reach (issue 16), and why it does not where it does not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Target:
    """A row of docs/performance.md.

    Attributes:
        name: what is divided by what.
        cpu: the largest figure that meets the target, with the miniature models on a CPU; None for a figure without
            a target.
        gpu: the same at full size on a GPU; None if there is none.
        unit: `ratio` of wall times, `cpu` seconds, `seconds` of wall time, or `bytes`, a ratio of bytes on disk.
        why: the reason if the target is missed with the miniature models.
    """

    name: str
    cpu: float | None
    gpu: float | None = None
    unit: Literal["ratio", "cpu", "seconds", "bytes"] = "ratio"
    why: str = ""


TARGETS = {
    "process": Target(
        "a sweep ÷ one process per picture",
        0.10,
        0.20,
        why="16 pictures are too few: their bare model calls and one import already take 0.14 of 16 processes",
    ),
    "loop": Target("a sweep ÷ the warm loop", 1.0),
    "fast loop": Target(
        "a sweep with `memory=fast` ÷ the warm loop",
        0.7,
        0.5,
        why="where the CPU has instructions for bf16, batches of four in it halve the UNet's steps, but save nothing "
        "of the imports; elsewhere they save a tenth",
    ),
    "batches": Target(
        "a sweep ÷ the batched loop",
        0.9,
        why="the loop gives up that a picture equals the one made alone, and spends 31 to 35 s of CPU on 16 "
        "pictures; Darkroom 31 to 32, which keep masks, records and reports",
    ),
    "fast batches": Target(
        "a sweep with `memory=fast` ÷ the batched loop",
        0.9,
        0.7,
        why="both compute in batches of four on two cores; Darkroom keeps masks, records and reports besides",
    ),
    "hydra": Target("a sweep ÷ plain Hydra `--multirun`", None),
    "dgenerate": Target("a sweep ÷ dgenerate", None),
    "floor, one photo": Target(
        "one photo ÷ the floor (32 pictures; on a GPU 16)",
        1.05,
        1.03,
        why="on two cores, what runs beside the models (PNG, checks, files, the report) takes their time",
    ),
    "floor, many photos": Target(
        "24 photos x 1 picture ÷ the floor",
        1.05,
        why="on two cores, decoding, PNG and files of a photo for each picture take their time beside the models",
    ),
    "no-op": Target(
        "the same run again ÷ the first run (24 photos x 8 prompts)",
        0.01,
        why="start-up, the check of every stored file by its digest, and a new run folder with its sheet and page",
    ),
    "change": Target(
        "one of eight prompts changed ÷ the first run",
        0.15,
        why="an eighth of the pictures is 0.125; imports and loading are more than the 0.025 that are left",
    ),
    "list": Target(
        "a sweep ÷ the same values as a list, time",
        1.05,
        why="sixteen recipes to compose and check, and sixteen run folders with snapshots and pages, instead of one",
    ),
    "list bytes": Target(
        "a sweep ÷ the same values as a list, bytes on disk",
        1.2,
        unit="bytes",
        why="every run folder has a page, snapshots and folders of its own, 90 KB; pictures and masks are shared",
    ),
    "killed": Target("killed halfway and resumed ÷ not interrupted (24 photos)", None),
    "script": Target("a recipe without diffusion ÷ a Pillow and OpenCV script (100 photos)", 3.0),
    "iopaint": Target("a recipe without diffusion ÷ `iopaint run --model cv2`", None),
    "help": Target("`--help`, CPU seconds", 0.5, unit="cpu"),
    "refused": Target(
        "a refused recipe, CPU seconds",
        0.5,
        unit="cpu",
        why="importing Hydra and pydantic takes more than a third of it, composing and checking the recipe a quarter",
    ),
    "first picture": Target(
        "the first picture (1 step) ÷ importing torch, diffusers and SAM",
        1.2,
        why="the rest is loading of the models, SAM's encoder, one step, and what is kept",
    ),
    "large photo": Target(
        "a photo of 24 megapixels outside the models, one worker, seconds",
        1.0,
        unit="seconds",
        why="two PNG files of 24 megapixels, the photo and the result, take zlib half of it",
    ),
    "large photos": Target(
        "the same with all workers: seconds per photo in which no model computes",
        1.0,
        unit="seconds",
        why="two workers share two cores, and compress their PNG files at the same time",
    ),
    "limit": Target("arithmetic of further pictures ÷ the GPU's bf16 limit (30 steps), at least", None, 0.6),
}
"""The last one is measured on a GPU only, and is the only one that is to be above its target."""
