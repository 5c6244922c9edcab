"""`Steering`: what else than the prompt steers a painter: control models and reference pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from darkroom.models.controls import ControlModel, ControlModels
from darkroom.models.references import References
from darkroom.models.settings import Memory
from darkroom.models.steering_files import SteeringFiles


@dataclass(frozen=True)
class Steering:
    """Loads what steers a painter.

    Attributes:
        control: the control model of a name.
        references: the IP-Adapter.
    """

    control: Callable[[str], ControlModel]
    references: References


def steering_of(unet: Any, files: SteeringFiles, memory: Memory, device: str) -> Steering:
    """What steers the painter of a UNet; loads nothing yet."""
    controls = ControlModels(files.control, memory, device)
    return Steering(controls.get, References(unet, files.reference, memory, device))
