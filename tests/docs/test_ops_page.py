"""What the pages for authors of recipes and stages say is what the code does."""

from __future__ import annotations

import re

import numpy as np
import yaml

from darkroom.stages import STAGES
from darkroom.stages.parameter_tables import render
from miniature.pictures import SHOWN
from support.fake_models import edit_of, stage_models
from support.runs import ROOT

PAGE = ROOT / "docs/ops.md"


def test_the_tables_are_current():
    page = PAGE.read_text(encoding="utf-8")
    assert page == render(page), "run: make docs"


def test_every_example_is_a_working_piece_of_a_recipe():
    examples = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(examples) >= len(STAGES)
    for example in examples:
        for name, given in yaml.safe_load(example)["stages"].items():
            parameters = dict(given or {})
            STAGES[parameters.pop("op", name)](**parameters)


def test_every_op_has_a_picture():
    assert set(SHOWN) == set(STAGES)
    for op in STAGES:
        (picture,) = re.findall(rf"\]\((pictures/ops/{op}\.png)\)", PAGE.read_text(encoding="utf-8"))
        assert (PAGE.parent / picture).is_file(), f"run: python -m miniature.pictures ops/{op}"


def test_the_example_of_a_new_stage_works():
    page = PAGE.with_name("adding_a_stage.md").read_text(encoding="utf-8")
    namespace = {"__name__": __name__}
    exec(re.search(r"```python\n(.*?)```", page, re.DOTALL)[1], namespace)
    mask = namespace["Above"](y=2).apply(edit_of(5, 3, np.ones((5, 3))), stage_models()).mask
    assert np.count_nonzero(mask) == 2 * 3
