"""Masks as COCO writes them: compressed run lengths, and the box around the object."""

from __future__ import annotations

import numpy as np

_BITS = 5  # of a count in each character
_CHARACTERS = 7  # enough for counts of 34 bits and a sign
_AT_ONCE = 1_000_000  # counts


def compressed_run_lengths(mask: np.ndarray) -> str:
    """The `counts` of a compressed RLE, as pycocotools reads them.

    Pixels are counted down the columns, from left to right: first how many are outside, then inside, and so on. From
    the fourth on, a count is stored as its difference from the one two before it. Each number is cut into groups of 5
    bits, lowest first; bit 6 marks that another group follows, and 48 makes a printable character of it.

    Args:
        mask: (H, W) bool.
    """
    counts = _counts(mask)
    counts[3:] -= counts[1:-2].copy()
    return "".join(_text(counts[start : start + _AT_ONCE]) for start in range(0, len(counts), _AT_ONCE))


def box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, width and height in px of the box around all pixels of an (H, W) bool mask; it must have some."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    left, top = int(columns[0]), int(rows[0])
    return left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top


def _counts(mask: np.ndarray) -> np.ndarray:
    """Lengths of the runs, outside first, (N,) int64."""
    pixels = np.concatenate([[False], mask.T.ravel()])  # the added pixel makes the first run one of outside
    ends = np.flatnonzero(pixels[1:] != pixels[:-1])
    return np.diff(np.concatenate([[0], ends, [mask.size]]))


def _text(numbers: np.ndarray) -> str:
    rest, follows = numbers.copy(), np.ones(len(numbers), bool)
    characters = np.zeros((len(numbers), _CHARACTERS), np.uint8)
    for place in range(_CHARACTERS):
        group = rest & 31
        rest >>= _BITS
        more = np.where(group & 16, rest != -1, rest != 0)  # bit 5 of the last group is the sign
        characters[:, place] = np.where(follows, group + 32 * more + 48, 0)
        follows &= more
    return characters[characters > 0].tobytes().decode("ascii")
