"""The picture-book world: deterministic, the same at every size, and true about its pixels."""

import numpy as np
import pytest
from PIL import Image

from miniature.training.scenes import SIZES, render
from miniature.world import KINDS, PLACES, caption, describe, scene
from miniature.world.places import Backdrop
from miniature.world.scene import _cast_shadow, _figure

SEEDS = range(12)


def shrink(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_seed_is_a_scene(seed):
    first, second = scene(seed, 128, 96), scene(seed, 128, 96)
    assert np.array_equal(first.image, second.image)
    assert first.place == second.place
    for one, other in zip(first.objects, second.objects, strict=True):
        assert (one.kind, one.colour) == (other.kind, other.colour)
        assert np.array_equal(one.mask, other.mask)


def test_seeds_differ():
    assert len({scene(seed, 32, 32).image.tobytes() for seed in SEEDS}) == len(SEEDS)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_seed_shows_the_same_scene_at_every_size(seed):
    small, large = scene(seed, 144, 112), scene(seed, 576, 448)
    assert [(t.kind, t.colour) for t in small.objects] == [(t.kind, t.colour) for t in large.objects]
    assert small.horizon * 4 == pytest.approx(large.horizon)
    difference = np.abs(shrink(large.image, (144, 112)).astype(int) - small.image)
    assert np.median(difference) < 5
    for one, other in zip(small.objects, large.objects, strict=True):
        reduced = shrink(other.mask.astype(np.uint8) * 255, (144, 112)) > 127
        overlap = (one.mask & reduced).sum() / (one.mask | reduced).sum()
        assert overlap > 0.8, one.kind


def test_pixels_outside_every_mask_belong_to_the_place():
    """Without its objects the scene is the same, but for the masks, their soft edges and their shadows."""
    crowd = scene(5, 256, 256, "beach", [("car", "red"), ("ball", "blue")])
    empty = scene(5, 256, 256, "beach", [])
    far_from_objects = np.zeros((256, 256), bool)
    far_from_objects[: int(crowd.horizon) // 4] = True
    assert not (far_from_objects & ~crowd.background).any()
    exposure = crowd.image[far_from_objects].mean() / empty.image[far_from_objects].mean()
    change = np.abs(crowd.image - exposure * empty.image).max(-1)
    assert np.median(change[far_from_objects]) < 5  # the grain
    for thing in crowd.objects:
        assert np.mean(change[thing.mask] > 30) > 0.7


def test_masks_know_what_is_in_front():
    overlapping = 0
    for seed in range(60):
        picture = scene(seed, 96, 96, objects=[("house", "red"), ("tree", "green"), ("horse", "black")])
        covered = sum(thing.mask.astype(int) for thing in picture.objects)
        assert covered.max() == 1, "a pixel belongs to one object"
        boxes = [thing.box for thing in picture.objects]
        overlapping += any(a[0] < b[2] and b[0] < a[2] for a in boxes for b in boxes if a != b)
    assert overlapping > 5


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("size", [(40, 40), (320, 96), (64, 200)])
def test_every_place_fits_every_shape(place, size):
    picture = scene(3, *size, place=place)
    assert picture.image.shape == (size[1], size[0], 3)
    assert picture.image.std() > 5
    assert 0 < picture.horizon < size[1]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_drawn_inside_the_picture(kind):
    colours = KINDS[kind].colours or (None,)
    for seed, colour in enumerate(colours):
        picture = scene(seed, 128, 128, objects=[(kind, colour)])
        (thing,) = picture.objects
        assert (thing.kind, thing.colour) == (kind, colour)
        assert 0.01 < thing.mask.mean() < 0.7
        x0, y0, x1, y1 = thing.box
        assert thing.mask[y0:y1, x0:x1].sum() == thing.mask.sum()


def test_colours_are_the_ones_named():
    picture = scene(1, 128, 128, "snow", [("car", "red")], "day")
    red, green, blue = picture.image[picture.objects[0].mask].mean(0)
    assert red > green + 30
    assert red > blue + 30


@pytest.mark.parametrize("place", ["meadow", "sea", "forest", "mars"])
def test_light_changes_the_picture_but_not_what_is_in_it(place):
    day, dusk, night = (scene(4, 96, 96, place, [("cow", "brown")], light) for light in ("day", "dusk", "night"))
    assert day.image.mean() > dusk.image.mean() > night.image.mean()
    warmth = [picture.image[..., 0].mean() / picture.image[..., 2].mean() for picture in (day, dusk, night)]
    assert warmth[1] > warmth[0] > warmth[2]
    assert all(np.array_equal(picture.objects[0].mask, day.objects[0].mask) for picture in (dusk, night))


@pytest.mark.parametrize(("sun", "side"), [(-0.2, 1), (1.2, -1)])
def test_shadows_fall_away_from_the_sun_and_light_comes_from_it(sun, side):
    view = Backdrop(np.random.default_rng(0), 128, 128)
    view.pixels[:] = 200
    view.sun = sun
    figure = _figure(np.random.default_rng(1), view, PLACES["snow"], ("house", "white"), 0.5, 1)
    _cast_shadow(view, figure, 0.4, 0.4)
    darkness = (200 - view.pixels.mean(2)).sum(0)
    middle = figure.left + figure.cover.shape[1] // 2
    assert side * (darkness[middle:].sum() - darkness[:middle].sum()) > 0
    left, right = (half.mean() for half in np.array_split(figure.pixels.mean(2), 2, axis=1))
    assert side * (left - right) > 0


def test_objects_are_of_all_sizes():
    shares = [thing.mask.mean() for seed in range(300) for thing in scene(seed, 64, 64).objects]
    assert np.quantile(shares, 0.02) < 0.03
    assert np.median(shares) > 0.05
    assert max(scene(seed, 48, 48, objects=[("house", "red")]).objects[0].mask.mean() for seed in range(60)) > 0.45


def test_captions_name_what_is_there():
    rng = np.random.default_rng(0)
    for seed in range(40):
        picture = scene(seed, 32, 32)
        words = caption(picture, rng)
        assert any(phrase in words for phrase in PLACES[picture.place].phrases)
        assert all(thing.kind in words for thing in picture.objects)


def test_captions_vary():
    rng = np.random.default_rng(0)
    assert len({describe("mars", [("car", "red")], rng) for _ in range(200)}) > 20


def test_training_scenes_keep_their_size_and_their_truth():
    for seed in range(30):
        width, height = SIZES[seed % len(SIZES)]
        sample = render(seed, (width, height))
        assert sample.image.shape == (height, width, 3)
        assert sample.labels.shape == (height, width)
        assert sample.labels.max() <= len(sample.things)
