"""`find`: two objects of one kind are told apart, chosen, numbered, repainted one by one and exported."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from darkroom.errors import Stopped
from darkroom.imaging.edit import Edit
from darkroom.models.interfaces import Instances
from darkroom.stages.find import Find
from miniature.evaluate import iou, miniatures
from miniature.examples import Example
from support.fake_models import stage_models
from support.in_process import CliInProcess
from support.runs import journal

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
