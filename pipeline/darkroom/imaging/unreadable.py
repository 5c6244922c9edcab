"""Files that cannot be decoded as a photo: what the header rules out, and what a file that is no picture may be."""

from __future__ import annotations

from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from darkroom.errors import PhotoError
from darkroom.imaging import heif

_MAIN_PICTURE = ("MPO", heif.FORMAT)  # the other pictures in a phone's file are depth or gain maps, or a burst

_SUBFILE_TYPE, _IS_PREVIEW = 254, 1  # a tag of TIFF and a bit in it

MAX_PIXELS = 170_000_000  # more than any camera has; Pillow itself refuses photos from 179 million
MAX_DECODED = 1_000_000_000  # bytes of `pixels`, `alpha` and `pixels16` together: 111 megapixels of 16-bit RGB


def check_header(image: Image.Image, has_16_bits: bool) -> None:
    """Refuse what the header already rules out, before anything is decoded.

    Raises:
        PhotoError: it has over `MAX_PIXELS` pixels, takes more than `MAX_DECODED`, is animated, has several pages or
            begins with a preview, or its pixels have no defined white.
    """
    size = f"{image.width} x {image.height} px"
    if image.width * image.height > MAX_PIXELS:
        raise PhotoError(f"{too_large()}: {size}")
    channels = 4 if image.has_transparency_data else 3
    decoded = image.width * image.height * channels * (3 if has_16_bits else 1)  # 16 bits and their upper bytes
    if decoded > MAX_DECODED:
        bits = "16 bits" if has_16_bits else "8 bits"
        limit = f"{decoded / 1e9:.1f} GB decoded, more than {MAX_DECODED / 1e9:.0f} GB"
        raise PhotoError(f"{size} in {channels} channels of {bits} take {limit}")
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format not in _MAIN_PICTURE:
        raise PhotoError(f"holds {frames} pictures (animation or pages): save the one to edit as a file of its own")
    if isinstance(image, TiffImageFile) and image.tag_v2.get(_SUBFILE_TYPE, 0) & _IS_PREVIEW:
        raise PhotoError("begins with a small preview, as camera raw does: save the photo as JPEG, PNG or TIFF")
    if image.mode in ("I", "F", "LAB"):
        raise PhotoError(f"pixels of type {image.mode} have no defined white: save the photo as RGB with 8 or 16 bits")


def too_large() -> str:
    """The reason why a photo of more than `MAX_PIXELS` cannot be read."""
    return f"larger than {MAX_PIXELS // 1_000_000} megapixels"


def guess(data: bytes) -> str:
    """What a file that is no picture most likely is: the end of a sentence, or an empty text."""
    if not data:
        return ": the file is empty"
    if data.lstrip()[:1] in (b"<", b"{"):
        return ": it is text such as HTML, perhaps a failed download"
    if heif.is_heif(data):
        return ": a damaged HEIC file"
    if data[:4] in (b"8BPS", b"%PDF"):
        return f": a {'Photoshop' if data[:4] == b'8BPS' else 'PDF'} file; save it as PNG or TIFF"
    if data[4:8] == b"ftyp":
        return ": it looks like a video"
    return ""
