"""The inpainting model: requests to pictures, in batches."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from darkroom.errors import PhotoError
from darkroom.models.checkpoint import load_pipeline
from darkroom.models.ddim_inversion import invert_and_decode
from darkroom.models.diffedit_mask import DiffEditMask
from darkroom.models.library_logging import silence_libraries
from darkroom.models.miniature.upscaled_diffusion import SMALL, UpscaledDiffusion
from darkroom.models.offload import put, torch_dtype
from darkroom.models.prompts import encode
from darkroom.models.repaint import repaint
from darkroom.models.request import DiffEditMaskRequest, DiffEditRequest, InpaintRequest
from darkroom.models.schedulers import build_scheduler
from darkroom.models.settings import Memory
from darkroom.models.weights import ModelFiles

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

log = logging.getLogger("darkroom")

_Item = TypeVar("_Item")
_Request = TypeVar("_Request", InpaintRequest, DiffEditRequest)
_Work = Callable[[Sequence[_Item]], list[np.ndarray]]


class Diffusion:
    """A Stable Diffusion inpainting pipeline of any kind behind one method.

    Args:
        pipe: a loaded pipeline, placed on its device.
        batch_size: pictures per UNet call; smaller batches are padded to it.

    Attributes:
        multiple: height and width of a request must be divisible by this.
        native: side in pixels of the square the model was trained on: 1024 for SDXL, 512 for SD 1.5.
        batch_size: as given, or less once the GPU ran out of memory.
    """

    multiple = 8

    def __init__(self, pipe: DiffusionPipeline, batch_size: int = 1) -> None:
        self._pipe = pipe
        self._base_scheduler = pipe.scheduler
        self._encode = lru_cache(maxsize=16)(partial(encode, pipe))  # one prompt, many seeds
        self.batch_size = batch_size
        self.native: int = pipe.unet.config.sample_size * pipe.vae_scale_factor

    def inpaint(self, requests: Sequence[InpaintRequest]) -> list[np.ndarray]:
        """Repaint the masked parts of pictures.

        A picture depends on its own request alone: it has its own noise generator, on the CPU, and every UNet
        call has the same number of pictures, since that number alters the last bits. With a batch size of 1,
        as on a CPU, it equals what diffusers gives for a generator of that seed, bit for bit.

        Pixels outside the mask change too, because all pixels go through the VAE: composite the result.

        Returns:
            (h, w, 3) uint8 RGB for each request, in order.

        Raises:
            PhotoError: the model gave no picture for one of them, or there is not memory enough for one.
        """
        return self._in_groups(requests, self._repaint, self._shared)

    def diffedit_map(self, request: DiffEditMaskRequest) -> np.ndarray:
        """How differently the model sees a noisy picture with two texts, averaged over several noises.

        The noises are the request's own, drawn on the CPU, and batched as pictures are in `inpaint`: two answers for
        each of `batch_size` noises in every UNet call.

        Returns:
            (rows, columns) float32 of at least 0, on the grid of the model's latents, which has the picture's aspect.

        Raises:
            PhotoError: the model gave not-a-number, or there is not memory enough.
        """
        diffedit_mask = DiffEditMask(self._pipe, self._base_scheduler, request)
        mean = np.mean(self._in_batches(diffedit_mask.noises, diffedit_mask.maps), axis=0)
        self._pipe.maybe_free_model_hooks()
        if not np.isfinite(mean).all():
            raise PhotoError("the model predicted not-a-number for this photo; try memory.dtype=fp32")
        return mean

    def diffedit(self, requests: Sequence[DiffEditRequest]) -> list[np.ndarray]:
        """Encode pictures by DDIM inversion and decode the masked parts with another text; nothing is random.

        It takes a text-to-image checkpoint: one for inpainting would be shown the picture, and give it back.

        Pixels outside the mask change too, because all pixels go through the VAE: composite the result.

        Returns:
            (h, w, 3) uint8 RGB for each request, in order.

        Raises:
            PhotoError: the model gave no picture for one of them, or there is not memory enough for one.
        """
        work = partial(invert_and_decode, self._pipe, self._base_scheduler)
        pictures = self._in_groups(requests, work, DiffEditRequest.shared)
        self._pipe.maybe_free_model_hooks()
        return pictures

    def describe(self) -> dict[str, Any]:
        """How pictures are made, as plain data."""
        return {
            "pipeline": type(self._pipe).__name__,
            "dtype": str(self._pipe.dtype).removeprefix("torch."),
            "batch_size": self.batch_size,
            "unet_channels": self._pipe.unet.config.in_channels,
            "default_scheduler": type(self._base_scheduler).__name__,
            "watermark": getattr(self._pipe, "watermark", None) is not None,
            "safety_checker": getattr(self._pipe, "safety_checker", None) is not None,
        }

    def _repaint(self, requests: Sequence[InpaintRequest]) -> list[np.ndarray]:
        self._pipe.scheduler = build_scheduler(requests[0].scheduler, self._base_scheduler)
        return repaint(self._pipe, requests, [self._encode(request.prompt) for request in requests])

    def _shared(self, request: InpaintRequest) -> tuple[object, ...]:
        """What the pictures of one batch must have in common; also the length of their prompts, as encoded.

        The shorter ones could be filled up with nothing, but the model would hear it.
        """
        return *request.shared(), self._encode(request.prompt)[0].embeds.shape[1]

    def _in_groups(
        self, requests: Sequence[_Request], work: _Work[_Request], shared: Callable[[_Request], tuple[object, ...]]
    ) -> list[np.ndarray]:
        """Requests of any kind; those that may share batches do."""
        groups: dict[tuple[object, ...], list[int]] = {}
        for index, request in enumerate(requests):
            groups.setdefault(shared(request), []).append(index)
        pictures: dict[int, np.ndarray] = {}
        for group in groups.values():
            pictures.update(zip(group, self._in_batches([requests[index] for index in group], work), strict=True))
        return [pictures[index] for index in range(len(requests))]

    def _in_batches(self, items: Sequence[_Item], work: _Work[_Item]) -> list[np.ndarray]:
        """Any number of items that may share batches."""
        done: list[np.ndarray] = []
        while len(done) < len(items):
            results = self._unless_out_of_memory(items[len(done) : len(done) + self.batch_size], work)
            if results is None:
                self._halve_batch()
            else:
                done += results
        return done

    def _unless_out_of_memory(self, items: Sequence[_Item], work: _Work[_Item]) -> list[np.ndarray] | None:
        """One batch, filled up with copies of its last item."""
        import torch

        filled = [*items, *[items[-1]] * (self.batch_size - len(items))]
        try:
            return work(filled)[: len(items)]
        except torch.OutOfMemoryError:
            return None  # the caller goes on outside this clause, whose traceback holds on to tensors

    def _halve_batch(self) -> None:
        """For the rest of the run."""
        import torch

        self._pipe.maybe_free_model_hooks()
        torch.cuda.empty_cache()
        if self.batch_size == 1:
            raise PhotoError("the GPU has not memory enough for one picture: try memory=low or smaller ones")
        self.batch_size //= 2
        log.warning("out of GPU memory: going on with a batch size of %d", self.batch_size)


def load_diffusion(files: ModelFiles, memory: Memory, device: str) -> Diffusion | UpscaledDiffusion:
    """The inpainting model from weights on this machine, placed as the settled memory settings say.

    One whose native side is below `reduced.SMALL` paints larger pictures at its own size.

    Raises:
        SetupError: files are missing or damaged, or the checkpoint is of another kind.
    """
    silence_libraries()
    pipe = load_pipeline(files, torch_dtype(memory))
    pipe.set_progress_bar_config(disable=True)
    put(pipe, memory, device)
    diffusion = Diffusion(pipe, memory.batch_size)
    return UpscaledDiffusion(diffusion) if diffusion.native < SMALL else diffusion
