"""Where the weights are that steer a painter. Imports no heavy library."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from darkroom.models.reference_info import ReferenceFiles
from darkroom.models.weights import ModelFiles


@dataclass(frozen=True)
class SteeringFiles:
    """Where the weights are that steer a painter.

    Attributes:
        control: finds the control model of a name.
        reference: finds the IP-Adapter.
    """

    control: Callable[[str], ModelFiles]
    reference: Callable[[], ReferenceFiles]
