"""An op is one file and its line in `STAGES`: ops defined here work everywhere, from the recipe to `reproduce=`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import pytest
import yaml
from PIL import Image
from pydantic import Field

from darkroom.config.recipe import parse
from darkroom.config.recipe_file import read
from darkroom.errors import RecipeError, Stopped
from darkroom.imaging.edit import Edit
from darkroom.models import Memory, ModelNames, Models
from darkroom.planning.cache_keys import Keys
from darkroom.planning.plan import StepPlanner, paths
from darkroom.record import read_facts
from darkroom.report.sheet import caption
from darkroom.stages import STAGES, Stage
from darkroom.stages.base import GenerationSummary, stage
from darkroom.stages.baseline import Baseline
from darkroom.stages.fields import Seeds, Texts
from darkroom.stages.markers import ComparesPhotos, EachValue, LinesFile, PathField
from support.in_process import command_line
from support.runs import journal, pixels


@stage
class Tint(Stage):
    """Paints the mask in a grey made of a file's number, the hue and the seed."""

    repaints: ClassVar[bool] = True
    needs_mask: ClassVar[bool] = True

    palette: Annotated[str, PathField()] = Field(description="A file with a number.")
    prompt: Annotated[Texts, EachValue()] = Field(description="Its words are counted.")
    words: Annotated[str | None, LinesFile("prompt")] = Field(None, description="A file of prompts.")
    seed: Annotated[Seeds, EachValue()] = Field(0, description="Added.")
    hue: Annotated[int | tuple[int, ...], EachValue()] = Field((10, 20), description="Added.")

    def summary(self) -> GenerationSummary:
        return GenerationSummary(prompt=self.prompt, seed=self.seed, settings={"Hue": self.hue})

    def apply(self, edit: Edit, models: Models) -> Edit:
        (path,) = self.input_files(edit.name)
        grey = int(path.read_text()) + self.seed + self.hue + len(self.prompt.split())
        mask = edit.need_mask()
        return edit.with_image(np.where(mask[..., None] > 0, np.uint8(grey), edit.image), mask)


@stage
class Bright(Stage):
    """A gate that compares the brightness of all photos."""

    needs_mask: ClassVar[bool] = True
    is_gate: ClassVar[bool] = True

    limit: Annotated[float | None, ComparesPhotos()] = Field(None, description="In deviations.")

    def apply(self, edit: Edit, models: Models) -> Edit:
        return replace(edit, figures={"brightness": float(edit.image.mean())}, artifacts={})

    def check(self, name: str, figures: Mapping[str, float], baseline: Baseline | None) -> str | None:
        if baseline and self.limit is not None and baseline.is_outlier(figures["brightness"], self.limit):
            raise Stopped(f"{name}: of another brightness", "skip")
        return None

    @classmethod
    def baseline(cls, name: str, photos: Sequence[Sequence[Mapping[str, float]]]) -> Baseline | None:
        return Baseline.of([[figures["brightness"] for figures in photo] for photo in photos])


