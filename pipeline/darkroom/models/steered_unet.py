"""`SteeredUnet`: a UNet with ControlNets, T2I-Adapters and reference pictures, in place of the pipeline's own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from darkroom.models.control_info import ADAPTER, CONTROLNET, UNION
from darkroom.models.controls import ControlModel
from darkroom.models.names import UNION_TYPES
from darkroom.models.request import Control, InpaintRequest

if TYPE_CHECKING:
    import torch

    from darkroom.models.diffusers_interfaces import Pipeline
    from darkroom.models.references import Embeds
    from darkroom.models.steering import Steering

_LATENTS = 4  # channels that a control model sees; an inpainting UNet gets the mask and the masked picture as well


@contextmanager
def steered(pipe: Pipeline, requests: Sequence[InpaintRequest], steering: Steering | None) -> Iterator[None]:
    """Steer the UNet of a pipeline by the control and reference pictures of a batch; nothing happens without them.

    Args:
        pipe: a pipeline that this thread alone uses; its modules may be shared.
        requests: the batch, alike in `InpaintRequest.batch_key`.
        steering: loads what they need.
    """
    if steering is None:
        yield
        return
    active = [index for index, control in enumerate(requests[0].controls) if control.weight]
    steers = [[request.controls[index] for request in requests] for index in active]
    with steering.references.using(requests) as embeds:
        if not (active or embeds):
            yield
            return
        bare = pipe.unet
        models = [steering.control(controls[0].name) for controls in steers]
        pipe.unet = SteeredUnet(pipe, list(zip(models, steers, strict=True)), requests[0].control_end, embeds)
        try:
            yield
        finally:
            pipe.unet = bare
            for one in models:
                one.free()


class SteeredUnet:
    """Adds to a UNet what control models make of control pictures, and the embeddings of reference pictures.

    It computes what `StableDiffusionXLControlNetInpaintPipeline`, its union variant and
    `StableDiffusionXLAdapterPipeline` of diffusers 0.42 compute, in any mix, within the ordinary inpainting pipelines.

    Args:
        pipe: whose UNet is called.
        steers: each control model, and its control for every picture of the batch; weights above 0.
        end: the share of the steps in which the controls act.
        references: for every picture of the batch, see `References.using`; its IP-Adapter is attached to the UNet.
    """

    def __init__(
        self,
        pipe: Pipeline,
        steers: Sequence[tuple[ControlModel, Sequence[Control]]],
        end: float,
        references: Sequence[Embeds] | None,
    ) -> None:
        self._pipe = pipe
        self._unet = pipe.unet
        self._end = end
        self._step = 0
        device, dtype = pipe._execution_device, pipe.unet.dtype
        pictures = [(model, controls, _as_tensor(controls, model).to(device, dtype)) for model, controls in steers]
        self._features = _features([each for each in pictures if each[0].kind == ADAPTER])
        self._nets = [each for each in pictures if each[0].kind == CONTROLNET]
        self._unions: dict[int, list[tuple[ControlModel, Sequence[Control], torch.Tensor]]] = {}
        for each in pictures:
            if each[0].kind == UNION:
                self._unions.setdefault(id(each[0]), []).append(each)
        self._references = references and _stacked(references)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._unet, name)

    def __call__(self, sample: torch.Tensor, timestep: torch.Tensor, **others: Any) -> Any:
        """See `UNet2DConditionModel.forward`; called once a step."""
        self._step += 1
        added: dict[str, Any] = {}
        if self._step / self._pipe.num_timesteps <= self._end:
            if self._features:
                added["down_intrablock_additional_residuals"] = [_repeated(one, sample) for one in self._features]
            residuals = self._residuals(sample[:, :_LATENTS], timestep, others)
            if residuals:
                down, middle = residuals
                added |= {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}
        if self._references:
            seen, nothing = self._references
            embeds = seen if len(seen) == len(sample) else _joined(nothing, seen)  # as guidance orders a batch
            others["added_cond_kwargs"] = {**(others.get("added_cond_kwargs") or {}), "image_embeds": [embeds]}
        return self._unet(sample, timestep, **others, **added)

    def _residuals(self, latents: torch.Tensor, timestep: torch.Tensor, others: Any) -> tuple[Any, Any] | None:
        """The sum of what the ControlNets add to the UNet's down blocks and middle block; None without ControlNets."""
        common = {
            "encoder_hidden_states": others["encoder_hidden_states"],
            "added_cond_kwargs": others.get("added_cond_kwargs"),
            "return_dict": False,
        }
        total: tuple[Any, Any] | None = None
        for model, controls, picture in self._nets:
            cond, weight = _repeated(picture, latents), controls[0].weight
            total = _sum(total, model.net(latents, timestep, controlnet_cond=cond, conditioning_scale=weight, **common))
        for group in self._unions.values():
            total = _sum(total, _union_residuals(group, latents, timestep, common))
        return total


