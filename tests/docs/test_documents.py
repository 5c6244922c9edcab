"""What the documents say is there is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from darkroom.stages import STAGES
from faults_page import page
from support.runs import ROOT

PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]


def anchors(page: Path) -> set[str]:
    """The `#...` that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.*)", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" not in link:
            file, _, anchor = link.partition("#")
            assert (page.parent / file).exists(), link
            assert not anchor or anchor in anchors(page.parent / file if file else page), link


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


def test_the_readme_lists_every_op() -> None:
    text = (ROOT / "README.md").read_text()
    assert [op for op in STAGES if f"[`{op}`](docs/ops.md#{op}) |" not in text] == []


def test_the_list_of_faults_is_that_of_the_tests() -> None:
    assert (ROOT / "docs/faults.md").read_text() == page()
