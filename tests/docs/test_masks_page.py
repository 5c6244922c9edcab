"""The page that compares the ways to find things holds what `make eval-masks` measures."""

from __future__ import annotations

import re

import numpy as np

from miniature.evaluate_masks import MARGIN, PAGE, WAYS, Case, as_they_come, margins, not_there, table, write


def test_every_way_is_an_op_that_a_recipe_may_name():
    picture = next(as_they_come(5))
    stages = [picture.stage(way) for way in WAYS]
    assert len(set(stages)) == len(WAYS)
    assert not any(word in repr(stages) for word in ("THING", "LOOKALIKE", "OTHERS", "CLICK"))


def test_what_is_not_there_is_not_there():
    for case in not_there(8):
        assert case.kind not in {thing.kind for thing in case.picture.objects} and not case.truth.any()


def test_the_page_shows_each_way_once_and_the_margin_that_is_asked_for():
    page = PAGE.read_text(encoding="utf-8")
    assert re.findall(r"^\| `(.*?)` \|", page, re.MULTILINE) == list(WAYS), "run: make eval-masks"
    won = re.search(r"^`snap` compared with `text`: (.*);", page, re.MULTILINE)
    assert won and all(float(each) >= MARGIN for each in re.findall(r"[+-][0-9.]+", won[1]))


def test_the_table_is_put_between_the_markers(tmp_path):
    page = tmp_path / "masks.md"
    page.write_text("before\n<!-- evaluation: begin -->\nold\n<!-- evaluation: end -->\nafter\n")
    results = {way: [0.2, 0.8] if way == "text: {phrase: THING}" else [0.9, 0.7] for way in WAYS}
    write(table({"some": results}, {way: [0.0, 1.0] for way in WAYS}), page)
    lines = page.read_text().splitlines()
    assert lines[0] == "before" and lines[-1] == "after" and "old" not in lines
    assert lines[2] == "| stage | some (n = 2) | above 0.5 | false positives (n = 2) |"
    assert lines[4] == "| `text: {phrase: THING}` | 0.50 | 50% | 50% |"
    assert np.isclose(margins({"some": results})["some"], 0.3)


def test_a_case_names_its_lookalike_and_its_companions():
    case = next(as_they_come(5))
    others = Case(case.picture, "zebra", case.truth).stage("text: {phrase: THING, without: OTHERS}").without
    assert others[0] == "a horse" and "a zebra" not in others
