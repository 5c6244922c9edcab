"""`background`: the asked colours come out, the subject does not bleed into them, and nothing else changes."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from darkroom.errors import EmptyMask, PhotoError
from darkroom.imaging.backdrops import cover, gradient
from darkroom.imaging.dithering import dithered
from darkroom.imaging.edit import Edit
from darkroom.imaging.layers import Layers, in_band
from darkroom.stages.background import Background
from support.fake_models import edit_of, stage_models
from support.photo_files import saved, swapped_profile

MODELS = stage_models()
RED, GREY = np.array([210, 30, 20]), np.array([128, 128, 128])


def soft_disc(height: int, width: int, radius: float, soft: float) -> np.ndarray:
    """White but for a disc in the middle, with a soft edge; (H, W) uint8."""
    rows, columns = np.ogrid[:height, :width]
    distance = np.hypot(rows - height / 2, columns - width / 2)
    return np.rint(np.clip((distance - radius) / soft + 0.5, 0, 1) * 255).astype(np.uint8)


def red_disc_on_grey(soft: float, height: int = 120, width: int = 160) -> tuple[np.ndarray, np.ndarray]:
    """The photo, and the true mask of its grey background."""
    mask = soft_disc(height, width, 30, soft)
    share = mask[..., None] / 255
    return np.rint(share * GREY + (1 - share) * RED).astype(np.uint8), mask


def test_white_is_replaced_black_stays_and_greys_blend():
    edit = edit_of(60, 80, soft_disc(60, 80, 20, 8))
    after = Background(colour="#0080ff").apply(edit, MODELS)
    np.testing.assert_array_equal(after.image[edit.mask == 255], np.tile([0, 128, 255], ((edit.mask == 255).sum(), 1)))
    np.testing.assert_array_equal(after.image[edit.mask == 0], edit.image[edit.mask == 0])
    share = edit.mask[..., None] / 255
    np.testing.assert_allclose(after.image, edit.image * (1 - share) + np.array([0, 128, 255]) * share, atol=0.51)
    np.testing.assert_array_equal(after.repainted, edit.mask)
    assert after.mask is edit.mask and after.outside_max_diff() == 0


def test_with_layers_the_edge_is_the_subject_over_the_new_background_without_a_trace_of_the_old():
    photo, mask = red_disc_on_grey(soft=12)
    band = ((mask > 0) & (mask < 255))[..., None]
    grey, red = (np.broadcast_to(colour.astype(np.uint8), photo.shape) for colour in (GREY, RED))
    edit = Edit(photo, photo).with_mask(mask, layers=Layers(in_band(grey, mask), in_band(red, mask)))
    after = Background(colour="white").apply(edit, MODELS)
    share = mask[..., None] / 255
    np.testing.assert_allclose(
        after.image, np.where(band | (mask[..., None] > 0), share * 255 + (1 - share) * RED, photo), atol=0.51
    )
    np.testing.assert_array_equal(after.layers.inside, np.where(band, 255, 0) * np.ones(3, int))
    np.testing.assert_array_equal(after.layers.outside, edit.layers.outside)


def test_without_layers_the_new_ones_explain_the_picture():
    edit = edit_of(60, 80, soft_disc(60, 80, 20, 8))
    after = Background(gradient=["white", "black"]).apply(edit, MODELS)
    band, share = (edit.mask > 0) & (edit.mask < 255), edit.mask[..., None] / 255
    mixed = share * after.layers.inside + (1 - share) * after.layers.outside
    np.testing.assert_allclose(after.image[band], mixed[band], atol=0.51)
    assert not after.layers.inside[~band].any() and not after.layers.outside[~band].any()


@pytest.mark.parametrize(
    ("angle", "first", "last"),
    [
        (180, (0, 40), (59, 40)),
        (0, (59, 40), (0, 40)),
        (90, (30, 0), (30, 79)),
        (270, (30, 79), (30, 0)),
        (135, (0, 0), (59, 79)),
    ],
)
def test_a_gradient_runs_from_its_first_colour_to_its_last(angle, first, last):
    edit = edit_of(60, 80, np.full((60, 80), 255, np.uint8))
    image = Background(gradient=["#102030", "#f0e0d0"], angle=angle).apply(edit, MODELS).image
    np.testing.assert_array_equal(image[first], [0x10, 0x20, 0x30])
    np.testing.assert_array_equal(image[last], [0xF0, 0xE0, 0xD0])


def test_a_radial_gradient_starts_in_the_middle_and_ends_in_all_corners():
    edit = edit_of(61, 81, np.full((61, 81), 255, np.uint8))
    image = Background(gradient=["white", "red", "black"], radial=True).apply(edit, MODELS).image
    np.testing.assert_array_equal(image[30, 40], [255, 255, 255])
    assert not image[[0, 0, -1, -1], [0, -1, 0, -1]].any()
    half = np.hypot(30, 40) / 2
    np.testing.assert_allclose(image[30, 40 + round(half)], [255, 0, 0], atol=12)


def test_a_slow_gradient_shows_no_steps():
    """Without dithering, 10 greys over 1000 rows make steps of 100 equal rows."""
    grey = gradient((1000, 64), np.array([[200] * 3, [210] * 3], np.uint8), 180, radial=False)[..., 0].astype(float)
    lines = grey.reshape(125, 8 * 64).mean(axis=1)
    assert np.abs(lines - np.linspace(200, 210, 1000).reshape(125, 8).mean(axis=1)).max() < 0.05


def test_dithering_keeps_whole_numbers_and_means():
    whole = np.arange(256, dtype=np.float32).reshape(16, 16)
    np.testing.assert_array_equal(dithered(whole), whole)
    for value in (0.1, 77.25, 200.9):
        assert dithered(np.full((64, 64), value)).mean() == pytest.approx(value, abs=0.01)
    tall = np.random.default_rng(0).uniform(0, 255, (24, 40))
    np.testing.assert_array_equal(dithered(tall)[5:], dithered(tall[5:], start=5))


@pytest.mark.parametrize("size", [(60, 80), (200, 50), (50, 200), (31, 47)])
def test_a_picture_covers_the_photo_and_its_circle_stays_round(tmp_path: Path, size: tuple[int, int]):
    backdrop = np.full((90, 160, 3), 40, np.uint8)
    cv2.circle(backdrop, (80, 45), 12, (250, 250, 250), -1)
    (tmp_path / "b.png").write_bytes(saved(backdrop))
    edit = edit_of(*size, np.full(size, 255, np.uint8))
    image = Background(picture=str(tmp_path / "b.png")).apply(edit, MODELS).image
    bright = image[..., 0] > 145
    rows, columns = bright.any(axis=1).sum(), bright.any(axis=0).sum()
    scale = max(size[0] / 90, size[1] / 160)
    assert abs(rows - min(25 * scale, size[0])) <= 2 and abs(columns - min(25 * scale, size[1])) <= 2
    middle = np.argwhere(bright).mean(axis=0)
    np.testing.assert_allclose(middle, (np.array(size) - 1) / 2, atol=1.5)


def test_covering_a_photo_of_the_same_size_changes_nothing():
    picture = np.random.default_rng(0).integers(0, 256, (30, 50, 3), np.uint8)
    np.testing.assert_array_equal(cover(picture, (30, 50)), picture)
    np.testing.assert_array_equal(cover(picture, (30, 20)), picture[:, 15:35])


def test_the_choice_from_a_folder_depends_on_the_photos_file_name_alone(tmp_path: Path):
    for number in range(8):
        (tmp_path / f"{number}.png").write_bytes(saved(np.full((4, 4, 3), 30 * number, np.uint8)))
    (tmp_path / "notes.txt").write_text("no picture")
    stage, photos = Background(picture=str(tmp_path)), [f"{number}.jpg" for number in range(200)]
    chosen = {photo: stage.input_files(photo)[0] for photo in photos}
    assert len(set(chosen.values())) == 8 and {path.suffix for path in chosen.values()} == {".png"}
    assert all(stage.input_files(f"in/a/folder/{photo}")[0] == path for photo, path in chosen.items())
    (tmp_path / "5.png").unlink()
    moved = {photo for photo, path in chosen.items() if stage.input_files(photo)[0] != path}
    assert moved == {photo for photo, path in chosen.items() if path.name == "5.png"}
    edit = edit_of(6, 6, np.full((6, 6), 255, np.uint8), name="a/7.jpg")
    assert (stage.apply(edit, MODELS).image == 30 * int(stage.input_files("7.jpg")[0].stem)).all()


@pytest.mark.fault("Repaints", "a folder of backgrounds with a link to a file elsewhere", "links are not backgrounds")
def test_links_in_a_folder_are_no_backgrounds(tmp_path: Path):
    (tmp_path / "secret.png").write_bytes(saved(np.zeros((4, 4, 3), np.uint8)))
    (tmp_path / "backdrops").mkdir()
    (tmp_path / "backdrops/link.png").symlink_to(tmp_path / "secret.png")
    stage = Background(picture=str(tmp_path / "backdrops"))
    (refused,) = (text for _, text in stage.refusals(MODELS))
    assert refused.startswith(f"{tmp_path}/backdrops: no pictures in this folder, looking for .png .jpg ")
    with pytest.raises(PhotoError, match="no pictures in this folder"):
        stage.apply(edit_of(9, 9, np.full((9, 9), 255, np.uint8)), MODELS)
    (tmp_path / "backdrops/own.png").write_bytes(saved(np.full((4, 4, 3), 9, np.uint8)))
    assert [path.name for path in stage.input_files("x.jpg")] == ["own.png"] and not [*stage.refusals(MODELS)]


@pytest.mark.parametrize("soft", [0.01, 3, 12])
@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("blur", [0.01, 0.05, 0.2])
def test_a_red_subject_leaves_no_red_in_the_blurred_background(soft: float, known: bool, blur: float):
    photo, mask = red_disc_on_grey(soft)
    edit = Edit(photo, photo).with_mask(mask)
    if known:
        grey, red = (np.broadcast_to(colour.astype(np.uint8), photo.shape) for colour in (GREY, RED))
        edit = edit.with_mask(mask, layers=Layers(in_band(grey, mask), in_band(red, mask)))
    after = Background(blur=blur).apply(edit, MODELS)
    ground = after.layers.inside[(mask > 0) & (mask < 255)] if soft > 1 else after.image[mask == 255]
    assert np.abs(after.image[mask == 255].astype(int) - 128).max() <= 1
    assert np.abs(ground.astype(int) - 128).max() <= 2
    if blur > 0.01:
        plain = cv2.GaussianBlur(photo, (0, 0), blur * 160)
        assert np.abs(plain[mask == 255].astype(int) - 128).max() > 20


def test_a_mask_that_misses_a_rim_of_the_subject_hardly_colours_the_blur():
    photo, _ = red_disc_on_grey(0.01)
    tight = np.where(soft_disc(120, 160, 28, 0.01) == 255, 255, 0).astype(np.uint8)  # 2 px of red are "background"
    after = Background(blur=0.03).apply(Edit(photo, photo).with_mask(tight), MODELS)
    assert np.abs(after.image[tight == 255].astype(int) - 128).max() <= 4


@pytest.mark.parametrize("sigma", [5, 20])  # 20 is computed on a smaller picture
def test_a_blurred_background_is_the_gaussian_blur_far_from_the_subject(sigma: int):
    photo = np.random.default_rng(0).integers(0, 256, (400, 500, 3), np.uint8)
    photo[:, 250:] //= 2  # an edge, which a wrong sigma would place or soften otherwise
    mask = np.full((400, 500), 255, np.uint8)
    mask[320:350, 200:260] = 0
    after = Background(blur=sigma / 500).apply(Edit(photo, photo).with_mask(mask), MODELS).image.astype(float)
    expected = cv2.GaussianBlur(photo.astype(np.float32), (0, 0), sigma)
    far = np.s_[4 * sigma : 320 - 4 * sigma, 4 * sigma : -4 * sigma]
    assert np.abs(after - expected)[far].max() < 3


def test_a_flat_photo_stays_flat_up_to_its_borders():
    photo = np.full((40, 70, 3), 77, np.uint8)
    mask = np.full((40, 70), 255, np.uint8)
    mask[10:30, 0:20] = 0
    for blur in (0.01, 0.3):
        assert (Background(blur=blur).apply(Edit(photo, photo).with_mask(mask), MODELS).image == 77).all()


@pytest.mark.parametrize(
    "parameters",
    [
        {"colour": "white"},
        {"gradient": ["white", "black"]},
        {"gradient": ["red", "blue"], "radial": True},
        {"blur": 0.02},
    ],
)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 2)])
def test_tiny_photos(parameters, size):
    for value in (255, 1):
        edit = edit_of(*size, np.full(size, value, np.uint8))
        after = Background(**parameters).apply(edit, MODELS)
        assert after.image.shape == (*size, 3) and after.outside_max_diff() == 0


def test_an_empty_mask_is_told():
    with pytest.raises(EmptyMask, match="no background to replace: the mask is empty"):
        Background(colour="white").apply(edit_of(9, 9, np.zeros((9, 9), np.uint8)), MODELS)


def test_a_transparent_photo_becomes_opaque_where_it_gets_a_background():
    alpha = 255 - soft_disc(60, 80, 20, 8)
    edit = edit_of(60, 80, 255 - alpha, alpha=alpha)
    after = Background(colour="white").apply(edit, MODELS)
    assert (after.opacity == 255).all()
    share = edit.mask[..., None] / 255
    np.testing.assert_allclose(after.image, edit.image * (1 - share) + 255 * share, atol=0.51)


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_greys_and_colours_are_srgb_in_a_photo_with_a_profile(grey: int):
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    edit = edit_of(4, 4, np.full((4, 4), 255, np.uint8), icc=icc)
    after = Background(colour=f"rgb({grey}, {grey}, {grey})").apply(edit, MODELS)
    assert np.abs(after.image.astype(int) - grey).max() <= 1


def test_colours_and_pictures_are_converted_to_the_photos_profile(tmp_path: Path):
    full, swapped = np.full((4, 4), 255, np.uint8), swapped_profile()
    edit = edit_of(4, 4, full, icc=swapped)
    for stage in (Background(colour="#c02010"), Background(gradient=["#c02010", "#c02010"])):
        np.testing.assert_allclose(stage.apply(edit, MODELS).image[0, 0], [0x20, 0xC0, 0x10], atol=2)
    for name, icc, photo, expected in [
        ("srgb.png", None, swapped, [0x20, 0xC0, 0x10]),
        ("swapped.png", swapped, swapped, [0xC0, 0x20, 0x10]),
        ("swapped.png", swapped, None, [0x20, 0xC0, 0x10]),
    ]:
        (tmp_path / name).write_bytes(saved(np.full((4, 4, 3), [0xC0, 0x20, 0x10], np.uint8), icc_profile=icc))
        after = Background(picture=str(tmp_path / name)).apply(edit_of(4, 4, full, icc=photo), MODELS)
        np.testing.assert_allclose(after.image[0, 0], expected, atol=2)
    broken = edit_of(4, 4, full, icc=b"no profile")
    np.testing.assert_array_equal(Background(colour="#c02010").apply(broken, MODELS).image[0, 0], [0xC0, 0x20, 0x10])


def test_strange_backgrounds_are_decoded_like_photos(tmp_path: Path):
    half = np.full((40, 60, 3), 30, np.uint8)
    half[:20] = 230  # the upper half is bright
    exif = Image.Exif()
    exif[274] = 6  # turn right: the bright half is on the right
    see_through = Image.fromarray(half).convert("RGBA")
    see_through.putalpha(0)
    files = {
        "rotated.jpg": saved(half, "JPEG", exif=exif, quality=95),
        "cmyk.jpg": saved(Image.fromarray(half).convert("CMYK"), "JPEG", quality=95),
        "grey16.png": saved(Image.fromarray(half[..., 0].astype(np.uint16) * 257)),
        "clear.png": saved(see_through),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    edit = edit_of(60, 60, np.full((60, 60), 255, np.uint8))
    shown = {name: Background(picture=str(tmp_path / name)).apply(edit, MODELS).image[..., 0] for name in files}
    assert shown["rotated.jpg"][:, -9:].min() > 215 and shown["rotated.jpg"][:, :9].max() < 45
    for name in ("cmyk.jpg", "grey16.png"):
        assert shown[name][:9].min() > 215 and shown[name][-9:].max() < 45
    assert (shown["clear.png"] == 255).all()  # over white, as everywhere


@pytest.mark.fault("Repaints", "a background that is text, is cut off, or is missing", "the photo fails with one line")
@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"<html>not found</html>", "not a picture of a known format: it is text such as HTML"),
        (saved(np.zeros((50, 50, 3), np.uint8), "JPEG")[:300], "cannot be decoded: "),
        (b"", "the file is empty"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_a_background_that_is_no_picture_is_named(tmp_path: Path, data: bytes | None, says: str):
    path = tmp_path / "b.jpg"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(PhotoError) as caught:
        Background(picture=str(path)).apply(edit_of(9, 9, np.full((9, 9), 255, np.uint8)), MODELS)
    assert str(caught.value).startswith(f"the background {path}: ") and says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_pictures_and_empty_folders_are_refused_before_a_run(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "there.png").write_bytes(saved(np.zeros((4, 4, 3), np.uint8)))
    paths = [str(tmp_path / name) for name in ("there.png", "gone.png", "empty", "a\0b")]
    refused = [text for _, text in Background(picture=paths).refusals(MODELS)]
    assert len(refused) == 3
    assert refused[0] == f"{tmp_path}/gone.png: cannot be read: No such file or directory"
    assert refused[1].startswith(f"{tmp_path}/empty: no pictures in this folder")
    assert "null" in refused[2]


def test_lists_make_one_picture_each():
    assert [one.colour for one in Background(colour=["white", "#aaa"]).variants()] == ["white", "#aaa"]
    assert [one.picture for one in Background(picture=["a.jpg", "b"]).variants()] == ["a.jpg", "b"]
    assert len(Background(gradient=["white", "#aaa"]).variants()) == 1


def test_its_result_is_the_same_in_bands(monkeypatch: pytest.MonkeyPatch):
    edit = edit_of(70, 50, soft_disc(70, 50, 15, 6))
    stages = [Background(blur=0.2), Background(gradient=["white", "black"], angle=33), Background(blur=0.02)]
    whole = [stage.apply(edit, MODELS).image for stage in stages]
    monkeypatch.setattr("darkroom.imaging.bands._PIXELS", 500)
    for stage, image in zip(stages, whole, strict=True):
        np.testing.assert_array_equal(stage.apply(edit, MODELS).image, image)
