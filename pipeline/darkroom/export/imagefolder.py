"""imagefolder, as the library `datasets` loads it: pictures and `metadata.jsonl`, in one folder or one for each split.

The loader takes words such as `test` in the names of files for splits, so these names are numbers. It wants the same
columns with the same types in all tables, so unknown text is empty, and a column that no picture has is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from darkroom.export.labels import to_json
from darkroom.export.pictures import Columns, Example
from darkroom.imaging.masks import to_uint8
from darkroom.imaging.png import encode_png
from darkroom.system.files import Folder


def write(folder: Path, examples: Iterable[Example]) -> None:
    """Write pictures, their masks in `masks/` (white is the object), and tables."""
    files = Folder(folder)
    tables: dict[str, list[Columns]] = {}
    for example in examples:
        place = f"{example.split}/" if example.split else ""
        file = f"{example.name}{example.suffix}"
        files.write(place + file, example.data)
        mask = None if example.object is None else f"masks/{example.name}.png"
        if example.object is not None:
            files.write(f"{place}{mask}", mask_png(example))
        row: Columns = {"file_name": file, "mask_file_name": mask, "label": example.label, **example.columns}
        tables.setdefault(place, []).append(row)
    columns = _columns([row for rows in tables.values() for row in rows])
    for place, rows in tables.items():
        lines = (to_json(_row(row, columns)) + b"\n" for row in rows)
        files.write(f"{place}metadata.jsonl", b"".join(lines))


def mask_png(example: Example) -> bytes:
    """The mask of an example as a PNG, black and white."""
    assert example.object is not None
    return encode_png(to_uint8(example.object))


def _columns(rows: Sequence[Columns]) -> Mapping[str, bool]:
    """The columns that any picture has, and whether they hold text. The loader needs masks of all or none."""
    found = {name: isinstance(value, str) for row in rows for name, value in row.items() if value is not None}
    if any(row["mask_file_name"] is None for row in rows):
        found.pop("mask_file_name", None)
    return found


def _row(row: Columns, columns: Mapping[str, bool]) -> Columns:
    return {name: "" if row.get(name) is None and is_text else row.get(name) for name, is_text in columns.items()}
