"""What a run delivers of a finished picture: the picture, the cut-out subject, mask, background and layered file."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from darkroom.config.settings import OutputKind, Results
from darkroom.engine.step_result import StepResult
from darkroom.errors import PhotoError
from darkroom.imaging.codec import DecodedPhoto, decode_photo
from darkroom.imaging.content_credentials import load_credentials
from darkroom.imaging.cutouts import clean_plate, cutout, opacity_of, unmixed_plate
from darkroom.imaging.delivery_formats import DELIVERY_FORMATS, MIME_TYPES, AddedMetadata, DoesNotFit, convert_png
from darkroom.imaging.exif import ExifEntry
from darkroom.imaging.framing import Framing, framed, framed_grey, framed_photo
from darkroom.imaging.layered_file import encode_psd
from darkroom.imaging.layers import LayerSide, is_band, with_band
from darkroom.imaging.png import decode_png, encode_png, png_texts
from darkroom.imaging.thumbnails import photo_thumbnail
from darkroom.imaging.xmp import SourceType, source_type_packet
from darkroom.record.metadata import with_step
from darkroom.store import Result, Store

log = logging.getLogger("darkroom")

_GENERATED: SourceType = "compositeWithTrainedAlgorithmicMedia"


@dataclass(frozen=True)
class FinishedPicture:
    """The stored files from which the outputs of a picture are made.

    Attributes:
        photo: blob of the photo as decoded.
        picture: blob of the latest picture; the photo, if nothing was repainted.
        mask: blob of the mask of the last repaint, or, without one, of the latest mask.
        repainted: blob of `Edit.repainted`; None if nothing was repainted.
        layers: blobs of the unmixed colours in the soft edge of `mask`, by side.
        frame: the last step that frames the delivered pictures, and its measurements.
        enlarged: blob of the delivered picture, if a step has enlarged it.
        source_type: how the picture came about; None if nothing was repainted.
    """

    photo: str
    picture: str
    mask: str | None = None
    repainted: str | None = None
    layers: Mapping[LayerSide, str] = field(default_factory=dict)
    frame: StepResult | None = None
    enlarged: str | None = None
    source_type: SourceType | None = None

    @classmethod
    def of(cls, results: Sequence[StepResult]) -> FinishedPicture:
        """Collect the files from the results of the photo and of all steps."""
        photo = results[0].result.image
        assert photo is not None
        found, mask = cls(photo, photo), None
        for step_result in results[1:]:
            result = step_result.result
            mask = result.mask or mask
            found = found._after(result, mask)
            if step_result.step and result.repainted:
                generated = step_result.step.stage.summary() is not None or found.source_type == _GENERATED
                found = replace(found, source_type=_GENERATED if generated else "humanEdits")
            if step_result.step and step_result.step.stage.frames:
                found = replace(found, frame=step_result, enlarged=result.enlarged)
        return found

    @property
    def framing(self) -> Framing | None:
        """The geometry of the delivered pictures; None for the photo's own."""
        if self.frame is None or self.frame.step is None:
            return None
        return self.frame.step.stage.framing(self.frame.result.figures)

    def _after(self, result: Result, mask: str | None) -> FinishedPicture:
        if result.image and result.repainted:
            return replace(self, picture=result.image, repainted=result.repainted, mask=mask, layers=result.layers)
        if result.mask and self.repainted is None:
            return replace(self, mask=mask, layers=result.layers)
        return self


