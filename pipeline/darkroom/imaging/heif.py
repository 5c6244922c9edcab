"""HEIC and HEIF, the photos of phones, through `pillow-heif`.

It is an extra: its wheels hold the encoder x265 under the GPL, which not everybody may install.
"""

from __future__ import annotations

from functools import cache

from darkroom.errors import PhotoError
from darkroom.resources import install_command

SUFFIXES = (".heic", ".heif", ".hif")
FORMAT = "HEIF"  # Pillow's name of it

_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}  # ISO/IEC 23008-12, annex B


def is_heif(data: bytes) -> bool:
    """Whether a file is HEIF with pictures coded in HEVC; AVIF has the same container."""
    size = int.from_bytes(data[:4], "big")
    brands = data[8:12] + data[16 : min(size, 256)]  # the major one, a version, and those that it is compatible with
    return data[4:8] == b"ftyp" and any(brands[at : at + 4] in _BRANDS for at in range(0, len(brands), 4))


@cache
def register() -> None:
    """Teach Pillow the format.

    Raises:
        PhotoError: `pillow-heif` is not installed.
    """
    if problem := missing():
        raise PhotoError(problem)
    from pillow_heif import register_heif_opener

    register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)


def missing() -> str:
    """Why HEIC cannot be read here, or an empty text."""
    try:
        import pillow_heif  # noqa: F401
    except (ImportError, OSError):
        return f"HEIC needs pillow-heif: {install_command('heic')}"
    return ""
