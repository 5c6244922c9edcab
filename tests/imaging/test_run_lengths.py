"""Run lengths, as pycocotools reads and writes them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco

from darkroom.imaging.run_lengths import box, compressed_run_lengths


@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=40), elements=st.booleans()))
def test_any_mask_is_encoded_as_pycocotools_does(mask: np.ndarray) -> None:
    counts = compressed_run_lengths(mask)
    assert counts == coco.encode(np.asfortranarray(mask, np.uint8))["counts"].decode()
    found = {"size": list(mask.shape), "counts": counts}
    assert np.array_equal(coco.decode(found), mask)
    if mask.any():
        assert box(mask) == tuple(coco.toBbox(found))


@pytest.mark.parametrize("share", [0, 1e-6, 0.5, 1])
def test_large_masks_are_encoded_as_pycocotools_does(share: float) -> None:
    mask = np.random.default_rng(0).random((2000, 1500)) < share  # more runs than are written at once, and long ones
    assert compressed_run_lengths(mask) == coco.encode(np.asfortranarray(mask, np.uint8))["counts"].decode()
