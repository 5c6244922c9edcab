"""What a model that finds objects is, and which classes it knows: told from its `config.json`, without weights."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from darkroom.errors import SetupError, suggest
from darkroom.models.transformers_folder import check_backbone

SAM3 = "sam3"
BY_PHRASE: Mapping[str, str] = {"grounding-dino": "GroundingDino", "owlv2": "Owlv2"}
"""Detectors for any phrase, by `model_type` in their `config.json`, with the beginning of their classes' names."""

BY_CLASS = ("d_fine", "detr", "rt_detr", "rt_detr_v2", "yolos")
"""Detectors with a fixed list of classes, by `model_type`: D-FINE (arXiv 2410.13842), DETR (2005.12872), RT-DETR
(2304.08069, 2407.17140) and YOLOS (2106.00666)."""

_KINDS = {SAM3: SAM3, "sam3_video": SAM3, **{kind: kind for kind in (*BY_PHRASE, *BY_CLASS)}}
_MOST_SHOWN = 12  # names of classes in an error


def kind_of(folder: Path) -> str:
    """What a folder holds: `SAM3`, or one of `BY_PHRASE` or `BY_CLASS`.

    Raises:
        SetupError: it is no model that finds objects, or it has a backbone of timm.
    """
    config = _config(folder)
    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise SetupError(f"{folder}: holds {kind!r:.40}; models.find takes {', '.join(sorted(set(_KINDS.values())))}")
    check_backbone(folder, config)
    return _KINDS[kind]


def known_classes(folder: Path) -> dict[str, list[int]] | None:
    """See `classes_of`; None for a model that finds any phrase.

    Raises:
        SetupError: it is no model that finds objects, or names no classes.
    """
    return classes_of(folder) if kind_of(folder) in BY_CLASS else None


def class_problem(known: Mapping[str, list[int]], phrase: str) -> str | None:
    """Why a detector with these classes cannot look for a phrase: none has this name; otherwise None."""
    if _plain(phrase) in known:
        return None
    hint = suggest(_plain(phrase), [*known])
    if hint.startswith("valid") and len(known) > _MOST_SHOWN:
        hint = f"valid: {', '.join([*known][:_MOST_SHOWN])} and {len(known) - _MOST_SHOWN} more"
    return f"knows no class '{phrase:.60}'; {hint}"


def classes_of(folder: Path) -> dict[str, list[int]]:
    """The classes of a detector: the numbers of each name, which is in lower case.

    Raises:
        SetupError: `id2label` in its `config.json` is missing or malformed.
    """
    labels = _config(folder).get("id2label")
    if not isinstance(labels, dict) or not labels or not all(map(_is_class, labels.items())):
        raise SetupError(f"{folder}: config.json should name the detector's classes in id2label, as {{'0': 'face'}}")
    classes: dict[str, list[int]] = {}
    for number, name in labels.items():
        classes.setdefault(_plain(name), []).append(int(number))
    return classes


def numbers_of(classes: Mapping[str, list[int]], phrase: str) -> list[int]:
    """The numbers of the class that a phrase names, with or without an article; none if there is no such class."""
    return classes.get(_plain(phrase), [])


def _is_class(item: tuple[str, Any]) -> bool:
    number, name = item
    return re.fullmatch("[0-9]{1,6}", number) is not None and isinstance(name, str) and name.strip() != ""


def _plain(phrase: str) -> str:
    """`A face` and `face` are the same class."""
    return re.sub(r"^(an?|the)\s+", "", " ".join(phrase.lower().split()))


def _config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
        if not isinstance(config, dict):
            raise TypeError
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise SetupError(f"{folder}: has no config.json that names a model ({type(error).__name__})") from None
    return config
