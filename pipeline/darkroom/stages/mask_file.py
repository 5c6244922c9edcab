"""`mask_file`: take the mask from a file beside the photo, or from the photo's own transparency."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Self

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from pydantic import Field, model_validator

from darkroom.errors import PhotoError
from darkroom.imaging.drawn_mask import AmbiguousMask, interpret_mask
from darkroom.imaging.masks import resized
from darkroom.stages.base import Problem, Stage, stage
from darkroom.stages.fields import Flag
from darkroom.stages.markers import FileNamePart, PathField
from darkroom.system.files import read_file
from darkroom.system.quiet import without_warnings

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

    from darkroom.imaging.edit import Edit
    from darkroom.models import Models

log = logging.getLogger("darkroom")

SUFFIXES = (".png", ".webp", ".tif", ".tiff", ".bmp", ".jpg", ".jpeg")
MAX_SCALED = 64_000_000  # pixels of a mask that is larger than its photo; reading it takes up to 24 bytes for each
FORMATS = ("PNG", "WEBP", "TIFF", "BMP", "JPEG")


@stage
class MaskFile(Stage):
    """A mask drawn elsewhere: white pixels (with `alpha`, transparent ones) are repainted; greys make it soft."""

    version: ClassVar[int] = 3

    folder: Annotated[str | None, PathField()] = Field(
        None,
        min_length=1,
        description="Folder of masks with the same relative paths as the photos, `car.png` for `car.jpg` and "
        "`reds/car.png` for `reds/car.jpg`.",
    )
    prefix: Annotated[str, FileNamePart()] = Field(
        "", description="What the masks in `folder` have before the photo's name: `mask_car.png`."
    )
    suffix: Annotated[str, FileNamePart()] = Field(
        "", description="What they have after it: `_mask` for `car_mask.png`."
    )
    file: Annotated[str | None, PathField()] = Field(
        None,
        min_length=1,
        description='Instead of a folder, one mask for all photos, or with `"${item.COLUMN}"` the mask that the table '
        "names for each photo.",
    )
    alpha: Flag = Field(
        False, description="Instead of a file, take the photo's own transparency: transparent pixels are repainted."
    )
    resize: Flag = Field(
        False,
        description="Scale masks of another size to the photo's; they need the photo's proportions. By default they "
        "fail.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if [self.folder is not None, self.file is not None, self.alpha].count(True) != 1:
            raise ValueError("mask_file needs exactly one of `folder: ...`, `file: ...` and `alpha: true`")
        if self.folder is None and (self.prefix or self.suffix):
            raise ValueError("`prefix` and `suffix` are for the names of masks in a `folder`")
        if set(self.prefix + self.suffix) & {"/", "\\", "\0"}:
            raise ValueError("`prefix` and `suffix` are parts of a file's name; `folder` takes the path")
        return self

    def refusals(self, models: Models) -> Iterator[Problem]:
        """See `Stage.refusals`: masks are missing, as when their disk is not mounted."""
        if self.folder is not None:
            if problem := _folder_problem(self.folder):
                yield "folder", problem
        elif self.file is not None and not _is_file(Path(self.file)):
            yield "file", f"{self.file}: no such file"

    def input_files(self, name: str) -> Sequence[Path]:
        """See `Stage.input_files`."""
        if self.folder is None:
            return () if self.file is None else (Path(self.file),)
        below = _below(name)
        wanted = Path(self.folder) / below.with_name(f"{self.prefix}{below.name}{self.suffix}")
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
        mask, remark = read_mask(path, edit.size, self.resize)
        if remark:
            log.info("%s: the mask %s %s", edit.name, path, remark)
        return edit.with_mask(mask)


def _folder_problem(folder: str) -> str | None:
    try:
        with os.scandir(folder) as entries:  # only the first entry is read: this runs for every photo
            empty = next(entries, None) is None
    except OSError as error:
        return f"{folder}: no such folder ({error.strerror})"
    return f"{folder}: holds no masks; is its disk mounted?" if empty else None


def _below(name: str) -> Path:
    """The photo's relative path without suffix and without `..`, so that it stays inside the folder of masks."""
    path = Path(name)
    return Path(*(part for part in path.with_suffix("").parts if part not in ("..", path.anchor)))


