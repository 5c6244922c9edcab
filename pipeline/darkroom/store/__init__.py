"""Results by content key, shared by all runs: their names, where they lie, and what can be pruned."""

from darkroom.store.store import FOLDER, UNSAFE, Result, Store

__all__ = ["FOLDER", "UNSAFE", "Result", "Store"]
