"""Plain Segment Anything and plain diffusers: the few lines that the scripts beside this file share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from diffusers import StableDiffusionXLInpaintPipeline
from PIL import Image
from segment_anything import SamPredictor

from benchmarks.contenders.work import CLICK, GUIDANCE, MINIATURE, SIZE
from darkroom.models.miniature.networks import load_sam_network  # segment_anything's classes at the miniature's size


class Plain:
    """Both models, loaded, with the number of threads that torch chooses."""

    def __init__(self) -> None:
        self.predictor = SamPredictor(load_sam_network(MINIATURE / "sam").eval())
        self.pipe = StableDiffusionXLInpaintPipeline.from_pretrained(
            MINIATURE / "sdxl_inpaint", local_files_only=True, add_watermarker=False
        )
        self.pipe.set_progress_bar_config(disable=True)

    def background_of(self, photo: Image.Image) -> Image.Image:
        """The mask of everything but the clicked car: white is repainted, with a soft edge."""
        self.predictor.set_image(np.asarray(photo))
        masks, scores, _ = self.predictor.predict(np.array([CLICK]), np.array([1]))
        car = masks[int(scores.argmax())].astype(np.uint8)
        _, labels, stats, _ = cv2.connectedComponentsWithStats(car)
        car = (labels == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()).astype(np.uint8)
        car = cv2.erode(cv2.morphologyEx(car, cv2.MORPH_CLOSE, np.ones((5, 5))), np.ones((5, 5)))
        return Image.fromarray(255 - cv2.GaussianBlur(car * 255, (0, 0), 1))

    def paint(
        self, photo: Image.Image, mask: Image.Image, prompts: Sequence[str], seeds: Sequence[int], steps: int
    ) -> list[Image.Image]:
        """The photo with its background repainted, once for each prompt and seed, in one call of the pipeline."""
        count = len(prompts)
        pictures = self.pipe(
            prompt=list(prompts),
            image=[photo.resize(SIZE)] * count,
            mask_image=[mask.resize(SIZE)] * count,
            width=SIZE[0],
            height=SIZE[1],
            generator=[torch.Generator("cpu").manual_seed(seed) for seed in seeds],
            num_inference_steps=steps,
            guidance_scale=GUIDANCE,
            strength=1.0,
        ).images
        return [Image.composite(picture.resize(photo.size), photo, mask) for picture in pictures]


def read_photo(path: str) -> Image.Image:
    """A photo as RGB."""
    with Image.open(Path(path)) as image:
        return image.convert("RGB")
