"""Plain Segment Anything and plain diffusers: the few lines that the scripts beside this file share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from diffusers import StableDiffusionXLInpaintPipeline
from PIL import Image
from segment_anything import SamPredictor, sam_model_registry
from segment_anything.modeling import Sam

from benchmarks.contenders.work import CLICK, GUIDANCE, Work
from darkroom.models.miniature.networks import load_sam_network  # segment_anything's classes at the miniature's size


class Plain:
    """Both models of a work, loaded, with the number of threads that torch chooses."""

    def __init__(self, work: Work) -> None:
        self.size = work.size
        self.mask = work.mask
        self.predictor = SamPredictor(load_sam(Path(work.sam)).eval().to(work.device))
        options = {"torch_dtype": torch.float16 if work.device == "cuda" else torch.float32}
        options |= {"variant": "fp16"} if any(Path(work.checkpoint).glob("unet/*.fp16.*")) else {}
        self.pipe = StableDiffusionXLInpaintPipeline.from_pretrained(
            work.checkpoint, local_files_only=True, add_watermarker=False, **options
        ).to(work.device)
        self.pipe.set_progress_bar_config(disable=True)

    def background_of(self, photo: Image.Image) -> Image.Image:
        """The mask of everything but the clicked car: white is repainted, with a soft edge."""
        self.predictor.set_image(np.asarray(photo))
        masks, scores, _ = self.predictor.predict(np.array([CLICK]), np.array([1]))
        if self.mask:
            return Image.open(self.mask).convert("L")
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
            image=[photo.resize(self.size)] * count,
            mask_image=[mask.resize(self.size)] * count,
            width=self.size[0],
            height=self.size[1],
            generator=[torch.Generator("cpu").manual_seed(seed) for seed in seeds],
            num_inference_steps=steps,
            guidance_scale=GUIDANCE,
            strength=1.0,
        ).images
        return [Image.composite(picture.resize(photo.size), photo, mask) for picture in pictures]


def load_sam(weights: Path) -> Sam:
    """The network of a miniature's folder, or of the published ViT-B."""
    return load_sam_network(weights) if weights.is_dir() else sam_model_registry["vit_b"](str(weights))


def read_photo(path: str) -> Image.Image:
    """A photo as RGB."""
    with Image.open(Path(path)) as image:
        return image.convert("RGB")
