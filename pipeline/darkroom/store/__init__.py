"""Results by content key, shared by all runs: what they are called, where they are kept, what is freed."""

from darkroom.store.store import FOLDER, Result, Store

__all__ = ["FOLDER", "Result", "Store"]
