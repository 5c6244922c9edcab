"""Markers for stage parameters, written inside `Annotated`: they tell the rest of Darkroom how to treat a parameter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args


@dataclass(frozen=True)
class PathField:
    """The parameter holds a path, or a list of paths.

    A relative path starts at the recipe's folder; one from a manifest column starts at the manifest's folder. The path
    is not part of cache keys: the content of `Stage.input_files` is.
    """


@dataclass(frozen=True)
class FileNamePart:
    """The parameter is a part of the names of `Stage.input_files`. Like a path, it is not part of cache keys."""


@dataclass(frozen=True)
class LinesFile(PathField):
    """The parameter holds the path of a text file whose lines become the list of another parameter.

    The file is read when a recipe is composed, so that the run's snapshot needs no other file. When the stage is built,
    this parameter is null: declare it with `fields.PromptsFile`, or with a validator that refuses a path.

    Attributes:
        fills: the parameter that takes the lines.
    """

    fills: str


@dataclass(frozen=True)
class StageName:
    """The parameter holds the name of an earlier stage, or a list of names: `Stage.needed_masks`.

    The name is not part of cache keys: the key of that stage's result is.
    """


@dataclass(frozen=True)
class EachValue:
    """A list in this parameter makes one picture for each value.

    Several such parameters make one picture for each combination, the last parameter varying fastest. Declare the type
    as `T | tuple[T, ...]`, where T is hashable and not itself a tuple.

    Attributes:
        takes_along: an item of the list may be a mapping of this parameter and others of the stage, which are theirs
            for this item alone.
    """

    takes_along: bool = False


@dataclass(frozen=True)
class Prose:
    """The parameter is a text that a model reads as words.

    Its op makes no difference between plain texts (`stages/plain_texts.py`): with one as with another, the stage is
    valid, has the same refusals and warnings, and needs the same models and files (`Stage.alike`).
    """


@dataclass(frozen=True)
class Length:
    """The parameter is a distance in pixels of the photo, or a position: it shrinks with a reduced copy.

    Attributes:
        power: 1 for distances and positions, 2 for areas.
    """

    power: int = 1


@dataclass(frozen=True)
class RandomSeed:
    """The parameter is the seed of the stage's random numbers: declare it with `fields.Seeds`.

    A recipe may give it by a rule (`stages/seeds.py`). It also decides which words take the place of
    `${wildcard.NAME}` in the stage's texts. A stage has one such parameter at most.
    """


@dataclass(frozen=True)
class LoraNames:
    """The parameter holds LoRAs by name with their weights, or null: declare it with `named_values.SeveralLoras`.

    The names are not part of cache keys: the digests of the files and the weights are.
    """


@dataclass(frozen=True)
class NeedsConfidence:
    """A value other than null needs an earlier stage that reports the confidence of its mask."""


@dataclass(frozen=True)
class ComparesPhotos:
    """A gate's parameter: a value other than null compares each photo with all others (`Stage.baseline`)."""


def markers_of(annotation: Any, metadata: Any = ()) -> Iterator[Any]:
    """Everything attached to a type by `Annotated`, also inside unions and tuples.

    Args:
        annotation: the type.
        metadata: what pydantic has already taken off the outside of the type.
    """
    yield from metadata
    yield from getattr(annotation, "__metadata__", ())
    for inner in get_args(annotation):
        yield from markers_of(inner)
