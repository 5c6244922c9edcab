"""Uses the full-size models as a run does, and says what it took: one line of JSON.

python use.py FOLDER      (HF_HUB_CACHE: FOLDER/hub)
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from darkroom.models import InpaintRequest, Memory, ModelNames, Models
from darkroom.models.names import CLIPSEG, SAM_CHECKPOINTS, SDXL
from darkroom.models.prompts import Prompt

SIDE = 512

seconds: dict[str, float] = {}


@contextmanager
def timed(name: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds[name] = round(time.perf_counter() - started, 1)


def find_masks(models: Models, image: np.ndarray) -> dict[str, Any]:
    """A click for SAM, two phrases for CLIPSeg."""
    with timed("load SAM"):
        sam = models.sam
    with timed("SAM, a click"):
        masks, scores = sam.masks(image, np.array([[256.0, 200.0]]), np.array([1]), None)
    with timed("load CLIPSeg"):
        clipseg = models.clipseg
    with timed("CLIPSeg, two phrases"):
        heat = clipseg.heatmaps(image, ["a car", "a horse"])
    return {
        "masks": [np.stack(masks).shape, str(masks[0].dtype), bool(np.isfinite(scores).all())],
        "heat": [heat.shape, bool(np.isfinite(heat).all()), float(heat.min()), float(heat.max())],
    }


def repaint(models: Models, image: np.ndarray) -> dict[str, Any]:
    """The middle of the picture, in two steps."""
    mask = np.zeros(image.shape[:2], bool)
    mask[128:384, 128:384] = True
    request = InpaintRequest(image, mask, Prompt("a red car"), 7, 2, 7.5, 1.0, "default")
    with timed("load SDXL"):
        diffusion = models.diffusion
    with timed("SDXL, two steps"):
        (picture,) = diffusion.inpaint([request])
    return {"native": diffusion.native, "picture": [picture.shape, str(picture.dtype), float(picture.std())]}


def main(folder: Path) -> None:
    weights = ModelNames(sam=str(folder / SAM_CHECKPOINTS["vit_b"]), clipseg=CLIPSEG, inpaint=SDXL)
    models = Models(weights, Memory(dtype="bf16"), device="cpu")
    image = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    told = {**find_masks(models, image[:300]), **repaint(models, image)}
    peak_gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    described = models.describe(["sam", "clipseg", "inpaint"])
    print(json.dumps({"seconds": seconds, "peak_gib": round(peak_gib, 1), **told, "models": described}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
