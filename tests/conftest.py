"""Fixtures of all tests."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from darkroom.models import Memory, ModelNames, Models
from support.runs import Cli

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as run.py does; torch is not loaded yet
os.environ["XDG_DATA_HOME"] = tempfile.mkdtemp(prefix="darkroom-tests-")  # the user's own key stays out of it


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


@pytest.fixture(scope="session")
def models() -> Models:
    """The miniature models, loaded once for all tests."""
    return Models(ModelNames(sam="miniature", clipseg="miniature", inpaint="miniature"), Memory(), "cpu")
