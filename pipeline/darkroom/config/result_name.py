"""`results.name`: a template for the names of the files in `results/`, such as `${folder}/${stem}_${seed}`."""

from __future__ import annotations

import re

FIELDS = ("folder", "stem", "suffix", "variant", "prompt", "seed")
"""What a template may use besides the columns of a table; docs/run_folder.md explains them."""

_REFERENCE = re.compile(r"\$\{([^{}]*)\}")
_EMPTY = re.compile(r"[ _.~-]\0|\0[ _.~-]?")
_DRIVE = re.compile("[A-Za-z]:")
_COLUMN = re.compile(r"item\.(\w+)")
_FORM = (
    "a template with ${folder}, ${stem}, ${suffix}, ${variant}, ${prompt}, ${seed} or ${item.COLUMN}; "
    "put it in single quotes, so that the shell leaves it as it is"
)


def references(template: str) -> list[str]:
    """What a template refers to: names in `FIELDS`, and `item.COLUMN`."""
    return _REFERENCE.findall(template)


def column_of(reference: str) -> str | None:
    """The column that a reference names; None if it is one of `FIELDS`."""
    match = _COLUMN.fullmatch(reference)
    return match[1] if match else None


def fill_in(template: str, values: dict[str, str]) -> str:
    """A template with the values of its references, which hold no NUL; an empty one takes a separator along."""
    return _EMPTY.sub("", _REFERENCE.sub(lambda match: values[match[1]] or "\0", template))


def checked_template(value: str | None) -> str | None:
    """A template as it is.

    Raises:
        ValueError: it is malformed, refers to nothing or to unknown fields, or leads out of `results/`.
    """
    if value is None:
        return None
    found = references(value)
    if not found or "$" in _REFERENCE.sub("", value) or not all(one in FIELDS or column_of(one) for one in found):
        raise ValueError(_FORM)
    parts = value.split("/")
    if not parts[0] or parts[0].startswith("~") or ".." in parts or "\\" in value or _DRIVE.match(value):
        raise ValueError(
            "a path inside results/: with / between folders, and without / at its beginning, `..`, ~ or C:"
        )
    return value
