"""The models behind small adapters, loaded when they are first used. Only this package imports torch in a run.

Importing it imports only settings, so that a recipe is checked in well under a second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from darkroom.models.names import ModelKind
from darkroom.models.settings import Memory, ModelNames

if TYPE_CHECKING:
    from darkroom.models.loaded import Models
    from darkroom.models.request import InpaintRequest

__all__ = ["InpaintRequest", "Memory", "ModelKind", "ModelNames", "Models"]


def __getattr__(name: str) -> Any:
    if name == "Models":
        from darkroom.models.loaded import Models

        return Models
    if name == "InpaintRequest":
        from darkroom.models.request import InpaintRequest

        return InpaintRequest
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
