"""Models that find every object that a phrase names: SAM 3, and detectors whose boxes SAM cuts out."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np

from darkroom.errors import SetupError
from darkroom.models.image_cache import ImageCache
from darkroom.models.interfaces import FindModel, Instances, SamModel
from darkroom.models.side_by_side import Turns
from darkroom.models.transformers_folder import load_folder

if TYPE_CHECKING:
    from transformers import GroundingDinoForObjectDetection, Owlv2ForObjectDetection, Sam3Model

Kind = Literal["sam3", "grounding-dino", "owlv2"]
KINDS: dict[str, Kind] = {"sam3": "sam3", "sam3_video": "sam3", "grounding-dino": "grounding-dino", "owlv2": "owlv2"}
"""What a folder holds, by `model_type` in its `config.json`."""

# The defaults of transformers' own post-processing.
_USUAL: dict[Kind, float] = {"sam3": 0.3, "grounding-dino": 0.25, "owlv2": 0.1}
_LOWEST_SCORE = 0.05  # below it, no recipe looks
_SAME_BOX = 0.7  # boxes with at least this IoU are one object; OWLv2 itself drops none


class Sam3:
    """SAM 3: masks by concept (Carion et al., arXiv 2511.16719), in fp32. A photo is encoded once for all phrases.

    Args:
        network: a loaded network, on its device.
        processor: its image processor and tokenizer.
        turns: held while a thread computes.
    """

    def __init__(self, network: Sam3Model, processor: Any, turns: Turns) -> None:
        self._network = network
        self._turns = turns
        self._processor = processor
        self._encode = ImageCache(self._encoded)

    def __call__(self, image: np.ndarray, phrases: Sequence[str]) -> Instances:
        """See `FindModel`. The score is that of the object, times that of the phrase being there at all."""
        import torch

        scores, masks = [], []
        for phrase in phrases:
            text = self._processor(text=phrase, return_tensors="pt").to(self._network.device)
            with self._turns, torch.inference_mode():
                found = self._network(
                    vision_embeds=self._encode(image), input_ids=text.input_ids, attention_mask=text.attention_mask
                )
                of_phrase = found.pred_logits[0].sigmoid()
                if found.presence_logits is not None:
                    of_phrase = of_phrase * found.presence_logits[0].sigmoid()
            scores.append(of_phrase.cpu().numpy())
            masks.append(found.pred_masks[0].cpu().numpy())
        return _ordered(np.concatenate(scores), np.concatenate(masks), image.shape[1::-1])

    def _encoded(self, image: np.ndarray) -> Any:
        import torch

        pixels = self._processor(images=image, return_tensors="pt").pixel_values.to(self._network.device)
        with self._turns, torch.inference_mode():
            return self._network.get_vision_features(pixel_values=pixels)


class Detector:
    """A detector for phrases, in fp32: Grounding DINO (arXiv 2303.05499) or OWLv2 (arXiv 2306.09683).

    Args:
        network: a loaded network, on its device.
        processor: its image processor and tokenizer.
        sam: cuts the boxes out.
        turns: held while a thread computes.
        usual: see `Instances`.
    """

    def __init__(
        self,
        network: GroundingDinoForObjectDetection | Owlv2ForObjectDetection,
        processor: Any,
        sam: Callable[[], SamModel],
        turns: Turns,
        usual: float,
    ) -> None:
        self._network = network
        self._turns = turns
        self._usual = usual
        self._processor = processor
        self._sam = sam

    def __call__(self, image: np.ndarray, phrases: Sequence[str]) -> Instances:
        """See `FindModel`. The score is that of the box; of SAM's three masks of a box, the one with the best score."""
        found = [self._boxes(image, phrase) for phrase in phrases]
        scores, boxes = (np.concatenate(parts) for parts in zip(*found, strict=True))
        kept = _distinct(scores, boxes)
        scores, boxes = scores[kept], boxes[kept]
        sides = boxes[:, 2:] - boxes[:, :2]
        areas = (sides[:, 0] * sides[:, 1] / (image.shape[0] * image.shape[1])).astype(np.float32)
        return Instances(scores, areas, self._usual, partial(self._mask, image, boxes))

    def _boxes(self, image: np.ndarray, phrase: str) -> tuple[np.ndarray, np.ndarray]:
        """Scores, (N,) float32, and boxes, (N, 4) float64: x0, y0, x1, y1 in pixels inside the photo."""
        import torch

        height, width = image.shape[:2]
        inputs = self._processor(images=image, text=[[phrase.lower()]], return_tensors="pt").to(self._network.device)
        with self._turns, torch.inference_mode():
            outputs = self._network(**inputs)
        (found,) = self._processor.post_process_grounded_object_detection(
            outputs, threshold=_LOWEST_SCORE, target_sizes=[(height, width)]
        )
        boxes = found["boxes"].cpu().numpy().astype(np.float64).clip(0, [width, height, width, height])
        shown = (boxes[:, 2:] - boxes[:, :2] >= 1).all(axis=1)
        return found["scores"].cpu().numpy()[shown], boxes[shown]

    def _mask(self, image: np.ndarray, boxes: np.ndarray, number: int) -> np.ndarray:
        masks, scores = self._sam().masks(image, np.empty((0, 2)), np.empty(0, int), boxes[number])
        return np.asarray(masks[int(np.argmax(scores))])


