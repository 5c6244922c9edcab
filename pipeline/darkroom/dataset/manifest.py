"""Manifests: tables of photos, with a column `image`. Opens no picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from darkroom.dataset.spreadsheet import xlsx_rows
from darkroom.dataset.table_rows import KEY, Row, plain_path
from darkroom.dataset.text_tables import csv_rows, jsonl_rows
from darkroom.errors import RecipeError

SUFFIXES = ".csv, .tsv, .jsonl or .xlsx"

_READERS = {".csv": csv_rows, ".tsv": csv_rows, ".txt": csv_rows, ".jsonl": jsonl_rows, ".xlsx": xlsx_rows}


def rows(path: Path, start: Path) -> Iterator[Row]:
    """Yield the rows of a manifest as they are read; empty rows are skipped.

    Args:
        path: the table.
        start: the folder where its paths start.

    Raises:
        RecipeError: it cannot be read, or has no column `image`.
        SetupError: a package for its format is missing.
    """
    read = _READERS.get(path.suffix.lower())
    if read is None:
        raise RecipeError(f"{KEY}: {path}: a manifest is a {SUFFIXES} file")
    if "\0" in str(path):
        raise RecipeError(f"{KEY}: {path}: no such file")
    try:
        for row in read(path):
            image = row.image
            if image is not None and ("\\" in image or image.strip() is not image):
                yield row._replace(image=plain_path(start, image))
            else:
                yield row
    except FileNotFoundError:
        raise RecipeError(f"{KEY}: {path}: no such file") from None
    except OSError as error:
        raise RecipeError(f"{KEY}: {path}: cannot be read: {error.strerror}") from None
