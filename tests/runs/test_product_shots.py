"""`recipe=product_shots`: products on new ground in a LoRA's style, all of one size."""

from __future__ import annotations

import shutil

import numpy as np

from support.in_process import CliInProcess
from support.runs import ROOT, journal, pixels


def test_products_stay_and_their_surroundings_take_the_style(quick_cli: CliInProcess) -> None:
    (quick_cli.folder / "my").mkdir()
    shutil.copy(ROOT / "examples/car.png", quick_cli.folder / "my")
    words = ("recipe=product_shots", "dataset.images=my", "stages.inpaint.steps=4", "models=miniature")
    done = quick_cli("-m", *words, "stages.inpaint.lora.dusk=0,1")
    assert done.returncode == 0, done.stderr
    (sweep,) = quick_cli.run_folders()
    day, dusk = sorted(each.parent for each in sweep.glob("*/run.json"))
    ground = []
    for run in (day, dusk):
        (line,) = journal(run)
        picture = pixels(run / line["delivered"])
        assert picture.shape == (1200, 1200, 3)
        ground.append(picture[:200].mean())
    assert ground[1] < ground[0] - 20
    first, second = (pixels(next(run.glob("car/*_inpaint.png"))) for run in (day, dusk))
    mask = pixels(next(day.glob("car/*_invert_mask.png")))
    assert np.array_equal(first[mask == 0], second[mask == 0])
