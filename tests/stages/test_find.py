"""`find`: two objects of one kind are told apart, chosen, numbered, repainted one by one and exported."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from darkroom.errors import Stopped
from darkroom.imaging.crops import CropPlanner, numbered_regions
from darkroom.imaging.edit import Edit
from darkroom.models.interfaces import Instances
from darkroom.stages.find import Find
from darkroom.stages.inpaint import Inpaint, region_seed
from darkroom.stages.refine import Refine
from miniature.evaluate import iou, miniatures
from miniature.examples import Example
from support.fake_models import stage_models
from support.in_process import CliInProcess
from support.runs import journal
from support.tiny_finders import write_yolos

DOGS = Example(7, (768, 512), "meadow", (("dog", "brown"), ("dog", "black")), "").scene()
TRUTH = [thing.mask for thing in DOGS.objects]


def test_the_miniature_finds_both_dogs_and_no_car() -> None:
    models = miniatures()
    edit = Edit(DOGS.image, DOGS.image)
    both = Find(phrase="a dog").apply(edit, models)
    assert iou(both.mask > 0, TRUTH[0] | TRUTH[1]) > 0.9 and both.figures["instances"] == 2
    assert both.confidence and both.confidence > 0.5
    greys = both.artifacts["instances"]
    assert np.unique(greys).tolist() == [0, 128, 255]
    found = [greys == 255, greys == 128]
    assert max(iou(found[0], mask) for mask in TRUTH) > 0.85 and max(iou(found[1], mask) for mask in TRUTH) > 0.85
    first, second = (Find(phrase="a dog", index=number).apply(edit, models).mask > 0 for number in (1, 2))
    assert np.array_equal(first, found[0]) and np.array_equal(second | first, both.mask > 0)
    largest = Find(phrase="a dog", choose="largest").apply(edit, models).mask
    assert (largest > 0).sum() == max(first.sum(), second.sum())
    assert not Find(phrase="a car").apply(edit, models).mask.any()


def test_each_object_gets_its_own_repaint_and_nothing_else_changes() -> None:
    """`find` and `crop: each`, as in recipes/detail_each.yaml: every repaint is the one that its object gets alone."""
    models, edit = miniatures(), Edit(DOGS.image, DOGS.image)
    found = Refine(grow=2, feather=3).apply(Find(phrase="a dog", min_score=0.3, at_most=5).apply(edit, models), models)
    numbers = numbered_regions(found.mask)
    assert numbers.max() == 2 and len(CropPlanner(numbers.shape, 256, 8, 3).plan("regions", found.mask)) == 1
    paint = {"prompt": "a photo of a white dog", "steps": 6, "strength": 0.5, "crop": "each", "context": 3}
    after = Inpaint(seed=7, **paint).apply(found, models)
    expected = DOGS.image
    for region in (1, 2):
        alone = found.with_mask(np.where(numbers == region, found.mask, 0))
        painted = Inpaint(seed=region_seed(7, region - 1), **paint).apply(alone, models).image
        assert (painted != DOGS.image).any(axis=2)[alone.mask == 255].mean() > 0.5
        expected = np.where((numbers == region)[..., None], painted, expected)
    assert np.array_equal(after.image, expected) and after.outside_max_diff() == 0
    assert np.array_equal(after.image[found.mask == 0], DOGS.image[found.mask == 0])


def test_the_recipe_detail_each_repaints_each_object(quick_cli: CliInProcess) -> None:
    Image.fromarray(DOGS.image).save(quick_cli.folder / "dogs.png")
    words = ("dataset.images=dogs.png", "stages.inpaint.steps=3", "stages.find.at_most=1", "outputs=done")
    assert quick_cli("recipe=detail_each", *words).returncode == 0
    (run,) = (path.parent for path in (quick_cli.folder / "done").glob("*/journal.jsonl"))
    (line,) = journal(run)
    assert line["status"] == "done" and line["outside_max_diff"] == 0
    assert [step["figures"]["instances"] for step in line["steps"] if "instances" in step.get("figures", {})] == [1]


def three(image: np.ndarray, phrases: tuple[str, ...]) -> Instances:
    """Three stripes; the last is the widest, and the first is the surest."""
    columns = np.arange(image.shape[1])[None].repeat(image.shape[0], axis=0)
    edges = ((0, 2), (4, 6), (10, 20))
    scores, areas = np.array([0.9, 0.8, 0.4], np.float32), np.array([0.1, 0.1, 0.4], np.float32)
    return Instances(scores, areas, 0.5, lambda number: (columns >= edges[number][0]) & (columns < edges[number][1]))


@pytest.mark.parametrize(
    ("given", "columns"),
    [
        ({}, [0, 1, 4, 5]),
        ({"min_score": 0}, [0, 1, 4, 5, *range(10, 20)]),
        ({"choose": "best"}, [0, 1]),
        ({"choose": "largest", "min_score": 0}, [*range(10, 20)]),
        ({"index": 2}, [4, 5]),
        ({"at_most": 1}, [0, 1]),
        ({"min_score": 0, "area": [0.2, 1]}, [*range(10, 20)]),
        ({"min_score": 0, "area": [0, 0.2], "at_most": 2}, [0, 1, 4, 5]),
        ({"area": [0.2, 1]}, []),
    ],
)
def test_choices(given: dict, columns: list[int]) -> None:
    models, photo = stage_models(), np.zeros((5, 30, 3), np.uint8)
    models.find = three
    mask = Find(phrase="x", **given).apply(Edit(photo, photo), models).mask
    assert np.flatnonzero(mask.any(axis=0)).tolist() == columns
    with pytest.raises(Stopped, match="no object number 3: 2 found") as stopped:
        Find(phrase="x", index=3).apply(Edit(photo, photo), models)
    assert stopped.value.policy == "skip"


def test_a_detector_without_the_class_is_refused_before_the_run(tmp_path: Path, quick_cli: CliInProcess) -> None:
    folder = write_yolos(tmp_path / "detector")
    Image.fromarray(DOGS.image).save(quick_cli.folder / "dogs.png")
    (quick_cli.folder / "mine.yaml").write_text(
        RECIPE.replace("photos", "dogs.png").replace("a dog", "[a face, a fool]")
    )
    refused = quick_cli("recipe=mine.yaml", f"models.find={folder}", "models.sam=miniature", "outputs=none")
    assert refused.returncode == 2 and not (quick_cli.folder / "none").exists()
    problem = f"models.find={folder} knows no class 'a fool'; valid: face, hand, left foot"
    assert f"mine.yaml: stages.find.phrase: {problem}" in refused.stderr


RECIPE = """
dataset: {images: photos}
stages:
  find: {phrase: a dog, index: {count: 3}}
  erase:
