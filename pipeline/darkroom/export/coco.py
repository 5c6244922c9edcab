"""COCO: `images/`, and for each split a JSON file with boxes and masks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from darkroom.export.labels import to_json, utf8
from darkroom.export.pictures import OBJECT, Example
from darkroom.imaging.run_lengths import box, compressed_run_lengths
from darkroom.record.schema import RunFacts
from darkroom.system.files import Folder


def write(folder: Path, facts: RunFacts, examples: Iterable[Example]) -> None:
    """Write pictures into `images/` and `annotations/instances_SPLIT.json`, or `instances.json` without splits.

    Numbers of pictures, annotations and categories are the same in all files. Each picture has one object.
    """
    files = Folder(folder)
    images: dict[str, list[dict[str, Any]]] = {}
    annotations: dict[str, list[dict[str, Any]]] = {}
    labels = set()
    for example in examples:
        files.write(f"images/{example.name}{example.suffix}", example.data)
        label = example.label or OBJECT
        labels.add(label)
        images.setdefault(example.split or "", []).append(_image(example))
        annotations.setdefault(example.split or "", []).append({**_annotation(example), "category_id": label})
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


def _annotation(example: Example) -> dict[str, Any]:
    assert example.object is not None  # `Choice.needs_objects`
    return {
        "id": int(example.name),
        "image_id": int(example.name),
        "category_id": None,
        "segmentation": {"size": list(example.size), "counts": compressed_run_lengths(example.object)},
        "area": int(example.object.sum()),
        "bbox": list(box(example.object)),
        "iscrowd": 0,
    }
