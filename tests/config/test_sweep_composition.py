"""Jobs of a sweep are composed from what they have in common, and each is what it is alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from darkroom.config.compose import Composed, compose, expand
from darkroom.config.hydra_loader import HydraLoader
from darkroom.errors import RecipeError

SWEEPS = [
    ["recipe=car_on_mars", "stages.inpaint.seed=1,2,[1,2]", "stages.inpaint.prompt=a,'[b,c]'"],
    ["recipe=car_on_mars,car_swap,nothing", "models=miniature,auto", "results.format=png,webp"],
    ["recipe=car_on_mars", "memory=fast,low,slow", "memory.batch_size=2", "speed=none,lcm4", "stages.inpaint.steps=3"],
    ["recipe=car_on_mars", "stages.refine.grow=1,2", "~stages.refine.feather"],
    ["recipe=car_on_mars,car_swap", "stages.refine.grow=1", "stages.inpaint.unknown=1,2"],
    ["recipe=car_on_mars", "stages.inpaint.lora={dusk: 1},{dusk: 0.5},[x]", "models.loras.dusk=miniature"],
    ["recipe=car_on_mars", "wildcards={colour: [red, blue]},{}", "+stages.inpaint.negative_prompt=x,y"],
]


def composed(words: tuple[str, ...], loader: HydraLoader | None) -> object:
    """All of a job's configuration, or why there is none."""
    try:
        job = compose(words, loader)
    except RecipeError as error:
        return str(error)
    assert isinstance(job, Composed)
    return job.config, job.files(Path("/runs/1")), job.overridden, job.overrides, job.speed, job.source, job.file


@pytest.mark.parametrize("words", SWEEPS, ids=range(len(SWEEPS)))
def test_a_job_of_a_sweep_is_composed_as_if_alone(words: list[str]) -> None:
    loader, jobs = HydraLoader(), expand(words)
    together = [composed(job, loader) for job in jobs]
    assert together == [composed(job, None) for job in jobs]
    assert len(together) > 1
