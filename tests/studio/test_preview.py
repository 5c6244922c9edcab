"""Masks to look at are the masks of a run; those of large photos come quickly from a reduced copy."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from darkroom.errors import PhotoError
from darkroom.studio import draft as changes
from darkroom.studio.clicks import Clicks
from darkroom.studio.studio import NoClicks, Studio
from studio.test_drafts import click, set_value, studio
from support.in_process import CliInProcess
from support.runs import CAR, journal


def result_of(made: Studio, future: Future[Any]) -> Any:
    made.worker.run_urgent()
    while not future.done():
        task = made.worker._next(least=3, wait=False)
        assert task is not None
        task.future.set_result(task.work())
    return future.result()


def look(
    made: Studio, until: str, exact: bool = True, width: int = 4096, index: int = 0
) -> tuple[np.ndarray, dict[str, Any]]:
    """The mask as the page gets it, (h, w) uint8, and its figures."""
    future = made.mask(index, until, exact, None, width, "tab")
    data, figures = result_of(made, future)
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE), figures


def test_the_mask_is_the_one_of_a_run(quick_cli: CliInProcess) -> None:
    with studio(quick_cli.folder, "recipe=car_on_mars") as made:
        click(made, 0, "car", Clicks(points=((331, 350),), negative=((100, 100),)))
        set_value(made, "refine", "feather", 9)
        shown = {stage: look(made, stage)[0] for stage in ("car", "refine", "invert", "inpaint")}
        figures = look(made, "refine")[1]
        recipe = made.draft.files.recipe
    assert quick_cli(f"recipe={recipe}", "until=invert", "models=miniature").returncode == 0
    run = next(path for path in quick_cli.run_folders() if path.name != "studio")
    (line,) = journal(run)
    for stage, step in zip(("car", "refine", "invert"), line["steps"][1:], strict=True):
        assert np.array_equal(shown[stage], np.asarray(Image.open(run / step["mask"]))), stage
    assert np.array_equal(shown["inpaint"], shown["invert"]), "a repaint shows the mask that it gets"
    assert figures["exact"] and figures["coverage"] == pytest.approx(shown["refine"].mean() / 255, abs=1e-3)


def test_a_large_photo_gets_its_mask_from_a_reduced_copy_first(tmp_path: Path) -> None:
    large = cv2.resize(np.asarray(Image.open(CAR).convert("RGB")), (3072, 2048), interpolation=cv2.INTER_CUBIC)
    Image.fromarray(large).save(tmp_path / "large.png")
    with studio(tmp_path, "recipe=car_on_mars", "dataset.images=large.png", "stages.car.points=[]") as made:
        click(made, 0, "car", Clicks(points=((1320, 1440),)))
        set_value(made, "refine", "grow", 40)
        (quick, of_quick), (exact, of_exact) = look(made, "refine", exact=False), look(made, "refine")
        assert not of_quick["exact"] and of_exact["exact"]
        assert quick.shape == (683, 1024) and exact.shape == (2048, 3072)
        reduced = cv2.resize(exact, (1024, 683), interpolation=cv2.INTER_AREA)
        both, either = ((quick > 127) & (reduced > 127)).sum(), ((quick > 127) | (reduced > 127)).sum()
        assert both / either > 0.97


def test_what_cannot_be_shown_says_why(tmp_path: Path) -> None:
    with studio(tmp_path, "recipe=car_on_mars", "stages.car.points=[]") as made:
        with pytest.raises(NoClicks, match="click on the photo to tell `car`"):
            look(made, "refine")
        click(made, 0, "car", Clicks(points=((9000, 10),)))
        with pytest.raises(PhotoError, match="lies outside the photo"):
            look(made, "car")
        click(made, 0, "car", Clicks(points=((330, 360),)))
        made.change(made.draft.state.revision, lambda state: changes.with_stage(state, "gate", "invert"))
        with pytest.raises(PhotoError, match="gate needs a bound"):
            look(made, "gate")
        set_value(made, "gate", "coverage", [0.5, 0.9])
        assert "at least 50 % is required" in look(made, "gate")[1]["flag"]


def test_clicks_after_a_repaint_wait_for_its_picture(tmp_path: Path) -> None:
    with studio(tmp_path, "recipe=car_on_mars", "stages.inpaint.seed=1", "stages.inpaint.steps=2") as made:
        made.change(0, lambda state: changes.with_stage(state, "sam", None))
        click(made, 0, "sam", Clicks(points=((330, 360),)))
        with pytest.raises(PhotoError, match="paint first"):
            look(made, "sam")
        made.change(made.draft.state.revision, lambda state: changes.without_stage(state, "sam"))
        made.paint(0)
        made.worker.submit(made.worker.stop, 3)
        made.worker.run()
        assert made.job()["status"] == "done", made.job()
        (result,) = made.results(0)
        assert result["current"] and result["seed"] == 1 and made.list_photos(0, 1)[0]["state"] == "painted"
    with studio(tmp_path, "recipe=car_on_mars") as made:
        assert made.list_photos(0, 1)[0]["state"] == "painted", "states are remembered"
        made.change(0, lambda state: changes.with_stage(state, "sam", None))
        click(made, 0, "sam", Clicks(points=((330, 360),)))
        mask, _ = look(made, "sam")
        assert 0.05 < (mask > 127).mean() < 0.3, "the car, which was kept, is found in the new picture"
        assert made.list_photos(0, 1)[0]["state"] == "masked", "the picture is older than the clicks"
        assert not made.results(0)[0]["current"], "the recipe has one stage more now"
