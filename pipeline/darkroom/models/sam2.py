"""SAM 2.1 and EdgeTAM in transformers' layout: masks from clicks and boxes, like `sam.Sam`.

SAM 2: Ravi et al., arXiv 2408.00714. EdgeTAM, a SAM 2 with a small encoder: Zhou et al., arXiv 2501.07256.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from darkroom.errors import SetupError
from darkroom.models.image_cache import ImageCache
from darkroom.models.interfaces import LazyMasks, Segments
from darkroom.models.sam import KeepEmbedding, above, grid_of_clicks, thresholded
from darkroom.models.side_by_side import Turns
from darkroom.models.transformers_folder import load_folder
from darkroom.resources import install_command
from darkroom.system.profiling import spanned

if TYPE_CHECKING:
    import torch
    from transformers import EdgeTamModel, Sam2Model

Kind = Literal["sam2", "edgetam"]
KINDS: dict[str, Kind] = {"sam2": "sam2", "sam2_video": "sam2", "edgetam": "edgetam", "edgetam_video": "edgetam"}
"""What a folder holds, by `model_type` in its `config.json`. The repositories are published for video; photos need a
part of their weights."""

_CLICKS_PER_BATCH = 16  # of a grid, decoded together: 0.6 GB in the published sizes


class Sam2:
    """SAM 2.1 or EdgeTAM on photos, in fp32; the methods are those of `sam.Sam`.

    A photo is stretched to the square that the network sees, so its encoding fits copies of any size, and no photo is
    too long and thin. Embeddings are rounded to fp16, as they are kept.

    Args:
        network: a loaded network, on its device.
        processor: its image processor.
        keep: where embeddings of whole photos are kept; None keeps the last few in memory only.
        turns: held while a thread computes.
    """

    def __init__(
        self,
        network: Sam2Model | EdgeTamModel,
        processor: Any,
        keep: KeepEmbedding | None = None,
        turns: Turns | None = None,
    ) -> None:
        self.network = network
        self._processor = processor
        config: Any = network.config
        self._side: int = config.prompt_encoder_config.image_size
        self._turns = turns or nullcontext()
        self._photos = ImageCache(partial(self._encoded, keep))
        self._crops = ImageCache(partial(self._encoded, None))

    def embed(self, image: np.ndarray, copies: Sequence[np.ndarray] = ()) -> None:
        """See `Sam.embed`."""
        with self._turns:
            encoded = self._photos(image)
        for copy in copies:
            self._photos.add(copy, encoded)

    def masks(
        self, image: np.ndarray, points: np.ndarray, labels: np.ndarray, box: np.ndarray | None, is_crop: bool = False
    ) -> tuple[Sequence[np.ndarray], np.ndarray]:
        """See `Sam.masks`."""
        import torch

        if not len(points) and box is None:
            raise ValueError("SAM needs a point or a box")
        prompt: dict[str, Any] = {}
        if len(points):
            prompt["input_points"] = self._scaled(points, image)[None, None]
            prompt["input_labels"] = torch.tensor([[np.asarray(labels).tolist()]], device=self.network.device)
        if box is not None:
            prompt["input_boxes"] = self._scaled(np.reshape(box, (2, 2)), image).reshape(1, 1, 4)
        with self._turns, torch.inference_mode():
            found = self._decoded(image, prompt, is_crop)
            logits, scores = found.pred_masks[0, 0].cpu().numpy(), found.iou_scores[0, 0].cpu().numpy()
        return LazyMasks(lambda number: above(logits[number], 0, image.shape[:2]), len(logits)), scores

    def segment_everything(self, image: np.ndarray, grid: int) -> Segments:
        """See `Sam.segment_everything`."""
        import torch

        clicks = grid_of_clicks(grid, image.shape)
        decoded = []
        for start in range(0, len(clicks), _CLICKS_PER_BATCH):
            points = self._scaled(clicks[start : start + _CLICKS_PER_BATCH], image)[None, :, None]
            labels = torch.ones(points.shape[:3], dtype=torch.int64, device=points.device)
            with self._turns, torch.inference_mode():
                found = self._decoded(image, {"input_points": points, "input_labels": labels})
                logits = found.pred_masks[0].flatten(0, 1)
                masks, stability = thresholded(_enlarged(logits, _reduced(image, logits.shape[-1])), 0)
                decoded.append((masks, found.iou_scores.flatten().cpu().numpy(), stability))
        masks, scores, stability = (np.concatenate(parts) for parts in zip(*decoded, strict=True))
        return Segments(masks, clicks.repeat(3, axis=0), scores, stability)

    def _decoded(self, image: np.ndarray, prompt: dict[str, Any], is_crop: bool = False) -> Any:
        """The network's outputs: `pred_masks`, (1, B, 3, h, w) logits, and `iou_scores`, (1, B, 3), for B prompts."""
        encoded = (self._crops if is_crop else self._photos)(image)
        return self.network(image_embeddings=encoded, multimask_output=True, **prompt)

    def _scaled(self, points: np.ndarray, image: np.ndarray) -> torch.Tensor:
        """(N, 2) points in pixels of the photo, in pixels of the square that the network sees; float32."""
        import torch

        scaled = np.asarray(points, float) * self._side / image.shape[1::-1]
        return torch.as_tensor(scaled, dtype=torch.float32, device=self.network.device)

    def _encoded(self, keep: KeepEmbedding | None, image: np.ndarray) -> list[torch.Tensor]:
        """The maps of features that the decoder uses, (1, C, h, w) fp32 each, the finest first; kept in one piece."""
        import torch

        square = {"height": self._side, "width": self._side}
        pixels = self._processor(
            images=image, size=square, input_data_format="channels_last", return_tensors="pt"
        ).pixel_values
        shapes = self._shapes()

        @spanned("encode")
        def compute() -> np.ndarray:
            with torch.inference_mode():
                maps = self.network.get_image_embeddings(pixels.to(self.network.device))
            return np.concatenate([each.half().flatten().cpu().numpy() for each in maps])

        features = keep(pixels.numpy(), compute) if keep else compute()
        parts = np.split(features, np.cumsum([np.prod(shape) for shape in shapes])[:-1])
        device = self.network.device
        return [
            torch.as_tensor(part, device=device).float().reshape(1, *shape)
            for part, shape in zip(parts, shapes, strict=True)
        ]

    def _shapes(self) -> list[tuple[int, ...]]:
        """Of the maps of features: the decoder has reduced the channels of the finer two."""
        decoder = self.network.mask_decoder
        channels = (decoder.conv_s0.out_channels, decoder.conv_s1.out_channels, decoder.hidden_size)
        sizes = self.network.backbone_feature_sizes
        return [(count, *size) for count, size in zip(channels, sizes, strict=True)]


