"""A pipeline's VAE: in fp32 where half precision would overflow, and encoding each picture once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256
from threading import Lock
from typing import TYPE_CHECKING, Any

from darkroom.system.profiling import spanned

if TYPE_CHECKING:
    import torch

    from darkroom.models.diffusers_interfaces import Pipeline

_KEPT = 8  # a photo and a photo with a hole, for a few workers; 1.3 MB each at 1024 x 1024 px


def prepare_vae(pipe: Pipeline, device: str) -> None:
    """Cast the VAE once, if its checkpoint asks for fp32, and let it remember its last encodings.

    An SDXL pipeline in fp16 casts such a VAE to fp32 and back for each encoding and each decoding. Here it stays in
    fp32, with the same bits: a value of fp16 is one of fp32. In bf16 diffusers decodes in bf16, so there it goes on
    casting, unless the pipeline has its VAE in fp32 already; MPS refuses inputs of another dtype.

    Args:
        pipe: a loaded pipeline, on the CPU, before its parts are placed or offloaded.
        device: that it will work on.
    """
    import torch

    vae, is_xl = pipe.vae, hasattr(pipe, "text_encoder_2")
    stays = vae.dtype == torch.float16 or vae.dtype != pipe.unet.dtype
    if is_xl and vae.config.force_upcast and stays and device != "mps":
        vae.to(torch.float32)
        vae.register_to_config(force_upcast=False)  # otherwise the pipeline would cast it back
    vae.encode, vae.decode = Encodings(vae, spanned("VAE")(vae.encode)), spanned("VAE")(vae.decode)


class Encodings:
    """A VAE's `encode` that keeps the last distributions, for pictures that differ in the seed or the prompt alone.

    The distribution is kept and not a sample of it, so each picture still draws with its own generator, in the order
    in which the pipeline draws. Several threads may use it; two that ask at once for the same pixels both compute.

    Args:
        vae: the VAE, in the dtype that it computes in.
        encode: its method.
    """

    def __init__(self, vae: Any, encode: Callable[[torch.Tensor], Any]) -> None:
        self._vae = vae
        self._encode = encode
        self._kept: OrderedDict[tuple[object, ...], Any] = OrderedDict()
        self._lock = Lock()

    def __call__(self, pixels: torch.Tensor) -> Any:
        """See `AutoencoderKL.encode`; (N, 3, h, w) in -1 to 1, in any dtype."""
        import torch

        content = sha256(pixels.detach().cpu().contiguous().view(torch.uint8).numpy().data).digest()
        key = content, pixels.dtype, pixels.shape, pixels.stride()
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        encoded = self._encode(pixels.to(self._vae.dtype))
        with self._lock:
            self._kept[key] = encoded
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return encoded
