"""Samplers by the names that users know them by, made from a checkpoint's own settings."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from darkroom.models.diffusers_interfaces import Pipeline, Scheduler

# clip_sample is for models of pixels; where a checkpoint says nothing, DDIM's default of True would clip latents at 1.
# Heun is left out: it does not support zero terminal SNR, and paints another picture with checkpoints trained for that.
_CLASSES: dict[str, tuple[str, dict[str, Any]]] = {
    "ddim": ("DDIMScheduler", {"clip_sample": False}),
    "euler": ("EulerDiscreteScheduler", {"use_karras_sigmas": False}),
    "euler_a": ("EulerAncestralDiscreteScheduler", {}),
    "dpm++_2m": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": False}),
    "dpm++_2m_karras": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
    "unipc": ("UniPCMultistepScheduler", {"use_karras_sigmas": False}),
    "lcm": ("LCMScheduler", {"clip_sample": False}),
    "tcd": ("TCDScheduler", {"clip_sample": False}),
    # With trailing spacing the first step is at the last timestep, of noise alone: the distilled networks learned only
    # the timesteps that this gives for their number of steps.
    "euler_trailing": ("EulerDiscreteScheduler", {"use_karras_sigmas": False, "timestep_spacing": "trailing"}),
    "ddim_trailing": ("DDIMScheduler", {"clip_sample": False, "timestep_spacing": "trailing"}),
}


def build_scheduler(name: str, base_scheduler: Scheduler) -> Scheduler:
    """A fresh scheduler.

    Args:
        name: one of `darkroom.models.names.SCHEDULERS`.
        base_scheduler: the checkpoint's; its noise schedule, prediction type and spacing are kept.
    """
    import diffusers

    if name == "default":
        scheduler_class: type[Scheduler] = type(base_scheduler)
        settings: dict[str, Any] = {}
    else:
        class_name, settings = _CLASSES[name]
        scheduler_class = getattr(diffusers, class_name)
    scheduler: Scheduler = scheduler_class.from_config(base_scheduler.config, **settings)
    return scheduler


def eta_of(name: str) -> float:
    """How much new noise each step adds, for schedulers that take it: 0 to 1.

    For TCD it is gamma in the paper (arXiv 2402.19159, algorithm 4); 0.3 is what its model cards recommend.
    """
    return 0.3 if name == "tcd" else 0.0


def know_timesteps_on_host(pipe: Pipeline) -> None:
    """Give the scheduler of a pipeline each timestep from a copy on the CPU, for one call of the pipeline.

    DDIM, PNDM, LCM and TCD compare timesteps with 0. With one on a GPU, that would wait in each step until the GPU has
    computed all that it was given; now it waits once, for the copy.

    Args:
        pipe: with a scheduler of its own, which no other call uses.
    """
    scheduler: Any = pipe.scheduler
    step = scheduler.step
    on_host: list[torch.Tensor] = []

    @wraps(step)
    def step_on_host(model_output: torch.Tensor, _timestep: Any, *others: Any, **options: Any) -> Any:
        if not on_host:
            scheduler.timesteps = scheduler.timesteps.cpu()  # LCM and TCD look up the next one here
            on_host.extend(reversed(scheduler.timesteps[-pipe.num_timesteps :]))
        return step(model_output, on_host.pop(), *others, **options)

    scheduler.step = step_on_host
