"""Detectors, whose boxes SAM cuts out: for any phrase, or with a fixed list of classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from darkroom.models.finder_info import numbers_of
from darkroom.models.interfaces import Instances, SamModel
from darkroom.models.side_by_side import Turns
from darkroom.models.transformers_folder import prepared

if TYPE_CHECKING:
    from transformers import GroundingDinoForObjectDetection, Owlv2ForObjectDetection

LOWEST_SCORE = 0.05  # below it, no recipe looks
_SAME_BOX = 0.7  # boxes with at least this IoU are one object; OWLv2 itself drops none

Boxes = Callable[[np.ndarray, Sequence[str]], tuple[np.ndarray, np.ndarray]]
"""Finds boxes of the objects that phrases name in a photo, (H, W, 3) uint8: scores, (N,) float32, and (N, 4) float64,
x0, y0, x1, y1 in pixels."""


class Detector:
    """A detector and SAM.

    Args:
        boxes: the detector.
        sam: cuts the boxes out.
        usual: see `Instances`.
    """

    def __init__(self, boxes: Boxes, sam: Callable[[], SamModel], usual: float) -> None:
        self._boxes = boxes
        self._sam = sam
        self._usual = usual

    def __call__(self, image: np.ndarray, phrases: Sequence[str]) -> Instances:
        """See `FindModel`. The score is that of the box; of SAM's three masks of a box, the one with the best score."""
        scores, boxes = _inside(image, *self._boxes(image, phrases))
        kept = _distinct(scores, boxes)
        scores, boxes = scores[kept], boxes[kept]
        sides = boxes[:, 2:] - boxes[:, :2]
        areas = (sides[:, 0] * sides[:, 1] / (image.shape[0] * image.shape[1])).astype(np.float32)
        return Instances(scores, areas, self._usual, partial(self._mask, image, boxes))

    def _mask(self, image: np.ndarray, boxes: np.ndarray, number: int) -> np.ndarray:
        masks, scores = self._sam().masks(image, np.empty((0, 2)), np.empty(0, int), boxes[number])
        return np.asarray(masks[int(np.argmax(scores))])


class PhraseBoxes:
    """A detector for phrases, in fp32: Grounding DINO (arXiv 2303.05499) or OWLv2 (arXiv 2306.09683). See `Boxes`.

    Args:
        network: a loaded network, on its device.
        processor: its image processor and tokenizer.
        turns: held while a thread computes.
    """

    def __init__(
        self,
        network: GroundingDinoForObjectDetection | Owlv2ForObjectDetection,
        processor: Any,
        turns: Turns,
    ) -> None:
        self._network = network
        self._processor = processor
        self._turns = turns

    def __call__(self, image: np.ndarray, phrases: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """See `Boxes`; each phrase is asked for by itself."""
        scores, boxes = zip(*(self._of_phrase(image, phrase) for phrase in phrases), strict=True)
        return np.concatenate(scores), np.concatenate(boxes)

    def _of_phrase(self, image: np.ndarray, phrase: str) -> tuple[np.ndarray, np.ndarray]:
        import torch

        inputs = prepared(self._processor, image, text=[[phrase.lower()]]).to(self._network.device)
        with self._turns, torch.inference_mode():
            outputs = self._network(**inputs)
        (found,) = self._processor.post_process_grounded_object_detection(
            outputs, threshold=LOWEST_SCORE, target_sizes=[image.shape[:2]]
        )
        return found["scores"].cpu().numpy(), found["boxes"].cpu().numpy()


class ClassBoxes:
    """A detector with a fixed list of classes, such as faces and hands, in fp32. See `Boxes` and `finder_info`.

    Args:
        network: a loaded network, on its device.
        processor: its image processor.
        turns: held while a thread computes.
        classes: the numbers of the classes by name (`finder_info.classes_of`).
    """

    def __init__(self, network: Any, processor: Any, turns: Turns, classes: Mapping[str, list[int]]) -> None:
        self._network = network
        self._processor = processor
        self._turns = turns
        self._classes = classes

    def __call__(self, image: np.ndarray, phrases: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """See `Boxes`; the network sees the photo once for all phrases."""
        import torch

        inputs = prepared(self._processor, image).to(self._network.device)
        with self._turns, torch.inference_mode():
            outputs = self._network(**inputs)
        (found,) = self._processor.post_process_object_detection(
            outputs, threshold=LOWEST_SCORE, target_sizes=[image.shape[:2]]
        )
        wanted = [number for phrase in phrases for number in numbers_of(self._classes, phrase)]
        named = np.isin(found["labels"].cpu().numpy(), wanted)
        return found["scores"].cpu().numpy()[named], found["boxes"].cpu().numpy()[named]


def _inside(image: np.ndarray, scores: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores and boxes without the parts outside the photo, and without those of less than a pixel, or of NaN."""
    height, width = image.shape[:2]
    cut = boxes.astype(np.float64).clip(0, [width, height, width, height])
    shown = (cut[:, 2:] - cut[:, :2] >= 1).all(axis=1)
    return scores[shown], cut[shown]


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
