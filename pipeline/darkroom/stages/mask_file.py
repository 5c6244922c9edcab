"""`mask_file`: take the mask from a file beside the photo, or from the photo's own transparency."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Self

import numpy as np
from PIL import Image, ImageOps
from pydantic import Field, model_validator

from darkroom.errors import PhotoError
from darkroom.imaging.drawn_mask import AmbiguousMask, interpret_mask
from darkroom.stages.base import Problem, Stage, stage
from darkroom.stages.fields import Flag
from darkroom.stages.markers import PathField
from darkroom.system.files import read_file

if TYPE_CHECKING:
    from darkroom.imaging.edit import Edit
    from darkroom.models import Models

log = logging.getLogger("darkroom")

SUFFIXES = (".png", ".webp", ".tif", ".tiff", ".bmp", ".jpg", ".jpeg")
FORMATS = ("PNG", "WEBP", "TIFF", "BMP", "JPEG")


@stage
class MaskFile(Stage):
    """A mask drawn elsewhere: white pixels (with `alpha`, transparent ones) are repainted; greys make it soft."""

    version: ClassVar[int] = 2

    folder: Annotated[str | None, PathField()] = Field(
        None,
        min_length=1,
        description="Folder of masks with the same relative paths as the photos, `car.png` for `car.jpg` and "
        "`reds/car.png` for `reds/car.jpg`, and exactly the photos' sizes.",
    )
    alpha: Flag = Field(
        False, description="Instead of a folder, take the photo's own transparency: transparent pixels are repainted."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.folder is None) != self.alpha:
            raise ValueError("mask_file needs either `folder: ...` or `alpha: true`")
        return self

    def refusals(self, models: Models) -> Iterator[Problem]:
        """See `Stage.refusals`: the folder of masks is missing or empty, as when its disk is not mounted."""
        if self.folder is None:
            return
        try:
            with os.scandir(self.folder) as entries:  # only the first entry is read: this runs for every photo
                empty = next(entries, None) is None
        except OSError as error:
            yield "folder", f"{self.folder}: no such folder ({error.strerror})"
        else:
            if empty:
                yield "folder", f"{self.folder}: holds no masks; is its disk mounted?"

    def input_files(self, name: str) -> Sequence[Path]:
        """See `Stage.input_files`."""
        if self.folder is None:
            return ()
        wanted = Path(self.folder) / _below(name)
        found = _masks(wanted)
        if len(found) != 1:
            seen = " and ".join(path.name for path in found) or "none"
            raise PhotoError(f"one mask {wanted}.png (or {', '.join(SUFFIXES[1:])}) is needed; found {seen}")
        return found

    def apply(self, edit: Edit, models: Models) -> Edit:
        """See `Stage.apply`. Raises `PhotoError` for a mask that is missing, damaged or of another size."""
        if self.alpha:
            if edit.alpha is None:
                raise PhotoError("mask_file with `alpha: true`: the photo has no transparency")
            return edit.with_mask(255 - edit.alpha)
        (path,) = self.input_files(edit.name)
        mask, assumed = read_mask(path, edit.size)
        if assumed:
            log.info("%s: the mask %s %s", edit.name, path, assumed)
        return edit.with_mask(mask)


def _below(name: str) -> Path:
    """The photo's relative path without suffix and without `..`, so that it stays inside the folder of masks."""
    path = Path(name)
    return Path(*(part for part in path.with_suffix("").parts if part not in ("..", path.anchor)))


def _masks(wanted: Path) -> list[Path]:
    """The masks of this name, with any suffix. The folder is not listed, since it holds a mask for every photo."""
    paths = (wanted.with_name(wanted.name + suffix) for lower in SUFFIXES for suffix in (lower, lower.upper()))
    files = {path.stat().st_ino: path for path in paths if _is_file(path)}  # some file systems ignore case
    return sorted(files.values())


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # the name is too long with this suffix
        return False


def read_mask(path: Path, size: tuple[int, int]) -> tuple[np.ndarray, str]:
    """The mask in a picture file, (H, W) uint8, and a remark for the log on how it was interpreted (`interpret_mask`).

    Args:
        path: any format of `SUFFIXES`, 1 to 16 bits.
        size: (width, height) in pixels that it must have.

    Raises:
        PhotoError: it cannot be read, has another size, or is ambiguous.
    """
    try:
        data = read_file(path)
        with warnings.catch_warnings(), Image.open(BytesIO(data), formats=FORMATS) as file:
            warnings.simplefilter("ignore")  # on large pictures
            found = file.size
            if size in (found, found[::-1]):  # otherwise it is not decoded
                upright = ImageOps.exif_transpose(file)
                found = upright.size
                if found == size:
                    return interpret_mask(upright, _is_lossy(file, data))
    except AmbiguousMask as error:
        raise PhotoError(f"the mask {path} is ambiguous: {error}") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise PhotoError(f"the mask {path} cannot be read: {error}") from error
    text = "the mask {} is {} x {} px, but the photo is {} x {} px"
    raise PhotoError(text.format(path, *found, *size))


def _is_lossy(file: Image.Image, data: bytes) -> bool:
    if file.format == "WEBP":
        return b"VP8L" not in data  # the chunk of lossless pixels; Pillow does not report it
    return file.format in ("JPEG", "MPO") or file.info.get("compression") == "jpeg"
