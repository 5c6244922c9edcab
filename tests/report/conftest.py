"""Sheets without the errors of JPEG, so that tests can look for the exact colours of what is drawn."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from darkroom.imaging.png import encode_png


@pytest.fixture(autouse=True)
def lossless_sheets(monkeypatch: pytest.MonkeyPatch) -> None:
    def png(page: Image.Image) -> bytes:
        return encode_png(np.asarray(page))

    monkeypatch.setattr("darkroom.report.sheet.jpeg", png)
