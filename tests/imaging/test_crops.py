"""What of a photo the model sees: inside the photo, all of the mask, undistorted, at a size it was trained on."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darkroom.errors import PhotoError
from darkroom.imaging.compositing import to_working_crop
from darkroom.imaging.crops import LARGEST_ASPECT, Crop, CropPlanner, numbered_regions, of_region, shapes

# Height and width of Podell et al., SDXL, 2023 (arXiv 2307.01952), appendix I, one way round.
SDXL = """512 2048, 512 1984, 512 1920, 512 1856, 576 1792, 576 1728, 576 1664, 640 1600, 640 1536, 704 1472, 704 1408,
704 1344, 768 1344, 768 1280, 832 1216, 832 1152, 896 1152, 896 1088, 960 1088, 960 1024, 1024 1024"""

sides = st.integers(9, 810)
natives = st.sampled_from([64, 128, 512, 1024])


def in_shape(sizes: list[tuple[int, int]], crop: Crop) -> bool:
    return (crop.height, crop.width) in sizes


def known(native: int) -> list[tuple[int, int]]:
    return [tuple(size) for size in shapes(native, 8).tolist()]


def test_the_shapes_are_those_that_sdxl_was_trained_on():
    published = {tuple(map(int, size.split())) for size in SDXL.split(",")}
    assert set(known(1024)) == published | {size[::-1] for size in published}


@given(st.integers(8, 4096), st.sampled_from([8, 16]))
def test_every_model_has_shapes_of_its_own_area_and_the_square_among_them(native, multiple):
    sizes = shapes(native, multiple)
    assert (sizes % multiple == 0).all()
    assert (sizes[:, 0] == sizes[:, 1]).any()
    assert sizes[:, 0].max() <= 4 * sizes[:, 1].min() + multiple
    assert np.ptp(sizes.prod(axis=1)) <= 0.1 * sizes.prod(axis=1).max()


@settings(max_examples=400, deadline=None)
@given(st.data(), sides, sides, st.floats(1, 5), natives)
def test_a_crop_lies_inside_holds_the_mask_and_distorts_nothing(data, height, width, context, native):
    y0, x0 = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    y1, x1 = data.draw(st.integers(y0 + 1, height)), data.draw(st.integers(x0 + 1, width))
    alpha = np.zeros((height, width), np.uint8)
    alpha[y0:y1, x0:x1] = 1
    try:
        (crop,) = CropPlanner(alpha.shape, native, 8, context).plan("mask", alpha)
    except PhotoError:
        assert max(y1 - y0, x1 - x0) * context > LARGEST_ASPECT * min(height, width) * 0.99
        return
    assert 0 <= crop.x0 <= x0 < x1 <= crop.x1 <= width
    assert 0 <= crop.y0 <= y0 < y1 <= crop.y1 <= height
    rows, columns = crop.y1 - crop.y0, crop.x1 - crop.x0
    assert columns >= min(width, (x1 - x0) * context) or columns == width or rows == height
    assert rows >= min(height, (y1 - y0) * context) or rows == height or columns == width
    # A square stays one: but for the half pixel by which a side of the crop is rounded, where its shape is a known one,
    # else for the half multiple by which sides of the working picture are.
    scale = native / (columns * rows) ** 0.5
    by_the_model = abs(crop.width - columns * scale) <= 4 and abs(crop.height - rows * scale) <= 4
    off = abs(rows - crop.height * columns / crop.width), abs(columns - crop.width * rows / crop.height)
    assert by_the_model or (in_shape(known(native), crop) and min(off) <= 0.5 + 1e-6)
    assert crop.width % 8 == crop.height % 8 == 0


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.02, 0.3), st.floats(1, 3))
def test_with_room_the_shape_is_known_and_off_by_less_than_a_percent(seed, side, context):
    """Things of up to 30 % of the sides of an ordinary photo, anywhere in it."""
    rng = np.random.default_rng(seed)
    alpha = np.zeros((900, 1200), np.uint8)
    height, width = (np.array([900, 1200]) * side * rng.uniform(0.5, 1, 2)).astype(int)
    y0, x0 = rng.integers(900 - height), rng.integers(1200 - width)
    alpha[y0 : y0 + height, x0 : x0 + width] = 255
    (crop,) = CropPlanner(alpha.shape, 1024, 8, context).plan("mask", alpha)
    assert in_shape(known(1024), crop)
    assert abs((crop.x1 - crop.x0) / (crop.y1 - crop.y0) / (crop.width / crop.height) - 1) < 0.01


def test_a_circle_stays_a_circle():
    rows, columns = np.ogrid[:700, :1000]
    disc = np.hypot(rows - 300, columns - 480) <= 40
    image = np.repeat(np.where(disc, 255, 0).astype(np.uint8)[..., None], 3, axis=2)
    alpha = np.zeros((700, 1000), np.uint8)
    alpha[250:350, 300:660] = 255
    (crop,) = CropPlanner(alpha.shape, 1024, 8, 1.5).plan("mask", alpha)
    seen = to_working_crop(image, alpha, crop).image[..., 0] > 127
    ys, xs = np.nonzero(seen)
    assert abs(np.ptp(xs) - np.ptp(ys)) <= 2 and np.ptp(xs) > 140


def test_a_mask_in_the_middle_is_in_the_middle_of_its_crop():
    alpha = np.zeros((1000, 1500), np.uint8)
    alpha[400:600, 600:900] = 255
    (crop,) = CropPlanner(alpha.shape, 1024, 8, 2.0).plan("mask", alpha)
    assert (crop.width, crop.height) == (1216, 832)  # nearest to 3 : 2
    assert crop.slices == np.s_[294:705, 450:1050]


def test_small_things_are_not_enlarged_more_than_four_times():
    alpha = np.zeros((1000, 1000), np.uint8)
    alpha[500, 500] = 255
    (crop,) = CropPlanner(alpha.shape, 1024, 8, 1.5).plan("mask", alpha)
    assert (crop.x1 - crop.x0, crop.width) == (256, 1024)


def test_where_the_photo_has_no_room_the_shape_comes_before_the_last_of_the_context():
    alpha = np.zeros((512, 768), np.uint8)
    alpha[40:470, 60:700] = 255  # with its context as wide as high as the photo, which has no shape of SDXL
    (crop,) = CropPlanner(alpha.shape, 1024, 8, 1.5).plan("mask", alpha)
    assert (crop.width, crop.height, crop.y1 - crop.y0) == (1216, 832, 512)
    assert CropPlanner(alpha.shape, 1024, 8, 1.5).photo() == Crop(0, 0, 768, 512, 1256, 840)  # exactly 3 : 2


def spots(*boxes: tuple[int, int, int, int], size: tuple[int, int] = (800, 1200)) -> np.ndarray:
    alpha = np.zeros(size, np.uint8)
    for y0, x0, y1, x1 in boxes:
        alpha[y0:y1, x0:x1] = 255
    return alpha


def test_regions_far_apart_have_crops_of_their_own_from_top_to_bottom():
    alpha = spots((600, 100, 700, 200), (50, 900, 150, 1000))
    first, second = CropPlanner(alpha.shape, 256, 8, 1.5).plan("regions", alpha)
    assert first.slices == np.s_[25:175, 875:1025] and second.slices == np.s_[575:725, 75:225]
    assert (first.width, first.height) == (second.width, second.height) == (256, 256)


def test_regions_that_would_show_in_each_others_crops_share_one():
    apart, shared = spots((300, 300, 400, 400), (300, 480, 400, 580)), spots((300, 300, 400, 400), (300, 420, 400, 520))
    planner = CropPlanner(apart.shape, 256, 8, 1.5)
    assert len(planner.plan("regions", apart)) == 2
    assert planner.plan("regions", shared) == planner.plan("mask", shared)
    touching_at_a_corner = spots((300, 300, 400, 400), (400, 400, 500, 500))
    assert planner.plan("regions", touching_at_a_corner) == planner.plan("mask", touching_at_a_corner)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40), st.floats(1, 3))
def test_each_white_pixel_is_in_one_crop_with_all_of_its_region(seed, count, context):
    rng = np.random.default_rng(seed)
    alpha = np.zeros((300, 400), np.uint8)
    for _ in range(count):
        y, x = rng.integers(300), rng.integers(400)
        alpha[y : y + rng.integers(1, 40), x : x + rng.integers(1, 40)] = rng.integers(1, 256)
    times = np.zeros(alpha.shape, int)
    for crop in CropPlanner(alpha.shape, 64, 8, context).plan("regions", alpha):
        times[crop.slices] += alpha[crop.slices] > 0
    np.testing.assert_array_equal(times, alpha > 0)


def test_crops_of_all_shapes_have_few_sizes_and_share_batches():
    """Of 1000 such crops there are 17 sizes; with sides free to a multiple of 8 there would be 127."""
    rng = np.random.default_rng(0)
    sizes = []
    for _ in range(200):
        height, width = rng.integers(30, 300, 2)
        y0, x0 = rng.integers(900 - height), rng.integers(1200 - width)
        alpha = spots((y0, x0, y0 + height, x0 + width), size=(900, 1200))
        (crop,) = CropPlanner(alpha.shape, 1024, 8, 1.5).plan("mask", alpha)
        sizes.append((crop.height, crop.width))
    assert len(set(sizes)) <= 20


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([1.0, 1.5, 4.0]))
def test_each_region_has_a_crop_that_repaints_it_alone(seed, context):
    rng = np.random.default_rng(seed)
    alpha = rng.integers(1, 256, (90, 120), np.uint8) * (cv2.blur(rng.random((90, 120)), (9, 9)) > 0.52)
    alpha[4, 5] = 255
    numbers = numbered_regions(alpha)
    crops = CropPlanner(alpha.shape, 64, 8, context).plan("each", alpha)
    assert [crop.region for crop in crops] == list(range(1, numbers.max() + 1))
    parts = [of_region(crop, numbers, alpha) for crop in crops]
    assert np.array_equal(sum(part.astype(int) for part in parts), alpha)
    for crop, part in zip(crops, parts, strict=True):
        assert part.any() and not part.sum() - part[crop.slices].sum()
        assert cv2.connectedComponents((part > 0).astype(np.uint8), connectivity=8)[0] == 2


def test_a_mask_of_noise_is_refused_as_regions_and_told_what_to_do():
    alpha = np.zeros((200, 200), np.uint8)
    alpha[::3, ::3] = 255
    for mode in ("regions", "each"):
        with pytest.raises(PhotoError, match=r"has 4489 regions, more than 1000: .*`crop: mask`"):
            CropPlanner(alpha.shape, 64, 8, 1.5).plan(mode, alpha)
