"""COCO: `images/`, and for each split a JSON file with boxes and masks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from darkroom.export.labels import to_json, utf8
from darkroom.export.pictures import OBJECT, Example
from darkroom.imaging.run_lengths import box, compressed_run_lengths
from darkroom.record.schema import RunFacts
from darkroom.system.files import Folder


def write(folder: Path, facts: RunFacts, examples: Iterable[Example]) -> None:
    """Write pictures into `images/` and `annotations/instances_SPLIT.json`, or `instances.json` without splits.

    Numbers of pictures, annotations and categories are the same in all files.
    """
    files = Folder(folder)
    images: dict[str, list[dict[str, Any]]] = {}
    annotations: dict[str, list[dict[str, Any]]] = {}
    labels, number = set(), 0
    for example in examples:
        files.write(f"images/{example.name}{example.suffix}", example.data)
        label = example.label or OBJECT
        labels.add(label)
        images.setdefault(example.split or "", []).append(_image(example))
        of_split = annotations.setdefault(example.split or "", [])
        for instance in example.instances:
            number += 1
            of_split.append({**_annotation(example, instance, number), "category_id": label})
    numbers = {label: number for number, label in enumerate(sorted(labels), start=1)}
    head = {
        "info": {"description": utf8(f"Darkroom: {facts['name']}"), "date_created": facts["started"]},
        "licenses": [],
        "categories": [{"id": number, "name": label, "supercategory": ""} for label, number in numbers.items()],
    }
    for split, found in images.items():
        objects = [{**each, "category_id": numbers[each["category_id"]]} for each in annotations[split]]
        data = to_json({**head, "images": found, "annotations": objects})
        files.write(f"annotations/instances{f'_{split}' if split else ''}.json", data)


def _image(example: Example) -> dict[str, Any]:
    height, width = example.size
    file = f"{example.name}{example.suffix}"
    known = {name: value for name, value in example.columns.items() if value is not None}
    return {"id": int(example.name), "file_name": file, "width": width, "height": height, **known}


def _annotation(example: Example, instance: np.ndarray, number: int) -> dict[str, Any]:
    return {
        "id": number,
        "image_id": int(example.name),
        "category_id": None,
        "segmentation": {"size": list(example.size), "counts": compressed_run_lengths(instance)},
        "area": int(instance.sum()),
        "bbox": list(box(instance)),
        "iscrowd": 0,
    }
