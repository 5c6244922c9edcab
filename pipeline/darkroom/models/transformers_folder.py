"""Loads a transformers network and its processor from a folder, in fp32, and prepares photos. Downloads nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from darkroom.errors import PhotoError, SetupError
from darkroom.models.library_logging import silence_libraries
from darkroom.models.load_errors import as_setup_error
from darkroom.models.transformers_part import load_network

_LARGEST = 4096  # px; the networks here see at most 1333
_THIN = 16  # times as long as wide; a processor fails on such a photo where the short side would have 0 px
_SAFELY = {"local_files_only": True, "trust_remote_code": False}
"""Without the second, transformers asks in a terminal whether it may run the folder's Python."""


def load_folder(folder: Path, kind: str, network: Any, processor: Any) -> tuple[Any, Any]:
    """A network, ready for inference on the CPU, and its processor.

    Args:
        folder: as `save_pretrained` writes it.
        kind: what it should hold, for the message.
        network: the network's class.
        processor: the processor's class.

    Raises:
        SetupError: the folder is damaged, incomplete or holds something else, or would enlarge photos beyond measure.
    """
    silence_libraries()
    with as_setup_error(folder, kind):
        check_backbone(folder, json.loads((folder / "config.json").read_text("utf-8")))
        loaded = load_network(folder, network, dtype="float32", trust_remote_code=False)
        prepares = processor.from_pretrained(folder, **_SAFELY)
    _check_sizes(folder, prepares)
    return loaded.eval(), prepares


def check_backbone(folder: Path, config: Mapping[str, Any]) -> None:
    """Refuse what transformers and timm would ask the Hub for, even offline: a backbone that is only named.

    Args:
        folder: for the message.
        config: its `config.json`.

    Raises:
        SetupError: see above.
    """
    described = config.get("backbone_config")
    of_timm = isinstance(described, dict) and described.get("model_type") == "timm_backbone"
    if config.get("backbone") or of_timm:
        raise SetupError(
            f"{folder}: config.json only names its backbone, as with those of timm; it should describe one"
        )


def prepared(processor: Any, image: np.ndarray, **more: Any) -> Any:
    """A photo as its network takes it, as a mapping of tensors.

    Args:
        processor: the network's.
        image: (H, W, 3) uint8 RGB.
        more: what else the processor takes, such as `text`.

    Raises:
        PhotoError: the photo is too long and thin for the network.
        SetupError: the processor's settings do not work.
    """
    height, width = image.shape[:2]
    try:  # the format is said, as the rows of a photo of 3 rows could be its channels
        return processor(images=image, input_data_format="channels_last", return_tensors="pt", **more)
    except ValueError as error:
        if max(height, width) > _THIN * min(height, width):
            raise PhotoError(f"{width} x {height} px is too long and thin for the model") from None
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "ValueError"
        raise SetupError(f"preprocessor_config.json of the model does not work: {reason:.200}") from None


def _check_sizes(folder: Path, processor: Any) -> None:
    """`preprocessor_config.json` says to what size photos are resized, and may come from a stranger."""
    of_images = getattr(processor, "image_processor", processor)
    sizes = [dict(getattr(of_images, name, None) or {}) for name in ("size", "crop_size", "pad_size")]
    sides = [side for size in sizes for side in size.values() if isinstance(side, int)]
    if any(side > _LARGEST for side in sides):
        raise SetupError(f"{folder}: preprocessor_config.json asks for photos of {max(sides)} px, more than {_LARGEST}")
