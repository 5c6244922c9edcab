"""The architecture page: the code that it names exists, and imports follow its table of rooms."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from support.runs import ROOT

PAGE = (ROOT / "docs/architecture.md").read_text()
PACKAGE = ROOT / "pipeline/darkroom"
REFERENCES = sorted(set(re.findall(r"`([\w/]+\.py)(?:::([\w.]+))?`", PAGE)))
ROOMS = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)


def definitions(body: list[ast.stmt], prefix: str = "") -> set[str]:
    """The classes and functions of a module, and the methods of its classes, such as `Runner.run`."""
    found = set()
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found.add(prefix + node.name)
        if isinstance(node, ast.ClassDef):
            found |= definitions(node.body, f"{prefix}{node.name}.")
    return found


def imports(path: Path) -> set[str]:
    """The rooms that a module imports, at its top or in functions."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return {parts[1] for name in names if (parts := name.split("."))[0] == "darkroom" and parts[1:]} & set(ROOMS)


@pytest.mark.parametrize(("file", "name"), REFERENCES)
def test_every_reference_exists(file: str, name: str) -> None:
    path = ROOT / file if file.startswith("tests/") else PACKAGE / file
    assert path.is_file()
    assert not name or name in definitions(ast.parse(path.read_text()).body)


def test_the_table_lists_every_room() -> None:
    packages = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert set(ROOMS) == packages - {"__init__", "__main__"}


@pytest.mark.parametrize("name", ROOMS)
def test_a_room_imports_only_rooms_above_it_in_the_table(name: str) -> None:
    single = PACKAGE / f"{name}.py"
    modules = [single] if single.exists() else sorted((PACKAGE / name).rglob("*.py"))
    allowed = {*ROOMS[: ROOMS.index(name)], name}
    for module in modules:
        assert imports(module) <= allowed, module


def test_models_and_stages_keep_to_the_rooms_that_the_table_names() -> None:
    own = {"models": {"errors", "imaging", "resources", "system"}, "stages": {"errors", "imaging", "models", "system"}}
    for name, allowed in own.items():
        for module in (PACKAGE / name).rglob("*.py"):
            assert imports(module) <= {*allowed, name}, module