class Outputs:
    """The files that are delivered of one finished picture. Its pixels are decoded when an output needs them.

    Args:
        name: of the picture, for log lines.
        store: has the files, and gets the outputs.
        files: of the picture.
        masks_only: the recipe repaints nothing: the picture to deliver is the mask.
        settings: which outputs, and their format.
        read_gps: finds out where the photo was taken; raises `PhotoError` if that cannot be read any more.
    """

    def __init__(
        self,
        name: str,
        store: Store,
        files: FinishedPicture,
        masks_only: bool,
        settings: Results,
        read_gps: Callable[[], tuple[ExifEntry, ...]] = tuple,
    ) -> None:
        self._name = name
        self._store = store
        self._files = files
        self._masks_only = masks_only
        self._settings = settings
        self._read_gps = read_gps
        self._framing = files.framing

    def made(self) -> Iterator[tuple[OutputKind, str]]:
        """The outputs in the order of the settings, and their blobs; those that cannot be made are logged."""
        makers: Mapping[OutputKind, Callable[[], str]] = {
            "picture": self._picture,
            "cutout": self._cutout,
            "mask": self._mask,
            "background": self._background,
            "layers": self._layered,
        }
        for kind in self._settings.what:
            try:
                yield kind, makers[kind]()
            except PhotoError as error:
                log.warning("%s: no %s in results: %s", self._name, kind, error)

    def thumbnail(self) -> str | None:
        """The blob of a small copy of the framed picture; None where nothing frames it, or a mask is delivered."""
        if self._framing is None or self._delivers_mask:
            return None
        picture = self._framed_picture
        return self._store.add_blob(photo_thumbnail(picture.pixels, picture.alpha, picture.icc), ".jpg")

    @property
    def _delivers_mask(self) -> bool:
        return self._masks_only and self._files.mask is not None and self._files.repainted is None

    @cached_property
    def _photo(self) -> DecodedPhoto:
        return decode_photo(self._store.read_blob(self._files.photo))

    @cached_property
    def _finished(self) -> DecodedPhoto:
        return decode_photo(self._store.read_blob(self._files.picture))

    @cached_property
    def _framed_picture(self) -> DecodedPhoto:
        if self._files.enlarged:
            return decode_photo(self._store.read_blob(self._files.enlarged))
        return framed_photo(self._framing, self._finished) if self._framing else self._finished

    @cached_property
    def _texts(self) -> Mapping[str, str]:
        texts = png_texts(self._store.read_blob(self._files.picture))
        step = self._files.frame and self._files.frame.step
        return with_step(texts, step) if step else texts

    @cached_property
    def _gps(self) -> tuple[ExifEntry, ...]:
        try:
            return self._read_gps() if self._settings.gps else ()
        except PhotoError as error:
            log.warning("%s: no location in results: the photo %s", self._name, error)
            return ()

    @cached_property
    def _band_mask(self) -> np.ndarray:
        """The mask in whose soft edge `layers` are the colours, (H, W) uint8."""
        if self._files.mask is None:
            raise PhotoError("there is no mask")
        return decode_png(self._store.read_blob(self._files.mask), "L")

    @cached_property
    def _subject(self) -> np.ndarray:
        """How much of each pixel is the subject, (H, W) uint8."""
        if self._files.repainted:
            return 255 - decode_png(self._store.read_blob(self._files.repainted), "L")
        if not self._masks_only:
            raise PhotoError("nothing was repainted")
        return self._band_mask

    def _layer(self, side: LayerSide) -> np.ndarray | None:
        blob = self._files.layers.get(side)
        return decode_png(self._store.read_blob(blob), "RGB") if blob else None

    @cached_property
    def _cutout_pixels(self) -> tuple[np.ndarray, np.ndarray]:
        """Colours and alpha of the cut-out at the photo's size."""
        opacity = opacity_of(self._subject, self._photo.alpha)
        own = self._layer("outside" if self._files.repainted else "inside")
        colours = self._photo.pixels if own is None else with_band(self._photo.pixels, own, self._band_mask)
        return cutout(colours, opacity), opacity

    @cached_property
    def _plate_pixels(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Colours and alpha of the background at the photo's size."""
        picture, subject = self._finished, self._subject
        known, colours = subject == 0, picture.pixels
        behind = self._layer("inside" if self._files.repainted else "outside")
        if behind is not None:
            known |= is_band(self._band_mask)
            colours = with_band(colours, behind, self._band_mask)
        alpha = picture.alpha
        plate = clean_plate(colours, known if alpha is None else known & (alpha > 0))
        if behind is None and self._files.repainted and alpha is None:
            plate = unmixed_plate(plate, picture.pixels, self._photo.pixels, subject)
        return plate, None if alpha is None else np.where(known, alpha, np.uint8(255))

    def _picture(self) -> str:
        if self._delivers_mask:
            return self._mask()
        if self._framing is None or self._files.enlarged:
            return self._converted(self._files.enlarged or self._files.picture)
        picture = self._framed_picture
        pixels, alpha = (picture.pixels, picture.alpha) if picture.pixels16 is None else (picture.pixels16, None)
        return self._converted(self._add_png(pixels, alpha))

    def _cutout(self) -> str:
        blob = self._add_png(*self._framed(*self._cutout_pixels, of_subject=True))
        return self._add_converted(blob, "png", AddedMetadata(self._gps), None)

    def _mask(self) -> str:
        grey = framed_grey(self._framing, self._subject) if self._framing else self._subject
        return self._store.add_blob(encode_png(grey), ".png")

    def _background(self) -> str:
        return self._converted(self._add_png(*self._framed(*self._plate_pixels)))

    def _layered(self) -> str:
        picture = self._framed_picture
        layers = {
            "background": _stacked(*self._framed(*self._plate_pixels)),
            "subject": _stacked(*self._framed(*self._cutout_pixels, of_subject=True)),
        }
        return self._store.add_blob(encode_psd(_stacked(picture.pixels, picture.alpha), layers, picture.icc), ".psd")

    def _framed(
        self, pixels: np.ndarray, alpha: np.ndarray | None, of_subject: bool = False
    ) -> tuple[np.ndarray, np.ndarray | None]:
        if self._framing is None:
            return pixels, alpha
        framing = self._framing.for_cutouts() if of_subject else self._framing
        return framed(framing, pixels, alpha, self._finished.icc)

    def _add_png(self, pixels: np.ndarray, alpha: np.ndarray | None) -> str:
        """Store a picture with the profile and metadata of the finished one."""
        finished = self._finished
        data = encode_png(pixels, alpha=alpha, icc=finished.icc, texts=self._texts, metadata=finished.metadata)
        return self._store.add_blob(data, ".png")

    def _converted(self, blob: str) -> str:
        """A PNG in the format of the settings, with the metadata and the signature that they ask for."""
        settings, source_type = self._settings, self._files.source_type
        xmp = source_type_packet(source_type) if source_type and settings.disclose else b""
        added = AddedMetadata(self._gps, xmp)
        try:
            return self._add_converted(blob, settings.format, added, source_type)
        except DoesNotFit as error:
            log.warning("%s: kept as PNG: %s", self._name, error)
            return self._add_converted(blob, "png", added, source_type)

    def _add_converted(self, blob: str, format: str, added: AddedMetadata, source_type: SourceType | None) -> str:
        certificate, key = self._settings.c2pa_certificate, self._settings.c2pa_key
        data = self._store.read_blob(blob)
        found, suffix = convert_png(data, format, self._settings.quality, added), DELIVERY_FORMATS[format]
        if certificate and key and source_type:
            photo = self._store.read_blob(self._files.photo)
            found = load_credentials(certificate, key).sign(found, MIME_TYPES[suffix], photo, source_type)
        return blob if found is data else self._store.add_blob(found, suffix)


def _stacked(pixels: np.ndarray, alpha: np.ndarray | None) -> np.ndarray:
    return pixels if alpha is None else np.dstack([pixels, alpha])
