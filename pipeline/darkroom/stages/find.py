"""`find`: every object that a phrase names, each with a mask and a score of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from darkroom.errors import Stopped
from darkroom.stages.base import Problem, Stage, stage
from darkroom.stages.fields import Phrases, Share, Shares, as_tuple, foreign_syntax_warnings
from darkroom.stages.instances import find_by_heat
from darkroom.stages.markers import EachValue

if TYPE_CHECKING:
    from darkroom.imaging.edit import Edit
    from darkroom.models import ModelKind, Models
    from darkroom.models.interfaces import Instances

_MOST = 255  # objects of a photo: the artifact has a grey for each


def _index(value: Any) -> Any:
    """`{count: 3}` is [1, 2, 3]."""
    if isinstance(value, Mapping):
        count = value.get("count")
        if set(value) != {"count"} or type(count) is not int or not 1 <= count <= _MOST:
            raise ValueError(f"should be a number, a list of numbers, or {{count: N}} with N from 1 to {_MOST}")
        return tuple(range(1, count + 1))
    if isinstance(value, list | tuple) and not value:
        raise ValueError(f"should be a number, a list of numbers, or {{count: N}}; got {value!r}")
    return value


_Index = Annotated[int, Field(ge=1, le=_MOST)]


@stage
class Find(Stage):
    """The objects that `phrase` names, found by the model of `models.find`.

    The artifact `instances` shows every object in a grey of its own, the surest in white; `export=coco` makes an
    annotation of each. The confidence is the lowest score of the chosen objects.
    """

    version: ClassVar[int] = 2
    uses: ClassVar[tuple[ModelKind, ...]] = ("find",)
    reports_confidence: ClassVar[bool] = True

    phrase: Phrases = Field(description="What to find, such as `a car`; objects of several phrases count alike.")
    min_score: Share | None = Field(
        None,
        description="Minimum score of an object, which is how sure the model is; `null`: what is usual for the model.",
    )
    area: Shares | None = Field(
        None,
        description="Allowed range of an object's area, as a share of the photo; with a detector, that of its box.",
    )
    at_most: int = Field(_MOST, ge=1, le=_MOST, description="Take at most so many objects, those with the best scores.")
    choose: Literal["all", "best", "largest"] = Field(
        "all", description="Which of the objects: `all`, the one with the `best` score, or the `largest`."
    )
    index: Annotated[
        _Index | tuple[_Index, ...] | None,
        BeforeValidator(_index),
        EachValue(),
        WithJsonSchema({"type": "number or list of numbers, or {count: N}"}),
    ] = Field(
        None,
        description=f"Take the object with this number, 1 to {_MOST}; 1 has the best score. A list makes a picture "
        "for each, and `{count: 3}` is [1, 2, 3]. Pictures of objects that are not there are skipped.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.index is not None and self.choose != "all":
            raise ValueError("give either `index` or `choose`")
        return self

    def refusals(self, models: Models) -> Iterator[Problem]:
        """See `Stage.refusals`: a detector with a list of classes does not know a phrase."""
        for phrase in as_tuple(self.phrase):
            if problem := models.phrase_problem(phrase):
                yield "phrase", problem

    def warnings(self, models: Models) -> Iterator[Problem]:
        """See `Stage.warnings`: phrases with the syntax of another tool."""
        yield from foreign_syntax_warnings("phrase", self.phrase)

    def apply(self, edit: Edit, models: Models) -> Edit:
        """See `Stage.apply`. Raises `Stopped` if the photo has no object with the number `index`."""
        shown = edit.flattened
        find = models.find or (lambda image, phrases: find_by_heat(models, image, phrases))
        found = find(shown, as_tuple(self.phrase)).at_least(self.min_score, _MOST)
        found = found.within(*(self.area or (0, 1))).at_least(0, self.at_most)
        masks = [found.mask(number) for number in self._chosen(found)]
        union = np.logical_or.reduce(masks) if masks else np.zeros(shown.shape[:2], bool)
        confidence = min((float(found.scores[number]) for number in self._chosen(found)), default=None)
        artifacts = {} if self.index else {"instances": _in_greys(masks, shown.shape[:2])}
        after = edit.with_mask(union, confidence, artifacts=artifacts)
        return replace(after, figures={**after.figures, "instances": len(found.scores)})

    def _chosen(self, found: Instances) -> list[int]:
        """The places of the chosen objects among the found ones, the best score first."""
        count = len(found.scores)
        if isinstance(self.index, int):
            if self.index > max(count, 1):
                raise Stopped(f"no object number {self.index}: {count} found", "skip")
            return [self.index - 1] if count else []
        if self.choose == "all" or not count:
            return list(range(count))
        return [0 if self.choose == "best" else int(np.argmax(found.areas))]


def _in_greys(masks: list[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """All objects in one picture, (H, W) uint8: the first is white, each further one darker; the first on top."""
    picture = np.zeros(shape, np.uint8)
    for place, mask in reversed(list(enumerate(masks))):
        picture[mask] = round(255 * (len(masks) - place) / len(masks))
    return picture
