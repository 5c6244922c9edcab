"""Removes absolute paths and user names from reports, because people send reports to others."""

from __future__ import annotations

import getpass
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path, PurePath
from typing import Any

from darkroom.errors import printable

_END = r"""\s"'`<>|,;:()\[\]{}…"""  # these characters end a path, unless they are part of a known path
_BEGIN = r"(?:(?<![\w.…/~])|(?<=\\[nrt])|(?<=file://))"  # no path begins inside a/b, ../a, ~/a or https://a
_POSIX = rf"{_BEGIN}(?:(?<!:)/)?/(?:[^{_END}/]+/)+[^{_END}/]*"  # at least two names: `/imagine a car` is no path
_WINDOWS = rf"\b[A-Z]:[\\/][^{_END}\\/]+[\\/][^{_END}]*"
_PARENTS_OF_HOMES = ("home", "Users", "media")  # their subfolders are named after users


class Redactor:
    """Makes texts safe to send away.

    A path below the current folder is shown relative to it. Any other path is cut to its last two names or fewer,
    after an ellipsis; user names never show.

    Args:
        recorded: `run.json` of the reported runs. The folders in their configurations are recognized with any
            characters in their names. Other paths need at least two names and end at the first space.
    """

    def __init__(self, recorded: Iterable[Mapping[str, Any]]) -> None:
        self._current = Path.cwd()
        self._homes = _homes()
        self._users = {home.name for home in self._homes} | _user()
        folders = {folder for facts in recorded for folder in _folders(facts.get("config"))}
        known = {str(path) for path in (*folders, *self._homes, self._current) if len(path.parts) > 1}
        known |= set(map(printable, known))  # error messages escape what does not print
        either = "|".join(re.escape(path) for path in sorted(known, key=len, reverse=True))
        ours = [rf"(?:(?<![\w.…])|(?<=\\[nrt]))(?:{either})(?=/|\.*(?:[{_END}]|\Z))[^{_END}]*"] if known else []
        self._pattern = re.compile("|".join([*ours, _POSIX, _WINDOWS]))

    def redact(self, value: Any) -> Any:
        """Plain data with all its texts redacted, mapping keys included."""
        if isinstance(value, str):
            return self._pattern.sub(self._replacement, value) if "/" in value or "\\" in value else value
        if isinstance(value, Mapping):
            return {self.redact(key): self.redact(inner) for key, inner in value.items()}
        return [self.redact(item) for item in value] if isinstance(value, list | tuple) else value

    def redact_path(self, path: str) -> str:
        """A path relative to the current folder, or its last names.

        >>> Redactor([]).redact_path("/srv/photos/2026/car.png")
        '…/2026/car.png'
        """
        names = [name for name in re.split(r"[\\/]+", path) if name]
        private = self._private_parts(path, names)
        with suppress(ValueError):
            below = PurePath(path).relative_to(self._current)
            if private <= len(names) - len(below.parts):
                return str(below)
        return "/".join(["…", *names[max(private, len(names) - 2, min(1, len(names) - 1)) :]])

    def folder_name(self, folder: Path) -> str:
        """A reported folder as the commands in the report name it: relative to the current folder, or its name."""
        shown = self.redact_path(str(folder))
        return folder.name if shown.startswith("…") else shown

    def _replacement(self, found: re.Match[str]) -> str:
        path = re.sub(r"(?<=[^./])\.+\Z|/+\Z", "", found[0])  # the end of a sentence, or of a folder; `...` is a name
        return self.redact_path(path) + found[0][len(path) :]

    def _private_parts(self, path: str, names: list[str]) -> int:
        """The number of leading parts of a path that are private."""
        private = 0
        for number, name in enumerate(names, start=1):
            if name in self._users or (number > 1 and names[number - 2] in _PARENTS_OF_HOMES):
                private = number
        homes = [len(home.parts) - 1 for home in self._homes if PurePath(path).is_relative_to(home)]
        return max([private, *homes])


def _homes() -> list[Path]:
    with suppress(RuntimeError):  # the user has no home folder
        home = Path.home()
        return [path for path in dict.fromkeys((home, home.resolve())) if len(path.parts) > 1]
    return []


def _user() -> set[str]:
    with suppress(KeyError, OSError, ImportError):  # a user without a name, as in some containers
        return {getpass.getuser()}
    return set()


def _folders(config: Any) -> Iterator[Path]:
    """The absolute paths in a configuration and the folders of its files; for files in a list, only the folders."""
    if isinstance(config, str) and PurePath(config).is_absolute():
        yield from {Path(config), Path(config).parent} if Path(config).suffix else (Path(config),)
    elif isinstance(config, Mapping):
        for value in config.values():
            yield from _folders(value)
    elif isinstance(config, list):
        for item in config:
            yield from (path.parent if path.suffix else path for path in _folders(item))
