"""Work that is watched can be stopped after any denoising step, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from darkroom.errors import Cancelled
from darkroom.system.watching import watched
from support.tiny_models import models_of, request_of, write_tiny


def test_a_repaint_stops_after_the_step_that_the_watcher_chooses(tmp_path: Path) -> None:
    checkpoint, seen = write_tiny(tmp_path / "sdxl", "sdxl"), []
    request = request_of(steps=4, strength=1.0)
    expected = models_of(checkpoint).diffusion.inpaint([request])[0]
    model = models_of(checkpoint).diffusion

    def watch(step: int, steps: int) -> None:
        seen.append((step, steps))
        if step == 2:
            raise Cancelled("enough")

    with pytest.raises(Cancelled), watched(watch):
        model.inpaint([request])
    assert seen == [(1, 4), (2, 4)]
    assert np.array_equal(model.inpaint([request])[0], expected) and len(seen) == 2
