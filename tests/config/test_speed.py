"""`speed=NAME`: what a preset sets, what comes before it, and that the record needs no preset."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from darkroom.config.compose import compose, compose_given
from darkroom.config.recipe import parse
from darkroom.errors import RecipeError
from darkroom.models.weights import MINIATURE_WEIGHTS
from darkroom.resources import CONF
from darkroom.studio.command import opened
from darkroom.studio.draft import with_parameter
from support.in_process import CliInProcess
from support.lora_files import write_lora
from support.runs import CAR, journal

PRESETS = sorted(file.stem for file in (CONF / "speed").glob("*.yaml") if "loras" in file.read_text())
KEYS = ("steps", "guidance_scale", "scheduler", "strength", "lora")
PLAIN = {"prompt": "snow", "steps": 20, "guidance_scale": 5, "scheduler": "unipc"}


def painted(stage: dict[str, Any], *words: str) -> dict[str, Any]:
    """The values of the keys that presets set, of a composed stage."""
    stages = {"car": {"op": "sam", "points": [[330, 300]]}, "inpaint": stage}
    config = compose_given({"dataset": {"images": str(CAR)}, "stages": stages}, words).config
    parse(config, "recipe")
    return {key: config["stages"]["inpaint"][key] for key in KEYS}


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_sets_valid_values_of_all_its_keys(name: str) -> None:
    made = painted(PLAIN, f"speed={name}")
    assert made["steps"] == int(name[-1]) and made["guidance_scale"] == 1 and made["strength"] == 1
    assert made["scheduler"] in ("lcm", "tcd", "euler_trailing", "ddim_trailing") and made["lora"] == {name: 1}
    assert painted(PLAIN, "speed=none") == painted(PLAIN) != made


def test_a_painter_brings_a_preset_without_a_lora() -> None:
    made = painted({**PLAIN, "lora": {"ink": 0.5}}, "models=flux2_klein")
    assert made == {"steps": 4, "guidance_scale": 1, "scheduler": "default", "strength": 1, "lora": {"ink": 0.5}}
    assert painted(PLAIN, "models=flux2_klein", "stages.inpaint.steps=8")["steps"] == 8
    assert painted(PLAIN, "models=flux2_klein", "speed=none") == painted(PLAIN)
    masks = {"dataset": {"images": str(CAR)}, "stages": {"car": {"op": "sam", "points": [[330, 300]]}}}
    assert "speed" not in compose_given(masks, ["models=flux2_klein"]).config
    with pytest.raises(RecipeError, match="speed=klein4: the recipe has no `inpaint` stage"):
        compose_given(masks, ["models=flux2_klein", "speed=klein4"])


def test_the_command_line_comes_before_the_preset_and_the_preset_before_the_recipe() -> None:
    words = {"steps": "6", "guidance_scale": "1.5", "scheduler": "euler", "strength": "0.99"}
    preset = painted(PLAIN, "speed=lightning8")
    for key, value in words.items():
        for word in (f"stages.inpaint.{key}={value}", f"stages.inpaint={{{key}: {value}}}"):
            made = painted(PLAIN, word, "speed=lightning8")
            assert made == {**preset, key: yaml.safe_load(value)}
    assert painted({**PLAIN, "strength": 0.6}, "speed=lightning8") == {**preset, "strength": 0.6}


def test_its_lora_is_added_to_those_of_the_recipe() -> None:
    def loras(recipe: Any, *words: str) -> Any:
        return painted({**PLAIN, "lora": recipe}, "speed=tcd4", *words)["lora"]

    assert loras({"ink": 0.5}) == {"ink": 0.5, "tcd4": 1}
    assert loras({"ink": 0.5, "tcd4": 0.2}) == {"ink": 0.5, "tcd4": 1}
    assert loras([{"ink": 0.5}, None]) == [{"ink": 0.5, "tcd4": 1}, {"tcd4": 1}]
    assert loras({"ink": 0.5}, "stages.inpaint.lora.tcd4=0.7") == {"ink": 0.5, "tcd4": 0.7}
    assert loras({"ink": 0.5}, "stages.inpaint.lora=null") is None


def test_a_list_takes_the_place_of_a_mapping_and_a_mapping_that_of_a_list() -> None:
    """Hydra alone merges both, and fails."""
    mixed = {**PLAIN, "lora": {"ink": 1}, "control": {"canny": 0.5}}
    assert painted(mixed, "stages.inpaint.lora=[{ink: 0.5}, {}]")["lora"] == [{"ink": 0.5}, {}]
    assert painted({**PLAIN, "lora": [{"ink": 0.5}, {}]}, "stages.inpaint.lora={dusk: 1}")["lora"] == {"dusk": 1}
    assert painted(mixed, "stages.inpaint.lora={dusk: 1}")["lora"] == {"ink": 1, "dusk": 1}
    painted(mixed, "stages.inpaint.control=[{canny: 0.5}, {canny: 1}]")
    within = painted({**mixed, "seed": {"count": 3}}, "stages.inpaint={seed: [1], lora: [{ink: 0.5}, {}], steps: 6}")
    assert within["lora"] == [{"ink": 0.5}, {}] and within["steps"] == 6
    painted({**PLAIN, "seed": [1]}, "stages={inpaint: {seed: {count: 3}}, car: {points: [[1, 2]]}}")
    with pytest.raises(RecipeError, match=r"stages\.inpaint"):
        painted(mixed, "stages.inpaint=[1]")


@pytest.mark.parametrize("key", ["steps", "guidance_scale", "scheduler", "lora"])
def test_a_prompt_with_settings_of_its_own_is_refused(key: str) -> None:
    stage = {"prompt": ["snow", {"prompt": "rain", key: 5}]}
    with pytest.raises(RecipeError) as refused:
        painted(stage, "speed=lcm4")
    (line,) = refused.value.problems
    assert line == f"recipe: stages.inpaint.prompt[1].{key}: speed=lcm4 sets it for all prompts; take it out"
    assert painted({"prompt": ["snow", {"prompt": "rain", "seed": 5}]}, "speed=lcm4")["steps"] == 4


def test_a_refusal_names_the_painter_that_brings_the_preset() -> None:
    stage = {"prompt": [{"prompt": "rain", "steps": 12}, "snow"]}
    with pytest.raises(RecipeError) as refused:
        painted(stage, "models=z_image")
    cause = "speed=zimage8, which models=z_image brings, sets it for all prompts"
    advice = "take it out; speed=none keeps the recipe's values"
    assert str(refused.value) == f"recipe: stages.inpaint.prompt[0].steps: {cause}; {advice}"
    painted(stage, "models=z_image", "speed=none")


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("speed=lightning", "command line: speed=lightning: did you mean 'lightning"),
        ("speed=null", "command line: speed=null: takes a name, such as none"),
        ("speed.steps=3", "command line: speed.steps=3: speed= takes a name"),
        ("++speed={loras: 3}", "command line: ++speed={loras: 3}: speed= takes a name"),
        ("sped=lcm4", "command line: sped: unknown key, did you mean 'speed'?"),
        ("stages.inpaint.op=erase", "command line: speed=lcm4: the recipe has no `inpaint` stage"),
        ("stages.inpaint.lora='${item.style}'", "command line: stages.inpaint.lora: ${item.style} cannot be joined"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(word: str, line: str) -> None:
    with pytest.raises(RecipeError) as refused:
        painted(PLAIN, *(["speed=lcm4"] if not word.startswith("speed=") else []), word)
    (told,) = refused.value.problems
    assert told.startswith(line)


def test_the_studio_takes_none() -> None:
    with (
        pytest.raises(RecipeError, match="command line: speed=lcm4: not in the studio"),
        opened([f"dataset.images={CAR}", "speed=lcm4"]),
    ):
        pass


def test_the_page_comes_before_the_preset_that_a_painter_brings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.yaml").write_text(
        f"name: own\ndataset: {{images: {CAR}}}\n"
        "stages: {car: {op: grabcut, box: [100, 100, 400, 300]}, inpaint: {prompt: snow, steps: 20, seed: 1}}\n"
    )
    words = ["recipe=own.yaml", "models=z_image", "models.inpaint=miniature"]
    with opened([*words, "speed=none", "outputs=undistilled"]) as made:
        assert made.draft.state.stages["inpaint"]["steps"] == 20
    with opened(words) as made:
        assert made.draft.state.stages["inpaint"]["steps"] == 8, "a new draft begins with the preset"
        made.change(made.draft.state.revision, lambda state: with_parameter(state, "inpaint", "steps", 2))
        made.paint(0)
        made.worker.submit(made.worker.stop, 3)
        made.worker.run()
        (line,) = journal(next(Path("outputs").glob("*_own")))
        assert line["settings"][-1]["steps"] == 2, line["settings"]
    with opened(words) as made:
        assert made.draft.state.stages["inpaint"]["steps"] == 2
        shown = shlex.split(made.describe()["command"])[2:]
    composed = compose(shown)
    assert composed.config["stages"]["inpaint"]["steps"] == 2
    assert composed.config["models"]["inpaint"] == "miniature" and shown[1:] == [*words[1:], "speed=none"]


def test_the_record_holds_plain_values_and_needs_no_preset(quick_cli: CliInProcess, tmp_path: Path) -> None:
    lora = write_lora(tmp_path / "fast.safetensors", MINIATURE_WEIGHTS / "sdxl_inpaint", parts=("unet",), size=0.05)
    (tmp_path / "own.yaml").write_text(
        f"dataset: {{images: {CAR}}}\n"
        "stages: {car: {op: sam, points: [[330, 300]]}, inpaint: {prompt: snow, steps: 20, strength: 0.99}}\n"
    )
    words = ("recipe=own.yaml", "models=miniature", "speed=lightning4")
    other = quick_cli(*words)
    assert other.returncode == 2
    (line,) = other.stderr.splitlines()
    assert "speed=lightning4: its LoRA is for Stable Diffusion XL, and models.inpaint is miniature: leave" in line
    assert "models.loras.lightning4" in line

    made = quick_cli(*words, f"models.loras.lightning4={lora}", "stages.inpaint.steps=2")
    assert made.returncode == 0, made.stderr
    folder = quick_cli.run_folder()
    snapshot = yaml.safe_load((folder / "recipe.yaml").read_text())
    stage = snapshot["stages"]["inpaint"]
    values = (2, 1, "euler_trailing", 1, {"lightning4": 1})
    assert tuple(stage[key] for key in KEYS) == values and "speed" not in snapshot
    facts = json.loads((folder / "run.json").read_text())
    assert facts["models"]["loras"]["lightning4"]["weights"].startswith("sha256:")
    again = quick_cli(f"reproduce={folder}")
    assert again.returncode == 0, again.stdout + again.stderr

    plain = quick_cli(f"recipe={folder}/recipe.yaml", "models=miniature", f"models.loras.lightning4={lora}")
    assert plain.returncode == 0, plain.stderr
    first, second = (journal(each)[0]["files"] for each in quick_cli.run_folders())
    assert first == second