"""


def test_each_object_becomes_a_picture_and_coco_has_them_all(tmp_path: Path, quick_cli: CliInProcess) -> None:
    folder = quick_cli.folder
    (folder / "photos").mkdir()
    Image.fromarray(DOGS.image).save(folder / "photos/dogs.png")
    (folder / "mine.yaml").write_text(RECIPE)
    assert quick_cli("recipe=mine.yaml", "outputs=each").returncode == 0
    (run,) = (path.parent for path in (folder / "each").glob("*/journal.jsonl"))
    lines = journal(run)
    assert [line["status"] for line in lines] == ["done", "done", "skipped"]
    assert [Path(line["delivered"]).name for line in lines[:2]] == ["dogs.index1.png", "dogs.index2.png"]
    (folder / "mine.yaml").write_text(RECIPE.replace(", index: {count: 3}", "").replace("erase", "invert"))
    assert quick_cli("recipe=mine.yaml", "+stages.background={colour: white}", "outputs=all").returncode == 0
    (run,) = (path.parent for path in (folder / "all").glob("*/journal.jsonl"))
    assert quick_cli("export=coco", str(run), "to=set").returncode == 0
    (page,) = (folder / "set").glob("annotations/*.json")
    annotations = json.loads(page.read_text())["annotations"]
    boxes = sorted(annotation["bbox"] for annotation in annotations)
    assert len(boxes) == 2 and len({annotation["id"] for annotation in annotations}) == 2
    for box, mask in zip(boxes, sorted(TRUTH, key=lambda mask: np.flatnonzero(mask.any(axis=0))[0]), strict=True):
        columns = np.flatnonzero(mask.any(axis=0))
        assert abs(box[0] - columns[0]) < 15 and abs(box[0] + box[2] - columns[-1]) < 15
