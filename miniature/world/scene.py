"""Scenes of the picture-book world: a place, objects in it, and the ground truth of every pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from miniature.world.drawing import Pen, jitter, texture
from miniature.world.objects import KINDS, PALETTE
from miniature.world.places import PLACES, Backdrop, Place

Spec = tuple[str, str | None]


@dataclass(frozen=True)
class Thing:
    """One object of a scene.

    Attributes:
        kind: a key of `KINDS`.
        colour: a key of `PALETTE`; None for kinds with only their natural colour.
        mask: HxW bool, its visible pixels.
    """

    kind: str
    colour: str | None
    mask: np.ndarray

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Tight bounds of the visible pixels: x0, y0, x1, y1 with x1 and y1 exclusive."""
        columns, rows = np.flatnonzero(self.mask.any(0)), np.flatnonzero(self.mask.any(1))
        return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


@dataclass(frozen=True)
class Scene:
    """A picture and its ground truth.

    Attributes:
        image: HxWx3 uint8 RGB.
        place: a key of `PLACES`.
        light: a key of `LIGHTS`.
        objects: far to near.
        horizon: its row in pixels.
    """

    image: np.ndarray
    place: str
    light: str
    objects: tuple[Thing, ...]
    horizon: float

    @property
    def background(self) -> np.ndarray:
        """HxW bool, the pixels that belong to no object."""
        covered = np.zeros(self.image.shape[:2], bool)
        for thing in self.objects:
            covered |= thing.mask
        return ~covered


@dataclass
class _Figure:
    """An object before it is placed: its drawing, its upper left pixel and the row of its feet."""

    kind: str
    colour: str | None
    pixels: np.ndarray
    cover: np.ndarray
    left: int
    top: int
    feet: float


def random_specs(rng: np.random.Generator, place: str | None = None) -> list[Spec]:
    """Up to three different kinds with a colour each, mostly one or two; more often those at home in `place`."""
    count = rng.choice(4, p=[0.05, 0.52, 0.33, 0.10])
    home = PLACES[place].home if place else ()
    weights = np.array([1.0 + 4 * home.count(kind) for kind in KINDS])
    kinds = rng.choice(list(KINDS), count, replace=False, p=weights / weights.sum())
    return [(str(kind), str(rng.choice(colours)) if (colours := KINDS[kind].colours) else None) for kind in kinds]


def _figure(rng: np.random.Generator, view: Backdrop, place: Place, spec: Spec, centre: float, many: int) -> _Figure:
    """Draw one object of `many` and chooses where it stands: around `centre` (units), somewhere on the ground."""
    kind = KINDS[spec[0]]
    smallest, largest = kind.width
    largest = max(smallest * 1.2, largest * (1, 0.72, 0.56)[many - 1])
    near = rng.random()
    width = smallest * (largest / smallest) ** near
    aspect = rng.uniform(*kind.aspect)
    width = min(width, 0.95 * view.extent[0], 0.9 * view.extent[1] / aspect)
    height = width * aspect
    pen = Pen((width, height), view.unit)
    kind.draw(pen, rng, jitter(rng, PALETTE[spec[1]], 12) if spec[1] else (255, 255, 255))
    pixels, cover = pen.lift()
    if rng.random() < 0.5:
        pixels, cover = pixels[:, ::-1], cover[:, ::-1]
    pixels = _lit(rng, view, pixels, (width, height), centre) * np.float32(place.light)
    room = view.extent[1] - 0.015
    nearest = min(room, view.horizon + 0.44)
    depth = 0.65 * near + 0.35 * rng.random()
    feet = min(room, max(view.horizon + 0.06 + depth * (nearest - view.horizon - 0.06), height + 0.02))
    centre = np.clip(centre, 0.4 * width, view.extent[0] - 0.4 * width)
    left, top = round((centre - width / 2) * view.unit), round((feet - height) * view.unit)
    return _Figure(*spec, pixels, cover, left, top, feet)


def _lit(
    rng: np.random.Generator, view: Backdrop, pixels: np.ndarray, window: tuple[float, float], centre: float
) -> np.ndarray:
    """A drawing with the grain of paint, brighter above and on the side of the sun, in the light of the hour."""
    rows, columns = pixels.shape[:2]
    fall = np.linspace(1.12, 0.8, rows, dtype=np.float32)[:, None]
    side = np.clip(2 * (view.sun - centre / view.extent[0]), -1, 1)
    slope = 1 + 0.13 * side * np.linspace(-1, 1, columns, dtype=np.float32)
    grain = texture(rng, (rows, columns), window) * 0.03 + texture(rng, (rows, columns), window, "grain") * 0.018
    shaded = np.clip(pixels * ((fall + grain) * slope)[..., None], 0, 255)
    return shaded * np.float32(view.light.grade)


