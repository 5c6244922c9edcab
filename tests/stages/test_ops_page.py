"""docs/ops.md says what the code does."""

from __future__ import annotations

import re

import yaml

from pipeline.docs import PAGE, render
from pipeline.stages import STAGES


def test_the_tables_are_current():
    page = PAGE.read_text(encoding="utf-8")
    assert page == render(page), "run: python -m pipeline.docs"


def test_every_example_is_a_working_piece_of_a_recipe():
    examples = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(examples) >= len(STAGES)
    for example in examples:
        for name, given in yaml.safe_load(example)["stages"].items():
            parameters = dict(given or {})
            STAGES[parameters.pop("op", name)](**parameters)
