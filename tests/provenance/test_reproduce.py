"""A run made again from its own folder: told picture by picture, with what is not as it was then."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from darkroom.imaging import codec
from support.in_process import command_line
from support.runs import CAR, journal

RECIPE = """
dataset: {images: photos}
on_empty: keep
stages:
  thing: {op: mask_file, folder: masks}
  refine: {grow: 2}
  inpaint: {prompt: [mars, snow], seed: 7, steps: 2}
"""
PICTURE, SOURCE = "a/3_inpaint_prompt1.png", "a/0_photo.png"


class World:
    """A folder with a recipe, photos, masks and a run of it: two pictures made, two photos kept, two failed."""

    def __init__(self, root: Path, output: Callable[[], str]) -> None:
        self.root = root
        self.run = next(root.glob("outputs/*_mine"))
        self._output = output

    def reproduce(self, target: Path, *options: str) -> tuple[int, str]:
        """The exit code, and all that was printed."""
        self._output()
        return command_line(self.root, f"reproduce={target}", *options), self._output()

    def edit_journal(self, change: Callable[[dict[str, Any]], Any]) -> None:
        """Change the lines of the pictures that were made."""
        lines = journal(self.run)
        for line in lines[:2]:
            change(line)
        (self.run / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    def edit_facts(self, change: Callable[[dict[str, Any]], Any]) -> None:
        facts = json.loads((self.run / "run.json").read_text())
        change(facts)
        (self.run / "run.json").write_text(json.dumps(facts))

    def rewrite(self, path: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
        """Change the pixels of a file of the run."""
        with Image.open(self.run / path) as image:
            pixels = np.array(image)
        (self.run / path).unlink()  # another name of it lies in the store
        Image.fromarray(change(pixels)).save(self.run / path)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("made")
    for folder in ("photos", "masks"):
        (root / folder).mkdir()
    with Image.open(CAR) as image:
        for name, white in (("a", 255), ("b", 0)):
            image.crop((300, 300, 396, 372)).save(root / f"photos/{name}.png")
            mask = np.zeros((72, 96), np.uint8)
            mask[20:50, 30:70] = white
            Image.fromarray(mask).save(root / f"masks/{name}.png")
    (root / "photos/c.png").write_bytes(b"no picture")
    (root / "mine.yaml").write_text(RECIPE)
    assert command_line(root, "recipe=mine.yaml", "models=miniature") == 3
    return root


@pytest.fixture
def world(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[World]:
    """A copy that a test may spoil, as if it had been made where it lies."""
    root = tmp_path / "world"
    shutil.copytree(made, root)
    for name in ("journal.jsonl", "run.json"):
        path = next(root.glob(f"outputs/*_mine/{name}"))
        path.write_text(path.read_text().replace(str(made), str(root)))
    yield World(root, lambda: "".join(capsys.readouterr()))


def test_a_run_and_a_picture_are_identical_and_nothing_is_left_behind(world: World) -> None:
    before = sorted(world.root.rglob("*"))
    code, told = world.reproduce(world.run)
    assert code == 0 and told.count("identical   ") == 4
    assert "4 of 4 pictures identical\nnot tried: 2, which failed or were skipped in the run\n" in told
    assert "changed inputs:" not in told and sorted(world.root.rglob("*")) == before
    for picture in (PICTURE, "b/0_photo.png"):  # one that was painted, one that was kept
        code, told = world.reproduce(world.run / picture)
        assert code == 0 and f"/{picture}\n" in told and "identical\n" in told and "/a/3_inpaint_prompt2" not in told


def test_a_sweep_is_made_again_job_by_job(world: World) -> None:
    assert command_line(world.root, "-m", "recipe=mine.yaml", "models=miniature", "stages.refine.grow=1,2") == 3
    code, told = world.reproduce(next(world.root.glob("outputs/*_sweep")))
    assert code == 0 and told.count("4 of 4 pictures identical\n") == 2
    assert "0_mine/a/3_inpaint_prompt1.png\n" in told and "1_mine/a/3_inpaint_prompt2.png\n" in told


def test_a_run_folder_suffices(world: World) -> None:
    """Moved elsewhere, without the photos and without the store."""
    world.run = world.run.rename(world.root / "elsewhere")
    shutil.rmtree(world.root / "outputs")
    shutil.rmtree(world.root / "photos")
    code, told = world.reproduce(world.run)
    assert code == 0 and "4 of 4 pictures identical" in told
    for name in "ab":
        line = f"{world.root}/photos/{name}.png: cannot be read: No such file or directory; using its decoded copy in"
        assert told.count(line) == 1


def photo_changed(world: World) -> None:
    Image.new("RGB", (96, 72)).save(world.root / "photos/a.png")


def mask_changed(world: World) -> None:
    Image.new("L", (96, 72), 255).save(world.root / "masks/a.png")


def mask_missing(world: World) -> None:
    (world.root / "masks/a.png").unlink()


def mask_empty(world: World) -> None:
    Image.new("L", (96, 72)).save(world.root / "masks/a.png")


def copy_and_photo_spoiled(world: World) -> None:
    photo_changed(world)
    world.rewrite(SOURCE, lambda pixels: 255 - pixels)


def other_weights(world: World) -> None:
    world.edit_facts(lambda facts: facts["models"]["weights"]["inpaint"].update(weights="sha256:" + "0" * 64))


def older_version(world: World) -> None:
    world.edit_journal(lambda line: line["settings"][2].pop("scheduler"))
    world.edit_facts(lambda facts: [facts["environment"].pop("platform"), facts["models"].pop("memory")])


@pytest.mark.parametrize(
    "change, code, expected",
    [
        (
            photo_changed,
            0,
            ["4 of 4", "/photos/a.png: has changed since the run; using its decoded copy in the run folder"],
        ),
        (mask_changed, 3, ["2 of 4", "/masks/a.png: has changed since the run\n", "SSIM 0."]),
        (mask_missing, 3, ["2 of 4", "/masks/a.png: cannot be read: No such file", "cannot be made: one mask "]),
        (mask_empty, 3, ["2 of 4", "/masks/a.png: has changed since the run\n", "cannot be made: nothing to repaint"]),
        (
            copy_and_photo_spoiled,
            3,
            ["2 of 4", f"cannot be made: {SOURCE} has changed since it was written, and the "],
        ),
        (other_weights, 0, ["4 of 4", "changed environment:\n    inpaint.weights: sha256:000000000000 -> sha256:"]),
        (older_version, 0, ["4 of 4", "changed environment:", "memory: not recorded"]),
        (lambda world: (world.run / PICTURE).unlink(), 3, ["3 of 4", f"{PICTURE}: cannot be read: No such file"]),
        (
            lambda world: (world.run / PICTURE).unlink() or (world.run / PICTURE).write_bytes(b"\x89PNG\r\n\x1a\nxx"),
            3,
            ["3 of 4", "cannot be compared: "],
        ),
        (
            lambda world: world.rewrite(PICTURE, lambda pixels: pixels[1:]),
            3,
            ["3 of 4", "cannot be compared: 96 x 71 px and 96 x 72 px: only pictures of the same size"],
        ),
    ],
)
def test_what_is_not_as_it_was_is_named(
    change: Callable[[World], Any], code: int, expected: list[str], world: World
) -> None:
    change(world)
    found, told = world.reproduce(world.run)
    assert found == code and "Traceback" not in told
    for each in (expected[0] + " pictures identical", *expected[1:]):
        assert each in told


def test_how_far_off_a_picture_is_and_what_is_tolerated(world: World) -> None:
    def alter(pixels: np.ndarray) -> np.ndarray:
        pixels[30:40, 40:50, 1] ^= 16
        return pixels

    world.rewrite(PICTURE, alter)
    code, told = world.reproduce(world.run)
    mean = 16 * 100 / (72 * 96 * 3)
    assert code == 3 and "3 of 4 pictures identical" in told
    assert f"max 16 of 255, mean {mean:.4f}, SSIM 0.9" in told and "the file has changed since it was written" in told
    assert [world.reproduce(world.run / PICTURE, f"tolerance={each}")[0] for each in (15, 16)] == [3, 0]


@pytest.mark.parametrize(
    "words, expected",
    [
        (["reproduce=nowhere"], "nowhere: no such file or folder"),
        (["reproduce=photos"], "photos: not a run folder: it holds no run.json"),
        (["reproduce=photos/a.png"], "is not in a run folder"),
        (["reproduce=RUN/contact_sheet.jpg"], "this run's journal names no such picture"),
        (["reproduce=RUN", "tolerance=300"], "tolerance=300: a whole number from 0 to 255"),
        (["reproduce=RUN", "tolerance=-1"], "tolerance=-1: a whole number from 0 to 255"),
        (
            ["reproduce=RUN", "stages.inpaint.seed=1"],
            "stages.inpaint.seed: cannot be combined with reproduce=, valid: ",
        ),
        (["reproduce=RUN", "tolerence=1"], "tolerence: cannot be combined with reproduce=, did you mean 'tolerance'?"),
        (["reproduce=RUN", "verify=RUN"], "reproduce and verify: give only one of them"),
        (["reproduce=RUN", "-m"], "-m: expected KEY=VALUE"),
        (["reproduce="], "reproduce=: expected KEY=VALUE"),
        (["reproduce=RUN", "memory.dtype=fp99"], "memory.dtype: 'fp99' should be"),
        (["reproduce=RUN", "models.paint=x"], "models.paint: unknown key, did you mean 'inpaint'?"),
        (["reproduce=RUN", "models.inpaint=no/where/at.all"], "models.inpaint=no/where/at.all: neither a path"),
    ],
)
def test_bad_words_are_refused_in_one_line(words: list[str], expected: str, world: World) -> None:
    world._output()
    code = command_line(world.root, *(word.replace("RUN", str(world.run)) for word in words))
    (line,) = world._output().splitlines()
    assert code == 2 and expected in line


@pytest.mark.fault(
    "Run folders", "`reproduce=` with a journal that leads out of its folder", "nothing outside is opened"
)
@pytest.mark.parametrize("outside", ["../../secret.png", "{root}/secret.png", "a/../../../secret.png", "link.png"])
def test_a_journal_cannot_lead_out_of_its_folder(outside: str, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = world.root / "secret.png"
    Image.effect_noise((96, 72), 50).convert("RGB").save(secret)
    (world.run / "link.png").symlink_to(secret)
    outside = outside.format(root=world.root)
    decoded, real = [], codec.decode_photo
    monkeypatch.setattr(codec, "decode_photo", lambda data: decoded.append(data) or real(data))
    digest = hashlib.sha256(secret.read_bytes()).hexdigest()
    photo_changed(world)
    good = (world.run / "journal.jsonl").read_bytes()
    for key in ("result", "source"):
        world.edit_journal(lambda line: line.update({key: outside, "files": {**line["files"], outside: digest}}))  # noqa: B023
        code, told = world.reproduce(world.run)
        if outside == "link.png":
            assert code == 3 and re.search(r"not followed|link\.png has changed since it was written", told)
        else:
            assert code == 2 and "line 1 is damaged" in told
        (world.run / "journal.jsonl").write_bytes(good)
    assert world.reproduce(world.run)[0] == 0
    assert secret.read_bytes() not in decoded and (world.run / SOURCE).read_bytes() in decoded


@pytest.mark.parametrize(
    "change",
    [
        lambda line: line.pop("inputs"),
        lambda line: line.update(result=None),
        lambda line: line.update(files=[]),
        lambda line: line.update(settings=[{"stage": "x", "op": "no_such_op"}]),
        lambda line: line["settings"][2].update(unheard_of=1),
        lambda line: line["settings"].append(7),
    ],
)
def test_a_damaged_record_is_told_in_a_line(change: Callable[[dict[str, Any]], Any], world: World) -> None:
    world.edit_journal(change)
    code, told = world.reproduce(world.run)
    (line,) = told.splitlines()
    assert code == 2 and re.search("another version of Darkroom|this version of Darkroom does not have", line)


def test_a_journal_that_is_torn_in_the_middle_or_gone(world: World) -> None:
    path = world.run / "journal.jsonl"
    path.write_bytes(path.read_bytes()[9:])
    code, told = world.reproduce(world.run)
    assert code == 2 and told.strip().endswith("line 1 is damaged, or was written by another version of Darkroom")
    path.unlink()
    code, told = world.reproduce(world.run)
    assert code == 2 and len(told.splitlines()) == 1 and "it holds no journal.jsonl" in told


def test_an_emptied_journal_is_no_success(world: World) -> None:
    (world.run / "journal.jsonl").write_bytes(b"")
    code, told = world.reproduce(world.run)
    assert code == 3 and "0 of 0 pictures identical" in told
    assert command_line(world.root, f"verify={world.run}") == 3


def test_without_a_repaint_the_mask_is_what_is_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scene = np.random.default_rng(0).integers(60, 90, (60, 80, 3), np.uint8)
    scene[15:45, 25:55] = 220, 30, 30
    Image.fromarray(scene).save(tmp_path / "x.png")
    stages = "{thing: {op: grabcut, box: [20, 10, 60, 50]}}"
    (tmp_path / "masks.yaml").write_text(f"dataset: {{images: x.png}}\nstages: {stages}\n")
    assert command_line(tmp_path, "recipe=masks.yaml", "models=miniature") == 0
    (run,) = tmp_path.glob("outputs/*_masks")
    (line,) = journal(run)
    assert command_line(tmp_path, f"reproduce={run}") == 0
    line["settings"][0]["box"] = [0, 0, 30, 30]
    (run / "journal.jsonl").write_text(json.dumps(line) + "\n")
    assert command_line(tmp_path, f"reproduce={run}") == 3 and "max 255 of 255" in capsys.readouterr().out


def test_no_name_in_a_record_steers_the_terminal(world: World) -> None:
    world.edit_journal(lambda line: line.update(path="\udcff\x1b[31m\n.png"))
    code, told = world.reproduce(world.run)
    assert code == 0 and "\\udcff\\x1b[31m\\n.png: cannot be read" in told and "\x1b" not in told
