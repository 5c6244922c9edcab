"""`make bench` compares like with like, and its pages say what it measured."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks import floor, large_photo, page
from benchmarks.contenders.work import CLICK, GUIDANCE, Work
from benchmarks.measure import Cost, Ratios, cost_of, in_turns
from benchmarks.targets import TARGETS
from darkroom.config import settings
from support.in_process import command_line
from support.runs import CAR, ROOT


@contextmanager
def counted_calls() -> Iterator[Counter[tuple[str, tuple[int, ...]]]]:
    """How often each model part was called, with the shape of its first argument."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from segment_anything.modeling import ImageEncoderViT
    from transformers import CLIPTextModelWithProjection

    counts: Counter[tuple[str, tuple[int, ...]]] = Counter()
    parts = {
        "sam": (ImageEncoderViT, "forward"),
        "text": (CLIPTextModelWithProjection, "forward"),
        "encode": (AutoencoderKL, "encode"),
        "unet": (UNet2DConditionModel, "forward"),
        "decode": (AutoencoderKL, "decode"),
    }

    def counting(name: str, method: Any) -> Any:
        def call(self: Any, *values: Any, **named: Any) -> Any:
            counts[name, tuple((*values, *named.values())[0].shape)] += 1
            return method(self, *values, **named)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name, (kind, method) in parts.items():
            patch.setattr(kind, method, counting(name, getattr(kind, method)))
        yield counts


def test_the_floor_calls_the_models_as_a_run_does(tmp_path: Path) -> None:
    work = Work((str(CAR),), ("snow", "a meadow"), (0,), 2, str(tmp_path))
    words = [f"dataset.images={CAR}", "stages.inpaint.prompt=[snow,a meadow]", "stages.inpaint.seed=0"]
    settings._models.cache_clear()  # a model that is loaded already may remember the photo
    with counted_calls() as run:
        code = command_line(
            tmp_path, "recipe=car_on_mars", "models=miniature", "outputs=runs", "stages.inpaint.steps=2", *words
        )
    assert code == 0
    with counted_calls() as bare:
        floor.replay(floor.Models(work), floor.calls(work), workers=1)
    needed = {call: count for call, count in bare.items() if call[0] != "encode"}
    assert {call: run[call] for call in needed} == needed
    assert set(run) == set(bare)  # the shapes of all calls; a run may encode a photo more often


def test_the_scripts_paint_what_the_recipe_paints() -> None:
    stages = yaml.safe_load((ROOT / "recipes/car_on_mars.yaml").read_text())["stages"]
    assert stages["car"]["points"] == [list(CLICK)]
    assert (stages["inpaint"]["guidance_scale"], stages["inpaint"]["strength"]) == (GUIDANCE, 1)


def test_rounds_take_turns() -> None:
    order: list[str] = []

    def contender(name: str) -> Any:
        return lambda: order.append(name) or Cost(1, 2, 3)

    costs = in_turns({name: contender(name) for name in "ABC"}, 2, once=["C"])
    assert order == ["A", "B", "C", "B", "A"]
    assert {name: len(each) for name, each in costs.items()} == {"A": 2, "B": 2, "C": 1}


def test_ratios_are_those_of_each_round() -> None:
    ours, theirs = [Cost(1, 1, 0), Cost(6, 6, 0), Cost(9, 3, 0)], [Cost(2, 1, 0), Cost(6, 1, 0), Cost(3, 3, 0)]
    assert Ratios.of(ours, theirs) == Ratios((0.5, 1, 3), (1, 1, 6))
    assert Ratios.of(ours, theirs[:1]) == Ratios((0.5, 3, 4.5), (1, 3, 6))


def test_a_contender_that_fails_ends_the_benchmark_with_its_message() -> None:
    with pytest.raises(RuntimeError, match=r"(?s)exit code 3 of .*no such photo"):
        cost_of([sys.executable, "-c", "import sys; print('no such photo'); sys.exit(3)"])


def test_the_cost_of_a_process_includes_its_children() -> None:
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}])"
    assert cost_of([sys.executable, "-c", child]).cpu >= 0.3


def test_a_missed_target_stays_in_the_table_with_its_reason() -> None:
    lines = page.table({"loop": Ratios((1.1, 1.2, 1.3), (1, 1, 1)), "no-op": Ratios((0, 0.009, 1), (1, 1, 1))})
    assert lines[2].startswith("| a sweep ÷ the warm loop | ≤ 1 | 1.20 (1.10–1.30) | 1.00 | missed: ")
    assert lines[3].endswith("| ≤ 0.01 | 0.009 (0.000–1.000) | 1.00 | met |")


def test_the_readme_has_the_figures_of_the_performance_page() -> None:
    measured = page.PAGE.read_text()
    shown = page.part(page.README, "bench")
    assert shown and all(line in measured.splitlines() for line in shown), shown


def test_the_performance_page_has_every_target() -> None:
    shown = "\n".join(page.part(page.PAGE, "bench"))
    assert (
        "Not measured" in shown
        or [target.name for key, target in TARGETS.items() if target.name not in shown and key != "limit"] == []
    )


def test_time_outside_the_models_is_time_when_no_thread_computes_one() -> None:
    names = (("sam", 0, 2), ("encode", 1, 2), ("denoise", 3, 6), ("VAE", 5, 7), ("PNG", 4, 8), ("wait", 6, 9))
    spans = [large_photo.Span(*each) for each in names]
    assert large_photo.outside(spans, 0, 10) == 1 + 1 + 3
    assert large_photo.outside(spans, 1.5, 5.5) == 1
