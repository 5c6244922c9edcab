"""The interfaces of the parts of diffusers that the models use, for the type checker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch


class Pipeline(Protocol):
    """The part of a diffusers inpainting pipeline that Darkroom uses.

    diffusers sets the components as attributes at run time, so its own classes do not declare them.
    """

    unet: Any
    vae: Any
    scheduler: Scheduler
    image_processor: Any
    vae_scale_factor: int
    num_timesteps: int
    dtype: torch.dtype
    _execution_device: torch.device

    def __call__(self, **arguments: Any) -> Any: ...

    def to(self, device: str) -> Any: ...

    def encode_prompt(self, **arguments: Any) -> Sequence[Any]: ...

    def set_progress_bar_config(self, **settings: Any) -> None: ...

    def maybe_free_model_hooks(self) -> None: ...

    def load_lora_weights(self, weights: Mapping[str, torch.Tensor], adapter_name: str) -> None: ...

    def set_adapters(self, adapter_names: Sequence[str], adapter_weights: Sequence[float]) -> None: ...

    def delete_adapters(self, adapter_names: Sequence[str]) -> None: ...

    def enable_lora(self) -> None: ...

    def disable_lora(self) -> None: ...

    def enable_model_cpu_offload(self, device: str) -> None: ...

    def enable_sequential_cpu_offload(self, device: str) -> None: ...

    def enable_group_offload(self, onload_device: torch.device, offload_type: str) -> None: ...


class Scheduler(Protocol):
    """The part of a diffusers scheduler that Darkroom uses."""

    config: Any
    timesteps: torch.Tensor
    alphas_cumprod: torch.Tensor

    @classmethod
    def from_config(cls, config: Mapping[str, Any], **settings: Any) -> Any: ...

    def step(self, model_output: torch.Tensor, timestep: torch.Tensor, *others: Any, **options: Any) -> Any: ...

    def add_noise(self, samples: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor: ...
