"""Samplers by the names of the field, made from the checkpoint's own settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diffusers import SchedulerMixin

# clip_sample is for pixels; DDIM's default of True would cut latents off at 1 where a checkpoint is silent.
# Heun is not here: it knows no zero terminal SNR, and paints something else with checkpoints trained so.
_CLASSES: dict[str, tuple[str, dict[str, Any]]] = {
    "ddim": ("DDIMScheduler", {"clip_sample": False}),
    "euler": ("EulerDiscreteScheduler", {"use_karras_sigmas": False}),
    "euler_a": ("EulerAncestralDiscreteScheduler", {}),
    "dpm++_2m": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": False}),
    "dpm++_2m_karras": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
    "unipc": ("UniPCMultistepScheduler", {"use_karras_sigmas": False}),
    "lcm": ("LCMScheduler", {"clip_sample": False}),
}


def build_scheduler(name: str, base_scheduler: SchedulerMixin) -> SchedulerMixin:
    """A fresh scheduler.

    Args:
        name: one of `darkroom.models.names.SCHEDULERS`.
        base_scheduler: the checkpoint's; its noise schedule, prediction type and spacing are kept.
    """
    import diffusers

    if name == "default":
        return type(base_scheduler).from_config(base_scheduler.config)
    class_name, settings = _CLASSES[name]
    return getattr(diffusers, class_name).from_config(base_scheduler.config, **settings)
