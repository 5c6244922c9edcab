"""The photos of the studio: decoded when they are looked at, and made small for the screen."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO

import cv2
import numpy as np
from PIL import Image

from darkroom.dataset import Photo
from darkroom.errors import PhotoError
from darkroom.imaging.codec import DecodedPhoto
from darkroom.imaging.colour_profiles import to_srgb
from darkroom.imaging.edit import Edit
from darkroom.imaging.thumbnails import file_thumbnail

VIEW_SIDE = 2048  # px of the longer side of a view, unless a page asks for less
QUICK_SIDE = 1024  # px of the longer side of the reduced copy that quick masks are made from

_DECODED = 3  # photos kept in memory
_QUALITY = 85  # of JPEGs for the screen
_THUMBNAIL_SIDE = 240  # px

Box = tuple[int, int, int, int]  # x0, y0, x1, y1 in px of the photo


@dataclass(frozen=True, eq=False)
class OpenPhoto:
    """A decoded photo.

    Attributes:
        photo: of the dataset.
        decoded: its pixels.
        version: of its file (`Photos.version`).
    """

    photo: Photo
    decoded: DecodedPhoto
    version: tuple[int, int]

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in px."""
        return self.decoded.pixels.shape[1], self.decoded.pixels.shape[0]

    @cached_property
    def edit(self) -> Edit:
        """As the stages get it."""
        pixels = self.decoded.pixels
        return Edit(pixels, pixels, alpha=self.decoded.alpha, icc=self.decoded.icc, name=self.photo.name)

    @cached_property
    def scale(self) -> float:
        """Size of the reduced copy ÷ size of the photo; 1 if the photo is small already."""
        return min(1.0, QUICK_SIDE / max(self.size))

    @cached_property
    def quick(self) -> Edit:
        """The reduced copy, for quick masks."""
        if self.scale == 1:
            return self.edit
        width, height = (max(1, round(side * self.scale)) for side in self.size)
        pixels = cv2.resize(self.decoded.pixels, (width, height), interpolation=cv2.INTER_AREA)
        alpha = self.decoded.alpha
        small = None if alpha is None else cv2.resize(alpha, (width, height), interpolation=cv2.INTER_AREA)
        return Edit(pixels, pixels, alpha=small, icc=self.decoded.icc, name=self.photo.name)


class Photos:
    """All photos of a dataset, in its order.

    Args:
        photos: of the dataset.
    """

    def __init__(self, photos: Sequence[Photo]) -> None:
        self._photos = photos
        self._open: OrderedDict[int, OpenPhoto] = OrderedDict()
        self._lock = threading.Lock()
        self._one_thumbnail = threading.Lock()  # one core is enough for what nobody waits for

    def __len__(self) -> int:
        return len(self._photos)

    def __getitem__(self, index: int) -> Photo:
        return self._photos[index]

    def open(self, index: int) -> OpenPhoto:
        """A photo, decoded. Raises `PhotoError` if it cannot be decoded."""
        with self._lock:
            version = self.version(index)
            found = self._open.pop(index, None)
            if found is None or found.version != version:
                found = OpenPhoto(self._photos[index], self._photos[index].load(), version)
            self._open[index] = found
            while len(self._open) > _DECODED:
                self._open.popitem(last=False)
            return found

    def version(self, index: int) -> tuple[int, int]:
        """Size and time of a photo's file, which tell that it was replaced. Raises `PhotoError` if it is gone."""
        photo = self._photos[index]
        if photo.problem:
            raise PhotoError(photo.problem)
        try:
            status = photo.path.stat()
        except (OSError, ValueError):
            raise PhotoError("the file is gone") from None
        return status.st_size, status.st_mtime_ns

    def thumbnail(self, index: int) -> bytes:
        """A small JPEG of a photo. Raises `PhotoError` if it cannot be decoded."""
        photo = self._photos[index]
        if photo.problem:
            raise PhotoError(photo.problem)
        with self._one_thumbnail:
            return file_thumbnail(photo.path, _THUMBNAIL_SIDE)


def view(image: np.ndarray, icc: bytes | None, box: Box | None, width: int) -> bytes:
    """A JPEG, in sRGB, of a part of a picture.

    Args:
        image: (H, W, 3) uint8 RGB.
        icc: its colour profile; None means sRGB.
        box: the part; None for all of it.
        width: px of the JPEG at most; it is never larger than the part.
    """
    part = _reduced(_cropped(image, box), width)
    picture = Image.fromarray(part)
    if icc:
        picture = to_srgb(picture, icc)
    file = BytesIO()
    picture.save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()


def mask_view(mask: np.ndarray, box: Box | None, width: int) -> bytes:
    """A grey PNG of a part of a mask, (H, W) uint8; see `view`."""
    data: np.ndarray = cv2.imencode(".png", _reduced(_cropped(mask, box), width), [cv2.IMWRITE_PNG_COMPRESSION, 1])[1]
    return data.tobytes()


def scaled_box(box: Box | None, scale: float) -> Box | None:
    """The box in a copy of another size."""
    return None if box is None else tuple(round(value * scale) for value in box)  # type: ignore[return-value]


def _cropped(image: np.ndarray, box: Box | None) -> np.ndarray:
    if box is None:
        return image
    height, width = image.shape[:2]
    x0, y0 = (min(max(0, low), side - 1) for low, side in zip(box[:2], (width, height), strict=True))
    x1, y1 = (min(max(low + 1, high), side) for low, high, side in zip((x0, y0), box[2:], (width, height), strict=True))
    return np.ascontiguousarray(image[y0:y1, x0:x1])


def _reduced(image: np.ndarray, width: int) -> np.ndarray:
    height, full = image.shape[:2]
    scale = min(1.0, min(width, VIEW_SIDE * 2) / full, VIEW_SIDE * 2 / height)
    if scale == 1:
        return image
    size = max(1, round(full * scale)), max(1, round(height * scale))
    small: np.ndarray = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return small
