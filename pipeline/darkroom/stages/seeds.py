"""Seeds that a recipe gives by a rule: `random`, `{count: 4}`, `{count: 4, start: random}`, `{per_photo: true}`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

RANDOM = "random"
MAX_SEED = 2**63 - 1
MAX_COUNT = 10_000

_FORM = "{count: 4, start: 0, per_photo: false}, of which each key may be left out; `start` may be `random`"


@dataclass(frozen=True)
class SeedRule:
    """Consecutive seeds.

    Attributes:
        start: the first seed; with `per_photo`, it is added to the photo's own seed. None: a random number that has not
            been drawn yet.
        count: how many.
        per_photo: each photo has a seed of its own.
    """

    start: int | None
    count: int = 1
    per_photo: bool = False

    @classmethod
    def parse(cls, value: Any) -> Self:
        """The rule that a recipe gives. Raises `ValueError` if it is none."""
        given: Any = {"start": value} if value == RANDOM else value
        if not isinstance(given, Mapping) or not given or not set(given) <= {"start", "count", "per_photo"}:
            raise ValueError(f"should be a whole number, a list of them, `random`, or {_FORM}; got {value!r:.60}")
        start, count, per_photo = given.get("start", 0), given.get("count", 1), given.get("per_photo", False)
        if type(count) is not int or not 1 <= count <= MAX_COUNT:
            raise ValueError(f"count: should be a whole number from 1 to {MAX_COUNT}; got {count!r:.60}")
        if type(per_photo) is not bool:
            raise ValueError(f"per_photo: should be true or false; got {per_photo!r:.60}")
        if start != RANDOM and not (type(start) is int and 0 <= start <= MAX_SEED - count):
            raise ValueError(f"start: should be `random`, or a whole number from 0; got {start!r:.60}")
        return cls(None if start == RANDOM else start, count, per_photo)

    def seeds(self, digest: str | None) -> tuple[int, ...]:
        """The seeds for one photo.

        Args:
            digest: SHA-256 of the photo's file, hexadecimal. Its first 8 digits are the photo's own seed; it depends
                neither on the photo's name nor on the other photos. An empty text stands for a photo that is not known
                yet.

        Raises:
            ValueError: the start has not been drawn, or the rule needs a digest.
        """
        if self.start is None or (self.per_photo and digest is None):
            raise ValueError("`random` and `per_photo` belong into a recipe; they cannot come from a table")
        own = int(digest[:8] or "0", 16) if self.per_photo and digest else 0
        return tuple((own + self.start + number) % (MAX_SEED + 1) for number in range(self.count))
