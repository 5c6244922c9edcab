"""The inpainting model: requests to pictures, in batches."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from copy import copy
from functools import lru_cache, partial
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from darkroom.errors import PhotoError
from darkroom.models.adapters import Adapters
from darkroom.models.checkpoint import load_pipeline
from darkroom.models.ddim_inversion import invert_and_decode
from darkroom.models.diffedit_mask import DiffEditMask
from darkroom.models.library_logging import silence_libraries
from darkroom.models.load_errors import as_compile_error
from darkroom.models.loras import Loras, LoraState
from darkroom.models.offload import apply_memory_settings, torch_dtype
from darkroom.models.prompts import EncodedPrompt, Prompt, encode_prompt
from darkroom.models.repaint import repaint
from darkroom.models.request import DiffEditMaskRequest, DiffEditRequest, InpaintRequest
from darkroom.models.schedulers import build_scheduler
from darkroom.models.settings import Memory
from darkroom.models.side_by_side import Turns, are_taken
from darkroom.models.steering import Steering, steering_of
from darkroom.models.steering_files import SteeringFiles
from darkroom.models.vae import prepare_vae
from darkroom.models.weights import ModelFiles

if TYPE_CHECKING:
    import torch

    from darkroom.models.diffusers_interfaces import Pipeline

log = logging.getLogger("darkroom")

_Item = TypeVar("_Item")
_Key = TypeVar("_Key", bound=Hashable)
_Request = TypeVar("_Request", InpaintRequest, DiffEditRequest)
_Work = Callable[["Pipeline", Sequence[_Item]], list[np.ndarray]]


class Diffusion:
    """A Stable Diffusion inpainting pipeline: requests in, pictures out.

    Args:
        pipe: a loaded pipeline, on its device.
        batch_size: pictures per UNet call; smaller batches are padded to it.
        turns: held while a thread computes.
        steering: what requests may use beside their prompts.
        loras: the LoRAs that requests may name.

    Attributes:
        multiple: height and width of a request must be divisible by this.
        native: side in pixels of the squares that the model was trained on: 1024 for SDXL, 512 for SD 1.5.
        batch_size: as given, or less once the GPU ran out of memory.
    """

    multiple = 8

    def __init__(
        self,
        pipe: Pipeline,
        batch_size: int = 1,
        turns: Turns | None = None,
        steering: Steering | None = None,
        loras: Loras | None = None,
    ) -> None:
        self._pipe = pipe
        self._steering = steering
        self._base_scheduler = pipe.scheduler
        self._turns = turns or nullcontext()
        self._loras = loras or Loras({}, Path)
        self._adapters = Adapters(pipe, self._loras.path)
        self._encoded = lru_cache(maxsize=16)(self._encode_afresh)  # one prompt, many seeds
        self._encoding = RLock()
        self.batch_size = batch_size
        self.native: int = pipe.unet.config.sample_size * pipe.vae_scale_factor

    def inpaint(self, requests: Sequence[InpaintRequest]) -> list[np.ndarray]:
        """Repaint the masked parts of pictures.

        A picture depends on its own request alone: it has its own noise generator, on the CPU, and every UNet call has
        the same number of pictures, since that number alters the last bits. With a batch size of 1, as on a CPU, it
        equals the picture of diffusers for a generator of that seed, bit for bit.

        Pixels outside the mask change too, because all pixels pass through the VAE: composite the result.

        Returns:
            (h, w, 3) uint8 RGB for each request, in order.

        Raises:
            PhotoError: the model produced no picture for a request, or a single picture runs out of memory.
        """
        pictures: dict[int, np.ndarray] = {}
        for state, places in _places_by(requests, lambda request: self._loras.state(request.loras)).items():
            with self._adapters.using(state) as text_state:
                work, batch_key = partial(self._repaint, text_state), partial(self._batch_key, text_state)
                painted = self._in_groups([requests[place] for place in places], work, batch_key)
            pictures.update(zip(places, painted, strict=True))
        return [pictures[place] for place in range(len(requests))]

    def diffedit_map(self, request: DiffEditMaskRequest) -> np.ndarray:
        """The distance of the model's predictions for a noisy picture with two prompts, averaged over several noises.

        The noises are the request's own, drawn on the CPU, and batched as pictures are in `inpaint`: every UNet call
        makes two predictions for each of `batch_size` noises.

        Returns:
            (rows, columns) float32 of at least 0, on the grid of the model's latents, which has the picture's aspect.

        Raises:
            PhotoError: the model produced NaN or ran out of memory.
        """
        with self._adapters.using(()), self._own_pipe() as pipe:
            diffedit_mask = DiffEditMask(pipe, self._base_scheduler, request)
            maps = self._in_batches(diffedit_mask.noises, lambda _pipe, noises: diffedit_mask.maps(noises))
            pipe.maybe_free_model_hooks()
        mean: np.ndarray = np.mean(maps, axis=0)
        if not np.isfinite(mean).all():
            raise PhotoError("the model predicted NaN for this photo; try memory.dtype=fp32")
        return mean

    def diffedit(self, requests: Sequence[DiffEditRequest]) -> list[np.ndarray]:
        """Encode pictures by DDIM inversion and decode the masked parts with another prompt; nothing is random.

        It takes a text-to-image checkpoint: an inpainting one would see the picture itself, and reproduce it.

        Pixels outside the mask change too, because all pixels pass through the VAE: composite the result.

        Returns:
            (h, w, 3) uint8 RGB for each request, in order.

        Raises:
            PhotoError: the model produced no picture for a request, or a single picture runs out of memory.
        """
        with self._adapters.using(()):
            return self._in_groups(requests, self._diffedit, DiffEditRequest.batch_key)

    def describe(self) -> dict[str, Any]:
        """The pipeline and its settings, as plain data for `run.json`."""
        return {
            "pipeline": type(self._pipe).__name__,
            "dtype": str(self._pipe.unet.dtype).removeprefix("torch."),
            "batch_size": self.batch_size,
            "unet_channels": self._pipe.unet.config.in_channels,
            "default_scheduler": type(self._base_scheduler).__name__,
            "watermark": getattr(self._pipe, "watermark", None) is not None,
            "safety_checker": getattr(self._pipe, "safety_checker", None) is not None,
        }

    @contextmanager
    def _own_pipe(self) -> Iterator[Pipeline]:
        """A pipeline for this call alone.

        A call keeps its guidance scale, its scheduler and more on the pipeline. So threads that compute side by side
        get copies, which share the networks; those that take turns use the pipeline itself, which holds the hooks of
        offloading.
        """
        with self._turns:
            yield self._pipe if are_taken(self._turns) else copy(self._pipe)

    def _repaint(self, text_state: LoraState, pipe: Pipeline, requests: Sequence[InpaintRequest]) -> list[np.ndarray]:
        pipe.scheduler = build_scheduler(requests[0].scheduler, self._base_scheduler)
        prompts = [self._encode(text_state, request.prompt) for request in requests]
        return repaint(pipe, requests, prompts, self._steering)

    def _diffedit(self, pipe: Pipeline, requests: Sequence[DiffEditRequest]) -> list[np.ndarray]:
        pictures = invert_and_decode(pipe, self._base_scheduler, requests)
        pipe.maybe_free_model_hooks()
        return pictures

    def _encode(self, text_state: LoraState, prompt: Prompt) -> EncodedPrompt:
        """The embeddings of a prompt by text encoders with these LoRAs, which they have now."""
        with self._turns, self._encoding:  # so that threads with the same prompt encode it once
            return self._encoded(text_state, prompt)

    def _encode_afresh(self, _text_state: LoraState, prompt: Prompt) -> EncodedPrompt:
        return encode_prompt(self._pipe, prompt)

    def _batch_key(self, text_state: LoraState, request: InpaintRequest) -> tuple[object, ...]:
        """Prompts in a batch also have the same length in tokens: padding the shorter ones would change the result."""
        return *request.batch_key(), self._encode(text_state, request.prompt)[0].embeds.shape[1]

    def _in_groups(
        self, requests: Sequence[_Request], work: _Work[_Request], batch_key: Callable[[_Request], tuple[object, ...]]
    ) -> list[np.ndarray]:
        """The pictures of requests in any mix; those with the same key share batches."""
        pictures: dict[int, np.ndarray] = {}
        for group in _places_by(requests, batch_key).values():
            pictures.update(zip(group, self._in_batches([requests[index] for index in group], work), strict=True))
        return [pictures[index] for index in range(len(requests))]

    def _in_batches(self, items: Sequence[_Item], work: _Work[_Item]) -> list[np.ndarray]:
        """The results of any number of items with the same key."""
        done: list[np.ndarray] = []
        while len(done) < len(items):
            results = self._unless_out_of_memory(items[len(done) : len(done) + self.batch_size], work)
            if results is None:
                self._halve_batch_size()
            else:
                done += results
        return done

    def _unless_out_of_memory(self, items: Sequence[_Item], work: _Work[_Item]) -> list[np.ndarray] | None:
        """The results of one batch, padded with copies of its last item; None if the GPU ran out of memory."""
        import torch

        padded = [*items, *[items[-1]] * (self.batch_size - len(items))]
        try:
            with as_compile_error(), self._own_pipe() as pipe:
                return work(pipe, padded)[: len(items)]
        except torch.OutOfMemoryError:
            return None  # the caller continues outside this clause, whose traceback keeps tensors alive

    def _halve_batch_size(self) -> None:
        """For the rest of the run."""
        import torch

        with self._own_pipe() as pipe:  # another thread may be painting
            pipe.maybe_free_model_hooks()
        torch.cuda.empty_cache()
        if self.batch_size == 1:
            raise PhotoError("one picture runs out of GPU memory: try memory=low or a lower resolution")
        self.batch_size //= 2
        log.warning("out of GPU memory: continuing with a batch size of %d", self.batch_size)


def _places_by(items: Sequence[_Item], key: Callable[[_Item], _Key]) -> dict[_Key, list[int]]:
    """The places of items by their key, in order."""
    groups: dict[_Key, list[int]] = {}
    for place, item in enumerate(items):
        groups.setdefault(key(item), []).append(place)
    return groups


def load_diffusion(
    files: ModelFiles,
    memory: Memory,
    device: str,
    steering: SteeringFiles,
    turns: Turns | None = None,
    loras: Loras | None = None,
) -> Diffusion:
    """The inpainting model of a checkpoint, on its device.

    Args:
        files: the checkpoint.
        memory: resolved settings (`darkroom.models.device.resolve_memory`).
        device: `cpu`, `cuda`, `cuda:1` or `mps`.
        steering: finds what else than the prompt steers it.
        turns: see `Diffusion`.
        loras: see `Diffusion`.

    Raises:
        SetupError: files are missing or damaged, or the checkpoint is of another kind.
    """
    silence_libraries()
    pipe = _load(files, torch_dtype(memory), turns or nullcontext())
    pipe.set_progress_bar_config(disable=True)
    prepare_vae(pipe, device)
    apply_memory_settings(pipe, memory, device)
    return Diffusion(pipe, int(memory.batch_size), turns, steering_of(pipe.unet, steering, memory, device), loras)


def _load(files: ModelFiles, dtype: torch.dtype, turns: Turns) -> Pipeline:
    """The pipeline. Where other threads compute meanwhile, it is loaded in fp32 and cast then, all but its VAE: loading
    it in another dtype would change torch's default dtype for these threads.
    """
    import torch

    if are_taken(turns) or dtype == torch.float32:
        return load_pipeline(files, dtype)
    pipe = load_pipeline(files, torch.float32)
    for name in ("unet", "text_encoder", "text_encoder_2"):
        if part := getattr(pipe, name, None):
            part.to(dtype)
    return pipe
