"""Segment Anything: masks from clicks and boxes (Kirillov et al., ICCV 2023, arXiv 2304.02643)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
from PIL import Image

from darkroom.errors import PhotoError, SetupError
from darkroom.imaging.bands import bands
from darkroom.imaging.reducing import reduced
from darkroom.models.image_cache import ImageCache
from darkroom.models.interfaces import LazyMasks, Segments
from darkroom.models.load_errors import as_setup_error
from darkroom.models.side_by_side import Turns
from darkroom.system.profiling import spanned

if TYPE_CHECKING:
    import torch
    from segment_anything import SamPredictor
    from segment_anything.modeling import Sam as Network

_VARIANTS = {768: "vit_b", 1024: "vit_l", 1280: "vit_h"}  # by the width of the image encoder
_STABILITY_OFFSET = 1.0  # in logits: how far the threshold is moved up and down
_CLICKS_PER_BATCH = 64  # of a grid, decoded together: 50 MB of masks

KeepEmbedding = Callable[[np.ndarray, Callable[[], np.ndarray]], np.ndarray]
"""Returns the embedding of a resized image, from wherever embeddings are kept, or else by calling the function."""


class _Encoded(NamedTuple):
    """An encoded image, as `SamPredictor` holds it."""

    features: torch.Tensor  # (1, C, h, w) fp32, on the device
    original_size: tuple[int, int]  # height and width
    input_size: tuple[int, int]  # of the resized image


class Sam:
    """Segment Anything, with two methods.

    Embeddings are rounded to fp16, as they are kept: a mask is the same whether its embedding was kept or computed.

    Args:
        network: a loaded network, on its device.
        keep: where embeddings of whole photos are kept; None keeps the last few in memory only.
        turns: held while a thread computes.
    """

    def __init__(self, network: Network, keep: KeepEmbedding | None = None, turns: Turns | None = None) -> None:
        from segment_anything.utils.transforms import ResizeLongestSide

        self.network = network
        self._resize = ResizeLongestSide(network.image_encoder.img_size)
        self._keep = keep
        self._turns = turns or nullcontext()
        self._photos = ImageCache(partial(self._encoded, keep))
        self._crops = ImageCache(partial(self._encoded, None))

    def embed(self, image: np.ndarray, copies: Sequence[np.ndarray] = ()) -> None:
        """Encode a photo ahead of its clicks. Raises `PhotoError`: see `masks`.

        Args:
            image: (H, W, 3) uint8 RGB.
            copies: of other sizes, (h, w, 3) uint8 RGB each, which then share the photo's encoding.
        """
        self._check_shape(image)
        with self._turns:
            encoded = self._photos(image)
        for copy in copies:
            self._check_shape(copy)
            self._photos.add(copy, encoded._replace(original_size=copy.shape[:2]))

    def masks(
        self, image: np.ndarray, points: np.ndarray, labels: np.ndarray, box: np.ndarray | None, is_crop: bool = False
    ) -> tuple[Sequence[np.ndarray], np.ndarray]:
        """The three masks that SAM finds plausible for a prompt: a whole, a part, a part of the part.

        Args:
            image: (H, W, 3) uint8 RGB. The encoding, nearly all of the work, is kept for the next call.
            points: (N, 2) float, x and y in pixels; N may be 0 if there is a box.
            labels: (N,) 1 for a click on the object, 0 for a click beside it.
            box: (4,) float, x0 y0 x1 y1 in pixels, or None.
            is_crop: the image is a crop, whose embedding is not worth keeping.

        Returns:
            The masks, (H, W) bool each, made when they are asked for, and SAM's own estimates of their IoU, (3,)
            float32, about 0 to 1.

        Raises:
            PhotoError: the photo is so long and thin that its short side vanishes at SAM's input size.
        """
        if not len(points) and box is None:
            raise ValueError("SAM needs a point or a box")
        with self._turns:
            predictor = self._predictor(image, is_crop)
            clicks = points[None] if len(points) else None
            logits, scores = self._decode(predictor, clicks, np.asarray(labels)[None], box)
        threshold, side = self.network.mask_threshold, self.network.image_encoder.img_size
        rows, columns = predictor.input_size

        def mask(number: int) -> np.ndarray:
            square = cv2.resize(logits[number].numpy(), (side, side), interpolation=cv2.INTER_LINEAR)
            return above(square[:rows, :columns], threshold, image.shape[:2])

        return LazyMasks(mask, len(logits)), scores.numpy()

    def segment_everything(self, image: np.ndarray, grid: int) -> Segments:
        """The masks of a grid of clicks, at low resolution; for a mask at full size pass its click to `masks`.

        Like the `SamAutomaticMaskGenerator` of the SAM paper, section 5, but without its filters, and without masks
        at full size: those of a single photo of 24 megapixels would take gigabytes.

        Args:
            image: (H, W, 3) uint8 RGB.
            grid: clicks along each side; every click gives three masks.

        Raises:
            PhotoError: the photo is so long and thin that its short side vanishes at SAM's input size.
        """
        clicks = grid_of_clicks(grid, image.shape)
        starts = range(0, len(clicks), _CLICKS_PER_BATCH)
        with self._turns:
            predictor = self._predictor(image)
            decoded = [self._small_masks(predictor, clicks[start : start + _CLICKS_PER_BATCH]) for start in starts]
        masks, scores, stability = (np.concatenate(parts) for parts in zip(*decoded, strict=True))
        return Segments(masks, clicks.repeat(3, axis=0), scores, stability)

    def _small_masks(self, predictor: SamPredictor, clicks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Three masks for each of (B, 2) clicks: (3B, h, w) bool, their scores and stabilities."""
        logits, scores = self._decode(predictor, clicks[:, None], np.ones((len(clicks), 1), int), None)
        scale = logits.shape[-1] / self.network.image_encoder.img_size
        rows, columns = (max(1, round(side * scale)) for side in predictor.input_size)
        masks, stability = thresholded(logits[:, :rows, :columns], self.network.mask_threshold)
        return masks, scores.numpy(), stability

    @spanned("decode masks")
    def _decode(
        self, predictor: SamPredictor, points: np.ndarray | None, labels: np.ndarray, box: np.ndarray | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Three masks for each of B prompts: (3B, h, w) logits, and (3B,) scores, on the CPU.

        Args:
            predictor: holds an image.
            points: (B, N, 2) px; None for a box alone.
            labels: (B, N), as in `masks`.
            box: (4,) px of the only prompt.
        """
        import torch

        network, size = self.network, predictor.original_size
        tensor = partial(torch.as_tensor, dtype=torch.float32, device=network.device)
        clicks = boxes = None
        if points is not None:
            numbers = torch.as_tensor(labels, dtype=torch.int32, device=network.device)
            clicks = tensor(self._resize.apply_coords(points, size)), numbers
        if box is not None:
            boxes = tensor(self._resize.apply_boxes(np.asarray(box, np.float32), size))
        with torch.inference_mode():
            sparse, dense = network.prompt_encoder(points=clicks, boxes=boxes, masks=None)
            logits, scores = network.mask_decoder(
                image_embeddings=predictor.features,
                image_pe=network.prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=True,
            )
        return logits.flatten(0, 1).cpu(), scores.flatten().cpu()

    def _predictor(self, image: np.ndarray, is_crop: bool = False) -> SamPredictor:
        """A predictor that holds this image, encoded: a new one for each call, as it keeps state."""
        from segment_anything import SamPredictor

        self._check_shape(image)
        encoded = (self._crops if is_crop else self._photos)(image)
        predictor = SamPredictor(self.network)
        predictor.features, predictor.original_size, predictor.input_size = encoded
        predictor.is_image_set = True
        return predictor

    def _encoded(self, keep: KeepEmbedding | None, image: np.ndarray) -> _Encoded:
        import torch
        from segment_anything import SamPredictor

        predictor = SamPredictor(self.network)
        small = self._reduced(image)

        @spanned("encode")
        def compute() -> np.ndarray:
            pixels = torch.as_tensor(small, device=predictor.device).permute(2, 0, 1).contiguous()[None]
            predictor.set_torch_image(pixels, image.shape[:2])
            features: np.ndarray = predictor.features.half().cpu().numpy()
            return features

        features = keep(small, compute) if keep else compute()
        tensor = torch.as_tensor(features, device=predictor.device).float()
        return _Encoded(tensor, image.shape[:2], small.shape[:2])

    def _reduced(self, image: np.ndarray) -> np.ndarray:
        """The image at SAM's input size, by the filter of its authors."""
        height, width = self._resize.get_preprocess_shape(*image.shape[:2], self._resize.target_length)
        return np.array(reduced(image, (width, height), Image.Resampling.BILINEAR))

    def _check_shape(self, image: np.ndarray) -> None:
        height, width = image.shape[:2]
        if min(self._resize.get_preprocess_shape(height, width, self._resize.target_length)) < 1:
            raise PhotoError(f"{width} x {height} pixels are too long and thin for SAM")


def grid_of_clicks(grid: int, shape: tuple[int, ...]) -> np.ndarray:
    """Clicks in the middles of grid x grid equal cells of a photo, row by row.

    Args:
        grid: clicks along each side.
        shape: of the photo, height first.

    Returns:
        (grid * grid, 2) float64, x and y in pixels.
    """
    ticks = (np.arange(grid) + 0.5) / grid
    clicks: np.ndarray = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2) * shape[1::-1]
    return clicks