def kind_of(folder: Path) -> Kind | None:
    """What a folder holds, from its `config.json`; None if that names no model, as that of the miniature.

    Raises:
        SetupError: it is another model, or one that needs a package that is not installed.
    """
    config = _read_config(folder)
    if "model_type" not in config:
        return None
    kind = KINDS.get(str(config["model_type"]))
    if not kind:
        held = f"{config['model_type']!r:.40}"
        raise SetupError(f"{folder}: holds {held}; models.sam takes folders of SAM 2.1 and EdgeTAM")
    if kind == "edgetam" and not find_spec("timm"):
        raise SetupError(f"{folder}: EdgeTAM needs timm: {install_command('edgetam')}")
    return kind


def libraries_of(path: Path) -> tuple[str, ...]:
    """The packages that compute a SAM 2.1's or an EdgeTAM's results; none for another SAM. Raises like `kind_of`."""
    kind = kind_of(path) if path.is_dir() else None
    return ("torch", "torchvision", "transformers", *(["timm"] if kind == "edgetam" else [])) if kind else ()


def load_sam2(
    folder: Path, kind: Kind, device: str, keep: KeepEmbedding | None = None, turns: Turns | None = None
) -> Sam2:
    """Load a model. Raises `SetupError` if the folder is incomplete or holds something else.

    Args:
        folder: as `save_pretrained` writes it, with its image processor.
        kind: what it holds.
        device: `cpu`, `cuda`, `cuda:1` or `mps`.
        keep: see `Sam2`.
        turns: see `Sam2`.
    """
    import transformers

    classes = {"sam2": transformers.Sam2Model, "edgetam": transformers.EdgeTamModel}
    network, processor = load_folder(folder, f"{kind} weights", classes[kind], transformers.Sam2ImageProcessor)
    return Sam2(network.to(device), processor, keep, turns)


def _read_config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise SetupError(f"{folder}: has no config.json of a SAM ({type(error).__name__})") from None
    return config if isinstance(config, dict) else {}


def _enlarged(logits: torch.Tensor, size: tuple[int, ...]) -> torch.Tensor:
    """(N, h, w) logits at another height and width."""
    from torch.nn.functional import interpolate

    return interpolate(logits[:, None], size, mode="bilinear", align_corners=False)[:, 0]


def _reduced(image: np.ndarray, side: int) -> tuple[int, int]:
    """Height and width of the photo, reduced so that the longer one is `side`."""
    height, width = (max(1, round(length * side / max(image.shape[:2]))) for length in image.shape[:2])
    return height, width
