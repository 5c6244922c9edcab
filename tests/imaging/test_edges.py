"""Distances to the edge of a mask, computed near edges only."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from darkroom.imaging import masks


@given(arrays(bool, st.tuples(st.integers(1, 30), st.integers(1, 30))), st.floats(0, 12), st.integers(0, 9))
def test_near_an_edge_the_depth_is_exact(mask: np.ndarray, reach: float, hole: int) -> None:
    mask[hole : hole + 25, :20] = True
    whole = masks.depth(mask)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(masks, "_TILE", 5)
        near = masks.depth_up_to(mask, reach)
    assert np.array_equal(near[whole <= reach], whole[whole <= reach])
    assert (near[whole > reach] > reach).all()
