"""Hypothesis strategies for repaints: photo sizes, masks, and the parameters of a repaint."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from darkroom.imaging.crops import LARGEST_ASPECT
from darkroom.imaging.masks import to_uint8
from darkroom.stages.refine import Refine
from support.fake_models import edit_of, stage_models

SIZES = st.tuples(st.integers(1, 90), st.integers(1, 90)).filter(lambda s: max(s) <= LARGEST_ASPECT * min(s))


@st.composite
def masks(draw: st.DrawFn, height: int, width: int) -> np.ndarray:
    """A mask, (H, W) uint8, with some white: one pixel, a rectangle, everything, or soft noise; perhaps feathered."""
    mask = np.zeros((height, width), np.float32)
    y0, x0 = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    y1, x1 = draw(st.integers(y0 + 1, height)), draw(st.integers(x0 + 1, width))
    kind = draw(st.sampled_from(["pixel", "rectangle", "full", "soft"]))
    if kind == "soft":
        noise = np.random.default_rng(draw(st.integers(0, 99))).random((height, width), np.float32)
        mask[y0:y1, x0:x1] = noise[y0:y1, x0:x1]
    elif kind == "full":
        mask[:] = 1
    elif kind == "rectangle":
        mask[y0:y1, x0:x1] = 1
    mask[y0, x0] = 1
    if kind in ("pixel", "rectangle"):
        feather = draw(st.sampled_from([0, 1.5, 7]))
        return Refine(feather=feather).apply(edit_of(height, width, mask), stage_models()).mask
    return to_uint8(mask)


@st.composite
def manners(draw: st.DrawFn) -> dict[str, object]:
    """All parameters of a repaint that decide which pixels are pasted where."""
    return {
        "crop": draw(st.sampled_from(["mask", "regions", "photo"])),
        "context": draw(st.sampled_from([1, 1.5, 4])),
        "harmonise": draw(st.sampled_from(["none", "mean_std", "histogram", "poisson"])),
        "blend": draw(st.sampled_from([None, 0, 3.5, 250])),
        "soft_mask": draw(st.booleans()),
    }
