"""A folder as people have it: 60 files of every kind, masks drawn with several programs, a table from Excel."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from darkroom.imaging import heif
from support.photo_files import SRGB, png, png16, saved, tiff16

Content = bytes | Callable[[int, int], bytes]

WHITE_ON_BLACK, RED_STROKES, LABELS, JPEG, HALF, SIXTEEN = "grey", "red", "01", "jpeg", "half", "16"
A_PHOTO, LOST, NONE = "photo", "lost", ""  # masks that cannot be used
KINDS = (WHITE_ON_BLACK, RED_STROKES, LABELS, JPEG, HALF, SIXTEEN)

# How the stored pixels of a photo with an EXIF orientation come from the upright ones.
_STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@dataclass(frozen=True)
class File:
    """A file of the folder.

    Attributes:
        name: its path, with `/`.
        content: its bytes, or what makes them from an upright width and height.
        problem: a part of the reason why no picture can be made of it; empty if one can be made.
        mask: the kind of its mask.
    """

    name: str
    content: Content
    problem: str = ""
    mask: str = WHITE_ON_BLACK


def scene(width: int, height: int) -> Image.Image:
    """A landscape with a red ball, where `ball` is white."""
    rows = np.linspace(230, 60, height)[:, None]
    columns = np.linspace(0, 40, width)[None]
    values = np.stack([rows - columns, rows * 0.9 + columns * 0, 255 - rows * 0.5 + columns * 0], axis=-1)
    picture = Image.fromarray(values.clip(0, 255).astype(np.uint8))
    ImageDraw.Draw(picture).ellipse(_box(width, height), fill=(200, 30, 30))
    return picture


def ball(width: int, height: int) -> Image.Image:
    """The mask of the ball: of mode L, 0 and 255."""
    mask = Image.new("L", (width, height))
    ImageDraw.Draw(mask).ellipse(_box(width, height), fill=255)
    return mask


def _box(width: int, height: int) -> tuple[int, int, int, int]:
    return width // 4, height // 4, width // 2, height // 2


def size_of(number: int) -> tuple[int, int]:
    """The upright size of a photo; of photo 2, 4, ... on its side."""
    return (90, 120 + 2 * number) if number % 2 else (120 + 2 * number, 90)


def _file(format: str, mode: str = "RGB", orientation: int = 1, **options: object) -> Callable[[int, int], bytes]:
    def made(width: int, height: int) -> bytes:
        picture = scene(width, height).convert(mode)
        exif = Image.Exif()
        exif[0x0110], exif[0x0132], exif[0x0112] = "Phone 12", "2026:11:30 10:00:00", orientation
        turn = _STORED[orientation]
        stored = picture if turn is None else picture.transpose(turn)
        more = {} if format in ("GIF", "BMP") else {"exif": exif.tobytes()}
        return saved(stored, format, **more, **options)

    return made


def _cut_out(format: str, **options: object) -> Callable[[int, int], bytes]:
    def made(width: int, height: int) -> bytes:
        picture = scene(width, height)
        picture.putalpha(Image.linear_gradient("L").resize((width, height)))
        return saved(picture, format, **options)

    return made


def _deep(kind: str, channels: int) -> Callable[[int, int], bytes]:
    def made(width: int, height: int) -> bytes:
        pixels = np.asarray(scene(width, height).convert("RGBA")).astype(np.uint16)[..., :channels] * np.uint16(257)
        pixels = np.ascontiguousarray(pixels)
        return png16(pixels) if kind == "PNG" else tiff16(pixels, extra=2 if channels == 4 else None)

    return made


def _phone(width: int, height: int) -> bytes:
    """A JPEG with a second picture, as phones save depth."""
    picture = scene(width, height)
    return saved(picture, "MPO", save_all=True, append_images=[picture.resize((30, 20))], quality=90)


def _burst(width: int, height: int) -> bytes:
    picture = scene(width, height)
    return saved(picture.resize((64, 64)), "HEIF", save_all=True, append_images=[picture], primary_index=1)


def _screenshot(width: int, height: int) -> bytes:
    picture = scene(width, height)
    ImageDraw.Draw(picture).text((3, 3), "12:30", fill="black")
    return saved(picture.quantize(64), "PNG", dpi=(144, 144))


def _palette(format: str) -> Callable[[int, int], bytes]:
    return lambda width, height: saved(scene(width, height).quantize(32), format, transparency=3)


def _moving(width: int, height: int) -> bytes:
    return saved(scene(width, height), "GIF", save_all=True, append_images=[Image.new("RGB", (width, height))])


def files() -> list[File]:
    """The 60 files."""
    heif.register()
    photos = [*_phones(), *_cameras(), *_graphics()]
    return [*photos, *_unusable_masks(), *_broken(), *_strays()]


def _phones() -> Iterator[File]:
    yield File("Handy/IMG_2.HEIC", _file("HEIF", quality=90))
    yield File("Handy/IMG_10.HEIC", _file("HEIF", orientation=6, quality=90), mask=HALF)
    yield File("Handy/IMG_11.heif", _file("HEIF", orientation=8, icc_profile=SRGB, quality=90))
    yield File("Handy/IMG_12.HEIC", _cut_out("HEIF", quality=90))
    yield File("Handy/IMG_E13.HEIC", _burst)
    yield File("Handy/PXL_1.MP.jpg", _phone)
    yield File("Handy/PXL_2.jpg", _phone, mask=RED_STROKES)
    yield File("Handy/Bildschirmfoto 2026-11-30 um 12.30.01.png", _screenshot)
    yield File("Handy/Screenshot_1.png", _screenshot, mask=LABELS)
    for orientation in _STORED:
        yield File(f"Handy/gedreht_{orientation}.jpg", _file("JPEG", orientation=orientation, quality=92))


def _cameras() -> Iterator[File]:
    yield File("Kamera/Müller_01.jpg", _file("JPEG", dpi=(300, 300), icc_profile=SRGB), mask=JPEG)
    yield File("Kamera/отпуск/море 1.jpg", _file("JPEG"), mask=RED_STROKES)
    yield File("Kamera/отпуск/море 2.JPG", _file("JPEG"), mask=LABELS)
    yield File("Kamera/海/砂浜.jpeg", _file("JPEG"), mask=SIXTEEN)
    yield File("Kamera/grau.jpg", _file("JPEG", "L"))
    yield File("Kamera/druck.jpg", _file("JPEG", "CMYK"))
    yield File("Kamera/druck.tif", _file("TIFF", "CMYK"), mask=HALF)
    yield File("Kamera/tief.png", _deep("PNG", 3))
    yield File("Kamera/tief.tif", _deep("TIFF", 3), mask=SIXTEEN)
    yield File("Kamera/tief frei.png", _deep("PNG", 4))
    yield File("Kamera/tief frei 2.tiff", _deep("TIFF", 4))
    yield File("Kamera/tief grau.png", _deep("PNG", 1))
    yield File("Kamera/gedreht.tif", _file("TIFF", orientation=6))


def _graphics() -> Iterator[File]:
    yield File("Netz/frei.png", _cut_out("PNG"))
    yield File("Netz/frei.webp", _cut_out("WEBP"), mask=RED_STROKES)
    yield File("Netz/frei.gif", _palette("GIF"))
    yield File("Netz/palette.png", _palette("PNG"), mask=SIXTEEN)
    yield File("Netz/bild.webp", _file("WEBP"), mask=JPEG)
    yield File("Netz/bild.avif", _file("AVIF"))
    yield File("Netz/bild.bmp", _file("BMP"))
    yield File("Netz/bild.gif", _file("GIF"), mask=HALF)
    yield File("Netz/bild.jfif", _file("JPEG"))
    yield File("Netz/gerippt.png", _file("PNG", "1"))
    yield File("Netz/grau frei.png", _file("PNG", "LA"))
    yield File("Netz/falsch benannt.png", _file("JPEG"))
    yield File("Netz/[1] {a}, b=c.jpg", _file("JPEG"))


def _unusable_masks() -> Iterator[File]:
    yield File("ohne Maske.jpg", _file("JPEG"), "drawn (column maske)", NONE)
    yield File("Maske fehlt.jpg", _file("JPEG"), "no such file", LOST)
    yield File("Maske ist Foto.jpg", _file("JPEG"), "which of them to repaint cannot be known", A_PHOTO)


def _broken() -> Iterator[File]:
    yield File("kaputt/halb.jpg", lambda width, height: _file("JPEG")(width, height)[:-400], "cannot be decoded")
    yield File("kaputt/halb.heic", lambda width, height: _file("HEIF")(width, height)[:-400], "a damaged HEIC file")
    yield File("kaputt/leer.jpg", b"", "the file is empty")
    yield File("kaputt/404.jpg", b"<!DOCTYPE html><title>404</title>", "it is text such as HTML")
    bomb = png(struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0), b"")
    yield File("kaputt/bombe.png", bomb, "larger than 170 megapixels")
    yield File("kaputt/bewegt.gif", _moving, "holds 2 pictures")
    yield File("kaputt/film.heic", b"\0\0\0\x18ftypmp42\0\0\0\0isommp42" + bytes(99), "it looks like a video")


def _strays() -> Iterator[File]:
    yield File("Handy/IMG_2.MOV", b"\0\0\0\x18ftypqt  " + bytes(99), "it looks like a video")
    yield File("Handy/IMG_10.AAE", b"<?xml version='1.0'?>", "it is text")
    yield File("Kamera/DSC_1.NEF", _file("TIFF"), "camera raw cannot be read: save it as JPEG, PNG or TIFF")
    yield File("Kamera/DSC_2.cr2", b"II*\0" + bytes(99), "camera raw cannot be read")
    yield File("Netz/Entwurf.psd", b"8BPS\0\1" + bytes(99), "a Photoshop file; save it as PNG or TIFF")
    yield File("Netz/liesmich.txt", b"Hallo", "not a picture of a known format")
    yield File("Netz/rechnung.pdf", b"%PDF-1.7\n", "not a picture of a known format")


SYSTEM_FILES = ("Thumbs.db", ".DS_Store", "desktop.ini", "Handy/@eaDir/IMG_2.HEIC/SYNOPHOTO_THUMB_XL.jpg", "._a.jpg")


def put(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def put_file(folder: Path, file: File, number: int) -> None:
    """A photo in `photos` and its mask in `masks`."""
    width, height = size_of(number)
    content = file.content(width, height) if callable(file.content) else file.content
    put(folder / "Fotos", file.name, content)
    if file.mask not in (NONE, LOST):
        put(folder / "Masken", mask_name(file), drawn(file.mask, width, height))


def mask_name(file: File) -> str:
    suffix = ".jpg" if file.mask in (JPEG, A_PHOTO) else ".png"
    return f"{file.name.replace('.', '_')}_Maske{suffix}"


def drawn(kind: str, width: int, height: int) -> bytes:
    """The mask of the ball as a file."""
    mask = ball(width, height)
    if kind == RED_STROKES:
        layer = Image.new("RGBA", mask.size, (255, 255, 255, 0))
        layer.paste((220, 0, 0, 255), mask=mask)
        return saved(layer)
    if kind == LABELS:
        return saved(Image.fromarray(np.asarray(mask) // 255))
    if kind == SIXTEEN:
        return png16(np.asarray(mask)[..., None].astype(np.uint16) * np.uint16(257))
    if kind == HALF:
        return saved(ball(width // 2, height // 2))
    if kind == A_PHOTO:
        return saved(scene(width, height), "JPEG")
    return saved(mask, "JPEG", quality=80) if kind == JPEG else saved(mask)


def table(listed: list[File]) -> bytes:
    """The table as a European Excel saves it: semicolons, decimal commas, backslashes, empty rows and columns."""
    rows = ["image;maske;rand;Bemerkung;;"]
    for number, file in enumerate(listed):
        mask = "" if file.mask == NONE else "Masken/" + mask_name(file)
        paths = [path.replace("/", "\\") for path in (f"Fotos/{file.name}", mask)]
        note = '"schön; ""neu"""' if number % 7 == 0 else ""
        rows.append(";".join([*paths, ("1,5", "2", "2,0")[number % 3], note, "", ""]))
    return "\r\n".join([*rows, ";;;;;", ";;;;;", ""]).encode("utf-8-sig")
