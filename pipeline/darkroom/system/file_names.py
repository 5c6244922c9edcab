"""Names of files and folders that every system allows, Windows among them."""

from __future__ import annotations

import unicodedata

FORBIDDEN = frozenset('<>:"/\\|?*')  # by Windows; so are control characters

# https://learn.microsoft.com/windows/win32/fileio/naming-a-file; with any extension, in any case
_PORTS = (f"{port}{number}" for port in ("com", "lpt") for number in "123456789¹²³")
_DEVICES = frozenset(("con", "prn", "aux", "nul", "conin$", "conout$", *_PORTS))


def is_device(name: str) -> bool:
    """Whether Windows treats the name as a device: `con`, `NUL.txt`, `com1 .png`."""
    return name.partition(".")[0].rstrip().lower() in _DEVICES


def is_portable(name: str) -> bool:
    """Whether Windows allows the name of a file or folder; other systems then do as well."""
    is_spelled = not set(name) & FORBIDDEN and min(name, default="\0") >= " " and name[-1] not in ". "
    return is_spelled and not is_device(name)


def fold(name: str) -> str:
    """The same text for names that some file system takes for one.

    Windows and macOS ignore case; macOS, and programs that copy files from it, compose accents in other ways.
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
