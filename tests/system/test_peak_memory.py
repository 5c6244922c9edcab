"""The peak of this process's memory, where the system tells it by `resource` and where it does not."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import psutil
import pytest

from darkroom.system.memory import peak_memory


def test_the_peak_stays_when_memory_is_given_back() -> None:
    before = peak_memory()
    block = bytearray(300 << 20)
    with_block = peak_memory()
    del block
    assert with_block >= before and with_block > 300 << 20 and peak_memory() >= with_block
    assert abs(with_block - psutil.Process().memory_info().rss) < 4 << 30  # bytes, not kilobytes


def test_on_windows_psutil_tells_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)
    monkeypatch.setattr(psutil.Process, "memory_info", lambda _: SimpleNamespace(rss=1, peak_wset=7_000))
    assert peak_memory() == 7_000
