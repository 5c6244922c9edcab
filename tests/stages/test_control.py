"""`inpaint: {control: ...}`: where control pictures come from, how they are cut, and what people see of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from darkroom.config.recipe import parse
from darkroom.errors import PhotoError
from darkroom.imaging.control_pictures import canny, line_art
from darkroom.imaging.edit import Edit
from darkroom.stages.inpaint import Inpaint
from support.fake_models import FakeModels, edit_of, stage_models


class Ramp:
    """A depth network that finds the right side nearer."""

    def map(self, image: np.ndarray) -> np.ndarray:
        return np.tile(np.linspace(0, 255, image.shape[1]).astype(np.uint8), (len(image), 1))


def square(height: int = 200, width: int = 300) -> Edit:
    """A white square on black, whose middle is to be repainted."""
    photo = np.zeros((height, width, 3), np.uint8)
    photo[60:140, 110:190] = 255
    mask = np.zeros((height, width), np.uint8)
    mask[50:150, 100:200] = 255
    return Edit(photo, photo, name="square.png").with_mask(mask)


def asked(edit: Edit, **parameters: Any) -> tuple[dict[str, np.ndarray], Edit, FakeModels]:
    """The control pictures that the model gets for the first crop, the edit after, and the models."""
    models = stage_models()
    models.depth = Ramp()
    after = Inpaint(prompt="mars", **parameters).apply(edit, models)
    return {one.name: one.image for one in models.diffusion.calls[0][0].controls}, after, models


def test_outlines_are_drawn_at_the_size_at_which_the_model_works() -> None:
    given, after, models = asked(square(), control={"canny": 0.6, "lineart": 1})
    request = models.diffusion.calls[0][0]
    assert np.array_equal(given["canny"], canny(request.image)) and given["canny"].any()
    assert np.array_equal(given["lineart"], line_art(request.image)) and given["lineart"].any()
    assert [(one.name, one.weight) for one in request.controls] == [("canny", 0.6), ("lineart", 1.0)]
    shown = after.artifacts["control_canny"]
    assert shown.shape == (200, 300) and set(after.artifacts) == {"control_canny", "control_lineart"}
    rows, columns = np.nonzero(shown > 100)  # about the outline of the square, in the photo
    assert abs(rows.min() - 60) < 6 > abs(rows.max() - 140) and abs(columns.min() - 110) < 6 > abs(columns.max() - 190)


def test_line_art_draws_dark_lines_and_edges_white_on_black() -> None:
    picture = np.full((120, 120, 3), 200, np.uint8)
    cv2.line(picture, (10, 30), (110, 30), (20, 20, 20), 2)
    drawn = line_art(picture)
    assert drawn[30, 60] > 200 and drawn[60:].max() == 0 and not line_art(np.full((40, 40, 3), 7, np.uint8)).any()


def test_depth_files_and_masks_are_cut_like_the_crop(tmp_path: Path) -> None:
    edit = square()
    edit = Edit(**{**vars(edit), "masks": {"sketch": (edit.mask > 0).astype(np.uint8) * 255}})
    colours = np.random.default_rng(0).integers(0, 256, (10, 15, 3), np.uint8)
    Image.fromarray(colours).resize((600, 400), Image.Resampling.NEAREST).save(tmp_path / "pose.png")  # twice the photo
    given, after, _ = asked(
        edit,
        control={"depth": 1, "pose": 1, "scribble": 1},
        control_images={"pose": str(tmp_path / "pose.png")},
        control_masks={"scribble": "sketch"},
        crop="photo",
    )
    height, width = given["depth"].shape
    assert np.abs(given["depth"][0].astype(int) - np.linspace(0, 255, width)).max() < 5
    small = np.asarray(Image.fromarray(colours).resize((width, height), Image.Resampling.BILINEAR))
    assert given["pose"].shape == (height, width, 3) and np.abs(given["pose"].astype(int) - small).mean() < 30
    assert given["scribble"][height // 2, width // 2] == 255 and given["scribble"][0, 0] == 0
    shown, sketch = after.artifacts["control_scribble"] > 127, edit.masks["sketch"] > 127
    assert (shown & sketch).sum() > 0.95 * (shown | sketch).sum()


def test_each_region_has_its_own_part(tmp_path: Path) -> None:
    edit = edit_of(300, 900)
    mask = np.zeros((300, 900), np.uint8)
    mask[140:160, 40:60] = mask[140:160, 840:860] = 255
    _, _, models = asked(edit.with_mask(mask), control={"depth": 1}, crop="regions")
    left, right = (request.controls[0].image for request in models.diffusion.calls[0])
    assert left.max() < 60 and right.min() > 195


def test_without_control_nothing_is_asked_for() -> None:
    plain = asked(square())
    for nothing in ({"control": {}}, {"control": {"canny": 0}}):
        given, after, _ = asked(square(), **nothing)
        assert not given and not after.artifacts and np.array_equal(after.image, plain[1].image)


@pytest.mark.parametrize(
    "save, words",
    [
        (lambda path: Image.new("L", (300, 100)).save(path), "is 300 x 100 px, but the photo is 300 x 200 px"),
        (lambda path: path.write_bytes(b"\x89PNG rest"), "the control picture .*depth.png"),
        (lambda path: None, "the control picture .*depth.png"),
    ],
    ids=["proportions", "damaged", "missing"],
)
def test_a_bad_control_picture_costs_its_photo(tmp_path: Path, save, words: str) -> None:
    save(tmp_path / "depth.png")
    with pytest.raises(PhotoError, match=words):
        asked(square(), control={"depth": 1}, control_images={"depth": str(tmp_path / "depth.png")})


@pytest.mark.parametrize(
    "parameters, words",
    [
        ({"control": {"canny": 2.5}}, "the weight of canny should be a number from 0 to 2"),
        ({"control": {"../x": 1}}, "a name has up to 40 letters"),
        ({"control": ["canny"]}, "should be a mapping of names to weights such as"),
        ({"control": {"a": 1}, "control_images": {"a": "x"}, "control_masks": {"a": "b"}}, "both give a picture for a"),
    ],
)
def test_what_is_wrong_is_told(parameters: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Inpaint(prompt="mars", **parameters)


def test_a_list_makes_one_picture_for_each_mapping_and_names_what_it_needs(tmp_path: Path) -> None:
    stages = {
        "sketch": {"op": "mask_file", "alpha": True},
        "all": {"op": "refine"},
        "inpaint": {
            "prompt": "mars",
            "control": [{"canny": 0.5, "depth": 1}, {}, {"lines": 0.2}],
            "control_masks": {"lines": "sketch"},
        },
    }
    recipe = parse({"name": "test", "dataset": {"images": str(tmp_path)}, "stages": stages}, "test")
    assert recipe.models() == ["inpaint", "controls.canny", "controls.depth", "controls.lines", "depth"]
    first, second, third = recipe.stages[-1].variants({})
    assert first.models() == ("inpaint", "controls.canny", "controls.depth", "depth")
    assert second.models() == ("inpaint",) and third.models() == ("inpaint", "controls.lines")
