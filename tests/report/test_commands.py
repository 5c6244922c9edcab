"""The commands that make a picture again: they say exactly what they are meant to, through the shell and Hydra."""

from __future__ import annotations

import shlex
from pathlib import PurePath
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import example, given
from hypothesis import strategies as st

from darkroom.report.commands import reproduce_command, run_command, word
from darkroom.report.redaction import Redactor

SPECIAL = st.sampled_from("\"'\\,${}[]()=:#~ \n\t!*?&;|<>`%@+-_0aeE.\u2028é名🐎")
TEXTS = st.text(SPECIAL | st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
MARS = {"stage": "inpaint", "op": "inpaint", "prompt": "mars", "seed": 7, "steps": 20}


def parsed(command: str) -> dict[str, Any]:
    """What Hydra reads of a command that a shell has taken apart."""
    python, script, *words = shlex.split(command)
    assert (python, script) == ("python", "run.py")
    overrides = OverridesParser.create().parse_overrides(words)
    assert not any(each.is_sweep_override() for each in overrides)
    return {each.key_or_group: each.value() for each in overrides}


@given(TEXTS | st.integers() | st.floats(allow_nan=False) | st.booleans() | st.none())
@example("null")
@example("NaN")
@example('\\"')
@example("ends in \\")
@example(" range(0,8) ")
@example("2026-11-20_14-03-22-481_car/4.png")
@example("1_0e5/1e5")
def test_hydra_reads_exactly_the_value(value: Any) -> None:
    read = parsed(f"python run.py {shlex.quote(word('stages.inpaint.prompt', value))}")["stages.inpaint.prompt"]
    assert (type(read), read) == (type(value), value)


@pytest.mark.parametrize(
    ("overrides", "loras", "expected"),
    [
        (["models=z_image"], {}, {"models": "z_image", "speed": "none"}),
        (["models=miniature", "speed=none"], {}, {"models": "miniature"}),
        (
            ["speed=lcm4"],
            {"lcm4": "latent-consistency/lcm-lora-sdxl"},
            {"models.loras.lcm4": "latent-consistency/lcm-lora-sdxl"},
        ),
        (["models.loras={ink: a/b}"], {"ink": "a/b"}, {"models.loras": {"ink": "a/b"}}),
    ],
)
def test_a_preset_whose_values_the_recipe_holds_is_not_applied_again(
    overrides: list[str], loras: dict[str, str], expected: dict[str, Any]
) -> None:
    config = {"dataset": {"images": "a.png"}, "stages": {"inpaint": {**MARS, "steps": 2}}, "models": {"loras": loras}}
    facts, line = {"config": config, "overrides": overrides}, {"path": "a.png", "settings": [{**MARS, "steps": 2}]}
    assert parsed(run_command(PurePath("run"), facts, line, Redactor([]))) == {"recipe": "run/recipe.yaml", **expected}


@given(TEXTS, TEXTS.filter(lambda name: name.strip("./")), st.integers(0, 2**63))
def test_one_picture_of_many(prompt: str, folder: str, seed: int) -> None:
    run, redactor = PurePath(folder.strip("/")), Redactor([])
    config = {"dataset": {"images": "/no/such/*.png"}, "stages": {"inpaint": {**MARS, "prompt": [], "seed": []}}}
    line = {"path": f"/no/such/{prompt}", "settings": [{**MARS, "prompt": prompt, "seed": seed}]}
    facts = {"config": config, "overrides": ["recipe=x", "models.sam='a,b'", "+device=cpu", "memory=low", "outputs=x"]}
    facts["overrides"] += ["results.format=jpeg", "results.quality=90"]
    assert parsed(run_command(run, facts, line, redactor)) == {
        "recipe": str(run / "recipe.yaml"),
        "dataset.images": redactor.redact_path(line["path"]),
        "stages.inpaint.prompt": redactor.redact(prompt),
        "stages.inpaint.seed": seed,
        "models.sam": "a,b",
        "device": "cpu",
        "memory": "low",
        "results.format": "jpeg",
        "results.quality": 90,
    }
    _, _, again = shlex.split(reproduce_command(run, "car/4_inpaint.png"))
    assert again == f"reproduce={run / 'car/4_inpaint.png'}"  # `commands` takes what is behind the = as it stands


def test_what_the_recipe_says_already_is_left_out() -> None:
    config = {"dataset": {"images": "/photos/car.png"}, "stages": {"inpaint": {**MARS, "seed": [6, 7]}}}
    line = {"path": "/photos/car.png", "settings": [MARS]}
    command = run_command(PurePath("2026-11-20_14-03-22-481_car"), {"config": config}, line, Redactor([]))
    assert command == "python run.py recipe=2026-11-20_14-03-22-481_car/recipe.yaml stages.inpaint.seed=7"


def test_one_photo_is_named_whatever_the_recipe_selects() -> None:
    config = {"dataset": {"images": "/photos", "only": ["/reds"], "exclude": None}, "stages": {}}
    command = run_command(
        PurePath("run"), {"config": config}, {"path": "/photos/reds/a.png", "settings": []}, Redactor([])
    )
    assert parsed(command)["dataset.only"] is None and "dataset.exclude" not in parsed(command)


def test_what_a_rule_a_wildcard_or_an_entry_gave_is_said() -> None:
    along = [{"prompt": "${wildcard.place}", "steps": 9, "negative_prompt": "rain"}, "venus"]
    given = {**MARS, "prompt": along, "seed": {"count": 4}, "negative_prompt": None, "scheduler": "${item.folder}"}
    line = {"path": "/a.png", "settings": [{**MARS, "steps": 9, "negative_prompt": "rain", "scheduler": "ddim"}]}
    facts = {"config": {"dataset": {"images": "/a.png"}, "stages": {"inpaint": given}}}
    assert parsed(run_command(PurePath("run"), facts, line, Redactor([]))) == {
        "recipe": "run/recipe.yaml",
        "stages.inpaint.prompt": "mars",
        "stages.inpaint.seed": 7,
        "stages.inpaint.steps": 9,
        "stages.inpaint.negative_prompt": "rain",
        "stages.inpaint.scheduler": "ddim",
    }


def test_no_command_where_none_can_say_it() -> None:
    line = {"path": "/car.png", "settings": [{**MARS, "stage": "été"}]}
    stages = {"été": {**MARS, "seed": [6, 7]}}
    for config in (
        {"dataset": {"images": "/car.png"}, "stages": stages},
        {"dataset": {"manifest": "/m.csv"}, "stages": {}},
        None,
    ):
        assert run_command(PurePath("run"), {"config": config}, line, Redactor([])) is None
