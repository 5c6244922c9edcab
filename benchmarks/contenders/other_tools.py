"""Batch tools of other projects, measured where they are installed: the command lines that do the same work."""

from __future__ import annotations

import shutil
from pathlib import Path

from benchmarks.contenders.work import GUIDANCE, MINIATURE, SIZE, Work


def dgenerate(work: Work, mask: Path) -> list[str] | None:
    """Every prompt and seed of the only photo, at the size at which the miniature paints; None if not installed.

    It finds no masks, so it gets one.
    """
    if not (program := shutil.which("dgenerate")):
        return None
    (photo,) = work.photos
    return [
        *(program, str(MINIATURE / "sdxl_inpaint"), "--model-type", "sdxl", "--device", "cpu", "--dtype", "float32"),
        *("--image-seeds", f"{photo};{mask};{SIZE[0]}x{SIZE[1]}", "--image-seed-strengths", "1"),
        *("--prompts", *work.prompts, "--seeds", *map(str, work.seeds)),
        *("--inference-steps", str(work.steps), "--guidance-scales", str(GUIDANCE)),
        *("--output-path", work.out, "--no-stdin", "--offline-mode"),
    ]


def iopaint(photos: Path, masks: Path, out: Path) -> list[str] | None:
    """OpenCV's filling by `iopaint run`; None if not installed."""
    if not (program := shutil.which("iopaint")):
        return None
    folders = (f"--image={photos}", f"--mask={masks}", f"--output={out}")
    return [program, "run", "--model=cv2", "--device=cpu", *folders]
