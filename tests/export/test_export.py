"""Data sets from run folders, read as those who train on them read them."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset
from PIL import Image
from pycocotools import mask as run_lengths
from pycocotools.coco import COCO

from support.fake_run_folder import write_sweep
from support.in_process import command_line
from support.runs import Cli, journal, pixels

FORMATS = ("coco", "imagefolder", "webdataset")
KEPT = """
dataset: {manifest: photos/photos.csv}
on_empty: keep
stages:
  thing: {op: mask_file, folder: masks}
  size: {op: gate, coverage: [0.01, 0.5], policy: flag}
  invert:
  background: {colour: ["#204060", white]}
"""
REPAINTED = """
dataset: {manifest: photos/photos.csv}
stages:
  thing: {op: mask_file, folder: masks}
  refine: {grow: 4}
  inpaint: {prompt: [a zebra, "a ${item.kind}"], seed: 3, steps: 1, strength: 1}
"""
TABLE = """image,kind,split
test_dog.png,dog,train
car.png,car,test
huge.png,house,train
empty.png,nothing,train
broken.png,dog,test
"""


@dataclass
class World:
    """A folder with photos, masks, a table and one finished run of it."""

    root: Path
    output: Callable[[], str]

    @property
    def run(self) -> Path:
        return next(self.root.glob("outputs/*/journal.jsonl")).parent

    def export(self, format: str, *words: str) -> tuple[int, str]:
        """The exit code, and everything printed."""
        code = command_line(self.root, f"export={format}", str(self.run), *words)
        return code, self.output()

    def edit(self, change: Callable[[dict[str, Any]], Any]) -> None:
        """Change every line of the journal."""
        lines = journal(self.run)
        for line in lines:
            change(line)
        (self.run / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    def object_in(self, photo: str) -> np.ndarray:
        return pixels(self.root / f"masks/{photo}.png") >= 128


def make(root: Path, recipe: str, *words: str) -> None:
    random = np.random.default_rng(0)
    for folder in ("photos", "masks"):
        (root / folder).mkdir()
    sizes = {"test_dog": (12, 20), "car": (9, 14), "huge": (60, 80), "empty": (0, 0)}
    for name, (height, width) in sizes.items():
        Image.fromarray(random.integers(0, 256, (64, 96, 3), np.uint8)).save(root / f"photos/{name}.png")
        mask = np.zeros((64, 96), np.uint8)
        mask[3 : 3 + height, 5 : 5 + width] = 255
        mask[3 : 3 + height, 4] = 128 if height else 0  # soft edges: half counts, less does not
        mask[3 : 3 + height, 5 + width] = 127 if height else 0
        Image.fromarray(mask).save(root / f"masks/{name}.png")
    (root / "photos/broken.png").write_bytes(b"no picture")
    (root / "photos/photos.csv").write_text(TABLE)
    (root / "mine.yaml").write_text(recipe)
    command_line(root, "recipe=mine.yaml", "models=miniature", *words)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    worlds = {"kept": KEPT, "repainted": REPAINTED}
    roots = {name: tmp_path_factory.mktemp(name) for name in worlds}
    for name, recipe in worlds.items():
        make(roots[name], recipe)
    return roots


@pytest.fixture
def world(made: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> World:
    """A run that keeps the object and replaces the background."""
    shutil.copytree(made["kept"], tmp_path / "kept")
    return World(tmp_path / "kept", lambda: "".join(capsys.readouterr()))


@pytest.fixture
def repainted(made: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> World:
    """A run that repaints the object."""
    shutil.copytree(made["repainted"], tmp_path / "repainted")
    return World(tmp_path / "repainted", lambda: "".join(capsys.readouterr()))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def coco(file: Path) -> Iterator[tuple[dict[str, Any], str, np.ndarray]]:
    """Image, name of the category, and mask of every annotation."""
    found = COCO(file)
    for annotation in found.loadAnns(found.getAnnIds()):
        (image,) = found.loadImgs(annotation["image_id"])
        (category,) = found.loadCats(annotation["category_id"])
        mask = found.annToMask(annotation)
        assert annotation["area"] == mask.sum() == run_lengths.area(annotation["segmentation"])
        assert annotation["bbox"] == run_lengths.toBbox(annotation["segmentation"]).tolist()
        assert annotation["iscrowd"] == 0 and mask.shape == (image["height"], image["width"])
        yield image, category["name"], mask > 0


def test_coco_has_the_kept_objects_bit_for_bit(world: World) -> None:
    code, printed = world.export("coco", "to=set", "label=item.kind")
    assert code == 0, printed
    assert f"{world.root / 'set'}: 4 pictures (train 2, test 2)" in printed
    assert "left out: 2 flagged, 2 kept as they were, 2 failed" in printed
    lines = [line for line in journal(world.run) if line["photo"] in ("test_dog.png", "car.png")]
    files = [world.root / f"set/annotations/instances_{split}.json" for split in ("train", "test")]
    examples = [each for file in files for each in coco(file)]
    assert [label for _, label, _ in examples] == ["dog", "dog", "car", "car"]
    for (image, _, mask), line in zip(examples, lines, strict=True):
        assert np.array_equal(mask, world.object_in(Path(line["photo"]).stem))
        assert (world.root / "set/images" / image["file_name"]).read_bytes() == (
            world.run / line["result"]
        ).read_bytes()
        assert image["source"] == line["photo"] and image["source_digest"] == line["digest"]
        assert image["mask_digest"] == line["files"][line["mask"]]
        assert image["gate_size_coverage"] == line["steps"][2]["figures"]["coverage"]
    assert [image["split"] for image, _, _ in examples] == ["train"] * 2 + ["test"] * 2


def test_a_repainted_object_needs_a_new_label(repainted: World) -> None:
    code, printed = repainted.export("coco")
    assert code == 2 and printed.startswith("command line: label: the objects were repainted, so they need new labels")
    assert [path.name for path in repainted.run.parent.iterdir() if "coco" in path.name] == []
    code, printed = repainted.export("coco", "label=prompt")
    assert code == 0, printed
    folder = repainted.run.with_name(f"{repainted.run.name}_coco")
    for split, photo in (("train", "test_dog"), ("test", "car")):
        examples = [each for each in coco(folder / f"annotations/instances_{split}.json")]
        lines = [line for line in journal(repainted.run) if line["photo"] == f"{photo}.png"]
        for (image, label, mask), line in zip(examples[:2], lines, strict=True):
            assert label == image["prompt"] == line["prompt"] and image["seed"] == 3
            assert np.array_equal(mask, pixels(repainted.run / line["steps"][2]["mask"]) >= 128)
            weights = json.loads((repainted.run / "run.json").read_text())["models"]["weights"]
            assert image["model_inpaint"] == weights["inpaint"]["weights"]
    assert repainted.export("coco", "label=item.colour", "to=other")[1].endswith(
        "no picture to export: 6 without a label, 4 failed\n"
    )


@pytest.mark.parametrize("wanted, inside", [("kept", False), ("repainted", True), ("thing", True)])
def test_the_side_of_the_mask_can_be_chosen(wanted: str, inside: bool, world: World) -> None:
    assert world.export("imagefolder", "to=set", f"object={wanted}")[0] == 0
    mask = pixels(world.root / "set/train/masks/000001.png") > 0
    subject = world.object_in("test_dog")
    if wanted == "repainted":  # here the background; a soft edge may belong to both
        assert (mask ^ ~subject).sum() <= 24 and not mask[5, 10]
    else:
        assert np.array_equal(mask, subject)


def test_imagefolder_is_as_its_loader_wants_it(world: World) -> None:
    """Rules of `datasets`: a table beside the pictures, the same columns and types in all, no split names in names."""
    assert world.export("imagefolder", "to=set")[0] == 0
    types = set()
    for split in ("train", "test"):
        rows = [json.loads(line) for line in (world.root / f"set/{split}/metadata.jsonl").read_text().splitlines()]
        assert len(rows) == 2
        for row in rows:
            assert list(row)[:2] == ["file_name", "mask_file_name"]
            types.add(tuple((key, type(value).__name__) for key, value in row.items()))
            image, mask = (pixels(world.root / "set" / split / row[key]) for key in list(row)[:2])
            assert image.shape[:2] == mask.shape and set(np.unique(mask)) == {0, 255}
            assert np.array_equal(mask > 0, world.object_in(Path(row["source"]).stem))
            assert not re.search("[a-z]", Path(row["file_name"]).stem)
    assert len(types) == 1


def test_webdataset_reads_the_shards(world: World) -> None:
    assert world.export("webdataset", "to=set")[0] == 0
    for split, photo in (("train", "test_dog"), ("test", "car")):
        samples = list(
            webdataset.WebDataset([str(world.root / f"set/{split}-000000.tar")], shardshuffle=False).decode("rgb8")
        )
        assert len(samples) == 2
        for sample in samples:
            assert sample["json"]["source"] == f"{photo}.png" and sample["png"].shape == (64, 96, 3)
            assert np.array_equal(sample["mask.png"].max(axis=-1) > 0, world.object_in(photo))


def test_shards_have_at_most_the_wanted_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "photos").mkdir()
    noise = np.random.default_rng(1).integers(0, 256, (290, 400, 4), np.uint8)  # 400 kB
    for number in range(7):
        noise[0, 0] = number
        Image.fromarray(noise).save(tmp_path / f"photos/{number}.png")
    (tmp_path / "mine.yaml").write_text("dataset: {images: photos}\nstages: {thing: {op: mask_file, alpha: true}}\n")
    command_line(tmp_path, "recipe=mine.yaml")
    world = World(tmp_path, lambda: "".join(capsys.readouterr()))
    assert world.export("webdataset", "to=set", "shard_mb=1")[0] == 0
    shards = sorted((tmp_path / "set").iterdir())
    assert [path.name for path in shards] == [f"{number:06}.tar" for number in range(4)]
    assert all(path.stat().st_size <= 1_000_000 for path in shards)
    samples = list(webdataset.WebDataset([str(path) for path in shards], shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == [f"{number:06}" for number in range(1, 8)]


@pytest.mark.parametrize("format", FORMATS)
def test_the_same_run_gives_the_same_bytes_anywhere(format: str, world: World) -> None:
    """The second time in a process of its own, from another folder."""
    assert world.export(format, "to=one")[0] == 0
    done = Cli(world.root)(
        f"export={format}", f"{world.run}", f"to={world.root / 'two/deeper'}", cwd=world.root / "masks"
    )
    assert done.returncode == 0, done.stderr
    one = contents(world.root / "one")
    assert one and one == contents(world.root / "two/deeper")
    assert not any(str(world.root).encode() in data for data in one.values())


def test_masks_alone_export_the_photos(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(tmp_path, KEPT, "until=thing", "on_empty=skip")
    world = World(tmp_path, lambda: "".join(capsys.readouterr()))
    world.output()
    code, printed = world.export("coco", "to=set")
    assert code == 0 and "3 pictures (train 2, test 1)" in printed, printed
    assert world.export("coco", "to=other", "label=item.folder")[0] == 0
    assert [label for _, label, _ in coco(tmp_path / "other/annotations/instances_test.json")] == ["photos"]
    for image, label, mask in coco(tmp_path / "set/annotations/instances_train.json"):
        assert label == "object" and np.array_equal(mask, world.object_in(Path(image["source"]).stem))
        assert np.array_equal(
            pixels(tmp_path / "set/images" / image["file_name"]), pixels(tmp_path / "photos" / image["source"])
        )


def test_a_frame_moves_the_mask_with_the_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    framed = "  frame: {aspect: '2:1', share: 0.7}\n"
    make(tmp_path, KEPT + framed, "results.what=[picture,mask]")
    world = World(tmp_path, lambda: "".join(capsys.readouterr()))
    assert world.export("coco", "to=set")[0] == 0
    world.edit(lambda line: line["outputs"].pop("mask", None))
    assert world.export("coco", "to=other")[0] == 0
    for split in ("train", "test"):
        given, computed = (
            list(coco(tmp_path / each / f"annotations/instances_{split}.json")) for each in ("set", "other")
        )
        assert len(given) == 2
        for (image, _, mask), (_, _, same) in zip(given, computed, strict=True):
            assert image["width"] == 2 * image["height"] and mask.any() and np.array_equal(mask, same)


@pytest.mark.fault("Run folders", "a picture changed, deleted or replaced before `export=`", "left out; exit code 3")
@pytest.mark.parametrize("kind", ["changed", "deleted", "link", "pipe", "no picture"])
def test_damaged_pictures_are_left_out_and_named(kind: str, world: World) -> None:
    line = next(line for line in journal(world.run) if line["status"] == "done")
    path = world.run / line["outputs"]["picture"]
    data = path.read_bytes()
    path.unlink()
    if kind == "changed":
        path.write_bytes(data + b"!")
    elif kind == "link":
        (world.root / "elsewhere.png").write_bytes(data)
        path.symlink_to(world.root / "elsewhere.png")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "no picture":
        path.write_bytes(b"<html>")
        changed = {line["outputs"]["picture"]: hashlib.sha256(b"<html>").hexdigest()}
        world.edit(lambda each: each["files"].update(changed) if each["outputs"] == line["outputs"] else None)
    code, printed = world.export("coco", "to=set")
    assert code == 3 and f"; first: {line['outputs']['picture']}: " in printed, printed
    assert "3 pictures (train 1, test 2)" in printed


def test_without_masks_the_pictures_remain(world: World) -> None:
    for path in world.run.glob("*/*_mask.png"):
        path.unlink()
    code, printed = world.export("imagefolder", "to=set")
    assert code == 0 and "4 pictures" in printed and "\n4 without a mask\n" in printed
    row = json.loads((world.root / "set/train/metadata.jsonl").read_text().splitlines()[0])
    assert "mask_file_name" not in row and "mask_digest" not in row
    code, printed = world.export("coco", "to=other")
    assert (
        code == 2 and "no picture to export: 4 without a mask, 2 flagged" in printed and "_mask.png: missing" in printed
    )


@pytest.mark.parametrize("what", ["picture", "picture,mask"])
def test_a_run_that_keeps_results_only_exports_what_is_there(
    what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path, KEPT, "results.only=true", f"results.what=[{what}]")
    world = World(tmp_path, lambda: "".join(capsys.readouterr()))
    world.output()
    code, printed = world.export("imagefolder", "to=folder")
    assert code == 0 and "4 pictures (train 2, test 2)" in printed
    assert ("\n4 without a mask (results.only=true keeps none" in printed) == (what == "picture")
    code, printed = world.export("coco", "to=coco")
    if what == "picture":
        assert code == 2 and "no picture to export: 4 without a mask (results.only=true keeps none" in printed
    else:
        masks = [mask for _, _, mask in coco(tmp_path / "coco/annotations/instances_test.json")]
        assert all(np.array_equal(mask, world.object_in("car")) for mask in masks) and len(masks) == 2
    make_masks = [f"recipe={tmp_path / 'mine.yaml'}", "until=thing", "results.only=true", "on_empty=skip"]
    shutil.rmtree(tmp_path / "outputs")
    command_line(tmp_path, *make_masks)
    world.output()
    code, printed = world.export("imagefolder")
    assert code == 2 and "with missing files" in printed and "the run folder keeps no picture of it" in printed


@pytest.mark.parametrize(
    "cell, problem",
    [
        (None, "car.png: has no split, but others have: fill the column `split`"),
        ("../up", "car.png: split '../up': a name of letters, digits and _, such as train or test"),
        ("Train", "car.png: split 'Train': others have 'train'; spell it alike"),
    ],
)
def test_splits_that_cannot_be_used_are_refused(cell: str | None, problem: str, world: World) -> None:
    world.edit(lambda line: line["item"].update(split=cell) if line["photo"] == "car.png" else None)
    code, printed = world.export("webdataset", "to=set")
    assert code == 2 and printed.strip().endswith(f"journal.jsonl: {problem}"), printed
    assert not (world.root / "set").exists()


def test_a_photo_in_two_splits_is_refused(world: World) -> None:
    world.edit(lambda line: line.update(digest="0" * 64))
    code, printed = world.export("coco")
    assert code == 2 and "split 'test': the same photo is in 'train', too" in printed


def test_unfinished_runs_and_sweeps_are_refused(world: World) -> None:
    facts = json.loads((world.run / "run.json").read_text())
    (world.run / "run.json").write_text(json.dumps({**facts, "status": "interrupted"}))
    code, printed = world.export("coco")
    assert code == 2 and "run.json: status interrupted: the run has not finished; resume= finishes it" in printed
    sweep = write_sweep(world.run.parent, {}, [{"folder": world.run.name, "values": {}}])
    assert command_line(world.root, "export=coco", "outputs") == 2
    assert world.output() == f"{sweep}: is a sweep; export one of its runs, such as {world.run}\n"


def test_nothing_that_exists_is_overwritten(world: World) -> None:
    (world.root / "set").mkdir()
    (world.root / "set/mine.txt").write_text("mine")
    code, printed = world.export("coco", "to=set")
    assert code == 2 and printed.endswith("set: exists already; to=FOLDER names a new or empty folder\n")
    (world.root / "set/mine.txt").unlink()
    assert world.export("coco", "to=set")[0] == 0
    assert not list(world.root.glob("*.partial"))


@pytest.mark.fault("Run folders", "`export=` is killed or interrupted", "no half-written data set")
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("is_killed", [True, False])
def test_an_export_that_is_stopped_leaves_no_half_folder(
    is_killed: bool, format: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs = 0

    def stop(_: int) -> None:
        nonlocal syncs
        syncs += 1
        if syncs == 2:
            if is_killed:
                os.kill(os.getpid(), signal.SIGKILL)
            raise KeyboardInterrupt

    child = os.fork()
    if child == 0:
        os.fsync = stop
        try:
            world.export(format, "to=set")
        finally:
            os._exit(9)
    os.waitpid(child, 0)
    assert not (world.root / "set").exists()
    assert (world.root / "set.partial").exists() == is_killed
    code, printed = world.export(format, "to=set")
    if is_killed:
        assert code == 4 and "set.partial: exists: another export is writing here, or one was killed" in printed
        shutil.rmtree(world.root / "set.partial")
        assert world.export(format, "to=set")[0] == 0
    else:
        assert code == 0


@pytest.mark.parametrize("place", ["", "inside", "results/inside"])
def test_an_export_into_a_run_folder_is_refused(place: str, world: World) -> None:
    before = sorted(world.run.rglob("*"))
    code, printed = world.export("coco", f"to={world.run / place}")
    assert code == 2 and printed.count("\n") == 1 and sorted(world.run.rglob("*")) == before
    assert (f"inside: is inside the run folder {world.run}" if place else "exists already") in printed


@pytest.mark.parametrize(
    "words, problem",
    [
        (["label=kind"], "label=kind: prompt, or item.COLUMN for a column of the table"),
        (["label=prompt"], "label=prompt: only for objects that were repainted, and these were not"),
        (["object=size"], "object=size: valid: kept, repainted, thing, invert"),
        (["object=thin"], "object=thin: did you mean 'thing'?"),
        (["shard_mb=5"], "shard_mb: only for export=webdataset, not for coco"),
        (["size=5"], "size: cannot be combined with export=, valid: to, label, object, shard_mb"),
        (["other"], "other: give only one run folder"),
    ],
)
def test_words_that_do_not_fit_are_refused_in_one_line(words: list[str], problem: str, world: World) -> None:
    code, printed = world.export("coco", *words)
    assert code == 2 and printed.startswith(f"command line: {problem}") and printed.count("\n") == 1, printed


def test_the_folder_is_a_word_without_a_key(world: World) -> None:
    code, printed = world.export("parquet")
    assert code == 2 and printed == "command line: export=parquet: valid: coco, imagefolder, webdataset\n"
    assert command_line(world.root, "export=coco") == 2
    assert "needs a run folder, as in export=coco RUN_DIR" in world.output()
    assert command_line(world.root, "export=coco", "nowhere") == 2
    assert world.output() == "nowhere: no such file or folder\n"
