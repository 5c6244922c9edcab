"""Plain texts: among them a stage makes no difference, so that one check stands for a million captions of a table."""

from __future__ import annotations

import re
from typing import Any

# Letters, digits and little else: no two capitals in a row, as in BREAK, and no `--`, as before a flag.
_PLAIN = re.compile(r"[A-Za-z](?![A-Z])[a-z0-9 ,.']*(?:(?:[A-Z](?![A-Z])|(?<=[a-z0-9])-(?=[a-z0-9]))[a-z0-9 ,.']*)*")


def is_plain(value: Any) -> bool:
    """Whether a value is an English text, of any length, without a sign that a tool could take for syntax."""
    return value.__class__ is str and _PLAIN.fullmatch(value) is not None
