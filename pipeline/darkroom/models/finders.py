"""Models that find every object that a phrase names: SAM 3, and detectors whose boxes SAM cuts out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from darkroom.models.detectors import LOWEST_SCORE, Boxes, ClassBoxes, Detector, PhraseBoxes
from darkroom.models.finder_info import BY_CLASS, BY_PHRASE, SAM3, classes_of, kind_of
from darkroom.models.image_cache import ImageCache
from darkroom.models.interfaces import FindModel, Instances, SamModel
from darkroom.models.side_by_side import Turns
from darkroom.models.transformers_folder import load_folder, prepared

if TYPE_CHECKING:
    from transformers import Sam3Model

# The defaults of transformers' own post-processing.
_USUAL = {SAM3: 0.3, "grounding-dino": 0.25, "owlv2": 0.1, **dict.fromkeys(BY_CLASS, 0.5)}


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

        pixels = prepared(self._processor, image).pixel_values.to(self._network.device)
        with self._turns, torch.inference_mode():
            return self._network.get_vision_features(pixel_values=pixels)


def load_finder(folder: Path, device: str, sam: Callable[[], SamModel], turns: Turns) -> FindModel:
    """Load a model. Raises `SetupError` if the folder is incomplete or holds something else.

    Args:
        folder: as `save_pretrained` writes it, with its processor.
        device: `cpu`, `cuda`, `cuda:1` or `mps`.
        sam: gets SAM, which cuts the boxes of a detector out.
        turns: held while a thread computes.
    """
    import transformers

    kind = kind_of(folder)
    name = "Sam3" if kind == SAM3 else BY_PHRASE.get(kind)
    classes = {} if name else classes_of(folder)
    names = (f"{name}{'Model' if kind == SAM3 else 'ForObjectDetection'}", f"{name}Processor")
    wanted = names if name else ("AutoModelForObjectDetection", "AutoImageProcessor")
    network, processor = load_folder(folder, f"{kind} weights", *(getattr(transformers, one) for one in wanted))
    network = network.to(device)
    if kind == SAM3:
        return Sam3(network, processor, turns)
    boxes: Boxes = ClassBoxes(network, processor, turns, classes) if classes else PhraseBoxes(network, processor, turns)
    return Detector(boxes, sam, _USUAL[kind])


def _ordered(scores: np.ndarray, logits: np.ndarray, size: tuple[int, int]) -> Instances:
    """Instances from scores, (N,), and logits of masks, (N, h, w), at the size of the photo."""
    order = [index for index in np.argsort(-scores, kind="stable") if scores[index] >= LOWEST_SCORE]
    scores, logits = scores[order].astype(np.float32), logits[order]

    def mask(number: int) -> np.ndarray:
        return np.asarray(cv2.resize(logits[number].astype(np.float32), size, interpolation=cv2.INTER_LINEAR) > 0)

    return Instances(scores, (logits > 0).mean(axis=(1, 2)).astype(np.float32), _USUAL[SAM3], mask)
