"""The geometry of delivered pictures: a region of the photo at one scale, and what lies outside of the photo.

A region may reach beyond the photo. There is one scale for both axes, so nothing is ever stretched. Arrays only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np
from PIL import Image

from darkroom.errors import PhotoError
from darkroom.imaging.bands import by_bands
from darkroom.imaging.codec import DecodedPhoto, upper_bytes
from darkroom.imaging.colour_profiles import converted
from darkroom.imaging.unreadable import MAX_PIXELS

MAX_SIDE = 20_000  # px, of a delivered picture
MAX_SCALE = 8
Fill = Literal["edge", "mirror", "transparent"]

_OWN_PIXELS = ("edge", "mirror")
_MAX_DISTANCE = 1e6  # px, from the photo to the far side of a region
_EPSILON = 1e-3  # px: rounding errors of a region's sides


@dataclass(frozen=True)
class Framing:
    """Maps the photo to a delivered picture: the point (px, py) goes to ((px - x) * scale, (py - y) * scale).

    Attributes:
        x: left side of the region, in px of the photo; below 0 where it reaches beyond the photo.
        y: upper side of the region.
        scale: px of the delivered picture per px of the photo. At 1 the region begins at whole pixels, and every pixel
            in it keeps all its bits.
        width: of the delivered picture, px.
        height: of the delivered picture, px.
        fill: what lies outside of the photo: `edge` repeats its outermost pixels, `mirror` reflects it, `transparent`,
            or a colour, sRGB from 0 to 255.

    Raises:
        PhotoError: the numbers are beyond the limits above; nothing of that size has been allocated.
    """

    x: float
    y: float
    scale: float
    width: int
    height: int
    fill: Fill | tuple[int, int, int] = "edge"

    def __post_init__(self) -> None:
        if not (1 <= self.width <= MAX_SIDE and 1 <= self.height <= MAX_SIDE):
            raise PhotoError(f"the frame is {self.width} x {self.height} px; at most {MAX_SIDE} px a side")
        numbers = (self.x, self.y, self.scale)
        if not (all(map(math.isfinite, numbers)) and 0 < self.scale <= MAX_SCALE):
            raise PhotoError(f"the frame enlarges the photo {self.scale:.3g} times; at most {MAX_SCALE} times")
        sides = self.width / self.scale, self.height / self.scale
        areas = self.width * self.height, math.prod(sides)
        far = max(abs(self.x), abs(self.y)) + max(sides)
        if max(areas) > MAX_PIXELS or far > _MAX_DISTANCE:
            raise PhotoError(f"the frame covers {sides[0]:.0f} x {sides[1]:.0f} px of the photo, more than can be made")
        if self.scale == 1 and (self.x % 1 or self.y % 1):
            raise PhotoError("the frame begins between two pixels")

    @classmethod
    def from_figures(cls, figures: Mapping[str, float], fill: Fill | tuple[int, int, int] = "edge") -> Self:
        """The geometry that a stage has recorded as figures. Raises `PhotoError` if one is missing or beyond limits."""
        try:
            x, y, scale, width, height = (figures[key] for key in ("x", "y", "scale", "width", "height"))
        except KeyError as error:
            raise PhotoError(f"the journal does not say the `{error.args[0]}` of the frame") from None
        return cls(x, y, scale, int(width), int(height), fill)

    @property
    def sides(self) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1 of the region, in px of the photo."""
        return self.x, self.y, self.x + self.width / self.scale, self.y + self.height / self.scale

    def share_outside(self, size: tuple[int, int]) -> float:
        """The share of the region, 0 to 1, that lies outside of a photo of this (width, height)."""
        x0, y0, x1, y1 = self.sides
        across = max(0.0, min(x1, size[0]) - max(x0, 0.0)) / (x1 - x0)
        down = max(0.0, min(y1, size[1]) - max(y0, 0.0)) / (y1 - y0)
        return max(0.0, 1.0 - across * down)

    def for_cutouts(self) -> Framing:
        """The same geometry for the subject alone, which is never there where a colour fills the frame."""
        return replace(self, fill="transparent") if isinstance(self.fill, tuple) else self


