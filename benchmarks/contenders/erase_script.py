"""A recipe without diffusion, by hand: masks from a folder, grown and feathered, filled by OpenCV, saved by Pillow.

python -m benchmarks.contenders.erase_script PHOTOS MASKS OUT
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

GROW, FEATHER, RADIUS = 4, 3, 3  # px, as in `benchmarks.cpu.ERASE`


def main() -> None:
    """Fill what the masks mark."""
    photos, masks, out = (Path(argument) for argument in sys.argv[1:])
    out.mkdir(parents=True, exist_ok=True)
    for path in sorted(photos.iterdir()):
        photo = np.asarray(Image.open(path).convert("RGB"))
        marked = np.asarray(Image.open(masks / path.name).convert("L")) >= 128
        distance = cv2.distanceTransform((~marked).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        distance = np.maximum(distance - GROW, 0)
        share = np.clip(1 - distance / (FEATHER + 1), 0, 1)[..., None]
        filled = cv2.inpaint(np.ascontiguousarray(photo), (share[..., 0] > 0).astype(np.uint8), RADIUS, cv2.INPAINT_NS)
        Image.fromarray((photo + (filled - photo.astype(np.float32)) * share).round().astype(np.uint8)).save(
            out / path.name
        )


if __name__ == "__main__":
    main()
