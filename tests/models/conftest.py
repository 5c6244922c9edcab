"""Tiny checkpoints of every kind, written once; and a folder that stands for the Hugging Face cache."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny import KINDS, write_tiny


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a checkpoint of each of `KINDS`, in fp32."""
    folder = tmp_path_factory.mktemp("tiny")
    for kind in KINDS:
        write_tiny(folder / kind, kind)
    return folder


@pytest.fixture(params=KINDS)
def checkpoint(request: pytest.FixtureRequest, tiny_folder: Path) -> Path:
    """One after the other."""
    return tiny_folder / request.param


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Hugging Face cache."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"
