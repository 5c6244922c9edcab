"""What docs/sweeps.md says to type gives the runs and the prompts that it says, through a real shell and Hydra."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from darkroom.config.compose import compose, expand
from darkroom.config.recipe import Recipe, parse
from support.runs import ROOT

PAGE = (ROOT / "docs/sweeps.md").read_text()
BLOCKS = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = re.findall(r"^python run\.py (.*)\n((?:# .*\n)+)", "".join(BLOCKS), re.MULTILINE)
QUOTED = re.findall(r"^\| `(.+)` \| `(.+)` \|$", PAGE, re.MULTILINE)
PROMPTS_FILE = re.search(r"```\n(# prompts\.txt.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the page's prompts file in it."""
    assert PROMPTS_FILE is not None
    (tmp_path / "prompts.txt").write_text(PROMPTS_FILE[1])
    (tmp_path / "more.txt").write_text("a beach\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def as_the_shell_reads(words: str) -> list[str]:
    done = subprocess.run(["sh", "-c", f"printf '%s\\0' {words}"], capture_output=True, check=True)
    return done.stdout.decode().split("\0")[:-1]


def compose_runs(words: list[str]) -> list[Recipe]:
    """The recipe of each run that a command line makes."""
    jobs = expand([word for word in words if word != "-m"]) if "-m" in words else [words]
    return [parse(compose(job).config, "the page") for job in jobs]


def told(recipe: Recipe, words: list[str]) -> str:
    """What a run gets of the parameters that a command line names, as the page tells it."""
    keys = [word.partition("=")[0].replace("prompts_file", "prompt") for word in words]
    values = [
        getattr(_stage(recipe, key), key.split(".")[2]) for key in dict.fromkeys(keys) if key.startswith("stages")
    ]
    several = any(word.startswith("recipe=") and word != "recipe=car_on_mars" for word in words)
    return " / ".join(([recipe.name] if several else []) + [text(value) for value in values])


def _stage(recipe: Recipe, key: str) -> Any:
    return next(spec for spec in recipe.stages if spec.name == key.split(".")[1]).build({})


def text(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{'; '.join(map(text, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


@pytest.mark.parametrize("words, runs", COMMANDS)
def test_a_command_of_the_page_makes_the_runs_it_says(folder: Path, words: str, runs: str) -> None:
    argv = as_the_shell_reads(words)
    made = [f"# {number}: {told(recipe, argv)}" for number, recipe in enumerate(compose_runs(argv))]
    assert made == runs.splitlines()


@pytest.mark.parametrize("prompt, word", QUOTED)
def test_a_quoted_prompt_of_the_page_is_that_prompt(folder: Path, prompt: str, word: str) -> None:
    """Alone, and as one of two in a sweep."""
    (alone,) = compose_runs(as_the_shell_reads(f"recipe=car_on_mars {word}"))
    swept = compose_runs(as_the_shell_reads(f"-m recipe=car_on_mars {word} stages.inpaint.seed=1,2"))
    assert [_stage(recipe, "stages.inpaint").prompt for recipe in (alone, *swept)] == [prompt] * 3


def test_all_of_the_page_is_read(folder: Path) -> None:
    assert len(COMMANDS) == "".join(BLOCKS).count("python run.py") and len(QUOTED) == PAGE.count("\n| `")
    assert len(COMMANDS) > 10 and len(QUOTED) > 10
    stages = [yaml.safe_load(block)["stages"] for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
    assert stages[0]["inpaint"]["prompt"][2] == 'a "wet" street: (night), neon'
    assert stages[1]["inpaint"]["prompts_file"] == "prompts.txt"
