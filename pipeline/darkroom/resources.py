"""Where Darkroom's own recipes, configuration and examples lie: in the installed package, or in a checkout."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_INSTALLED = _PACKAGE / "share"  # the wheel puts them there: `force-include` in pyproject.toml

ROOT = _INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parents[1]
"""The folder where the relative paths of the shipped recipes begin, such as `examples/car.png`."""

RECIPES = ROOT / "recipes"
CONF = ROOT / "conf"

COMMAND = "python run.py" if (ROOT / "run.py").is_file() else "darkroom"
"""How the command line is called here, for help and reports."""

CHECKOUT = ROOT if ROOT != _INSTALLED and (ROOT / "pyproject.toml").is_file() else None
"""The folder of a checkout, or None in an installed package."""


def install_command(extra: str) -> str:
    """The command that installs the packages of an extra, such as `layers`."""
    return f"pip install --editable '.[{extra}]'" if CHECKOUT else f"pip install 'darkroom[{extra}]'"
