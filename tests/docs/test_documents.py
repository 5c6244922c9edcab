"""What the documents say is there is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from faults_page import page
from support.runs import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_tests_that_are_named_are_there(page: Path) -> None:
    for file in re.findall(r"`(tests/[\w/.]+)", page.read_text()):
        assert (ROOT / file).exists(), file
    for file, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page.read_text()):
        assert f"def {name}(" in (ROOT / file).read_text()


def test_the_readme_shows_the_recipe_that_runs() -> None:
    shown = re.search(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert shown and shown[1] == (ROOT / "recipes/car_on_mars.yaml").read_text()


def test_the_readme_lists_every_recipe() -> None:
    text = (ROOT / "README.md").read_text()
    assert all(f"(recipes/{path.name})" in text for path in (ROOT / "recipes").glob("*.yaml"))


def test_the_list_of_faults_is_that_of_the_tests() -> None:
    assert (ROOT / "docs/faults.md").read_text() == page()