def kind_of(folder: Path) -> Kind:
    """What a folder holds, from its `config.json`. Raises `SetupError` if it is no model that finds phrases."""
    try:
        kind = json.loads((folder / "config.json").read_text("utf-8"))["model_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SetupError(f"{folder}: has no config.json that names a model ({type(error).__name__})") from None
    if kind not in KINDS:
        raise SetupError(f"{folder}: holds {kind!r:.40}; models.find takes {', '.join(sorted(set(KINDS.values())))}")
    return KINDS[kind]


def load_finder(folder: Path, device: str, sam: Callable[[], SamModel], turns: Turns) -> FindModel:
    """Load a model. Raises `SetupError` if the folder is incomplete or holds something else.

    Args:
        folder: as `save_pretrained` writes it, with its processor.
        device: `cpu`, `cuda`, `cuda:1` or `mps`.
        sam: gets SAM, which cuts the boxes of a detector out.
        turns: held while a thread computes.
    """
    import transformers

    names = {
        "sam3": ("Sam3Model", "Sam3Processor"),
        "grounding-dino": ("GroundingDinoForObjectDetection", "GroundingDinoProcessor"),
        "owlv2": ("Owlv2ForObjectDetection", "Owlv2Processor"),
    }
    kind = kind_of(folder)
    classes = [getattr(transformers, name) for name in names[kind]]
    network, processor = load_folder(folder, f"{kind} weights", *classes)
    network = network.to(device)
    return Sam3(network, processor, turns) if kind == "sam3" else Detector(network, processor, sam, turns, _USUAL[kind])


def _ordered(scores: np.ndarray, logits: np.ndarray, size: tuple[int, int]) -> Instances:
    """Instances from scores, (N,), and logits of masks, (N, h, w), at the size of the photo."""
    order = [index for index in np.argsort(-scores, kind="stable") if scores[index] >= _LOWEST_SCORE]
    scores, logits = scores[order].astype(np.float32), logits[order]

    def mask(number: int) -> np.ndarray:
        return np.asarray(cv2.resize(logits[number].astype(np.float32), size, interpolation=cv2.INTER_LINEAR) > 0)

    return Instances(scores, (logits > 0).mean(axis=(1, 2)).astype(np.float32), _USUAL["sam3"], mask)


def _distinct(scores: np.ndarray, boxes: np.ndarray) -> list[int]:
    """The indices of boxes, the best score first, without those that nearly equal a better one."""
    kept: list[int] = []
    for index in np.argsort(-scores, kind="stable").tolist():
        if all(_iou(boxes[index], boxes[other]) < _SAME_BOX for other in kept):
            kept.append(index)
    return kept


def _iou(one: np.ndarray, other: np.ndarray) -> float:
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    common = float(np.prod(np.maximum(sides, 0)))
    areas = [float(np.prod(box[2:] - box[:2])) for box in (one, other)]
    return common / (sum(areas) - common)
