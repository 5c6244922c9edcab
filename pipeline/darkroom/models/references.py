"""`References`: reference pictures that steer a repaint, by an IP-Adapter (Ye et al., 2023, arXiv 2308.06721)."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from darkroom.models.adapter_switch import AdapterSwitch
from darkroom.models.load_errors import as_setup_error
from darkroom.models.offload import place_beside, torch_dtype
from darkroom.models.request import InpaintRequest
from darkroom.models.settings import Memory
from darkroom.models.transformers_part import load_network

if TYPE_CHECKING:
    import torch

    from darkroom.models.reference_info import ReferenceFiles

Embeds = tuple["torch.Tensor", "torch.Tensor"]
"""Of N pictures: what the image encoder makes of them, and what stands for no picture; (N, ...) each."""

_KEPT = 16  # pictures whose embeddings are kept


class References:
    """The IP-Adapter of one painter, loaded when it is first needed. Safe to use from several threads.

    It is attached to the UNet, which threads share, only while pictures with references are painted.

    Args:
        unet: of the painter.
        find: the files.
        memory: resolved settings.
        device: of the painter.
    """

    def __init__(self, unet: Any, find: Callable[[], ReferenceFiles], memory: Memory, device: str) -> None:
        self._unet = unet
        self._find = find
        self._memory = memory
        self._device = device
        self._switch = AdapterSwitch[float](0.0, self._attach, self._detach)
        self._lock = Lock()
        self._parts: tuple[dict[str, Any], Any] | None = None
        self._bare: tuple[dict[str, Any], Any, Any] | None = None
        self._encoder: Any = None
        self._embeds: OrderedDict[str, Embeds] = OrderedDict()

    @contextmanager
    def using(self, requests: Sequence[InpaintRequest]) -> Iterator[list[Embeds] | None]:
        """Hold the UNet in the state that a batch needs.

        Args:
            requests: alike in `InpaintRequest.batch_key`.

        Yields:
            the embeddings of each request's references; None without references.
        """
        first = requests[0]
        weight = first.reference_weight if first.references else 0.0
        embeds = [self._encode_all(request.references) for request in requests] if weight else None
        with self._switch.using(weight):
            yield embeds

    def _encode_all(self, pictures: Sequence[np.ndarray]) -> Embeds:
        import torch

        with self._lock:
            positive, negative = zip(*map(self._encode, pictures), strict=True)
        return torch.cat(positive), torch.cat(negative)

    def _encode(self, picture: np.ndarray) -> Embeds:
        key = hashlib.sha256(repr(picture.shape).encode() + np.ascontiguousarray(picture).tobytes()).hexdigest()
        if key not in self._embeds:
            self._embeds[key] = self._compute(picture)
            while len(self._embeds) > _KEPT:
                self._embeds.popitem(last=False)
        return self._embeds[key]

    def _compute(self, picture: np.ndarray) -> Embeds:
        """The embeddings of a picture, as `encode_image` of diffusers' pipelines makes them."""
        import torch
        from PIL import Image

        if self._encoder is None:
            self._encoder = _load_encoder(self._find(), self._memory, self._device)
        network, processor, free = self._encoder
        pixels = processor(Image.fromarray(picture), return_tensors="pt").pixel_values
        pixels = pixels.to(self._device, torch_dtype(self._memory))
        with torch.no_grad():
            if self._reads_patches():
                seen, nothing = (
                    network(each, output_hidden_states=True).hidden_states[-2]
                    for each in (pixels, torch.zeros_like(pixels))
                )
            else:
                seen = network(pixels).image_embeds
                nothing = torch.zeros_like(seen)
        free()
        return seen, nothing

    def _reads_patches(self) -> bool:
        """Whether the adapter sees patches of the picture (the "plus" variants), and not the picture as a whole."""
        from diffusers.models.embeddings import ImageProjection

        return not isinstance(self._loaded()[1].image_projection_layers[0], ImageProjection)

    def _loaded(self) -> tuple[dict[str, Any], Any]:
        """The attention processors with the adapter's weights, by name, and the projection of embeddings."""
        if self._parts is None:
            self._parts = _load_parts(self._unet, self._find(), torch_dtype(self._memory), self._device)
        return self._parts

    def _attach(self, weight: float) -> None:
        processors, projection = self._loaded()
        unet = self._unet
        self._bare = unet.attn_processors, unet.encoder_hid_proj, unet.config.encoder_hid_dim_type
        for processor in processors.values():
            if hasattr(processor, "scale"):
                processor.scale = [weight]
        unet.set_attn_processor(dict(processors))
        unet.encoder_hid_proj = projection
        unet.config.encoder_hid_dim_type = "ip_image_proj"

    def _detach(self, _: float) -> None:
        if self._bare is None:
            return
        processors, projection, kind = self._bare
        # First the projection: that of a "plus" variant has attention processors of its own.
        self._unet.encoder_hid_proj, self._unet.config.encoder_hid_dim_type = projection, kind
        self._unet.set_attn_processor(dict(processors))
        self._bare = None


def _load_parts(unet: Any, files: ReferenceFiles, dtype: torch.dtype, device: str) -> tuple[dict[str, Any], Any]:
    from diffusers.models.embeddings import MultiIPAdapterImageProjection
    from safetensors.torch import load_file

    with as_setup_error(files.path, "an IP-Adapter (safetensors)"):
        state: dict[str, dict[str, torch.Tensor]] = {"image_proj": {}, "ip_adapter": {}}
        for key, tensor in load_file(files.path).items():
            group, _, name = key.partition(".")
            state[group][name] = tensor
        processors = unet._convert_ip_adapter_attn_to_diffusers([state], low_cpu_mem_usage=False)
        layer = unet._convert_ip_adapter_image_proj_to_diffusers(state["image_proj"], low_cpu_mem_usage=False)
    projection = MultiIPAdapterImageProjection([layer]).to(device, dtype).eval().requires_grad_(False)
    for processor in processors.values():
        if hasattr(processor, "scale"):
            processor.to(device, dtype).requires_grad_(False)
    return processors, projection


def _load_encoder(files: ReferenceFiles, memory: Memory, device: str) -> tuple[Any, Any, Callable[[], None]]:
    from transformers import CLIPImageProcessor, CLIPVisionModelWithProjection

    with as_setup_error(files.encoder, "a CLIP image encoder"):
        network = load_network(
            files.encoder, CLIPVisionModelWithProjection, dtype=torch_dtype(memory), use_safetensors=True
        )
        side = network.config.image_size
    free = place_beside(network.eval().requires_grad_(False), memory, device)
    return network, CLIPImageProcessor(size=side, crop_size=side), free
