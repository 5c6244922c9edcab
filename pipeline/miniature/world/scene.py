"""Scenes of the picture-book world: a place, objects in it, and the exact truth about every pixel."""

from dataclasses import dataclass

import numpy as np

from .drawing import Pen, jitter, texture
from .objects import KINDS, PALETTE
from .places import PLACES, Backdrop, Place

Spec = tuple[str, str | None]


@dataclass(frozen=True)
class Thing:
    """One object. colour is None for kinds that have only their own; mask: HxW bool, its visible pixels."""

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
    """image: HxWx3 uint8 RGB. objects: far to near. horizon: row of the horizon in pixels."""

    image: np.ndarray
    place: str
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
    """An object before it is set down: its drawing, its upper left pixel and the row its feet are on."""

    kind: str
    colour: str | None
    pixels: np.ndarray
    cover: np.ndarray
    left: int
    top: int
    feet: float


def random_specs(rng: np.random.Generator) -> list[Spec]:
    """Up to three different kinds with a colour each; most scenes have one or two."""
    count = rng.choice(4, p=[0.06, 0.54, 0.33, 0.07])
    kinds = [list(KINDS)[i] for i in rng.permutation(len(KINDS))[:count]]
    return [(kind, str(rng.choice(colours)) if (colours := KINDS[kind].colours) else None) for kind in kinds]


def _figure(rng: np.random.Generator, view: Backdrop, place: Place, spec: Spec, slot: int, slots: int) -> _Figure:
    """Draws one object and chooses where it stands: in its share of the width, somewhere on the ground."""
    kind = KINDS[spec[0]]
    depth = rng.random()
    width = rng.uniform(*kind.width) * (0.8 + 0.3 * depth) * (1, 0.78, 0.62)[slots - 1]
    width = min(width, 0.92 * view.extent[0])
    aspect = rng.uniform(*kind.aspect)
    width = min(width, 0.86 * view.extent[1] / aspect)
    height = width * aspect
    pen = Pen((width, height), view.unit)
    kind.draw(pen, rng, jitter(rng, PALETTE[spec[1]], 12) if spec[1] else (255, 255, 255))
    pixels, cover = pen.lift()
    fall = np.linspace(1.12, 0.8, len(cover), dtype=np.float32)[:, None]
    window = (width, height)
    grain = texture(rng, cover.shape, window) * 0.03 + texture(rng, cover.shape, window, "grain") * 0.018
    pixels = np.clip(pixels * (fall + grain)[..., None], 0, 255) * np.float32(place.light)
    if rng.random() < 0.5:
        pixels, cover = pixels[:, ::-1], cover[:, ::-1]
    room = view.extent[1] - 0.015
    nearest = min(room, view.horizon + 0.44)
    feet = min(room, max(view.horizon + 0.09 + depth * (nearest - view.horizon - 0.09), height + 0.02))
    share = view.extent[0] / slots
    free = max(0.0, share - width) if slots == 1 else 0.12
    centre = (slot + 0.5) * share + rng.uniform(-0.5, 0.5) * free
    left, top = round((centre - width / 2) * view.unit), round((feet - height) * view.unit)
    return _Figure(*spec, pixels, cover, left, top, feet)


def _cast_shadow(view: Backdrop, figure: _Figure, strength: float, lean: float) -> None:
    """A soft ellipse under the feet."""
    width = figure.cover.shape[1] / view.unit
    centre = figure.left / view.unit + width / 2 + lean * 0.1
    x = (view.columns - centre) / (width * 0.52)
    y = (view.rows - figure.feet + 0.004) / (0.024 + 0.05 * width)
    view.pixels *= (1 - strength * np.exp(-1.2 * (x**4 + y**2)))[..., None]


def _set_down(view: Backdrop, figure: _Figure) -> np.ndarray:
    """Blends an object in; returns its coverage of the whole picture, HxW float32."""
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


def scene(
    seed: int,
    width: int = 256,
    height: int = 256,
    place: str | None = None,
    objects: list[Spec] | None = None,
) -> Scene:
    """A picture-book scene with its truth; the same seed and aspect give the same scene at every size.

    place: a key of ``PLACES``; drawn from the seed if None. objects: (kind, colour) pairs from ``KINDS``, at
    most three, colour None for kinds without a choice; drawn from the seed if None. Objects that end up fully
    hidden are left out of the truth.
    """
    rng = np.random.default_rng(seed)
    names = list(PLACES)
    chosen = names[rng.integers(len(names))]
    name = place or chosen
    look = PLACES[name]
    specs = random_specs(rng)
    if objects is not None:
        specs = list(objects)
    # The place draws from its own stream, so that choosing the objects does not change it, and the reverse.
    rng, place_rng = rng.spawn(2)
    view = Backdrop(place_rng, width, height)
    look.paint(view)
    slots = rng.permutation(len(specs))
    figures = [_figure(rng, view, look, s, int(slot), len(specs)) for s, slot in zip(specs, slots, strict=True)]
    figures.sort(key=lambda figure: figure.feet)
    lean = rng.uniform(-0.35, 0.35)
    covers: list[np.ndarray] = []
    for figure in figures:
        _cast_shadow(view, figure, look.shadow, lean)
        cover = _set_down(view, figure)
        covers = [c * (1 - cover) for c in covers] + [cover]
    exposure = rng.uniform(0.94, 1.05)
    image = view.pixels * exposure + texture(rng, (height, width), view.extent, "grain")[..., None] * 1.5
    masks = [cover > 0.5 for cover in covers]
    things = tuple(Thing(f.kind, f.colour, m) for f, m in zip(figures, masks, strict=True) if m.any())
    return Scene(np.clip(image, 0, 255).astype(np.uint8), name, things, view.horizon * view.unit)
