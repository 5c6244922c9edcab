"""Networks from picture to picture that spandrel knows: upscalers such as ESRGAN, and LaMa, which fills holes."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from darkroom.errors import SetupError
from darkroom.models.load_errors import as_setup_error
from darkroom.models.side_by_side import Turns

if TYPE_CHECKING:
    import torch
    from spandrel import ImageModelDescriptor, MaskedImageModelDescriptor

_TILE = 512  # px of the network's input without margins; chosen so that a tile of common networks fits into 8 GB
_MARGIN = 32  # px around a tile that the network sees as well, so that no seam shows
_MAX_FILE = 2_000_000_000  # bytes; the largest network that spandrel knows takes a quarter of this


class Upscaler:
    """A network that enlarges pictures, in fp32.

    Args:
        network: a loaded network, on its device.
        turns: held while a thread computes.
    """

    def __init__(self, network: ImageModelDescriptor[Any], turns: Turns | None = None) -> None:
        self._network = network
        self._turns = turns or nullcontext()

    def enlarge(self, image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """A picture at another size.

        The network enlarges it tile by tile by its own scale; a Lanczos filter brings each tile to the size.

        Args:
            image: (H, W, 3) uint8 RGB.
            size: (width, height), at least those of the picture.

        Returns:
            (height, width, 3) uint8 RGB.
        """
        result = np.empty((size[1], size[0], 3), np.uint8)
        step_x, step_y = (max(1, int(_TILE * new / old)) for new, old in zip(size, image.shape[1::-1], strict=True))
        for top in range(0, size[1], step_y):
            for left in range(0, size[0], step_x):
                box = left, top, min(left + step_x, size[0]), min(top + step_y, size[1])
                result[box[1] : box[3], box[0] : box[2]] = self._tile(image, size, box)
        return result

    def _tile(self, image: np.ndarray, size: tuple[int, int], box: tuple[int, int, int, int]) -> np.ndarray:
        """The part of the enlarged picture in a box of its pixels: left, upper, right, lower."""
        height, width = image.shape[:2]
        across, down = width / size[0], height / size[1]
        x0, y0 = max(0, int(box[0] * across) - _MARGIN), max(0, int(box[1] * down) - _MARGIN)
        x1, y1 = min(width, int(box[2] * across) + _MARGIN + 1), min(height, int(box[3] * down) + _MARGIN + 1)
        with self._turns:
            tile = Image.fromarray(_run(self._network, image[y0:y1, x0:x1]))
        scale = self._network.scale
        place = (box[0] * across - x0, box[1] * down - y0, box[2] * across - x0, box[3] * down - y0)
        wanted = box[2] - box[0], box[3] - box[1]
        return np.asarray(tile.resize(wanted, Image.Resampling.LANCZOS, tuple(side * scale for side in place)))


class Lama:
    """LaMa (Suvorov et al., WACV 2022, arXiv 2109.07161), in fp32.

    Args:
        network: a loaded network, on its device.
        turns: held while a thread computes.
    """

    def __init__(self, network: MaskedImageModelDescriptor[Any], turns: Turns | None = None) -> None:
        self._network = network
        self._turns = turns or nullcontext()

    def fill(self, image: np.ndarray, hole: np.ndarray) -> np.ndarray:
        """A picture with its hole filled.

        Args:
            image: (h, w, 3) uint8 RGB.
            hole: (h, w) bool.

        Returns:
            (h, w, 3) uint8 RGB; pixels outside the hole may change, too.
        """
        with self._turns:
            return _run(self._network, image, hole)


def load_upscaler(path: Path, device: str, turns: Turns | None = None) -> Upscaler:
    """Load a network that enlarges. Raises `SetupError` if the file is damaged or holds something else.

    Args:
        path: safetensors, or a pickle of tensors alone.
        device: `cpu`, `cuda`, `cuda:1` or `mps`.
        turns: see `Upscaler`.
    """
    from spandrel import ImageModelDescriptor

    network = _load(path, device)
    if not isinstance(network, ImageModelDescriptor) or network.scale < 2 or _channels(network) != (3, 3):
        raise SetupError(f"{path}: holds no network that enlarges RGB pictures, but {network.architecture.name}")
    return Upscaler(network, turns)


def load_lama(path: Path, device: str, turns: Turns | None = None) -> Lama:
    """Load LaMa. Raises `SetupError` if the file is damaged or holds something else.

    Args:
        path: safetensors, or a pickle of tensors alone.
        device: `cpu`, `cuda`, `cuda:1` or `mps`.
        turns: see `Lama`.
    """
    from spandrel import MaskedImageModelDescriptor

    network = _load(path, device)
    if not isinstance(network, MaskedImageModelDescriptor) or _channels(network) != (3, 3):
        raise SetupError(f"{path}: holds no network that fills holes in RGB pictures, but {network.architecture.name}")
    return Lama(network, turns)


def _load(path: Path, device: str) -> Any:
    """A network in fp32, of the architecture that spandrel recognises by its tensors' names and shapes."""
    import torch
    from safetensors.torch import load_file
    from spandrel import ModelLoader, canonicalize_state_dict

    if path.stat().st_size > _MAX_FILE:
        raise SetupError(f"{path}: has more than {_MAX_FILE / 1e9:.0f} GB: no network for pictures")
    with as_setup_error(path, "a network that spandrel knows"):
        if path.suffix == ".safetensors":
            tensors = load_file(path)
        else:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
        network = ModelLoader("cpu").load_from_state_dict(canonicalize_state_dict(tensors))
    return network.float().to(torch.device(device)).eval()


def _channels(network: Any) -> tuple[int, int]:
    return network.input_channels, network.output_channels


def _run(network: Any, image: np.ndarray, hole: np.ndarray | None = None) -> np.ndarray:
    """The network's picture, (h, w, 3) uint8, of one like it."""
    import torch

    masks = [] if hole is None else [torch.from_numpy(hole.astype(np.float32))[None, None].to(network.device)]
    with torch.inference_mode():
        made = network(_tensor(image).to(network.device), *masks)
    pixels: np.ndarray = made[0].movedim(0, 2).mul(255).round().to(torch.uint8).cpu().numpy()
    return pixels


def _tensor(image: np.ndarray) -> torch.Tensor:
    """(1, 3, h, w) float32 in [0, 1]."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))[None]).float() / 255
