"""Loads the model of each kind from its weights, and imports heavy libraries only then.

All loaders raise `SetupError` if weights are missing, damaged or of another kind.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from darkroom.models.loras import Loras
from darkroom.models.names import BY_CLIPSEG, CLOSED_FORM, GUIDED, LANCZOS
from darkroom.models.settings import Memory
from darkroom.models.side_by_side import Turns
from darkroom.models.steering_files import SteeringFiles
from darkroom.models.subject_networks import GRABCUT
from darkroom.models.weights import ModelFiles

if TYPE_CHECKING:
    from darkroom.models.clipseg import ClipSeg
    from darkroom.models.image_networks import Lama, Upscaler
    from darkroom.models.interfaces import (
        DepthEstimator,
        DiffusionModel,
        FindModel,
        MattingModel,
        SamModel,
        SubjectModel,
    )
    from darkroom.models.sam import KeepEmbedding


class Loading(NamedTuple):
    """What a loader needs.

    Attributes:
        files: the weights.
        device: `cpu`, `cuda`, `cuda:1` or `mps`.
        memory: resolved settings.
        turns: held while a thread computes.
        keep: see `Sam`.
        steering: finds what else than the prompt steers the painter.
        loras: the LoRAs that recipes may use.
    """

    files: ModelFiles
    device: str
    memory: Memory
    turns: Turns
    keep: KeepEmbedding
    steering: SteeringFiles
    loras: Loras


def sam(how: Loading) -> SamModel:
    folder = how.files.path
    if folder.is_dir():
        from darkroom.models.miniature.two_pass_sam import load_sam_folder
        from darkroom.models.sam2 import kind_of, load_sam2

        if kind := kind_of(folder):
            return load_sam2(folder, kind, how.device, how.keep, how.turns)
        return load_sam_folder(folder, how.device, how.keep, how.turns)
    from darkroom.models.sam import load_sam

    return load_sam(how.files.path, how.device, how.keep, how.turns)


def clipseg(how: Loading) -> ClipSeg:
    from darkroom.models.clipseg import load_clipseg

    return load_clipseg(how.files.path, how.device, how.turns)


def diffusion(how: Loading) -> DiffusionModel:
    from darkroom.models.checkpoint_info import CheckpointInfo

    if CheckpointInfo(how.files.path).family.is_flow:
        from darkroom.models.flow_painters import load_flow_painter

        return load_flow_painter(how.files, how.memory, how.device, how.turns)
    from darkroom.models.diffusion import load_diffusion
    from darkroom.models.miniature.upscaled_diffusion import at_native_size

    return at_native_size(load_diffusion(how.files, how.memory, how.device, how.steering, how.turns, how.loras))


def subject(how: Loading) -> SubjectModel:
    from darkroom.models.subject import SubjectGrabCut, load_subject

    if how.files.name == GRABCUT:
        return SubjectGrabCut()
    return load_subject(how.files.path, how.device, int(how.memory.threads))


def matting(how: Loading) -> MattingModel | None:
    from darkroom.models.matting import ClosedForm, load_vitmatte

    if how.files.name == GUIDED:
        return None
    return ClosedForm() if how.files.name == CLOSED_FORM else load_vitmatte(how.files.path, how.device, how.turns)


def upscaler(how: Loading) -> Upscaler | None:
    from darkroom.models.image_networks import load_upscaler

    return None if how.files.name == LANCZOS else load_upscaler(how.files.path, how.device, how.turns)


def lama(how: Loading) -> Lama:
    from darkroom.models.image_networks import load_lama

    return load_lama(how.files.path, how.device, how.turns)


def depth(how: Loading) -> DepthEstimator:
    from darkroom.models.depth import load_depth

    return load_depth(how.files.path, how.device, how.turns)


def finder(how: Loading, sam: Callable[[], SamModel]) -> FindModel | None:
    """`sam` gets SAM, which cuts out the boxes of a detector."""
    from darkroom.models.finders import load_finder

    return None if how.files.name == BY_CLIPSEG else load_finder(how.files.path, how.device, sam, how.turns)
