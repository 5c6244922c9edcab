"""The environment of a run: versions, platform, commit; no environment variables."""

from __future__ import annotations

import platform
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    *("darkroom", "torch", "torchvision", "diffusers", "transformers", "compel", "segment-anything", "accelerate"),
    *("hydra-core", "omegaconf", "pydantic", "pillow", "numpy", "scipy", "opencv-python-headless", "safetensors"),
)


@cache
def environment() -> dict[str, Any]:
    """Versions of Python and packages, platform, and the commit that runs."""
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in PACKAGES},
        "git": _git(),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git() -> dict[str, Any] | None:
    """The commit, and whether tracked files differ from it; None outside a checkout."""
    root = Path(__file__).resolve().parents[3]

    def ask(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        if Path(ask("rev-parse", "--show-toplevel")).resolve() != root:
            return None
        return {"commit": ask("rev-parse", "HEAD"), "dirty": bool(ask("status", "--porcelain", "-uno"))}
    except (OSError, subprocess.SubprocessError):
        return None
