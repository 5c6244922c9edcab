"""What the models are asked to do while they learn."""

import json
from dataclasses import replace

import numpy as np
import pytest

from miniature.training.export import export_log
from miniature.training.masks import CLOSEUPS, around, box_of, closeup, over_another
from miniature.training.sam import SamCrowdTask, SamTask
from miniature.training.scenes import Sample, render


def corner() -> np.ndarray:
    mask = np.zeros((60, 80), bool)
    mask[40:, 50:] = True
    return mask


def test_boxes_hold_the_mask_and_no_more_than_was_asked():
    rng = np.random.default_rng(0)
    for _ in range(50):
        rows, columns = box_of(around(corner(), rng, np.array([20, 5])))
        assert (rows.stop, columns.stop) == (60, 80)
        assert 35 <= rows.start <= 40 and 30 <= columns.start <= 50


def test_the_outline_of_another_thing_tells_no_longer_what_is_asked_for():
    rng, mask, shapes = np.random.default_rng(0), corner(), set()
    for _ in range(20):
        both = over_another(mask, rng)
        assert both[mask].all() and not both[:32].any() and not both[:, :42].any()
        shapes.add(both.tobytes())
    assert len(shapes) > 10


def test_closeups_show_all_that_is_to_be_repainted():
    rng, kinds = np.random.default_rng(0), []
    for seed in range(30):
        sample = render(seed, (256, 256))
        found = closeup(sample, rng)
        if found is None:
            continue
        part, task = found
        assert part.image.shape[1::-1] in CLOSEUPS and part.image.shape[:2] == part.labels.shape == task.mask.shape
        (chosen,) = task.shown
        thing = part.mask(chosen)
        assert (thing & task.mask).sum() > 0.9 * thing.sum() > 0
        kinds.append(sample.things[chosen][0])
    assert len(set(kinds)) > 5


def meeting(gap: int) -> Sample:
    """Two things so many pixels apart, one far from both, and one at the second, too small to be asked about."""
    labels = np.zeros((100, 120), np.uint8)
    labels[20:60, 10:40] = 1
    labels[20:60, 40 + gap : 70 + gap] = 2
    labels[90:, 100:] = 3
    labels[60:66, 55:61] = 4
    return Sample(np.zeros((100, 120, 3), np.uint8), labels, "street", "day", (("car", "red"),) * 4)


@pytest.mark.parametrize(("gap", "pairs"), [(0, [(0, 1)]), (2, [(0, 1)]), (3, []), (6, [])])
def test_things_that_touch_are_found(gap, pairs):
    sample = meeting(gap)
    turned = replace(sample, labels=sample.labels.T)
    assert sample.touching() == sample.mirrored().touching() == turned.touching() == pairs


def test_a_first_pass_may_take_two_things_that_touch_for_one():
    rng, sample = np.random.default_rng(0), meeting(1)
    task = SamCrowdTask(None, SamTask(None).net)
    passes = [task._first_pass(sample, sample.mask(0), rng) for _ in range(200)]
    both = [np.array_equal(found, sample.mask(0) | sample.mask(1)) for found in passes]
    assert 0.2 < np.mean(both) < 0.4
    assert all(two or np.array_equal(found, sample.mask(0)) for two, found in zip(both, passes, strict=True))
    assert all(np.array_equal(task._first_pass(sample, sample.mask(2), rng), sample.mask(2)) for _ in range(20))


def test_the_log_is_replaced_for_what_was_trained_anew_alone(tmp_path):
    def lines(model: str, loss: float) -> str:
        return json.dumps({"model": model, "step": 50, "loss": loss}) + "\n"

    (tmp_path / "training_log.jsonl").write_text(lines("sam", 1) + lines("unet", 2))
    (tmp_path / "unet.jsonl").write_text(lines("unet", 3))
    export_log(tmp_path, ["unet"], tmp_path)
    assert (tmp_path / "training_log.jsonl").read_text() == lines("sam", 1) + lines("unet", 3)
