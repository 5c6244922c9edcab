"""A memory for what was computed of objects that many photos share, such as the tree of their steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

Thing = TypeVar("Thing")
Value = TypeVar("Value")


class ByIdentity(Generic[Thing, Value]):
    """Remembers the values of a function for some objects, which need not be hashable and are kept alive.

    Args:
        function: from an object to its value.
        limit: at most this many objects; then it begins anew.
    """

    def __init__(self, function: Callable[[Thing], Value], limit: int = 500) -> None:
        self._function = function
        self._limit = limit
        self._values: dict[int, tuple[Thing, Value]] = {}

    def __call__(self, thing: Thing) -> Value:
        """The function's value for an object."""
        found = self._values.get(id(thing))
        if found is None:
            if len(self._values) >= self._limit:
                self._values.clear()
            found = self._values[id(thing)] = thing, self._function(thing)
        return found[1]
