"""`Stage`: one operation with its parameters. To add one, see `docs/adding_a_stage.md`."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self, dataclass_transform

from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass as pydantic_dataclass

from darkroom.stages.markers import EachValue, Length, LinesFile, LoraNames, PathField, Prose, StageName, markers_of
from darkroom.stages.named_values import names_in
from darkroom.stages.plain_texts import is_plain

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from darkroom.imaging.edit import Edit
    from darkroom.imaging.framing import Framing
    from darkroom.models import ModelKind, Models
    from darkroom.stages.baseline import Baseline

Problem = tuple[str, str]  # (parameter, or "" for the whole stage; the problem and its remedy)

# Unknown keys are errors; a prompt of 1984 is the text "1984"; numbers are finite.
_CONFIG = ConfigDict(extra="forbid", coerce_numbers_to_str=True, allow_inf_nan=False)


@dataclass_transform(field_specifiers=(Field,), kw_only_default=True, frozen_default=True)
def stage(cls: type[Any]) -> type[Any]:
    """Class decorator: make a stage of a class with annotated fields. It is frozen, keyword-only, checked by pydantic.

    Every field has a `description`, from which `docs/ops.md` is generated (unit, range, meaning), and a default unless
    it is required.
    """
    return pydantic_dataclass(frozen=True, kw_only=True, config=_CONFIG)(cls)


@dataclass(frozen=True, kw_only=True)
class GenerationSummary:
    """The parameters of a generating stage that the journal and PNG metadata show.

    Attributes:
        prompt: like the next two, a key of the journal, and at the start of the text `parameters` of a PNG.
        negative_prompt: see `prompt`.
        seed: see `prompt`.
        settings: the settings line of `parameters`; labels as web UIs write them, such as `CFG scale`.
    """

    prompt: str
    negative_prompt: str | None = None
    seed: int | None = None
    settings: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, kw_only=True)
class Stage(ABC):
    """One step of a recipe with its parameters. It turns an edit into an edit, and opens only its input files.

    Attributes:
        version: part of cache keys; raise it when the same parameters give other pixels.
        uses: the models it needs (`models_of`); missing weights are reported before a run starts.
        repaints: it changes the picture.
        needs_mask: it works on the mask of the stages before it, and cannot come first.
        reports_confidence: it reports how sure it is of the mask it finds.
        is_gate: it measures the mask, changes nothing, and may stop the photo (`check`). Gates never change the edit,
            so cache keys leave out their parameters, and adding a gate does not change the keys of later stages.
        frames: it changes the geometry of the delivered pictures, but not the edit's picture and mask (`framing`). Only
            gates, and one stage that enlarges, may follow it.
        enlarges: it makes the delivered picture itself (`Edit.enlarged`). Only gates may follow it.
    """

    version: ClassVar[int] = 1
    repaints: ClassVar[bool] = False
    needs_mask: ClassVar[bool] = False
    reports_confidence: ClassVar[bool] = False
    is_gate: ClassVar[bool] = False
    frames: ClassVar[bool] = False
    enlarges: ClassVar[bool] = False
    uses: ClassVar[tuple[ModelKind, ...]] = ()

    if TYPE_CHECKING:
        __pydantic_fields__: ClassVar[dict[str, FieldInfo]]
        __pydantic_decorators__: ClassVar[Any]

    @classmethod
    def makes_mask(cls) -> bool:
        """Whether it makes or changes the mask: it neither repaints nor measures nor frames."""
        return not (cls.repaints or cls.is_gate or cls.frames)

    @classmethod
    def models_of(cls, parameters: Mapping[str, Any]) -> tuple[ModelKind, ...]:
        """The models that a stage with these parameters needs: `uses`. Ops that need one for some values override this.

        Args:
            parameters: as a recipe or a record gives them, not yet checked.
        """
        return cls.uses

    def models(self) -> tuple[ModelKind, ...]:
        """The models that this stage needs."""
        return self.models_of(vars(self))

    @classmethod
    def loras_of(cls, parameters: Mapping[str, Any]) -> list[str]:
        """The names of the LoRAs in some parameters. See `models_of`."""
        return [name for key in cls.fields_with(LoraNames) for name in names_in(parameters.get(key))]

    def loras(self) -> Mapping[str, float]:
        """The LoRAs of this stage by name, with their weights. Called on scalar stages only."""
        return {name: one for key in self.fields_with(LoraNames) for name, one in (getattr(self, key) or {}).items()}

    @abstractmethod
    def apply(self, edit: Edit, models: Models) -> Edit:
        """Do the work. Raises `PhotoError` if this photo cannot be edited; other photos go on."""

    @classmethod
    @cache
    def fields_with(cls, marker: type) -> tuple[str, ...]:
        """The parameters with this marker (`stages/markers.py`), in the order of declaration."""
        return tuple(name for name in cls.__pydantic_fields__ if cls.marker_of(name, marker))

    @classmethod
    @cache
    def marker_of(cls, name: str, marker: type) -> Any:
        """A parameter's marker of this type; None if it has none."""
        found = cls.__pydantic_fields__[name]
        return next((each for each in markers_of(found.annotation, found.metadata) if isinstance(each, marker)), None)

    def variants(self) -> Sequence[Self]:
        """One stage for each combination of the values in `EachValue` parameters, the last parameter varying fastest.

        Equal combinations count once.
        """
        names = self.fields_with(EachValue)
        given = vars(self)
        values = [given[name] for name in names]
        if tuple not in map(type, values):
            return (self,)
        combinations = product(*(value if isinstance(value, tuple) else (value,) for value in values))
        return [
            replace(self, **dict(zip(names, combination, strict=True))) for combination in dict.fromkeys(combinations)
        ]

    @classmethod
    def count_variants(cls, parameters: Mapping[str, Any]) -> int:
        """The number of `variants`, before equal ones are dropped, without making them.

        Args:
            parameters: as a recipe gives them, not yet checked.
        """
        defaults = cls.__pydantic_fields__
        values = [parameters.get(name, defaults[name].default) for name in cls.fields_with(EachValue)]
        return math.prod(len(value) for value in values if isinstance(value, list | tuple))

    def with_values(self, values: Mapping[str, Any]) -> Self | None:
        """A copy with other values of some parameters, which are checked like those of a new stage. The others are not
        checked again, so that a million rows of a table take less time.

        Args:
            values: by parameter, as a recipe gives them.

        Returns:
            None if there is something wrong with the copy: making a new stage finds out what.
        """
        copy = object.__new__(type(self))
        given = copy.__dict__
        are_plain = self.plain_texts.issuperset(values) and all(map(is_plain, values.values()))
        given.update(self.__dict__)
        if are_plain:
            given.update(values, _alike=self.alike)
            return copy
        given.pop("_alike", None)
        given.pop("plain_texts")
        try:
            for name, value in values.items():
                given[name] = self._checked(name)(value)
            for check in self._checks_of_all():
                copy = check(copy)
        except ValueError:
            return None
        return copy

    @cached_property
    def plain_texts(self) -> frozenset[str]:
        """The parameters whose values are plain texts (`markers.Prose`)."""
        return frozenset(name for name in self.fields_with(Prose) if is_plain(getattr(self, name)))

    @property
    def alike(self) -> Self:
        """This stage, or one that differs from it in `plain_texts` only: what does not depend on these is found once
        for all copies of a stage.
        """
        alike: Self = vars(self).get("_alike", self)
        return alike

    @classmethod
    @cache
    def _checked(cls, name: str) -> Callable[[Any], Any]:
        """What checks and converts a value of one parameter."""
        found = cls.__pydantic_fields__[name]
        kind: Any = Annotated[(found.annotation, *found.metadata)] if found.metadata else found.annotation
        return TypeAdapter(kind, config=_CONFIG).validate_python

    @classmethod
    @cache
    def _checks_of_all(cls) -> tuple[Callable[[Any], Any], ...]:
        """The checks of all parameters together, of this class and its bases."""
        return tuple(one.func for one in cls.__pydantic_decorators__.model_validators.values())

    def at_scale(self, scale: float) -> Self:
        """The stage for a copy of the photo that is reduced by this factor: its lengths in pixels shrink with it.

        The reduced mask is for looking at; what a stage finds may differ slightly.
        """
        names = [name for name in self.fields_with(Length) if getattr(self, name) is not None]
        if getattr(self, "units", "pixels") != "pixels":  # coordinates are fractions
            return self
        powers = {name: self.marker_of(name, Length).power for name in names}
        return replace(self, **{name: _scaled(getattr(self, name), scale ** powers[name]) for name in names})

    def needed_masks(self) -> Sequence[str]:
        """The earlier stages whose masks this one takes, by name: the values of its `StageName` parameters."""
        return _values(self, self.fields_with(StageName))

    def input_files(self, name: str) -> Sequence[Path]:
        """The files that this stage reads for a photo; cache keys include their content.

        By default these are the values of its `PathField` parameters. A stage whose parameter is a folder overrides
        this. A stage whose `PathField` parameters are all null reads no file, and is not asked.

        Args:
            name: the photo's file name.

        Raises:
            PhotoError: the file for this photo is missing or ambiguous.
        """
        names = [name for name in self.fields_with(PathField) if not self.marker_of(name, LinesFile)]
        return [Path(value) for value in _values(self, names)]

    def summary(self) -> GenerationSummary | None:
        """The summary for records; None for stages that generate nothing. Called on scalar stages only."""
        return None

    def refusals(self, models: Models) -> Iterable[Problem]:
        """What the chosen models cannot do; such a recipe does not start. Loads no weights."""
        return ()

    def warnings(self, models: Models) -> Iterable[Problem]:
        """What the chosen models will ignore; recorded, or refused under `strict`. Loads no weights."""
        return ()

    def check(self, name: str, figures: Mapping[str, float], baseline: Baseline | None) -> str | None:
        """Gates only: decide whether a photo may go on.

        Args:
            name: of this gate in the recipe; the reason begins with it.
            figures: what `apply` has measured.
            baseline: of all photos in the run; None if it is unknown.

        Returns:
            the reason to flag the photo, in one line; None if it breaks no bound.

        Raises:
            Stopped: the photo breaks a bound and does not continue.
            PhotoError: the figures lack a value that a bound needs.
        """
        return None

    def framing(self, figures: Mapping[str, float]) -> Framing | None:
        """The geometry of a delivered picture; None for stages that do not frame it.

        Args:
            figures: what `apply` has measured; in a record, they may come from a stranger.

        Raises:
            PhotoError: they make no geometry.
        """
        return None

    @classmethod
    def baseline(cls, name: str, photos: Sequence[Sequence[Mapping[str, float]]]) -> Baseline | None:
        """Gates with a `ComparesPhotos` parameter only: the baseline for `check`; None if there are too few photos.

        Args:
            name: of this gate in the recipe, for log lines.
            photos: for each photo the figures of its masks.
        """
        return None

    def batch_size(self, models: Models) -> int:
        """How many stages of this op are best applied together; the results of a batch are stored before the next."""
        return 1

    @classmethod
    def apply_together(cls, stages: Sequence[Self], edits: Sequence[Edit], models: Models) -> list[Edit]:
        """Apply each stage to its edit. Ops whose models work in batches override this.

        The results equal those of `apply`, one by one.
        """
        return [one.apply(edit, models) for one, edit in zip(stages, edits, strict=True)]


def _scaled(value: Any, factor: float) -> Any:
    if isinstance(value, tuple):
        return tuple(_scaled(each, factor) for each in value)
    return round(value * factor) if isinstance(value, int) else value * factor


def _values(stage: Stage, names: Iterable[str]) -> list[str]:
    """The texts in some parameters, without null; lists are flattened."""
    values = [getattr(stage, name) for name in names]
    return [text for value in values if value is not None for text in _each(value)]


def _each(value: Any) -> Iterable[str]:
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, tuple) else (value,)
