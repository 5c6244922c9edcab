"""All operations a recipe can name: a closed registry. A recipe never names Python."""

from __future__ import annotations

from pipeline.stages.auto import Auto
from pipeline.stages.base import Stage
from pipeline.stages.clip_diff import ClipDiff
from pipeline.stages.combine import Combine
from pipeline.stages.diffedit import DiffEdit
from pipeline.stages.diffedit_repaint import DiffEditRepaint
from pipeline.stages.erase import Erase
from pipeline.stages.gate import Gate
from pipeline.stages.grabcut import GrabCut
from pipeline.stages.inpaint import Inpaint
from pipeline.stages.invert import Invert
from pipeline.stages.mask_file import MaskFile
from pipeline.stages.refine import Refine
from pipeline.stages.sam import Sam
from pipeline.stages.snap import Snap
from pipeline.stages.text import Text

STAGES: dict[str, type[Stage]] = {
    "sam": Sam,
    "text": Text,
    "clip_diff": ClipDiff,
    "snap": Snap,
    "auto": Auto,
    "diffedit": DiffEdit,
    "grabcut": GrabCut,
    "mask_file": MaskFile,
    "refine": Refine,
    "invert": Invert,
    "combine": Combine,
    "gate": Gate,
    "inpaint": Inpaint,
    "erase": Erase,
    "diffedit_repaint": DiffEditRepaint,
}

__all__ = ["STAGES", "Stage"]
