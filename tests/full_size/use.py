"""Uses the full-size models as a run does, and says what it took: one line of JSON.

    python use.py FOLDER      (HF_HUB_CACHE: FOLDER/hub)
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

import numpy as np

from pipeline.models import InpaintRequest, Memory, Models, Weights
from pipeline.models.names import CLIPSEG, SAM_CHECKPOINTS, SDXL

SIDE = 512


def main(folder: Path) -> dict[str, object]:
    weights = Weights(sam=str(folder / SAM_CHECKPOINTS["vit_b"]), clipseg=CLIPSEG, inpaint=SDXL)
    models = Models(weights, Memory(dtype="bf16"), device="cpu")
    seconds: dict[str, float] = {}
    image = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)

    def timed(name: str, result: object) -> object:
        seconds[name] = round(time.perf_counter() - timed.last, 1)
        timed.last = time.perf_counter()
        return result

    timed.last = time.perf_counter()
    sam = timed("load sam", models.sam)
    masks, scores = timed("sam", sam.masks(image, np.array([[256.0, 256.0]]), np.array([1]), None))
    clipseg = timed("load clipseg", models.clipseg)
    heat = timed("clipseg", clipseg.heat(image[:300], ["a car", "a horse"]))
    diffusion = timed("load sdxl", models.diffusion)
    mask = np.zeros((SIDE, SIDE), bool)
    mask[128:384, 128:384] = True
    request = InpaintRequest(image, mask, "a red car", None, 7, 2, 7.5, 1.0, "default")
    (picture,) = timed("inpaint, 2 steps", diffusion.inpaint([request]))
    return {
        "seconds": seconds,
        "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 1),
        "masks": [masks.shape, str(masks.dtype), bool(np.isfinite(scores).all())],
        "heat": [heat.shape, bool(np.isfinite(heat).all()), float(heat.min()), float(heat.max())],
        "picture": [picture.shape, str(picture.dtype), float(picture.std())],
        "native": diffusion.native,
        "models": models.describe(),
    }


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
