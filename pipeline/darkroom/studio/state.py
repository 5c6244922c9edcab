"""What a draft holds at one moment: its stages, and the clicks on its photos."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from darkroom.studio.brush import NO_STROKES, Painting, is_brush
from darkroom.studio.clicks import Clicks, made_by_clicks

Stages = dict[str, dict[str, Any]]  # by name: `op`, and the parameters that differ from their defaults


@dataclass(frozen=True)
class State:
    """What a draft holds at one moment; never modified.

    Attributes:
        revision: counts the changes.
        stages: in order; without the parameters that are made by clicks.
        clicks: by photo name and stage name.
        common: clicks that hold for every photo without its own, by stage name.
    """

    revision: int
    stages: Stages
    clicks: Mapping[str, Mapping[str, Clicks]]
    common: Mapping[str, Clicks]

    def clicks_on(self, photo: str) -> dict[str, Clicks]:
        """The clicks on a photo, by stage name."""
        own = self.clicks.get(photo, {})
        return {name: own.get(name, self.common.get(name, Clicks())) for name in self.clicked}

    @property
    def clicked(self) -> list[str]:
        """The stages that take clicks."""
        return [name for name, stage in self.stages.items() if made_by_clicks(stage)]

    def waiting(self, photo: str) -> list[str]:
        """The stages that wait for clicks on a photo. A mask that only adds to another one may stay without strokes."""
        return [name for name, clicks in self.clicks_on(photo).items() if not clicks and not self.is_joined(name)]

    def takes(self, photo: str) -> bool:
        """Whether a photo has the clicks that a run needs, and some at all."""
        return any(self.clicks_on(photo).values()) and not self.waiting(photo)

    def is_begun(self, photo: str) -> bool:
        """Whether there is something on a photo, but less than a run needs."""
        return not self.takes(photo) and not all(clicks.is_blank for clicks in self.clicks_on(photo).values())

    def is_joined(self, stage: str) -> bool:
        """Whether a stage is a painted mask that a `combine` joins with another mask."""
        joins = (each for each in self.stages.values() if each["op"] == "combine" and each.get("mask") == stage)
        return is_brush(self.stages[stage]) and any(joins)

    def from_clicks(self, photo: str, masks: str) -> dict[str, dict[str, Any]]:
        """The parameters that stages take from the clicks on a photo, by stage name.

        Args:
            photo: its name; an empty text for clicks that hold for all photos.
            masks: the folder of painted masks.
        """
        found = {}
        for name, clicks in self.clicks_on(photo).items():
            file = clicks.painting.file_name(photo) if clicks.strokes else NO_STROKES if self.is_joined(name) else None
            found[name] = clicks.parameters(self.stages[name], None if file is None else f"{masks}/{file}")
        return found

    def paintings(self) -> dict[str, Painting]:
        """Everything that is painted, by the name of its file."""
        brushes = [name for name in self.clicked if is_brush(self.stages[name])]
        empty = {NO_STROKES: Painting((1, 1), ())} if any(map(self.is_joined, brushes)) else {}
        return empty | {
            clicks.painting.file_name(photo): clicks.painting
            for photo, by_stage in {**self.clicks, "": self.common}.items()
            for name, clicks in by_stage.items()
            if name in brushes and clicks.strokes
        }
