"""Photos of one to three rows or columns: no network mistakes their rows for channels."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from darkroom.errors import PhotoError
from darkroom.models.depth import load_depth
from darkroom.models.finders import load_finder
from darkroom.models.matting import load_vitmatte
from darkroom.models.sam2 import load_sam2
from support.tiny_depth import write_depth_anything, write_dpt
from support.tiny_finders import BoxFiller, write_grounding_dino, write_owlv2, write_rt_detr_v2, write_sam3, write_yolos
from support.tiny_matting import write_vitmatte
from support.tiny_sam2 import write_sam2

SIZES = ((1, 60), (3, 60), (60, 1), (60, 3), (1, 3), (3, 1))
CLICK = (np.array([[0, 0]]), np.ones(1, int), None)


def _finder(write: Callable[[Path], Path]) -> Any:
    return lambda folder: load_finder(write(folder), "cpu", BoxFiller, nullcontext())


def _depth(write: Callable[[Path], str]) -> Any:
    return lambda folder: load_depth(Path(write(folder)), "cpu")


def _trimap(photo: np.ndarray) -> np.ndarray:
    return np.full(photo.shape[:2], 128, np.uint8)


# How to load each model, and the shape, (H, W), of what it answers to a photo.
MODELS: dict[str, tuple[Any, Any]] = {
    "sam3": (_finder(write_sam3), lambda model, photo: model(photo, ["a car"]).mask(0).shape),
    "owlv2": (_finder(write_owlv2), lambda model, photo: (model(photo, ["a car"]), photo.shape[:2])[1]),
    "grounding-dino": (_finder(write_grounding_dino), lambda model, photo: (model(photo, ["car"]), photo.shape[:2])[1]),
    "rt-detr": (_finder(write_rt_detr_v2), lambda model, photo: (model(photo, ["car"]), photo.shape[:2])[1]),
    "yolos": (_finder(write_yolos), lambda model, photo: (model(photo, ["car"]), photo.shape[:2])[1]),
    "depth-anything": (_depth(write_depth_anything), lambda model, photo: model.map(photo).shape),
    "dpt": (_depth(write_dpt), lambda model, photo: model.map(photo).shape),
    "sam2": (
        lambda folder: load_sam2(write_sam2(folder), "sam2", "cpu"),
        lambda model, photo: model.masks(photo, *CLICK)[0][0].shape,
    ),
    "vitmatte": (
        lambda folder: load_vitmatte(write_vitmatte(folder), "cpu"),
        lambda model, photo: model.alpha(photo, _trimap(photo)).shape,
    ),
}


@pytest.mark.fault(
    "Photos",
    "photos of one to three rows or columns, for every network that finds objects or depth",
    "the rows are not mistaken for colours; a photo too thin for a network fails with one line",
)
@pytest.mark.parametrize("name", MODELS)
def test_rows_are_not_mistaken_for_channels(name: str, tmp_path: Path) -> None:
    load, shape_of = MODELS[name]
    model = load(tmp_path / "model")
    seen = []

    holder = getattr(model, "_boxes", model)

    class Watched(type(holder._processor)):
        def __call__(self, *given: Any, **named: Any) -> Any:
            inputs = super().__call__(*given, **named)
            seen.append(inputs.get("pixel_values"))
            return inputs

    holder._processor.__class__ = Watched
    for height, width in SIZES:
        photo = np.zeros((height, width, 3), np.uint8) + np.array([0, 90, 255], np.uint8)
        seen.clear()
        try:
            assert shape_of(model, photo) == (height, width)
        except PhotoError as error:
            assert name in ("depth-anything", "yolos") and "too long and thin" in str(error)
        for pixels in (each for each in seen if each is not None):
            red, green, blue = pixels[0, :3, 0, 0].tolist()
            assert pixels.shape[1] in (3, 4) and red < green < blue
