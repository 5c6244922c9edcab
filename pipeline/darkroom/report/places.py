"""Removes absolute paths and user names from reports, which are made to be sent away."""

from __future__ import annotations

import getpass
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path, PurePath
from typing import Any

from darkroom.errors import printable

_END = r"""\s"'`<>|,;:()\[\]{}…"""  # ends a path in a text, unless it belongs to a known one
_BEGIN = r"(?:(?<![\w.…/~])|(?<=\\[nrt])|(?<=file://))"  # no path begins inside of a/b, ../a, ~/a, https://a
_POSIX = rf"{_BEGIN}(?:(?<!:)/)?/(?:[^{_END}/]+/)+[^{_END}/]*"  # two names deep: `/imagine a car` is none
_WINDOWS = rf"\b[A-Z]:[\\/][^{_END}\\/]+[\\/][^{_END}]*"
_HOMES = ("home", "Users", "media")  # what is called like a user lies in these


class Places:
    """Makes texts fit to be sent away.

    A path below the current folder is shown as it is called from there. Of others the last two names are shown, behind
    an ellipsis, or fewer: never the whole path, never a user's name.

    Args:
        recorded: `run.json` of the reported runs. Paths in them are recognised whole, whatever their names hold; any
            other path, two names deep at least, is recognised up to its first space.
    """

    def __init__(self, recorded: Iterable[Mapping[str, Any]]) -> None:
        self._here = Path.cwd()
        self._homes = _homes()
        self._users = {home.name for home in self._homes} | _user()
        folders = {folder for facts in recorded for folder in _folders(facts.get("config"))}
        known = {str(each) for each in (*folders, *self._homes, self._here) if len(each.parts) > 1}
        known |= set(map(printable, known))  # as errors name them
        either = "|".join(re.escape(each) for each in sorted(known, key=len, reverse=True))
        ours = [rf"(?:(?<![\w.…])|(?<=\\[nrt]))(?:{either})(?=/|\.*(?:[{_END}]|\Z))[^{_END}]*"] if known else []
        self._path = re.compile("|".join([*ours, _POSIX, _WINDOWS]))

    def shown(self, value: Any) -> Any:
        """Plain data with every text in it, keys too, as it may be read by others."""
        if isinstance(value, str):
            return self._path.sub(self._replacement, value) if "/" in value or "\\" in value else value
        if isinstance(value, Mapping):
            return {self.shown(key): self.shown(each) for key, each in value.items()}
        return [self.shown(each) for each in value] if isinstance(value, list | tuple) else value

    def path(self, path: str) -> str:
        """A path as it may be read by others.

        >>> Places([]).path("/srv/photos/2026/car.png")
        '…/2026/car.png'
        """
        names = [name for name in re.split(r"[\\/]+", path) if name]
        private = self._private(path, names)
        with suppress(ValueError):
            below = PurePath(path).relative_to(self._here)
            if private <= len(names) - len(below.parts):
                return str(below)
        return "/".join(["…", *names[max(private, len(names) - 2, min(1, len(names) - 1)) :]])

    def folder(self, folder: Path) -> str:
        """A folder of this report, as the commands that others see name it: below the current folder, or its name."""
        shown = self.path(str(folder))
        return folder.name if shown.startswith("…") else shown

    def _replacement(self, found: re.Match[str]) -> str:
        path = found[0].rstrip("./")  # the end of a sentence, or of a folder
        return self.path(path) + found[0][len(path) :]

    def _private(self, path: str, names: list[str]) -> int:
        """How many leading parts of a path are private."""
        private = 0
        for number, name in enumerate(names, start=1):
            if name in self._users or (number > 1 and names[number - 2] in _HOMES):
                private = number
        homes = [len(home.parts) - 1 for home in self._homes if PurePath(path).is_relative_to(home)]
        return max([private, *homes])


def _homes() -> list[Path]:
    with suppress(RuntimeError):  # nobody knows where it is
        home = Path.home()
        return [each for each in dict.fromkeys((home, home.resolve())) if len(each.parts) > 1]
    return []


def _user() -> set[str]:
    with suppress(KeyError, OSError, ImportError):  # a user without a name, as in some containers
        return {getpass.getuser()}
    return set()


def _folders(config: Any) -> Iterator[Path]:
    """The absolute paths in a configuration, and the folders of files; of files in a list their folders alone."""
    if isinstance(config, str) and config.startswith("/"):
        yield from {Path(config), Path(config).parent} if Path(config).suffix else (Path(config),)
    elif isinstance(config, Mapping):
        for each in config.values():
            yield from _folders(each)
    elif isinstance(config, list):
        for each in config:
            yield from (path.parent if path.suffix else path for path in _folders(each))
