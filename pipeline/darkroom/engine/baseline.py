"""Surveys of the masks of all photos, for gates that compare a photo with the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from darkroom.config.recipe import Recipe
from darkroom.config.stage_spec import StageSpec
from darkroom.dataset import Photo
from darkroom.engine.step_result import StepResult
from darkroom.errors import PhotoError
from darkroom.planning.plan import Step, StepPlanner
from darkroom.stages.baseline import Baseline


class BaselineSurvey:
    """Collects what a gate measures of all photos, before the gate decides about the first (`consumer.Consumer`).

    Args:
        gate: the gate.
        recipe: its recipe.
        baselines: of earlier gates, by name; gets this gate's.
        begin_photo: called with every photo.
    """

    def __init__(
        self,
        gate: StageSpec,
        recipe: Recipe,
        baselines: dict[str, Baseline | None],
        begin_photo: Callable[[Photo], None],
    ) -> None:
        self._gate = gate
        self._planner = StepPlanner(recipe.until(gate.name), baselines)
        self._baselines = baselines
        self._begin_photo = begin_photo
        self._photos: list[list[Mapping[str, float]]] = []

    def tree(self, photo: Photo) -> Sequence[Step]:
        """See `consumer.Consumer`."""
        return self._planner.plan(photo)

    def begin(self, photo: Photo, digest: str | PhotoError, tree: Sequence[Step] | PhotoError) -> _FiguresSink:
        """See `consumer.Consumer`."""
        self._begin_photo(photo)
        self._photos.append([])
        return _FiguresSink(self._gate.name, self._photos[-1], tree)

    def finish(self) -> None:
        """Compute the gate's baseline; call it when all photos have been delivered."""
        photos = [figures for figures in self._photos if figures]
        self._baselines[self._gate.name] = self._gate.kind.baseline(self._gate.name, photos)


class _FiguresSink(NamedTuple):
    """Collects a gate's measurements of one photo's masks (`consumer.ResultSink`)."""

    gate: str
    figures: list[Mapping[str, float]]
    remaining: Sequence[Step] | PhotoError

    def start(self) -> None:
        """See `consumer.ResultSink`."""

    def prepare(
        self, steps: Sequence[Step], results: Sequence[StepResult | PhotoError]
    ) -> Sequence[StepResult | PhotoError]:
        """See `consumer.ResultSink`."""
        return results

    def deliver(self, prepared: Sequence[StepResult | PhotoError]) -> None:
        """See `consumer.ResultSink`."""
        for found in prepared:
            if isinstance(found, StepResult) and found.step and found.step.name == self.gate:
                self.figures.append(found.result.figures)

    def flush(self) -> None:
        """See `consumer.ResultSink`."""
