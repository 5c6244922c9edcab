"""Every op, as docs/ops.md shows it in a picture, through the whole command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from darkroom.record import read_journal
from miniature.examples import EXAMPLES
from miniature.pictures import DOGS, SHOWN
from miniature.text_to_image import write_text_to_image
from support.in_process import command_line

EXAMPLES_FOLDER = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("op", SHOWN)
def test_an_op_runs_and_its_result_can_be_made_again(op: str, tmp_path: Path) -> None:
    name, text = SHOWN[op]
    photo = next(EXAMPLES_FOLDER.rglob(name), tmp_path / name)
    if photo.parent == tmp_path:
        Image.fromarray(DOGS.scene().image).save(photo)
    if "TRUTH" in text:
        Image.fromarray(EXAMPLES[name].main().mask).save(tmp_path / name)
        text = text.replace("TRUTH", str(tmp_path))
    stages = yaml.safe_load(text)
    for stage in stages.values():
        stage |= {"steps": 4} if "prompt" in stage else {}
    (tmp_path / "shown.yaml").write_text(
        yaml.safe_dump({"dataset": {"images": str(photo)}, "stages": stages}, sort_keys=False)
    )
    words = ["models=miniature"]
    if op == "diffedit_repaint":
        words += [f"models.inpaint={write_text_to_image(tmp_path / 'weights')}"]
    assert command_line(tmp_path, "recipe=shown.yaml", *words, f"outputs={tmp_path / 'outputs'}") == 0
    (run,) = (tmp_path / "outputs").glob("*_shown")
    (line,) = read_journal(run)
    assert line["status"] == "done" and line["outside_max_diff"] == 0 and not line["flags"]
    (delivered,) = (run / "results").iterdir()
    with Image.open(delivered) as picture:
        assert ("Steps: 4" in picture.info.get("parameters", "")) == ("prompt" in str(stages))
        assert np.ptp(np.asarray(picture)) > 0
    assert command_line(tmp_path, f"reproduce={run}") == 0