def _cast_shadow(view: Backdrop, figure: _Figure, strength: float, length: float) -> None:
    """The silhouette laid on the ground away from the sun, and a soft dark patch under the feet."""
    rows, columns = figure.cover.shape
    width = columns / view.unit
    centre = figure.left / view.unit + width / 2
    x = (view.columns - centre) / (width * 0.52)
    y = (view.rows - figure.feet + 0.004) / (0.016 + 0.03 * width)
    view.pixels *= (1 - strength * np.exp(-1.2 * (x**4 + y**2)))[..., None]
    lean = float(np.clip((centre / view.extent[0] - view.sun) * 1.3, -1, 1)) * length * 1.5
    long = max(2, round(rows * length * 0.55))
    aside = round(abs(lean) * rows)
    # A point of the shadow, `up` rows from the feet, comes from the drawing's row rows - up / flat.
    flat, shear = rows / long, lean * rows / long
    silhouette = Image.fromarray((figure.cover * 255).astype(np.uint8))
    start = aside if lean < 0 else 0  # room to the left of the feet
    matrix = (1, shear, -start - shear * long, 0, flat, 0)
    shadow = silhouette.transform((columns + aside, long), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    cover = np.asarray(shadow.filter(ImageFilter.BoxBlur(0.006 * view.unit)), np.float32) / 255
    foot = round(figure.feet * view.unit) - max(1, round(0.006 * view.unit))
    if view.sun_ahead:
        cover, top = cover[::-1], foot
    else:
        top = foot - long
    _darken(view, cover * strength, figure.left - start, top)


def _darken(view: Backdrop, cover: np.ndarray, left: int, top: int) -> None:
    """Multiply the backdrop by 1 - `cover`, which may reach over its edges."""
    height, width = view.pixels.shape[:2]
    rows, columns = cover.shape
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + columns, width), min(top + rows, height)
    if x0 < x1 and y0 < y1:
        view.pixels[y0:y1, x0:x1] *= 1 - cover[y0 - top : y1 - top, x0 - left : x1 - left, None]


def _set_down(view: Backdrop, figure: _Figure) -> np.ndarray:
    """Blend an object in; returns its coverage of the whole picture, HxW float32."""
    height, width = view.pixels.shape[:2]
    cover = np.zeros((height, width), np.float32)
    rows, columns = figure.cover.shape
    x0, y0, x1, y1 = (
        max(figure.left, 0),
        max(figure.top, 0),
        min(figure.left + columns, width),
        min(figure.top + rows, height),
    )
    if x0 >= x1 or y0 >= y1:
        return cover
    inner = (slice(y0 - figure.top, y1 - figure.top), slice(x0 - figure.left, x1 - figure.left))
    cover[y0:y1, x0:x1] = figure.cover[inner]
    under = view.pixels[y0:y1, x0:x1]
    under += (figure.pixels[inner] - under) * figure.cover[inner][..., None]
    return cover


def _centres(rng: np.random.Generator, view: Backdrop, many: int) -> list[float]:
    """Where along the width objects stand, in units: one each in a share of it, now and then close together."""
    share = view.extent[0] / max(1, many)
    places = [(i + 0.5) * share + rng.uniform(-0.5, 0.5) * (0.6 if many == 1 else 0.35) * share for i in range(many)]
    middle, squeeze = rng.uniform(0.35, 0.65) * view.extent[0], 0.55 if rng.random() < 0.3 else 1.0
    order = rng.permutation(many)
    return [middle + (places[i] - middle) * squeeze if many > 1 else places[i] for i in order]


def scene(
    seed: int,
    width: int = 256,
    height: int = 256,
    place: str | None = None,
    objects: list[Spec] | None = None,
    light: str | None = None,
) -> Scene:
    """A picture-book scene with its ground truth; the same seed and aspect give the same scene at every size.

    Args:
        seed: draws all that is not given.
        width, height: in pixels.
        place: a key of `PLACES`.
        objects: at most three (kind, colour) pairs from `KINDS`, colour None for kinds without a choice. Objects that
            end up fully hidden are left out of the ground truth.
        light: a key of `LIGHTS` that the place has.
    """
    rng = np.random.default_rng(seed)
    names = list(PLACES)
    chosen, hour = names[rng.integers(len(names))], rng.random()
    name = place or chosen
    look = PLACES[name]
    light = light or ("day" if hour < 0.68 or len(look.hours) == 1 else "dusk" if hour < 0.87 else "night")
    specs = random_specs(rng, name)
    if objects is not None:
        specs = list(objects)
    # The place draws from its own stream, so that choosing the objects does not change it, and the reverse.
    rng, place_rng = rng.spawn(2)
    view = Backdrop(place_rng, width, height, light)
    look.paint(view)
    view.graded()
    length = rng.uniform(*view.light.length)
    centres = _centres(rng, view, len(specs))
    figures = [_figure(rng, view, look, s, centre, len(specs)) for s, centre in zip(specs, centres, strict=True)]
    figures.sort(key=lambda figure: figure.feet)
    covers: list[np.ndarray] = []
    for figure in figures:
        _cast_shadow(view, figure, look.shadow * view.light.shadow, length)
        cover = _set_down(view, figure)
        covers = [c * (1 - cover) for c in covers] + [cover]
    exposure = rng.uniform(0.94, 1.05)
    image = view.pixels * exposure + texture(rng, (height, width), view.extent, "grain")[..., None] * 1.5
    masks = [cover > 0.5 for cover in covers]
    things = tuple(Thing(f.kind, f.colour, m) for f, m in zip(figures, masks, strict=True) if m.any())
    return Scene(np.clip(image, 0, 255).astype(np.uint8), name, light, things, view.horizon * view.unit)
