"""Seals of store entries: HMACs under a key of the user, so that nobody else can add entries to the store."""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import secrets
from contextlib import suppress
from functools import cache
from pathlib import Path

from platformdirs import user_data_path

from darkroom.system.files import read_file

log = logging.getLogger("darkroom")

_BYTES = 32


def seal(text: str) -> str:
    """HMAC-SHA256 of a text under this user's key (RFC 2104), 64 hexadecimal digits."""
    return hmac.new(_key(user_data_path("darkroom") / "store.key"), text.encode(), hashlib.sha256).hexdigest()


def is_sealed(text: str, digest: str) -> bool:
    """Whether a digest is this user's seal of a text."""
    # As bytes: it raises TypeError for texts that are not ASCII.
    return hmac.compare_digest(seal(text).encode(), digest.encode(errors="replace"))


@cache
def _key(path: Path) -> bytes:
    """The user's key, made at first use; a temporary key for this process if none can be kept."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _make(path)
        key = read_file(path, limit=_BYTES)
        if len(key) == _BYTES:
            return key
    log.warning("%s: cannot be written or read; the next run will compute this run's results again", path)
    return secrets.token_bytes(_BYTES)


def _make(path: Path) -> None:
    """Write a new key. If several processes do so at once, the first wins."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123
            file.write(secrets.token_bytes(_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            path.hardlink_to(temporary)
        except FileExistsError:
            pass
        except OSError:  # the file system has no hard links
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
