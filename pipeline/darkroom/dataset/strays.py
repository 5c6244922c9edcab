"""What of a dataset is not taken, told before a run: files that are no photos, and photos that are not selected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from darkroom.imaging import heif

_CONVERT = "save them as JPEG, PNG or TIFF"
_KINDS = {
    "camera raw": (".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2", ".pef", ".srw", ".dng"),
    "layered": (".psd", ".psb", ".xcf", ".kra", ".afphoto"),
    "other picture format": (".jxl", ".jp2", ".exr", ".hdr", ".tga", ".ppm", ".svg", ".eps", ".pdf", ".ico"),
    "video": (".mov", ".mp4", ".m4v", ".avi", ".mkv", ".webm", ".3gp", ".mts"),
    "side-car": (".aae", ".xmp", ".thm", ".pp3", ".dop"),
    "text or table": (".txt", ".csv", ".tsv", ".json", ".jsonl", ".xlsx", ".yaml", ".md", ".docx"),
}
_TO_CONVERT = ("camera raw", "layered", "other picture format")
_SUFFIXES = 4  # of a kind that are named
_NAMED = 5  # patterns

_KIND_OF: Mapping[str, str] = MappingProxyType({suffix: kind for kind, row in _KINDS.items() for suffix in row})


class Tally:
    """Counts photos, and the patterns of `dataset.only` and `dataset.exclude` that fit some."""

    def __init__(self, only: Iterable[str], exclude: Iterable[str]) -> None:
        self._unused = {"only": dict.fromkeys(only), "exclude": dict.fromkeys(exclude)}
        self._total = self._taken = self._heic = 0

    def add(self, path: Path, taken: bool, only: Iterable[str], exclude: Iterable[str]) -> None:
        """Count a photo, with the patterns of `only` and of `exclude` that it fits."""
        for key, fitting in (("only", only), ("exclude", exclude)):
            for entry in fitting:
                self._unused[key].pop(entry, None)
        self._total += 1
        self._taken += taken
        self._heic += taken and path.suffix.lower() in heif.SUFFIXES

    def lines(self) -> Iterator[str]:
        """What is worth knowing before a run, in one line each."""
        if self._taken < self._total:
            yield f"{self._taken:,} of {self._total:,} photos are taken, by dataset.only, dataset.exclude or limit"
        for key, unused in self._unused.items():
            if names := [entry.removeprefix("/") for entry in unused]:
                more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
                yield f"dataset.{key}: fits no photo: {', '.join(names[:_NAMED])}{more}"
        if self._heic and (problem := heif.missing()):
            yield f"{self._heic:,} photo{'s' * (self._heic != 1)} cannot be read: {problem}"


def describe(skipped: Counter[str]) -> str:
    """One line about skipped files.

    Args:
        skipped: the number of files by suffix, in lower case, or by what they are; not empty.
    """
    kinds: dict[str, Counter[str]] = {}
    for suffix, number in skipped.items():
        kinds.setdefault(_KIND_OF.get(suffix, "other"), Counter())[suffix] += number
    by_number = sorted(kinds, key=lambda kind: (-kinds[kind].total(), kind))
    texts = [f"{kinds[kind].total()} {kind} ({_names(kinds[kind])})" for kind in by_number]
    pictures = [kind for kind in by_number if kind in _TO_CONVERT]
    advice = f"; {' and '.join(pictures)} cannot be read: {_CONVERT}" if pictures else ""
    total = skipped.total()
    return f"skipped {total:,} file{'s' * (total != 1)}: {', '.join(texts)}{advice}"


def is_raw(path: Path) -> bool:
    """Whether a file is camera raw by its suffix; many of these are TIFF files that begin with a small preview."""
    return path.suffix.lower() in _KINDS["camera raw"]


def _names(suffixes: Counter[str]) -> str:
    names = [suffix for suffix, _ in sorted(suffixes.items(), key=lambda pair: (-pair[1], pair[0]))]
    return ", ".join(names[:_SUFFIXES] + ["..."] * (len(names) > _SUFFIXES))
