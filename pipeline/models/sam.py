"""Segment Anything: masks from clicks and boxes (Kirillov et al., ICCV 2023, arXiv 2304.02643)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.errors import PhotoError, SetupError
from pipeline.models.closeup import SMALL, CloseUp
from pipeline.models.last import LastImage
from pipeline.models.reading import reading

if TYPE_CHECKING:
    from segment_anything.modeling import Sam as Network

_VARIANTS = {768: "vit_b", 1024: "vit_l", 1280: "vit_h"}  # by the width of the image encoder


class Sam:
    """SAM behind one method.

    Args:
        network: a loaded network, on its device.
    """

    def __init__(self, network: Network) -> None:
        from segment_anything import SamPredictor

        self._predictor = SamPredictor(network)
        self._encode = LastImage(self._predictor.set_image)

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

    def _check_shape(self, image: np.ndarray) -> None:
        height, width = image.shape[:2]
        resize = self._predictor.transform
        if min(resize.get_preprocess_shape(height, width, resize.target_length)) < 1:
            raise PhotoError(f"{width} x {height} pixels are too long and thin for SAM")


def load_sam(path: Path, device: str) -> Sam | CloseUp:
    """SAM from an official checkpoint, or from a folder with `config.json` and `model.safetensors`.

    One that sees pictures at less than `SMALL` pixels looks twice.

    A checkpoint is a pickle: it is read with `weights_only=True`, so it can hold tensors but run nothing.

    Raises:
        SetupError: the file is damaged or holds something else.
    """
    with reading(path, "SAM weights"):
        network = _from_folder(path) if path.is_dir() else _from_checkpoint(path)
    sam = Sam(network.float().eval().to(device))
    return CloseUp(sam) if network.image_encoder.img_size < SMALL else sam


def _from_folder(folder: Path) -> Network:
    from safetensors.torch import load_file

    from pipeline.miniature.networks import build_sam

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
