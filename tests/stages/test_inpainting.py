"""Promise 2: whatever is painted, nothing outside the mask changes. And the model gets what it should."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageOps

from darkroom.errors import EmptyMask, PhotoError
from darkroom.imaging.codec import decode_photo
from darkroom.imaging.compositing import inward_ramp, paste, to_working_crop
from darkroom.imaging.crops import Crop, CropPlanner
from darkroom.imaging.edit import Edit
from darkroom.imaging.masks import to_uint8
from darkroom.imaging.png import decode_png, encode_png
from darkroom.models.prompts import Prompt
from darkroom.stages.inpaint import Inpaint
from support.fake_models import edit_of, stage_models
from support.strategies import SIZES, manners, masks


@st.composite
def photo_files(draw: st.DrawFn) -> bytes:
    """A photo of noise as a file: of any mode, turned by any camera."""
    height, width = draw(SIZES)
    mode = draw(st.sampled_from(["RGB", "RGBA", "L", "LA", "P", "1"]))
    channels = 4 if mode.endswith("A") else 3
    noise = np.random.default_rng(height * width).integers(0, 256, (height, width, channels), np.uint8)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = draw(st.integers(1, 8))
    file = BytesIO()
    Image.fromarray(noise).convert(mode).save(file, "PNG", exif=exif)
    return file.getvalue()


@settings(max_examples=500, deadline=None)
@given(st.data(), photo_files(), st.integers(1, 3))
def test_nothing_outside_the_mask_changes_from_file_to_file_in_any_number_of_passes(data, file, passes):
    picture = decode_photo(file)
    edit = Edit(picture.pixels, picture.pixels, alpha=picture.alpha)
    size = picture.pixels.shape[:2]
    touched = np.zeros(size, bool)
    for seed in range(passes):
        edit = edit.with_mask(data.draw(masks(*size)))
        edit = Inpaint(prompt="x", seed=seed, **data.draw(manners())).apply(edit, stage_models())
        touched |= edit.mask > 0
    with Image.open(BytesIO(file)) as image:
        before = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    after = decode_png(encode_png(edit.image, alpha=edit.alpha), "RGB")
    np.testing.assert_array_equal(after[~touched], before[~touched])
    np.testing.assert_array_equal(edit.original, before)  # nobody wrote to it
    assert not edit.repainted[~touched].any()
    assert edit.outside_max_diff() == 0


@settings(max_examples=100, deadline=None)
@given(st.data(), SIZES, st.sampled_from(["mask", "regions", "each", "photo"]))
def test_where_the_mask_is_white_nothing_of_the_old_picture_is_left(data, size, crop):
    mask = data.draw(masks(*size))
    one, other = (Inpaint(prompt="x", crop=crop).apply(edit_of(*size, mask, seed=s), stage_models()) for s in (1, 2))
    np.testing.assert_array_equal(one.image[mask == 255], other.image[mask == 255])


def test_the_model_sees_nothing_of_what_a_soft_edge_blends_out():
    soft = np.zeros((64, 64), np.uint8)
    soft[20:40, 20:40] = 3
    same_size = to_working_crop(edit_of(64, 64).image, soft, CropPlanner((64, 64), 64, 8).photo())
    np.testing.assert_array_equal(same_size.mask, soft > 0)
    np.testing.assert_array_equal(same_size.change_map, soft / np.float32(255))
    for native in (24, 200):  # reduced, enlarged: never smaller than the region itself
        part = to_working_crop(edit_of(64, 64).image, soft, CropPlanner((64, 64), native, 8).photo())
        ys, xs = (
            ((np.arange(20, 40) + 0.5) * native / 64).astype(int),
            slice(20 * native // 64 + 1, 39 * native // 64),
        )
        assert part.mask[ys, xs].all()
        np.testing.assert_array_equal(part.mask, part.change_map > 0)


def test_a_picture_of_the_same_size_comes_back_as_it_is_and_half_grey_is_half_way():
    image, picture = np.full((8, 8, 3), 10, np.uint8), np.full((8, 8, 3), 210, np.uint8)
    alpha = np.repeat(np.array([0, 255, 128, 1], np.uint8), 2)[None].repeat(8, 0)
    result = paste(image, alpha, Crop(0, 0, 8, 8, 8, 8), picture)
    assert result[0, ::2, 0].tolist() == [10, 210, 110, 11]


def test_blend_fades_the_edge_inwards_and_leaves_the_border_of_the_photo_alone():
    alpha = np.zeros((1, 12), np.uint8)
    alpha[0, 4:] = [1, 255, 9, 255, 255, 255, 255, 255]  # whatever its greys
    assert inward_ramp(alpha, 0).tolist() == [[0] * 4 + [255] * 8]
    assert inward_ramp(alpha, 4).tolist() == [[0] * 4 + [51, 102, 153, 204] + [255] * 4]
    edit = Inpaint(prompt="x", blend=4).apply(edit_of(40, 40, np.eye(40).repeat(1, 0)), stage_models())
    assert set(np.unique(edit.repainted)) == {0, 51}


def test_each_region_is_painted_by_itself_with_noise_of_its_own():
    mask = np.zeros((200, 300), np.float32)
    mask[10:30, 10:30] = mask[10:30, 250:270] = mask[150:170, 100:120] = 1
    models, edit = stage_models(native=32), edit_of(200, 300, mask)
    stages = Inpaint(prompt="x", seed=[0, 1], crop="regions").variants()
    together = Inpaint.apply_together(stages, [edit, edit], models)
    (requests,) = models.diffusion.calls
    seeds = [request.seed for request in requests]
    assert len(requests) == len(set(seeds)) == 6 and (seeds[0], seeds[3]) == (0, 1)
    assert len({request.image.tobytes() for request in requests}) == 3
    for one, stage in zip(together, stages, strict=True):
        np.testing.assert_array_equal(one.image, stage.apply(edit, stage_models(native=32)).image)


def test_a_mask_of_one_region_is_painted_the_same_either_way():
    mask = np.zeros((90, 90), np.float32)
    mask[30:50, 20:60] = 1
    one, other = (
        Inpaint(prompt="x", seed=5, crop=c).apply(edit_of(90, 90, mask), stage_models()) for c in ("mask", "regions")
    )
    np.testing.assert_array_equal(one.image, other.image)


def test_greys_reach_the_model_only_if_asked_for_and_do_not_blend_then():
    mask = np.zeros((64, 64), np.float32)
    mask[10:40, 10:40], mask[20:30, 20:30] = 0.4, 1
    models = stage_models()
    hard = Inpaint(prompt="x", crop="photo").apply(edit_of(64, 64, mask), models)
    soft = Inpaint(prompt="x", crop="photo", soft_mask=True).apply(edit_of(64, 64, mask), models)
    (without,), (given,) = models.diffusion.calls
    assert without.change_map is None
    np.testing.assert_allclose(given.change_map, mask, atol=1e-6 + 1 / 510)
    np.testing.assert_array_equal(hard.repainted, to_uint8(mask))
    np.testing.assert_array_equal(soft.repainted, (mask > 0) * np.uint8(255))


def test_the_seam_is_recorded_beside_what_was_there_before():
    mask = np.zeros((40, 40), np.float32)
    mask[10:30, 10:30] = 1
    photo = np.full((40, 40, 3), 100, np.uint8)
    edit = Inpaint(prompt="x").apply(Edit(photo, photo).with_mask(mask), stage_models())
    assert edit.figures["seam_before"] == 0 and edit.figures["seam"] > 20
    whole = Inpaint(prompt="x").apply(edit_of(9, 9, np.ones((9, 9))), stage_models())
    assert dict(whole.figures) == {}  # no edge, no seam


def test_variants_run_as_one_batch_and_equal_single_ones():
    edit, models = edit_of(40, 50, np.eye(40, 50)), stage_models()
    stages = Inpaint(prompt=["a", "b", "a"], seed=[3, 4, 3]).variants()
    assert [(each.prompt, each.seed) for each in stages] == [("a", 3), ("a", 4), ("b", 3), ("b", 4)]
    together = Inpaint.apply_together(stages, [edit] * len(stages), models)
    assert [len(call) for call in models.diffusion.calls] == [4]
    for one, stage in zip(together, stages, strict=True):
        np.testing.assert_array_equal(one.image, stage.apply(edit, models).image)


def test_parameters_reach_the_model():
    models = stage_models(native=128)
    given = {"seed": 2**63 - 1, "steps": 4, "guidance_scale": 2, "strength": 0.5}
    texts = {"negative_prompt": "", "prompt_2": "b", "negative_prompt_2": "c", "prompt_syntax": "compel"}
    stage = Inpaint(prompt=1984, scheduler="euler", resolution=64, crop="photo", **texts, **given)
    stage.apply(edit_of(40, 40, np.ones((40, 40))), models)
    request = models.diffusion.calls[0][0]
    assert request.prompt == Prompt("1984", "", "b", "c", "compel")
    assert request.scheduler == "euler" and request.image.shape == (64, 64, 3)
    assert {name: getattr(request, name) for name in given} == given


@pytest.mark.parametrize("mask", [np.zeros((9, 9)), np.full((9, 9), 0.001)])
def test_an_empty_mask_is_never_a_full_repaint(mask):
    with pytest.raises(EmptyMask, match="nothing to repaint"):
        Inpaint(prompt="x").apply(edit_of(9, 9, mask), stage_models())


def test_a_part_too_narrow_is_refused_with_its_size():
    with pytest.raises(PhotoError, match="1 x 5000 px, more than 8 times as long as wide"):
        Inpaint(prompt="x").apply(edit_of(5000, 1, np.ones((5000, 1))), stage_models())


def test_a_mask_stage_must_come_first():
    with pytest.raises(PhotoError, match="there is no mask yet"):
        Inpaint(prompt="x").apply(edit_of(9, 9), stage_models())
