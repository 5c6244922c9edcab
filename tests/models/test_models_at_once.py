"""Several threads may use the models at once: each result has the bits that it has alone."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from darkroom.models import Memory, Models, loading
from darkroom.models.diffusion import Diffusion
from darkroom.models.prompts import Prompt
from darkroom.models.request import DiffEditMaskRequest, DiffEditRequest
from support.pipelines import OFFLOADS, pipeline_of
from support.tiny_models import models_of, request_of

IMAGE = request_of().image
WORDS = ("a red car", "a dog", "a house by the sea", "(a cat)1.5")


def at_once(calls: Sequence[Callable[[], Any]], threads: int = 4) -> list[Any]:
    """The results of calls from several threads that start together."""
    start = threading.Barrier(threads)
    with ThreadPoolExecutor(threads, initializer=start.wait) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


def same(one: Any, other: Any) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def mixed(diffusion: Diffusion, seeds: int) -> list[Callable[[], Any]]:
    """Calls of every method, which differ in all that a pipeline keeps between its steps."""
    calls: list[Callable[[], Any]] = []
    for seed in range(seeds):
        request = request_of(
            seed,
            prompt=Prompt(WORDS[seed % 3], WORDS[2] if seed % 2 else None),
            steps=2 + seed % 3,
            guidance_scale=(1.0, 5.0, 7.5)[seed % 3],
            strength=(1.0, 0.7)[seed % 2],
            scheduler=("default", "dpm++_2m", "euler_a", "unipc")[seed % 4],
        )
        if seed % 4 == 1:
            compel = Prompt(WORDS[3], syntax="compel")
            request = replace(request, change_map=request.mask * np.float32(0.6), prompt=compel)
        calls.append(lambda request=request: diffusion.inpaint([request, replace(request, seed=99)]))
        calls.append(lambda seed=seed: [diffusion.diffedit_map(DiffEditMaskRequest(IMAGE, *WORDS[:2], 2, 0.5, seed))])
        edit = DiffEditRequest(IMAGE, request.mask, WORDS[seed % 3], WORDS[1], 3, 0.8, 5.0)
        calls.append(lambda edit=edit: diffusion.diffedit([edit]))
    return calls


def test_pictures_side_by_side_are_those_that_are_made_alone(tiny_folder: Path) -> None:
    models = models_of(tiny_folder / "sdxl")
    calls = mixed(models.diffusion, 8)
    alone = [call() for call in calls]
    fresh = mixed(models_of(tiny_folder / "sdxl").diffusion, 8)
    assert all(map(same, at_once(fresh), alone))


@pytest.mark.parametrize("offload", [None, "model"])
def test_threads_take_turns_where_the_networks_change_their_dtype_or_place(
    tiny_folder: Path, offload: str | None
) -> None:
    def diffusion() -> Diffusion:
        pipe = pipeline_of(tiny_folder / "sdxl", torch.bfloat16)
        if offload:
            OFFLOADS[offload](pipe)
        return Diffusion(pipe, 2, threading.RLock())

    alone = [call() for call in mixed(diffusion(), 3)]
    assert all(map(same, at_once(mixed(diffusion(), 3)), alone))


def test_the_miniature_paints_side_by_side_in_bf16_while_others_load_and_compute(models: Models) -> None:
    photo = np.random.default_rng(1).integers(0, 256, (96, 128, 3), np.uint8)
    box, none = np.array([20.0, 20.0, 90.0, 80.0]), np.empty((0, 2))

    def calls() -> list[Callable[[], Any]]:
        fresh = Models(models._weights, Memory(dtype="bf16", batch_size=2, threads=1), "cpu")
        requests = [
            request_of(seed, prompt=Prompt(WORDS[seed % 3]), strength=(1.0, 0.7)[seed % 2]) for seed in range(6)
        ]
        return [
            call
            for request in requests
            for call in (
                lambda: fresh.sam.masks(photo, none, np.empty(0, int), box),
                lambda request=request: fresh.diffusion.inpaint([request]),
            )
        ]

    alone = [call() for call in calls()]
    assert all(map(same, at_once(calls()), alone))
    assert torch.get_default_dtype() == torch.float32


def test_masks_side_by_side_are_those_that_are_made_alone(models: Models) -> None:
    photos = [np.random.default_rng(seed).integers(0, 256, (96 + 8 * seed, 128, 3), np.uint8) for seed in range(4)]
    box, none = np.array([20.0, 20.0, 90.0, 80.0]), np.empty((0, 2))
    other = Models(models._weights, Memory(), "cpu")

    def calls(models: Models) -> list[Callable[[], Any]]:
        return [
            call
            for photo in (*photos, *photos)
            for call in (
                lambda photo=photo: models.sam.masks(photo, none, np.empty(0, int), box),
                lambda photo=photo: models.sam.segment_everything(photo, 4),
                lambda photo=photo: models.clipseg.heatmaps(photo, ["a horse", "the grass"]),
            )
        ]

    alone = [call() for call in calls(models)]
    assert all(map(same, at_once(calls(other)), alone))


def test_a_model_is_loaded_once(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh, loads = Models(models._weights, Memory(), "cpu"), []
    load = loading.clipseg
    monkeypatch.setattr(loading, "clipseg", lambda how: loads.append(how.device) or load(how))
    found = at_once([lambda: fresh.clipseg] * 4)
    assert loads == ["cpu"] and len(set(map(id, found))) == 1 and fresh.loaded() == ["clipseg"]


@pytest.mark.slow
def test_a_picture_of_one_thread_is_that_of_a_process_with_one_thread(tiny_folder: Path) -> None:
    """Even in a thread that has computed nothing before, and in a process that would like to use several."""
    code = f"""
import hashlib, os, threading
from support.tiny_models import models_of, request_of
models = models_of({str(tiny_folder / "sdxl")!r}, threads=1)
def paint(before):
    picture = models.diffusion.inpaint([request_of(3)])[0]
    print(hashlib.sha256(picture.tobytes()).hexdigest(), len(os.listdir("/proc/self/task")) - before)
for _ in range(2):  # loading starts threads of its own, painting must not
    thread = threading.Thread(target=paint, args=[len(os.listdir("/proc/self/task"))])
    thread.start()
    thread.join()
"""
    assert torch.get_num_threads() == 1
    (picture,) = models_of(tiny_folder / "sdxl", threads=1).diffusion.inpaint([request_of(3)])
    environment = {**os.environ, "OMP_NUM_THREADS": "4", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    first, _, second, started = done.stdout.split()
    assert first == second == hashlib.sha256(picture.tobytes()).hexdigest()
    assert int(started) <= 1  # the thread that paints