def framed(
    framing: Framing, pixels: np.ndarray, alpha: np.ndarray | None, icc: bytes | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """A picture as the geometry delivers it. It is scaled with a Lanczos filter, on premultiplied colours.

    Args:
        framing: the geometry.
        pixels: (H, W, 3) uint8 or uint16.
        alpha: (H, W) of the same type; None for an opaque picture.
        icc: the colour profile of `pixels`; None means sRGB.

    Returns:
        `pixels` and `alpha` of the delivered picture, of the same type; alpha also where `fill` is transparent and the
        region reaches beyond the photo.
    """
    region = _Region.of(framing, pixels.shape[:2])
    colours, share = region.cut(pixels), None if alpha is None else region.cut(alpha)
    if region.is_filled:
        opaque = np.iinfo(pixels.dtype).max
        if framing.fill == "transparent":
            share = np.full(colours.shape[:2], opaque, pixels.dtype) if share is None else share
            region.fill(colours, 0)
            region.fill(share, 0)
        else:
            colour = converted(np.array([[framing.fill]], np.uint8), None, icc)[0, 0]
            region.fill(colours, colour * pixels.dtype.type(opaque // 255))
            if share is not None:
                region.fill(share, opaque)
    if framing.scale == 1:
        return colours, share
    if share is None and colours.dtype == np.uint8:
        return region.scaled(colours), None
    return _scaled_channels(region, colours, share)


def enlarged(array: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A picture or mask, (H, W, 3) or (H, W) uint8, at another (width, height), by a Lanczos filter."""
    return np.asarray(Image.fromarray(array).resize(size, Image.Resampling.LANCZOS))


def framed_grey(framing: Framing, grey: np.ndarray) -> np.ndarray:
    """A mask or alpha, (H, W) uint8, as the geometry delivers it; black where a colour or nothing fills the frame."""
    region = _Region.of(framing, grey.shape)
    cut = region.cut(grey)
    if region.is_filled:
        region.fill(cut, 0)
    return cut if framing.scale == 1 else region.scaled(cut)


def framed_photo(framing: Framing, picture: DecodedPhoto) -> DecodedPhoto:
    """A decoded picture as the geometry delivers it, of 16 bits if it has them."""
    deep = picture.pixels16
    if deep is None:
        pixels, alpha = framed(framing, picture.pixels, picture.alpha, picture.icc)
        return replace(picture, pixels=pixels, alpha=alpha)
    colours, share = framed(framing, deep[..., :3], deep[..., 3] if deep.shape[2] == 4 else None, picture.icc)
    deep = colours if share is None else np.dstack([colours, share])
    return replace(
        picture, pixels=upper_bytes(colours), alpha=None if share is None else upper_bytes(share), pixels16=deep
    )


@dataclass(frozen=True)
class _Region:
    """The rows and columns of a photo that a frame covers.

    Attributes:
        framing: the geometry.
        rows: indices, which may lie outside of the photo.
        columns: see `rows`.
        box: the region among these rows and columns: x0, y0, x1, y1.
        outside: where they lie outside of the photo, (h, w) bool; None if they all lie inside.
    """

    framing: Framing
    rows: np.ndarray
    columns: np.ndarray
    box: tuple[float, float, float, float]
    outside: np.ndarray | None

    @classmethod
    def of(cls, framing: Framing, shape: tuple[int, ...]) -> _Region:
        x0, y0, x1, y1 = framing.sides
        left, top = math.floor(x0 + _EPSILON), math.floor(y0 + _EPSILON)
        right, bottom = max(math.ceil(x1 - _EPSILON), left + 1), max(math.ceil(y1 - _EPSILON), top + 1)
        box = max(x0 - left, 0.0), max(y0 - top, 0.0), min(x1, right) - left, min(y1, bottom) - top
        rows, columns = np.arange(top, bottom), np.arange(left, right)
        above, beside = (rows < 0) | (rows >= shape[0]), (columns < 0) | (columns >= shape[1])
        outside = above[:, None] | beside if above.any() or beside.any() else None
        return cls(framing, rows, columns, box, outside)

    @property
    def is_filled(self) -> bool:
        """Whether a colour or nothing lies outside of the photo, instead of its own pixels."""
        return self.outside is not None and self.framing.fill not in _OWN_PIXELS

    def cut(self, array: np.ndarray) -> np.ndarray:
        """A copy of the region, (h, w, ...), of a picture or mask, (H, W, ...)."""
        rows, columns = self._within(self.rows, array.shape[0]), self._within(self.columns, array.shape[1])
        return array.take(rows, axis=0).take(columns, axis=1)

    def fill(self, cut: np.ndarray, value: int | np.ndarray) -> None:
        """Give all pixels outside of the photo one value."""
        cut[self.outside] = value

    def scaled(self, cut: np.ndarray) -> np.ndarray:
        """The region at the delivered size; uint8 or float32."""
        size = self.framing.width, self.framing.height
        return np.asarray(Image.fromarray(cut).resize(size, Image.Resampling.LANCZOS, self.box))

    def _within(self, places: np.ndarray, length: int) -> np.ndarray:
        if self.framing.fill == "mirror" and length > 1:  # without repeating the outermost pixel
            places = (places + length - 1) % (2 * length - 2)
            places = np.abs(places - (length - 1))
        return np.asarray(np.clip(places, 0, length - 1))


def _scaled_channels(
    region: _Region, pixels: np.ndarray, alpha: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """See `framed`: channel by channel in float32, because Pillow premultiplies with 8 bits and has no 16-bit RGB."""
    opaque = np.float32(np.iinfo(pixels.dtype).max)

    def rounded(channel: np.ndarray) -> np.ndarray:
        return by_bands(lambda band: np.clip(np.rint(band), 0, opaque).astype(pixels.dtype), channel)

    opacity = None if alpha is None else alpha / opaque
    share = None if opacity is None else region.scaled(opacity)
    channels = []
    for channel in np.moveaxis(pixels, 2, 0):
        values = region.scaled(np.multiply(channel, 1 if opacity is None else opacity, dtype=np.float32))
        if share is not None:
            shows = share > 0.5 / opaque
            values = np.divide(values, share, out=np.zeros_like(values), where=shows)
        channels.append(rounded(values))
    return np.dstack(channels), None if share is None else rounded(share * opaque)
