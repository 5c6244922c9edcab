"""Tiny checkpoints of every kind, written once, and an empty Hugging Face cache."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from support.tiny_models import KINDS, write_tiny


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """One thread suffices for tiny networks. Restored afterwards: the thread count changes the last bits of results."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a checkpoint of each of `KINDS`, in fp32."""
    folder = tmp_path_factory.mktemp("tiny")
    for kind in KINDS:
        write_tiny(folder / kind, kind)
    return folder


@pytest.fixture(params=KINDS)
def checkpoint(request: pytest.FixtureRequest, tiny_folder: Path) -> Path:
    """Each of the tiny checkpoints in turn."""
    return tiny_folder / request.param


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Hugging Face cache."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"
