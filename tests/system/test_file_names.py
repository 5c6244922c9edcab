"""Which names Windows allows, and that a folder refuses the others there."""

from __future__ import annotations

from pathlib import Path

import pytest

from darkroom.system import files
from darkroom.system.file_names import is_portable


@pytest.mark.parametrize(
    "name", ["car", "a b", "Größe", "車.png", ".store", "console", "com10", "com", "a.nul", "nulla.txt", "~", "x" * 255]
)
def test_allowed(name: str) -> None:
    assert is_portable(name)


@pytest.mark.parametrize(
    "name",
    [
        *'<>:"/\\|?*',
        *("a" + sign for sign in '<>:"/\\|?*.\n\0\x1f '),
        *("con", "CON", "Nul.txt", "nul.tar.gz", "com1", "LPT9", "com¹", "aux .png", "conin$"),
        *("", ".", "..", " "),
    ],
)
def test_forbidden(name: str) -> None:
    assert not is_portable(name)


def test_a_folder_on_windows_opens_no_device_and_no_hidden_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = files.Folder(tmp_path)
    folder.write("day:1", b"here a name like others")
    monkeypatch.setattr(files, "_IS_WINDOWS", True)
    for path in ("day:1", "nul", "x/COM1.png", "x /y"):
        with pytest.raises(OSError, match="a name that Windows does not allow"):
            folder.write(path, b"")
    folder.write("x/y.png", b"", mode=0o444)
    assert (tmp_path / "x/y.png").stat().st_mode & 0o200, "a read-only file could not be replaced there"
