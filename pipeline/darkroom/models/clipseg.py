"""CLIPSeg: finds in a photo what a phrase describes (Lüddecke and Ecker, CVPR 2022, arXiv 2112.10003)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from darkroom.models.image_cache import ImageCache
from darkroom.models.side_by_side import Turns
from darkroom.models.transformers_folder import load_folder
from darkroom.system.profiling import spanned

if TYPE_CHECKING:
    import torch
    from transformers import CLIPSegForImageSegmentation, CLIPSegProcessor

MAX_ASPECT = 2  # long side ÷ short side; longer photos are processed in tiles
MAX_TILES = 15


class ClipSeg:
    """CLIPSeg, with one method.

    Args:
        network: a loaded network, on its device.
        processor: its tokenizer and image processor.
        turns: held while a thread computes.
    """

    def __init__(
        self, network: CLIPSegForImageSegmentation, processor: CLIPSegProcessor, turns: Turns | None = None
    ) -> None:
        self._network = network
        self._turns = turns or nullcontext()
        self._tokenizing = Lock()  # a tokenizer keeps its settings for truncation from call to call
        self._processor = processor
        self._side = processor.image_processor.size["height"]
        self._encode = ImageCache(self._encode_tiles)

    @spanned("encode")
    def heatmaps(self, image: np.ndarray, phrases: Sequence[str]) -> np.ndarray:
        """The probability that each pixel belongs to each phrase.

        The photo is fitted into the model's square input (352 px for the published model). Its aspect is kept and the
        rest is filled with the mean colour, because the model was not trained on distorted shapes. A photo with an
        aspect above `MAX_ASPECT` is processed in overlapping square tiles, whose heatmaps are blended: as a whole it
        would be a narrow strip of few patches. Over 33 scenes each with aspects of 2.25, 3 and 4, the miniature's mean
        IoU is .56, .44 and .30 for the whole photo, and .64, .61 and .61 for tiles. The price: absent things are marked
        in 49 % of these scenes instead of 18 %; in scenes of ordinary shape it is 31 %.

        The photo is encoded once for all phrases, and the encoding is kept for the next call. Each phrase is decoded
        alone, so that its heatmap does not depend on the other phrases.

        Args:
            image: (H, W, 3) uint8 RGB, of any shape.
            phrases: P phrases.

        Returns:
            (P, H, W) float32 in [0, 1].
        """
        heatmaps = np.empty((len(phrases), *image.shape[:2]), np.float32)
        tiles = _tiles(*image.shape[:2])
        with self._turns:
            encoded = self._encode(image)
            for heatmap, phrase in zip(heatmaps, phrases, strict=True):
                condition = self._condition(phrase)
                heatmap[:] = _blended(
                    tiles,
                    (
                        _unfit(self._decode(activations, condition), *image[tile].shape[:2])
                        for tile, activations in zip(tiles, encoded, strict=True)
                    ),
                )
        return heatmaps

    def _condition(self, phrase: str) -> torch.Tensor:
        """The embedding of a phrase, (1, width)."""
        import torch

        with self._tokenizing:
            tokens = self._processor.tokenizer([phrase], truncation=True, return_tensors="pt")
        with torch.inference_mode():
            embedding: torch.Tensor = self._network.get_conditional_embeddings(
                batch_size=1, **tokens.to(self._network.device)
            )
        return embedding

    def _decode(self, activations: list[torch.Tensor], condition: torch.Tensor) -> torch.Tensor:
        """The heatmap of a tile, (side, side) float32 in [0, 1]."""
        import torch

        with torch.inference_mode():
            logits = self._network.decoder(activations, condition).logits
        return torch.sigmoid(logits.reshape(self._side, self._side)).cpu()

    def _encode_tiles(self, image: np.ndarray) -> list[list[torch.Tensor]]:
        """The activations of each tile of a photo."""
        import torch

        with torch.inference_mode():
            return [self._activations(image[tile]) for tile in _tiles(*image.shape[:2])]

    def _activations(self, image: np.ndarray) -> list[torch.Tensor]:
        """The activations of the vision tower that the decoder reads: (1, tokens, width) for each of its layers."""
        preprocess = self._processor.image_processor
        square = _fit(image, self._side, preprocess.image_mean, preprocess.resample)
        pixels = preprocess(square, return_tensors="pt").pixel_values
        hidden = self._network.clip.vision_model(
            pixel_values=pixels.to(self._network.device),
            output_hidden_states=True,
            interpolate_pos_encoding=True,  # the published model was trained at 224 px and runs at 352
        ).hidden_states
        return [hidden[layer + 1] for layer in self._network.extract_layers]  # the first is the input's


def load_clipseg(folder: Path, device: str, turns: Turns | None = None) -> ClipSeg:
    """CLIPSeg from a transformers folder with its processor; for `turns` see `ClipSeg`.

    Raises:
        SetupError: the folder is damaged or holds something else.
    """
    from transformers import CLIPSegForImageSegmentation, CLIPSegProcessor

    network, processor = load_folder(folder, "CLIPSeg weights", CLIPSegForImageSegmentation, CLIPSegProcessor)
    return ClipSeg(network.to(device), processor, turns)


def _tiles(height: int, width: int) -> list[tuple[slice, slice]]:
    """The tiles of a photo, in order: the whole photo, or squares along a long one, each overlapping half of the next.

    On an extremely long photo the tiles are longer than squares, so that there are at most `MAX_TILES`.
    """
    long, short = max(height, width), min(height, width)
    if long <= MAX_ASPECT * short:
        return [(slice(0, height), slice(0, width))]
    count = min(2 * long // short - 1, MAX_TILES)
    side = math.ceil(2 * long / (count + 1))
    across = slice(0, short)
    along = [slice(start, start + side) for start in np.rint(np.linspace(0, long - side, count)).astype(int).tolist()]
    return [(across, section) if width > height else (section, across) for section in along]


def _blended(tiles: Sequence[tuple[slice, slice]], heatmaps: Iterable[np.ndarray]) -> np.ndarray:
    """One heatmap from those of the tiles, whose weights fall linearly from the middle of a tile to its ends."""
    if len(tiles) == 1:
        return next(iter(heatmaps))
    total = np.zeros((tiles[-1][0].stop, tiles[-1][1].stop), np.float32)
    weights = np.zeros_like(total)
    axis = int(total.shape[1] > total.shape[0])
    for tile, heatmap in zip(tiles, heatmaps, strict=True):
        position = np.arange(heatmap.shape[axis], dtype=np.float32) + np.float32(0.5)
        weight = np.expand_dims(np.minimum(position, len(position) - position), 1 - axis)
        total[tile] += heatmap * weight
        weights[tile] += weight
    return np.clip(total / weights, 0, 1)


def _fitted_size(height: int, width: int, side: int) -> tuple[int, int]:
    scale = side / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def _fit(image: np.ndarray, side: int, mean: Sequence[float], resample: int) -> np.ndarray:
    """(side, side, 3) uint8: the image in the upper left corner, the rest in the mean colour, 0 after preprocessing."""
    from PIL import Image

    height, width = _fitted_size(image.shape[0], image.shape[1], side)
    square = np.empty((side, side, 3), np.uint8)
    square[:] = np.rint(np.asarray(mean) * 255)
    resized = Image.fromarray(image).resize((width, height), Image.Resampling(resample))
    square[:height, :width] = np.asarray(resized)
    return square


def _unfit(square: torch.Tensor, height: int, width: int) -> np.ndarray:
    """(height, width) float32: the part of a square heatmap that shows the image, at the image's size."""
    from torch.nn.functional import interpolate

    fitted_height, fitted_width = _fitted_size(height, width, square.shape[-1])
    fitted = square[None, None, :fitted_height, :fitted_width].float()
    resized = interpolate(fitted, (height, width), mode="bilinear", align_corners=False)
    return resized[0, 0].clamp(0, 1).numpy()
