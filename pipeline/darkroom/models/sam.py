"""Segment Anything: masks from clicks and boxes (Kirillov et al., ICCV 2023, arXiv 2304.02643)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from darkroom.errors import PhotoError, SetupError
from darkroom.models.image_cache import ImageCache
from darkroom.models.load_errors import reading
from darkroom.models.miniature.two_pass_sam import SMALL, TwoPassSam

if TYPE_CHECKING:
    import torch
    from segment_anything.modeling import Sam as Network

_VARIANTS = {768: "vit_b", 1024: "vit_l", 1280: "vit_h"}  # by the width of the image encoder
_STEP = 1.0  # by how much a mask's cut is moved to see how stable it is, in logits
_CLICKS = 64  # of a grid that are decoded together: 50 MB of masks


class Segments(NamedTuple):
    """What SAM takes for things in a photo, N of them; many stand for the same thing.

    Attributes:
        masks: (N, h, w) bool as SAM's decoder makes them; the longer side has 256 px in the published models.
        clicks: (N, 2) float, the click that each was found by, x and y in pixels of the photo.
        scores: (N,) float32, SAM's own estimates of their IoU, about 0 to 1.
        stability: (N,) float32 in [0, 1], the IoU of a mask cut a little tighter with one cut a little wider.
    """

    masks: np.ndarray
    clicks: np.ndarray
    scores: np.ndarray
    stability: np.ndarray


class Sam:
    """SAM behind two methods.

    Args:
        network: a loaded network, on its device.
    """

    def __init__(self, network: Network) -> None:
        from segment_anything import SamPredictor

        self._predictor = SamPredictor(network)
        self._encode = ImageCache(self._predictor.set_image)

    def masks(
        self, image: np.ndarray, points: np.ndarray, labels: np.ndarray, box: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The three masks that SAM finds plausible for a prompt: a whole, a part, a part of the part.

        Args:
            image: (H, W, 3) uint8 RGB. The encoding, nearly all of the work, is kept for the next call.
            points: (N, 2) float, x and y in pixels; N may be 0 if there is a box.
            labels: (N,) 1 for a click on the object, 0 for a click beside it.
            box: (4,) float, x0 y0 x1 y1 in pixels, or None.

        Returns:
            masks, (3, H, W) bool, and SAM's own estimates of their IoU, (3,) float32, about 0 to 1.

        Raises:
            PhotoError: the photo is so thin that nothing would be left of it at SAM's size.
        """
        if not len(points) and box is None:
            raise ValueError("SAM needs a point or a box")
        self._check_shape(image)
        self._encode(np.ascontiguousarray(image))
        masks, scores, _ = self._predictor.predict(
            point_coords=np.asarray(points, np.float32) if len(points) else None,
            point_labels=np.asarray(labels) if len(points) else None,
            box=None if box is None else np.asarray(box, np.float32),
            multimask_output=True,
        )
        return masks, scores

    def segment_everything(self, image: np.ndarray, grid: int) -> Segments:
        """All that SAM finds under a grid of clicks; for a mask at full size ask `masks` with its click.

        Like the `SamAutomaticMaskGenerator` of the SAM paper, section 5, without its filters and without ever making
        its masks at the photo's size, of which one photo of 24 megapixels would need gigabytes.

        Args:
            image: (H, W, 3) uint8 RGB.
            grid: clicks along each side; each brings three masks.

        Raises:
            PhotoError: the photo is so thin that nothing would be left of it at SAM's size.
        """
        import torch

        self._check_shape(image)
        self._encode(np.ascontiguousarray(image))
        ticks = (np.arange(grid) + 0.5) / grid
        clicks = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2) * image.shape[1::-1]
        placed = self._predictor.transform.apply_coords(clicks, image.shape[:2])
        with torch.inference_mode():
            points = torch.as_tensor(placed, dtype=torch.float32, device=self._predictor.device)[:, None]
            decoded = [self._decode(some) for some in points.split(_CLICKS)]
        masks, scores, stability = (np.concatenate(parts) for parts in zip(*decoded, strict=True))
        return Segments(masks, clicks.repeat(3, axis=0), scores, stability)

    def _decode(self, points: torch.Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Three masks for each of (B, 1, 2) clicks: (3B, h, w) bool, their scores and stabilities."""
        network = self._predictor.model
        labels = points.new_ones(points.shape[:2], dtype=int)
        sparse, dense = network.prompt_encoder(points=(points, labels), boxes=None, masks=None)
        logits, scores = network.mask_decoder(
            image_embeddings=self._predictor.features,
            image_pe=network.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=True,
        )
        scale = logits.shape[-1] / network.image_encoder.img_size
        rows, columns = (max(1, round(side * scale)) for side in self._predictor.input_size)
        logits = logits.flatten(0, 1)[:, :rows, :columns]
        tight, wide = ((logits > network.mask_threshold + step).sum((1, 2)) for step in (_STEP, -_STEP))
        parts = logits > network.mask_threshold, scores.flatten(), tight / wide.clamp(min=1)
        return tuple(part.cpu().numpy() for part in parts)

    def _check_shape(self, image: np.ndarray) -> None:
        height, width = image.shape[:2]
        resize = self._predictor.transform
        if min(resize.get_preprocess_shape(height, width, resize.target_length)) < 1:
            raise PhotoError(f"{width} x {height} pixels are too long and thin for SAM")


def load_sam(path: Path, device: str) -> Sam | TwoPassSam:
    """SAM from an official checkpoint, or from a folder with `config.json` and `model.safetensors`.

    One that sees pictures at less than `SMALL` pixels looks twice.

    A checkpoint is a pickle: it is read with `weights_only=True`, so it can hold tensors but run nothing.

    Raises:
        SetupError: the file is damaged or holds something else.
    """
    with reading(path, "SAM weights"):
        network = _from_folder(path) if path.is_dir() else _from_checkpoint(path)
    sam = Sam(network.float().eval().to(device))
    return TwoPassSam(sam) if network.image_encoder.img_size < SMALL else sam


def _from_folder(folder: Path) -> Network:
    from safetensors.torch import load_file

    from darkroom.models.miniature.networks import build_sam

    network = build_sam(json.loads((folder / "config.json").read_text()))
    network.load_state_dict(load_file(folder / "model.safetensors"))
    return network


def _from_checkpoint(path: Path) -> Network:
    import torch
    from segment_anything import sam_model_registry

    state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    position = state.get("image_encoder.pos_embed")
    variant = None if position is None else _VARIANTS.get(position.shape[-1])
    if variant is None:
        raise SetupError(f"{path}: holds no SAM of the sizes vit_b, vit_l and vit_h")
    network = sam_model_registry[variant]()
    network.load_state_dict(state)
    return network
