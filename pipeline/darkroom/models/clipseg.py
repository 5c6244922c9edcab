"""CLIPSeg: where in a picture is what a phrase says (Lüddecke and Ecker, CVPR 2022, arXiv 2112.10003)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from darkroom.errors import SetupError
from darkroom.models.image_cache import ImageCache
from darkroom.models.library_logging import silence_libraries
from darkroom.models.load_errors import reading

if TYPE_CHECKING:
    import torch
    from transformers import CLIPSegForImageSegmentation, CLIPSegProcessor

LONG = 2  # times as long as wide: a photo beyond it is looked at in parts
MOST_PARTS = 15


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
        self._see = ImageCache(self._look)

    def heatmaps(self, image: np.ndarray, phrases: Sequence[str]) -> np.ndarray:
        """How likely each pixel belongs to each phrase.

        The photo is fitted into the model's square (352 px for the published model) with its aspect kept and
        the rest filled with the mean colour: a distorted photo would show shapes that the model was not
        trained on. One more than `LONG` times as long as wide is looked at in overlapping squares, whose heats
        are blended: as a whole it would be a narrow strip of few patches. Over 33 scenes each of 2.25, 3 and 4
        times the width, the miniature's mean IoU as a whole is .56, .44 and .30, in squares .64, .61 and .61. The
        price is that absent things are marked in 49 % of them rather than in 18 %: nearer to the 31 % that it has in
        scenes of ordinary shape.

        The photo is looked at once for all phrases and remembered for the next call; each phrase is computed alone,
        so that its heat does not depend on its companions.

        Args:
            image: (H, W, 3) uint8 RGB, of any shape.
            phrases: P phrases.

        Returns:
            (P, H, W) float32 in [0, 1].
        """
        heats = np.empty((len(phrases), *image.shape[:2]), np.float32)
        parts = _parts(*image.shape[:2])
        for heat, phrase in zip(heats, phrases, strict=True):
            condition = self._condition(phrase)
            heat[:] = _blended(
                parts,
                (
                    _unfit(self._square_heat(seen, condition), *image[part].shape[:2])
                    for part, seen in zip(parts, self._see(image), strict=True)
                ),
            )
        return heats

    def _condition(self, phrase: str) -> torch.Tensor:
        """A phrase as the decoder reads it, 1 x width."""
        import torch

        tokens = self._processor.tokenizer([phrase], truncation=True, return_tensors="pt")
        with torch.inference_mode():
            return self._network.get_conditional_embeddings(batch_size=1, **tokens.to(self._network.device))

    def _square_heat(self, seen: list[torch.Tensor], condition: torch.Tensor) -> torch.Tensor:
        """(side, side) float32 in [0, 1]."""
        import torch

        with torch.inference_mode():
            logits = self._network.decoder(seen, condition).logits
        return torch.sigmoid(logits.reshape(self._side, self._side)).cpu()

    def _look(self, image: np.ndarray) -> list[list[torch.Tensor]]:
        """What is seen in each part of a photo."""
        import torch

        with torch.inference_mode():
            return [self._activations(image[part]) for part in _parts(*image.shape[:2])]

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

    silence_libraries()
    with reading(folder, "CLIPSeg weights"):
        network, report = CLIPSegForImageSegmentation.from_pretrained(
            folder, local_files_only=True, dtype="float32", output_loading_info=True
        )
        processor = CLIPSegProcessor.from_pretrained(folder, local_files_only=True)
    if report["missing_keys"]:  # transformers fills them with noise
        raise SetupError(f"{folder}: lacks tensors: {', '.join(sorted(report['missing_keys'])[:3])} ...")
    return ClipSeg(network.eval().to(device), processor)


def _parts(height: int, width: int) -> list[tuple[slice, slice]]:
    """What is looked at, in order: the whole, or squares along a long photo, each overlapping half of the next.

    Of an extremely long one they are longer than squares, so that there are no more than `MOST_PARTS`.
    """
    long, short = max(height, width), min(height, width)
    if long <= LONG * short:
        return [(slice(0, height), slice(0, width))]
    count = min(2 * long // short - 1, MOST_PARTS)
    side = math.ceil(2 * long / (count + 1))
    across = slice(0, short)
    along = [slice(start, start + side) for start in np.rint(np.linspace(0, long - side, count)).astype(int).tolist()]
    return [(across, each) if width > height else (each, across) for each in along]


def _blended(parts: Sequence[tuple[slice, slice]], heats: Iterable[np.ndarray]) -> np.ndarray:
    """The heats of a photo's parts as one, each fading out along the photo from its middle; the whole one as it is."""
    if len(parts) == 1:
        return next(iter(heats))
    total = np.zeros((parts[-1][0].stop, parts[-1][1].stop), np.float32)
    weight = np.zeros_like(total)
    axis = int(total.shape[1] > total.shape[0])
    for part, heat in zip(parts, heats, strict=True):
        place = np.arange(heat.shape[axis], dtype=np.float32) + np.float32(0.5)
        share = np.expand_dims(np.minimum(place, len(place) - place), 1 - axis)
        total[part] += heat * share
        weight[part] += share
    return np.clip(total / weight, 0, 1)


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