def above(logits: np.ndarray, threshold: float, size: tuple[int, int]) -> np.ndarray:
    """Where logits, enlarged by linear interpolation, are above a threshold.

    OpenCV takes a tenth of the time that torch takes on a CPU; band by band, a large photo takes no floats of its size.

    Args:
        logits: (h, w) float32.
        threshold: in logits.
        size: (H, W).

    Returns:
        (H, W) bool.
    """
    (height, width), last = size, len(logits) - 1
    places = np.clip((np.arange(height) + 0.5) * len(logits) / height - 0.5, 0, last)
    upper = places.astype(int)
    lower, share = np.minimum(upper + 1, last), (places - upper).astype(np.float32)[:, None]
    mask = np.empty(size, bool)
    for rows in bands(height, width):
        part = logits[upper[rows]] * (1 - share[rows]) + logits[lower[rows]] * share[rows]
        np.greater(cv2.resize(part, (width, len(part)), interpolation=cv2.INTER_LINEAR), threshold, out=mask[rows])
    return mask


def thresholded(logits: torch.Tensor, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Masks from (N, h, w) logits: (N, h, w) bool, and their stabilities, (N,) float32 (see `Segments`)."""
    smaller, larger = ((logits > threshold + offset).sum((1, 2)) for offset in (_STABILITY_OFFSET, -_STABILITY_OFFSET))
    return (logits > threshold).cpu().numpy(), (smaller / larger.clamp(min=1)).cpu().numpy()


def load_sam(file: Path, device: str, keep: KeepEmbedding | None = None, turns: Turns | None = None) -> Sam:
    """SAM from an official checkpoint; for `keep` and `turns` see `Sam`.

    A checkpoint is a pickle. It is read with `weights_only=True`, so it can hold tensors but run no code.

    Raises:
        SetupError: the file is damaged or holds something else.
    """
    with as_setup_error(file, "SAM weights"):
        network = _load_network(file)
    return Sam(network.float().eval().to(device), keep, turns)


def _load_network(file: Path) -> Network:
    import torch
    from segment_anything import sam_model_registry

    state = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    position = state.get("image_encoder.pos_embed")
    variant = None if position is None else _VARIANTS.get(position.shape[-1])
    if variant is None:
        raise SetupError(f"{file}: holds no SAM of the sizes vit_b, vit_l and vit_h")
    network = sam_model_registry[variant]()
    network.load_state_dict(state)
    return network
