"""`background`: a new background without a model: a colour, a gradient, a picture, or the blurred photo itself."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, ClassVar, Self

import numpy as np
from pydantic import Field, WithJsonSchema, model_validator

from darkroom.errors import EmptyMask, PhotoError
from darkroom.imaging.backdrops import background_share, blurred, cover, flat, gradient
from darkroom.imaging.codec import FORMATS, DecodedPhoto, decode_photo, read_photo
from darkroom.imaging.colour_profiles import converted
from darkroom.imaging.compositing import flatten
from darkroom.imaging.ground import with_new_ground
from darkroom.imaging.layers import with_band
from darkroom.stages.base import Problem, Stage, stage
from darkroom.stages.fields import Colour, Colours, Flag, Texts, as_tuple, rgb_of, scalar
from darkroom.stages.markers import EachValue, PathField
from darkroom.system.files import Folder

if TYPE_CHECKING:
    from darkroom.imaging.edit import Edit
    from darkroom.models import Models

_KINDS = ("colour", "gradient", "picture", "blur")


@stage
class Background(Stage):
    """The white of the mask becomes a new background; where the mask is 0, nothing changes. The mask stays.

    Colours, and pictures without a profile, are sRGB. They are converted to the photo's own colour profile.
    """

    version: ClassVar[int] = 2
    repaints: ClassVar[bool] = True
    needs_mask: ClassVar[bool] = True

    colour: Annotated[Colours | None, EachValue()] = Field(
        None, description='`white`, or `"#f0f0f0"` in quotes. A list makes one picture for each colour.'
    )
    gradient: Annotated[tuple[Colour, ...], WithJsonSchema({"type": "list of colours"})] | None = Field(
        None, min_length=2, max_length=100, description="Two or more colours that change evenly into each other."
    )
    angle: float = Field(
        180,
        ge=0,
        le=360,
        description="Of a gradient: the direction in degrees from its first colour to its last, clockwise; "
        "0 is up, 90 right, 180 down.",
    )
    radial: Flag = Field(
        False,
        description="The gradient runs in circles from the photo's middle, its first colour, to the corners.",
    )
    picture: Annotated[Texts | None, PathField(), EachValue()] = Field(
        None,
        description="A picture file, scaled and cropped to cover the photo; or a folder, from which each photo gets a "
        "picture by its file name. A list makes one picture for each.",
    )
    blur: float | None = Field(
        None,
        ge=0.001,
        le=0.5,
        description="The photo's own background, blurred, without the subject. Strength (sigma) of the blur as a "
        "share of the photo's longer side: 0.005 is slight, 0.03 strong.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if sum(getattr(self, kind) is not None for kind in _KINDS) != 1:
            raise ValueError(
                "background needs exactly one of `colour`, `gradient`, `picture` and `blur`; "
                'a colour such as "#ffffff" needs quotes, because YAML takes # as a comment'
            )
        if self.gradient is None and (self.radial or self.angle != 180):
            raise ValueError("`angle` and `radial` need a `gradient`")
        if self.radial and self.angle != 180:
            raise ValueError("a `radial` gradient has no `angle`")
        if self.picture is not None and "" in as_tuple(self.picture):
            raise ValueError("`picture` should be the path of a picture or of a folder; got ''")
        return self

    def refusals(self, models: Models) -> Iterator[Problem]:
        """See `Stage.refusals`: a picture is missing, or a folder has none, as when its disk is not mounted."""
        for path in map(Path, as_tuple(self.picture or ())):
            try:
                if stat.S_ISDIR(path.stat().st_mode) and not _pictures_in(path):
                    yield "picture", f"{path}: no pictures in this folder, looking for {' '.join(FORMATS)}"
            except (OSError, ValueError) as error:  # ValueError: a null character in the path
                yield "picture", f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}"

    def input_files(self, name: str) -> Sequence[Path]:
        """See `Stage.input_files`: of a folder, the picture that is chosen for the photo."""
        if self.picture is None:
            return ()
        path = Path(scalar(self.picture))
        return (path / _chosen(path, name) if path.is_dir() else path,)

    def apply(self, edit: Edit, models: Models) -> Edit:
        """See `Stage.apply`. Raises `EmptyMask`, or `PhotoError` for a picture that cannot be decoded."""
        if not edit.need_mask().any():
            raise EmptyMask("no background to replace: the mask is empty")
        return with_new_ground(edit, self._new(edit))

    def _new(self, edit: Edit) -> np.ndarray:
        """The new background, (H, W, 3) uint8, in the colour profile of the photo."""
        size = edit.image.shape[:2]
        if self.colour is not None:
            return flat(size, _in_profile([scalar(self.colour)], edit.icc)[0])
        if self.gradient is not None:
            return gradient(size, _in_profile(self.gradient, edit.icc), self.angle, self.radial)
        if self.blur is not None:
            return self._blurred(edit, self.blur * max(size))
        decoded = _decoded(Path(scalar(self.picture or "")), edit.name)
        pixels = decoded.pixels if decoded.alpha is None else flatten(decoded.pixels, decoded.alpha)
        return converted(cover(pixels, size), decoded.icc, edit.icc)

    def _blurred(self, edit: Edit, sigma: float) -> np.ndarray:
        mask, layers, shown = edit.need_mask(), edit.layers, edit.flattened
        background = shown if layers is None else with_band(shown, layers.inside, mask)
        return blurred(background, background_share(mask, layers is not None, sigma), sigma)


def _in_profile(colours: Sequence[str], icc: bytes | None) -> np.ndarray:
    """Colours, (N, 3) uint8, in a colour profile."""
    row = np.array([[rgb_of(colour) for colour in colours]], np.uint8)
    return np.asarray(converted(row, None, icc)[0])


def _decoded(path: Path, name: str) -> DecodedPhoto:
    """The picture at a path, or the one in this folder that is chosen for the photo `name`."""
    try:
        if not path.is_dir():
            return read_photo(path)
        path, folder = path / _chosen(path, name), Folder(path)
        return decode_photo(folder.read(path.name))
    except OSError as error:
        raise PhotoError(f"the background {path} cannot be read: {error.strerror}") from None
    except PhotoError as error:
        raise PhotoError(f"the background {path}: {error}") from None


def _chosen(folder: Path, name: str) -> str:
    """The name of the picture in a folder for a photo, by the photo's file name alone.

    Rendezvous hashing (Thaler and Ravishankar, 1998): if pictures are added or removed, all photos keep theirs, except
    those that get a new one or lose it.

    Raises:
        PhotoError: the folder holds no pictures.
    """
    photo = os.fsencode(PurePosixPath(name).name)
    try:
        pictures = _pictures_in(folder)
    except OSError as error:
        raise PhotoError(f"{folder}: cannot be read: {error.strerror}") from None
    if not pictures:
        raise PhotoError(f"{folder}: no pictures in this folder")
    return max(pictures, key=lambda picture: hashlib.sha256(photo + b"\0" + os.fsencode(picture)).digest())


def _pictures_in(folder: Path) -> list[str]:
    """The names of the pictures in a folder, without those that are hidden or links."""
    with os.scandir(folder) as entries:
        files = [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
    return sorted(name for name in files if Path(name).suffix.lower() in FORMATS and not name.startswith("."))
