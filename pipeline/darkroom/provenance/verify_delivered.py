"""Checks a delivered picture against the picture of the photo's size: it must be that one, or framed from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from darkroom.errors import PhotoError
from darkroom.imaging.codec import DecodedPhoto
from darkroom.imaging.framing import Framing, framed_grey, framed_photo
from darkroom.record.schema import JournalLine
from darkroom.stages import STAGES

_LOSSLESS = (".png", ".tif")


def delivered_problems(line: JournalLine, decoded: Callable[[str], DecodedPhoto]) -> Iterator[str]:
    """How a delivered picture differs from the result, or from what the recorded geometry makes of it.

    Without a frame, a PNG must be the result's own file, or have its pixels: it may say more about the photo, or be
    signed. With one, PNG and TIFF must have the pixels that the geometry makes, a file of another format the size. An
    enlarged picture is compared with the file of the step that enlarged it.

    Args:
        line: of the picture, perhaps from a stranger.
        decoded: the picture in a file of the run folder; raises `PhotoError` where there is none.
    """
    delivered, result = line["outputs"].get("picture"), line["result"]
    shows_mask = result == line["source"] and line["mask"] is not None
    try:
        framing = recorded_framing(line)
        if delivered is None or result is None:
            return
        if framing is None:
            own = [path for path in (result, line["mask"] if shows_mask else None) if path]
            is_own = line["files"].get(delivered) in {line["files"].get(path) for path in own}
            if not is_own and delivered.endswith(_LOSSLESS) and not _is_any_of(delivered, own, decoded):
                yield f"{delivered}: is not the result, {result}"
            return
        found = decoded(delivered)
        if found.pixels.shape[:2] != (framing.height, framing.width):
            yield f"{delivered}: its size is not that of the recorded frame"
        elif delivered.endswith(_LOSSLESS) and not _equal(found, _expected(line, framing, shows_mask, decoded)):
            yield f"{delivered}: is not the result seen through the recorded frame"
    except PhotoError as error:
        yield f"{line['photo']}: {error}"


def _is_any_of(delivered: str, own: Sequence[str], decoded: Callable[[str], DecodedPhoto]) -> bool:
    found = decoded(delivered)
    return any(_equal(found, decoded(path)) for path in own)


def recorded_framing(line: JournalLine) -> Framing | None:
    """The last recorded geometry; None without one. Raises `PhotoError` if the record makes none."""
    for settings, step in reversed(list(zip(line["settings"], line["steps"][1:], strict=False))):
        kind = STAGES.get(settings["op"])
        if kind is None or not kind.frames:
            continue
        parameters = {key: value for key, value in settings.items() if key not in ("stage", "op")}
        try:
            return kind(**parameters).framing(step.get("figures", {}))
        except (TypeError, ValueError):
            raise PhotoError(f"the settings of {settings['stage']} are not those of a frame") from None
    return None


def _expected(
    line: JournalLine, framing: Framing, shows_mask: bool, decoded: Callable[[str], DecodedPhoto]
) -> DecodedPhoto:
    """The framed mask if it is delivered, else the enlarged picture or the framed result."""
    enlarged = next((step["enlarged"] for step in line["steps"] if "enlarged" in step), None)
    result, mask = line["result"], line["mask"]
    if not shows_mask or mask is None:
        assert result is not None
        return decoded(enlarged) if enlarged else framed_photo(framing, decoded(result))
    picture = decoded(mask)
    grey = framed_grey(framing, picture.pixels[..., 0])
    return replace(picture, pixels=np.repeat(grey[..., None], 3, axis=2))


def _equal(one: DecodedPhoto, other: DecodedPhoto) -> bool:
    pairs = ((one.pixels, other.pixels), (one.alpha, other.alpha), (one.pixels16, other.pixels16))
    same = all(a is b if a is None or b is None else np.array_equal(a, b) for a, b in pairs)
    return same and one.icc == other.icc
