"""A newcomer's own photo: `recipe=photo_on_mars`, without a click and without a download."""

from __future__ import annotations

import shutil

import numpy as np

from miniature.examples import EXAMPLES
from support.runs import ROOT, Cli, journal, pixels


def test_the_subject_of_a_photo_is_kept_and_the_rest_repainted(cli: Cli) -> None:
    shutil.copy(ROOT / "examples/horse.png", cli.folder / "my.png")
    done = cli("recipe=photo_on_mars", "dataset.images=my.png", "stages.inpaint.steps=4", "models=miniature")
    assert done.returncode == 0, done.stderr
    assert "; subject=u2netp" in done.stdout, "run: make weights"
    folder = cli.run_folder()
    (line,) = journal(folder)
    photo, result = pixels(cli.folder / "my.png")[..., :3].astype(int), pixels(folder / line["result"]).astype(int)
    changed = (photo != result).any(axis=2)
    horse = EXAMPLES["horse.png"].main().mask > 0.5
    assert changed[horse].mean() < 0.1 and changed[~horse].mean() > 0.9
    assert line["outside_max_diff"] == 0
    assert np.abs(photo - result)[~horse].mean() > 10