@pytest.fixture(autouse=True)
def ops(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for op, kind in (("tint", Tint), ("bright", Bright)):
        monkeypatch.setitem(STAGES, op, kind)
    yield


RECIPE = """# A test.
dataset: {images: photos}
stages:
  m: {op: mask_file, folder: masks}
  bright: {limit: 3.5}
  tint: {palette: colours/p.txt, prompt: [a b, c], seed: [1, 2], hue: [30, 60, 30]}
"""


def write(folder: Path, recipe: str = RECIPE) -> Path:
    """The recipe, six photos of which the last is bright, their masks and the palette."""
    for name in ("photos", "masks", "colours"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for number, grey in enumerate([100, 101, 102, 103, 104, 250]):
        Image.new("RGB", (24, 16), (grey, grey, grey)).save(folder / f"photos/{number}.png")
        mask = np.zeros((16, 24), np.uint8)
        mask[:, :8] = 255
        Image.fromarray(mask).save(folder / f"masks/{number}.png")
    (folder / "colours/p.txt").write_text("7")
    (folder / "mine.yaml").write_text(recipe)
    return folder / "mine.yaml"


def keys(path: Path) -> list[str]:
    """The keys of the last steps of every picture of a photo."""
    models = Models(ModelNames(sam="miniature", clipseg="miniature", inpaint="miniature"), Memory(), "cpu")
    recipe, found = parse(read(path), "mine.yaml"), []
    for steps in paths(StepPlanner(recipe).tree({})):
        *_, last = steps
        found.append(Keys(models).step(last.op, last.stage, "the parent's", {}, "0.png"))
    return found


def test_its_paths_start_at_the_recipe_and_its_defaults_are_shown(tmp_path: Path, monkeypatch: Any) -> None:
    path = write(tmp_path / "one")
    monkeypatch.chdir("/")
    stages = read(path)["stages"]
    assert stages["tint"]["palette"] == str(tmp_path / "one/colours/p.txt")
    assert stages["bright"] == {"op": "bright", "limit": 3.5}
    (tmp_path / "child.yaml").write_text("base: one/mine\nstages: {tint: {palette: other.txt, words: w.txt}}")
    child = read(tmp_path / "child.yaml")["stages"]["tint"]  # its op is the base's
    assert child["palette"] == str(tmp_path / "other.txt") and child["words"] == str(tmp_path / "w.txt")
    plain = write(tmp_path / "two", "dataset: {images: photos}\nstages: {tint: {palette: p.txt, prompt: a}}")
    assert read(plain)["stages"]["tint"]["hue"] == [10, 20]


def test_its_lists_make_pictures_the_last_one_fastest(tmp_path: Path) -> None:
    recipe = parse(read(write(tmp_path)), "mine.yaml")
    ways = list(paths(StepPlanner(recipe).tree({})))
    assert [(s.prompt, s.seed, s.hue) for s in (steps[-1].stage for steps in ways)] == [
        (prompt, seed, hue) for prompt in ("a b", "c") for seed in (1, 2) for hue in (30, 60)
    ]
    assert ways[1][-1].variant == "prompt1-seed1-hue60" and ways[-1][-1].variant == "prompt2-seed2-hue60"
    many = {"prompt": "a", "seed": list(range(101)), "hue": list(range(100)), "palette": "p.txt"}
    config = {"name": "x", "dataset": {"images": "a"}, "stages": {"m": {"op": "mask_file", "alpha": True}}}
    with pytest.raises(RecipeError, match="make 10100 pictures of each photo"):
        parse(config | {"stages": config["stages"] | {"tint": many}}, "mine.yaml")


def test_its_path_is_not_part_of_the_key_and_the_file_is(tmp_path: Path) -> None:
    path = write(tmp_path)
    before = keys(path)
    assert len(set(before)) == 8
    (tmp_path / "colours/q.txt").write_text("7")
    path.write_text(RECIPE.replace("p.txt", "q.txt"))
    assert keys(path) == before
    (tmp_path / "colours/q.txt").write_text("8")
    assert not set(keys(path)) & set(before)


def test_it_runs_and_is_recorded_reported_and_reproduced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path)
    assert command_line(tmp_path, "recipe=mine.yaml", "models=miniature", "device=cpu") == 0
    (run,) = (tmp_path / "outputs").glob("*_mine")
    lines = journal(run)
    assert [line["status"] for line in lines] == ["done"] * 40 + ["skipped"] * 8
    assert lines[-1]["error"] == "bright: of another brightness" and lines[-1]["prompt"] == "c"
    assert read_facts(run)["usual"]["bright"]["median"] == 102.5
    first = lines[1]
    assert (first["prompt"], first["seed"], first["variant"]) == ("a b", 1, "tint prompt1-seed1-hue60")
    assert first["negative_prompt"] is None and first["result"] == "0/3_tint_prompt1-seed1-hue60.png"
    assert list(first["inputs"]) == [str(tmp_path / "masks/0.png"), str(tmp_path / "colours/p.txt")]
    assert (pixels(run / first["result"])[:, :8] == 7 + 1 + 60 + 2).all()
    with Image.open(run / first["result"]) as picture:
        assert picture.info["parameters"] == "a b\nHue: 60"
        assert "palette" not in picture.info["darkroom"]
    page = (run / "index.html").read_text()
    assert "tint prompt1-seed1-hue60" in page and "bright: of another brightness" in page
    assert caption(first) == "tint prompt1-seed1-hue60" and caption(lines[-1]).startswith("tint prompt2-seed2")
    capsys.readouterr()
    assert command_line(tmp_path, f"reproduce={run}") == 0
    assert "40 of 40" in capsys.readouterr().out


def test_lines_of_a_file_fill_its_prompt(tmp_path: Path) -> None:
    write(tmp_path, RECIPE.replace("prompt: [a b, c]", "words: w.txt").replace("[30, 60, 30]", "5"))
    (tmp_path / "w.txt").write_text("one two three\n\n# no\nfour\n")
    assert command_line(tmp_path, "recipe=mine.yaml", "models=miniature", "device=cpu", "until=tint") == 0
    (run,) = (tmp_path / "outputs").glob("*_mine")
    assert [line["prompt"] for line in journal(run)][:3] == ["one two three", "one two three", "four"]
    assert yaml.safe_load((run / "recipe.yaml").read_text())["stages"]["tint"]["words"] is None
    assert json.loads((run / "run.json").read_text())["config"]["stages"]["tint"]["prompt"] == ["one two three", "four"]


def test_a_path_in_a_manifest_starts_at_the_manifest(tmp_path: Path) -> None:
    text = RECIPE.replace("images: photos", "manifest: table/photos.csv").replace("colours/p.txt", "'${item.palette}'")
    path = write(tmp_path, text.replace("folder: masks", "alpha: true"))
    recipe = parse(read(path), "mine.yaml")
    built = recipe.stages[2].build({"palette": "p.txt"})
    assert isinstance(built, Tint) and built.palette == str(tmp_path / "table/p.txt")
