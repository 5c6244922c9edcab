"""The closed registry of all ops that a recipe can name. A recipe never names Python."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from importlib import import_module

from darkroom.stages.base import Stage


class _Ops(MutableMapping[str, type[Stage]]):
    """The class of each op, imported when it is first asked for: all of them take longer than checking a recipe.

    Args:
        classes: the names of the classes, by op, each in the module that is called like its op.
    """

    def __init__(self, classes: Mapping[str, str]) -> None:
        self._names = dict(classes)
        self._classes: dict[str, type[Stage]] = {}

    def __getitem__(self, op: str) -> type[Stage]:
        if op not in self._classes:
            name = self._names[op]
            self._classes[op] = getattr(import_module(f"{__name__}.{op}"), name)
        return self._classes[op]

    def __setitem__(self, op: str, kind: type[Stage]) -> None:
        self._names[op], self._classes[op] = kind.__name__, kind

    def __delitem__(self, op: str) -> None:
        del self._names[op], self._classes[op]

    def __contains__(self, op: object) -> bool:
        return op in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


STAGES: MutableMapping[str, type[Stage]] = _Ops(
    {
        "subject": "Subject",
        "sam": "Sam",
        "text": "Text",
        "find": "Find",
        "clip_diff": "ClipDiff",
        "snap": "Snap",
        "auto": "Auto",
        "diffedit": "DiffEdit",
        "grabcut": "GrabCut",
        "mask_file": "MaskFile",
        "refine": "Refine",
        "matte": "Matte",
        "invert": "Invert",
        "combine": "Combine",
        "gate": "Gate",
        "inpaint": "Inpaint",
        "erase": "Erase",
        "background": "Background",
        "shadow": "Shadow",
        "diffedit_repaint": "DiffEditRepaint",
        "frame": "Frame",
        "upscale": "Upscale",
    }
)

__all__ = ["STAGES", "Stage"]