def _masks(wanted: Path) -> list[Path]:
    """The masks of this name, with any suffix. The folder is not listed, since it holds a mask for every photo."""
    paths = (f"{wanted}{suffix}" for lower in SUFFIXES for suffix in (lower, lower.upper()))
    # Some file systems ignore case. Strings, not Path objects: this runs several times for every photo.
    files = {os.stat(path).st_ino: path for path in paths if os.path.isfile(path)}  # noqa: PTH113, PTH116
    return sorted(map(Path, files.values()))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # the name is too long with this suffix
        return False


def read_mask(path: Path, size: tuple[int, int], resize: bool = False) -> tuple[np.ndarray, str]:
    """The mask in a picture file, (H, W) uint8, and a remark for the log on how it was interpreted (`interpret_mask`).

    Args:
        path: any format of `SUFFIXES`, 1 to 16 bits.
        size: (width, height) in pixels that it is to have.
        resize: scale a mask that has another size but the same proportions.

    Raises:
        PhotoError: it cannot be read, has another size or other proportions, or is ambiguous.
    """
    try:
        data = read_file(path)
        with without_warnings(), Image.open(BytesIO(data), formats=FORMATS) as file:  # warnings on large pictures
            return _decoded(file, size, resize, _is_lossy(file, data))
    except AmbiguousMask as error:
        raise PhotoError(f"the mask {path} is ambiguous: {error}") from None
    except _WrongSize as error:
        raise PhotoError(f"the mask {path} is {error}") from None
    except UnidentifiedImageError:
        raise PhotoError(f"the mask {path} cannot be read: not a PNG, JPEG, WebP, TIFF or BMP file") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise PhotoError(f"the mask {path} cannot be read: {error}") from error


class _WrongSize(Exception):
    """The mask does not fit the photo; the message says how."""


def _decoded(file: ImageFile, size: tuple[int, int], resize: bool, lossy: bool) -> tuple[np.ndarray, str]:
    def fits(found: tuple[int, int]) -> bool:
        return found == size or (resize and _is_scaled(found, size) and math.prod(found) <= most)

    most = max(MAX_SCALED, math.prod(size))
    if not (fits(file.size) or fits(file.size[::-1])):  # otherwise it is not decoded
        raise _WrongSize(_size_problem(file.size, size, resize))
    if (count := getattr(file, "n_frames", 1)) > 1 and file.format != "MPO":
        raise AmbiguousMask(f"it holds {count} pictures; save one as a file of its own")
    upright = ImageOps.exif_transpose(file)
    if not fits(upright.size):
        raise _WrongSize(_size_problem(upright.size, size, resize))
    mask, remark = interpret_mask(upright, lossy)
    if upright.size == size:
        return mask, remark
    scaled = f"was scaled from {upright.width} x {upright.height} px"
    return resized(mask, size), f"{remark}; it {scaled}" if remark else scaled


def _is_scaled(found: tuple[int, int], size: tuple[int, int]) -> bool:
    """Whether two sizes have the same proportions, within a pixel of the first."""
    return abs(found[0] * size[1] - found[1] * size[0]) <= max(size)


def _size_problem(found: tuple[int, int], size: tuple[int, int], resize: bool) -> str:
    text = f"{found[0]} x {found[1]} px, but the photo is {size[0]} x {size[1]} px"
    if not _is_scaled(found, size):
        return f"{text}; its proportions differ" if resize else text
    return f"{text}: too large to be scaled" if resize else f"{text}; `resize: true` scales it"


def _is_lossy(file: Image.Image, data: bytes) -> bool:
    if file.format == "WEBP":
        return b"VP8L" not in data  # the chunk of lossless pixels; Pillow does not report it
    return file.format in ("JPEG", "MPO") or file.info.get("compression") == "jpeg"
