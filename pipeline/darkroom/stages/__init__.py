"""The closed registry of all ops that a recipe can name. A recipe never names Python."""

from __future__ import annotations

from darkroom.stages.auto import Auto
from darkroom.stages.background import Background
from darkroom.stages.base import Stage
from darkroom.stages.clip_diff import ClipDiff
from darkroom.stages.combine import Combine
from darkroom.stages.diffedit import DiffEdit
from darkroom.stages.diffedit_repaint import DiffEditRepaint
from darkroom.stages.erase import Erase
from darkroom.stages.find import Find
from darkroom.stages.frame import Frame
from darkroom.stages.gate import Gate
from darkroom.stages.grabcut import GrabCut
from darkroom.stages.inpaint import Inpaint
from darkroom.stages.invert import Invert
from darkroom.stages.mask_file import MaskFile
from darkroom.stages.matte import Matte
from darkroom.stages.refine import Refine
from darkroom.stages.sam import Sam
from darkroom.stages.shadow import Shadow
from darkroom.stages.snap import Snap
from darkroom.stages.subject import Subject
from darkroom.stages.text import Text
from darkroom.stages.upscale import Upscale

STAGES: dict[str, type[Stage]] = {
    "subject": Subject,
    "sam": Sam,
    "text": Text,
    "find": Find,
    "clip_diff": ClipDiff,
    "snap": Snap,
    "auto": Auto,
    "diffedit": DiffEdit,
    "grabcut": GrabCut,
    "mask_file": MaskFile,
    "refine": Refine,
    "matte": Matte,
    "invert": Invert,
    "combine": Combine,
    "gate": Gate,
    "inpaint": Inpaint,
    "erase": Erase,
    "background": Background,
    "shadow": Shadow,
    "diffedit_repaint": DiffEditRepaint,
    "frame": Frame,
    "upscale": Upscale,
}

__all__ = ["STAGES", "Stage"]
