"""Samplers by the names that users know them by, made from a checkpoint's own settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from darkroom.models.diffusers_interfaces import Scheduler

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