def _union_residuals(group: Sequence[tuple[ControlModel, Any, Any]], latents: Any, timestep: Any, common: Any) -> Any:
    """What one union model adds for all its kinds of control together."""
    net = group[0][0].net
    types = [UNION_TYPES[controls[0].name] for _, controls, _ in group]
    chosen = latents.new_zeros((len(latents), net.config.num_control_type))
    for kind in types:  # a list as index would be copied to the device, which waits for it
        chosen[:, kind] = 1
    return net(
        latents,
        timestep,
        controlnet_cond=[_repeated(picture, latents) for _, _, picture in group],
        control_type=chosen,
        control_type_idx=types,
        conditioning_scale=[controls[0].weight for _, controls, _ in group],
        **common,
    )


def _sum(total: tuple[Any, Any] | None, more: tuple[Any, Any]) -> tuple[Any, Any]:
    if total is None:
        return more
    return [one + other for one, other in zip(total[0], more[0], strict=True)], total[1] + more[1]


def _features(adapters: Sequence[tuple[ControlModel, Sequence[Control], Any]]) -> list[Any]:
    """What the T2I-Adapters add, summed; they do not see the step, so they run once."""
    import torch

    total: list[Any] = []
    for model, controls, picture in adapters:
        with torch.no_grad():
            maps = [one * controls[0].weight for one in model.net(_padded(picture, model.net.downscale_factor))]
        pairs = zip(total, maps, strict=False)
        total = [one + other for one, other in pairs] + total[len(maps) :] + maps[len(total) :]
    return total


def _padded(pictures: torch.Tensor, multiple: int) -> torch.Tensor:
    """Pictures whose sides are multiples of a number, as T2I-Adapters need them; the UNet rounds sizes up as well."""
    import torch

    height, width = pictures.shape[-2:]
    return torch.nn.functional.pad(pictures, (0, -width % multiple, 0, -height % multiple), mode="replicate")


def _as_tensor(controls: Sequence[Control], model: ControlModel) -> torch.Tensor:
    """The control pictures of a batch, (N, 1 or 3, h, w) float32 in [0, 1]."""
    import torch

    pictures = np.stack([_with_channels(control.image, model.channels) for control in controls])
    return torch.from_numpy(pictures.astype(np.float32) / 255).permute(0, 3, 1, 2)


def _with_channels(picture: np.ndarray, channels: int) -> np.ndarray:
    """A grey or RGB picture with this number of channels."""
    if picture.ndim == 2:
        return np.repeat(picture[..., None], channels, axis=2)
    return picture if channels == picture.shape[2] else picture.mean(axis=2, keepdims=True).round().astype(np.uint8)


def _stacked(references: Sequence[Embeds]) -> Embeds:
    """The embeddings of a batch: (batch, N, ...) each for N reference pictures."""
    import torch

    seen, nothing = zip(*references, strict=True)
    return torch.stack(seen), torch.stack(nothing)


def _joined(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.cat([one, other])


def _repeated(batch: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """A batch twice, if classifier-free guidance has doubled the other; a fresh tensor, as the UNet adds in place."""
    import torch

    return torch.cat([batch] * (len(like) // len(batch)))
