"""CLIPSeg: where in a picture is what a phrase says (Lüddecke and Ecker, CVPR 2022, arXiv 2112.10003)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.errors import SetupError
from pipeline.models.last import LastImage
from pipeline.models.quiet import quiet
from pipeline.models.reading import reading

if TYPE_CHECKING:
    import torch
    from transformers import CLIPSegForImageSegmentation, CLIPSegProcessor


class ClipSeg:
    """CLIPSeg behind one method.

    Args:
        network: a loaded network, on its device.
        processor: its tokenizer and image processor.
    """

    def __init__(self, network: CLIPSegForImageSegmentation, processor: CLIPSegProcessor) -> None:
        self._network = network
        self._processor = processor
        self._side = processor.image_processor.size["height"]
        self._see = LastImage(self._activations)

    def heat(self, image: np.ndarray, phrases: Sequence[str]) -> np.ndarray:
        """How likely each pixel belongs to each phrase.

        The photo is fitted into the model's square (352 px for the published model) with its aspect kept and
        the rest filled with the mean colour: a distorted photo would show shapes that the model was not
        trained on. The photo is looked at once for all phrases and remembered for the next call; each phrase
        is computed alone, so that its heat does not depend on its companions.

        Args:
            image: (H, W, 3) uint8 RGB, of any shape.
            phrases: P phrases.

        Returns:
            (P, H, W) float32 in [0, 1].
        """
        height, width = image.shape[:2]
        heats = np.empty((len(phrases), height, width), np.float32)
        for index, phrase in enumerate(phrases):
            heats[index] = _unfit(self._square_heat(image, phrase), height, width)
        return heats

    def _square_heat(self, image: np.ndarray, phrase: str) -> torch.Tensor:
        """(side, side) float32 in [0, 1]."""
        import torch

        tokens = self._processor.tokenizer([phrase], truncation=True, return_tensors="pt")
        tokens = tokens.to(self._network.device)
        with torch.inference_mode():
            condition = self._network.get_conditional_embeddings(batch_size=1, **tokens)
            logits = self._network.decoder(self._see(image), condition).logits
        return torch.sigmoid(logits.reshape(self._side, self._side)).cpu()

    def _activations(self, image: np.ndarray) -> list[torch.Tensor]:
        """What the decoder reads of the vision tower: for each layer it looks at, 1 x tokens x width."""
        prepare = self._processor.image_processor
        square = _fit(image, self._side, prepare.image_mean, prepare.resample)
        pixels = prepare(square, return_tensors="pt").pixel_values
        hidden = self._network.clip.vision_model(
            pixel_values=pixels.to(self._network.device),
            output_hidden_states=True,
            interpolate_pos_encoding=True,  # the published model was trained at 224 px and looks at 352
        ).hidden_states
        return [hidden[layer + 1] for layer in self._network.extract_layers]  # the first is no layer's


def load_clipseg(folder: Path, device: str) -> ClipSeg:
    """CLIPSeg from a transformers folder with its processor.

    Raises:
        SetupError: the folder is damaged or holds something else.
    """
    from transformers import CLIPSegForImageSegmentation, CLIPSegProcessor

    quiet()
    with reading(folder, "CLIPSeg weights"):
        network, report = CLIPSegForImageSegmentation.from_pretrained(
            folder, local_files_only=True, dtype="float32", output_loading_info=True
        )
        processor = CLIPSegProcessor.from_pretrained(folder, local_files_only=True)
    if report["missing_keys"]:  # transformers fills them with noise
        raise SetupError(f"{folder}: lacks tensors: {', '.join(sorted(report['missing_keys'])[:3])} ...")
    return ClipSeg(network.eval().to(device), processor)


def _fitted_size(height: int, width: int, side: int) -> tuple[int, int]:
    scale = side / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def _fit(image: np.ndarray, side: int, mean: Sequence[float], resample: int) -> np.ndarray:
    """(side, side, 3) uint8: the image in the upper left corner, the rest in the mean colour, which is 0."""
    from PIL import Image

    height, width = _fitted_size(*image.shape[:2], side)
    square = np.empty((side, side, 3), np.uint8)
    square[:] = np.rint(np.asarray(mean) * 255)
    square[:height, :width] = Image.fromarray(image).resize((width, height), Image.Resampling(resample))
    return square


def _unfit(heat: torch.Tensor, height: int, width: int) -> np.ndarray:
    """(height, width) float32: the part of the square that shows the image, at the image's size."""
    from torch.nn.functional import interpolate

    fitted_height, fitted_width = _fitted_size(height, width, heat.shape[-1])
    part = heat[None, None, :fitted_height, :fitted_width].float()
    return interpolate(part, (height, width), mode="bilinear", align_corners=False)[0, 0].clamp(0, 1).numpy()
