"""Generates docs/faults.md from the tests: `python tests/faults_page.py`.

A test that tries a fault carries a row of that page:

    @pytest.mark.fault("Photos", "a truncated file", "that photo fails, named with its reason")
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/faults.md"
AREAS = (
    *("Recipes and command lines", "Tables", "Photos", "Masks", "Prompts", "Repaints"),
    *(
        "Run folders",
        "Resuming",
        "Sweeps",
        "The store",
        "Reports and messages",
        "Processes and disks",
        "The studio",
        "Ray",
    ),
)

_HEAD = """\
# Faults tried

Each row is a test that does for real what the first column says and asserts the second. `make docs` generates this page
from the tests. [security.md](security.md) says what each command may read, write and delete.
"""


def page() -> str:
    """The page as the tests have it.

    Raises:
        ValueError: a test names an area that the page does not have.
    """
    rows = sorted(_rows(), key=lambda row: AREAS.index(row[0]))
    text = _HEAD
    for area in AREAS:
        lines = [f"| {tried} | {happens} | `{test}` |" for each, tried, happens, test in rows if each == area]
        if lines:
            text += "\n".join(["", f"## {area}", "", "| tried | what happens | test |", "|---|---|---|", *lines, ""])
    return text


def _rows() -> Iterator[tuple[str, str, str, str]]:
    """Area, what was tried, what happens, and the test, in the order of files and lines."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            for mark in getattr(node, "decorator_list", ()):
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.fault":
                    area, tried, happens = (ast.literal_eval(each) for each in mark.args)
                    yield area, tried, happens, f"{path.relative_to(ROOT).as_posix()}::{node.name}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
