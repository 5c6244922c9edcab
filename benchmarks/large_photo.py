"""What a photo of 24 megapixels takes outside the models, from the traces of `profile=true`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from benchmarks import cases
from benchmarks.contenders.work import CLICK
from benchmarks.measure import Cost, cost_of

SIZE = (6000, 4000)  # px, width and height
MODELS = ("load", "encode", "decode masks", "text", "denoise", "VAE")  # spans in which a model computes
_GRAIN = 5.0  # standard deviation of the noise, in levels

ONE_BY_ONE, SIDE_BY_SIDE = 3, 5  # photos


class Span(NamedTuple):
    """A span of a trace; seconds from the beginning of the profile."""

    name: str
    start: float
    stop: float


def write_photos(folder: Path, count: int) -> list[str]:
    """JPEG files of the car, enlarged, with a gradient and with the grain of a photo; returns their paths."""
    folder.mkdir()
    with Image.open(cases.CAR) as image:
        car = np.asarray(image.convert("RGB").resize(SIZE, Image.Resampling.LANCZOS), np.int16)
    light = np.linspace(-20, 20, SIZE[0]) + np.linspace(-10, 10, SIZE[1])[:, None]
    paths = [folder / f"{number}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        grain = np.random.default_rng(number).normal(0, _GRAIN, SIZE[::-1]).astype(np.float32)
        grain = 2 * cv2.GaussianBlur(grain, (0, 0), 0.8)
        Image.fromarray(np.clip(car + (light + grain)[..., None], 0, 255).astype(np.uint8)).save(path, quality=92)
    return list(map(str, paths))


def seconds_alone(photos: Sequence[str], out: Path, steps: int) -> Cost:
    """Seconds outside the models of the second photo, with one worker: from when it is decoded to the next one."""
    spans = _spans(photos[:ONE_BY_ONE], out, steps, "memory.workers=1")
    _, second, third = sorted(span.start for span in spans if span.name == "decode")
    return _cost(outside(spans, second, third))


def seconds_side_by_side(photos: Sequence[str], out: Path, steps: int) -> Cost:
    """Seconds per further photo in which no model computes, with as many workers as a run has by itself."""
    spans = _spans(photos[:SIDE_BY_SIDE], out, steps)
    first = min(span.stop for span in spans if span.name == "denoise")
    last = max(span.stop for span in spans if span.name not in ("report", "wait"))
    return _cost(outside(spans, first, last) / (SIDE_BY_SIDE - 1))


def outside(spans: Sequence[Span], start: float, stop: float) -> float:
    """The part of a time in which no thread is in a span of a model."""
    seconds, reached = 0.0, start
    for span in sorted((one for one in spans if one.name in MODELS and one.stop > start), key=lambda one: one.start):
        seconds += max(0, min(span.start, stop) - reached)
        reached = max(reached, span.stop)
    return seconds + max(0, stop - reached)


def _spans(photos: Sequence[str], out: Path, steps: int, *words: str) -> list[Span]:
    cases.empty(out)
    with Image.open(cases.CAR) as image:
        scale = SIZE[0] / image.width
    x, y = (round(place * scale) for place in CLICK)
    given = [f"dataset.images=[{','.join(photos)}]", f"outputs={out}", f"stages.car.points=[[{x},{y}]]"]
    painted = [f"stages.inpaint.steps={steps}", "stages.inpaint.seed=0"]
    cost_of(cases.run("recipe=car_on_mars", "models=miniature", "profile=true", *given, *painted, *words))
    (trace,) = out.glob("*/profile.json")
    events = [event for event in json.loads(trace.read_text()) if event["ph"] == "X"]
    return [Span(each["name"], each["ts"] / 1e6, (each["ts"] + each["dur"]) / 1e6) for each in events]


def _cost(seconds: float) -> Cost:
    print(f"    {seconds:.2f} s outside the models", flush=True)
    return Cost(seconds, seconds, 0)
