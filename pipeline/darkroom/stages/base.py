"""What a stage is. A new one is a file beside this one and a line in `STAGES`: `docs/adding_a_stage.md`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, dataclass_transform

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as pydantic_dataclass

if TYPE_CHECKING:
    from darkroom.imaging.edit import Edit
    from darkroom.models import ModelKind, Models

Problem = tuple[str, str]  # (parameter, or empty for the stage as a whole; what is wrong and what would be right)

# Unknown keys are errors; a prompt of 1984 is the text "1984"; 0 < x means finite x.
_CONFIG = ConfigDict(extra="forbid", coerce_numbers_to_str=True, allow_inf_nan=False)


@dataclass_transform(field_specifiers=(Field,), kw_only_default=True, frozen_default=True)
def stage(cls: type[Any]) -> type[Any]:
    """Make a class with annotated fields a stage: frozen, keyword-only, checked and converted by pydantic.

    Every field has a default or is required (then no default), and a `description` from which `docs/ops.md`
    is generated: unit, range, meaning.
    """
    return pydantic_dataclass(frozen=True, kw_only=True, config=_CONFIG)(cls)


class Stage(ABC):
    """One step of a recipe with its parameters. Pure: edit in, edit out; touches no file but its own inputs.

    Attributes:
        version: part of what identifies a result; raised by hand when the same parameters give other pixels.
        uses: the models it asks, so that missing weights are told before a run starts.
        repaints: it changes the picture.
        needs_mask: it works on the mask of the stages before it, so that it cannot come first.
        reports_confidence: it says how sure it is of the mask that it finds.
        is_gate: it changes nothing, but measures, and lets a photo through or not. Its parameters are no part of what
            identifies what it measures; and what follows is identified as if it were not there.
        places: the fields that say where something is, a path or an earlier stage's name, and not what it is;
            a result is identified by what is found there (`input_files`, `needed_masks`).
    """

    version: ClassVar[int] = 1
    repaints: ClassVar[bool] = False
    needs_mask: ClassVar[bool] = False
    reports_confidence: ClassVar[bool] = False
    is_gate: ClassVar[bool] = False
    places: ClassVar[tuple[str, ...]] = ()
    uses: ClassVar[tuple[ModelKind, ...]] = ()

    @abstractmethod
    def apply(self, edit: Edit, models: Models) -> Edit:
        """Do the work. Raises `PhotoError` where this photo cannot be edited, for that photo alone."""

    def variants(self) -> Sequence[Self]:
        """The scalar stages that this one stands for: one for each prompt and seed; mostly just itself."""
        return (self,)

    def needed_masks(self) -> Sequence[str]:
        """The earlier stages whose masks this one takes, by name in the recipe; checked before a run."""
        return ()

    def input_files(self, name: str) -> Sequence[Path]:
        """The files that this stage reads for a photo; their content is part of what identifies the result.

        Args:
            name: the photo's file name.

        Raises:
            PhotoError: the file for this photo is missing or ambiguous.
        """
        return ()

    def refusals(self, models: Models) -> Iterable[Problem]:
        """What the models that are chosen cannot do at all; such a recipe does not start. Loads no weights."""
        return ()

    def warnings(self, models: Models) -> Iterable[Problem]:
        """What of this stage the models will not heed; recorded, or under `strict` refused. Loads no weights."""
        return ()

    def batch_size(self, models: Models) -> int:
        """How many stages of this op are best applied together; each batch is kept before the next begins."""
        return 1

    @classmethod
    def apply_together(cls, stages: Sequence[Self], edits: Sequence[Edit], models: Models) -> list[Edit]:
        """Apply each stage to its edit; ops whose models work in batches override this.

        The results equal those of `apply`, one by one.
        """
        return [one.apply(edit, models) for one, edit in zip(stages, edits, strict=True)]
