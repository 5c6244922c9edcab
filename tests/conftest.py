"""Fixtures for all tests."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import hypothesis
import pytest

from darkroom.models import Memory, ModelNames, Models
from support.in_process import CliInProcess
from support.runs import Cli

hypothesis.settings.register_profile("darkroom", deadline=None)  # a busy machine is no failure
hypothesis.settings.load_profile("darkroom")
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the workers keep all cores busy
os.environ["XDG_DATA_HOME"] = tempfile.mkdtemp(prefix="darkroom-tests-")  # the key of the user is never touched
atexit.register(shutil.rmtree, os.environ["XDG_DATA_HOME"], ignore_errors=True)


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """The command line in its own process. Prefer `quick_cli` unless the test needs that process."""
    return Cli(tmp_path)


@pytest.fixture
def quick_cli(tmp_path: Path) -> CliInProcess:
    """The command line in this process."""
    return CliInProcess(tmp_path)


@pytest.fixture(scope="session")
def models() -> Models:
    """The miniature models, loaded once per process."""
    return Models(ModelNames(sam="miniature", clipseg="miniature", inpaint="miniature"), Memory(), "cpu")
