"""Painters that are flow transformers: requests to pictures by the inpainting pipelines of diffusers, one at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import lru_cache
from threading import RLock
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from darkroom.errors import Cancelled, PhotoError, SetupError
from darkroom.models.checkpoint import load_pipeline
from darkroom.models.flow_parts import check_parts
from darkroom.models.library_logging import silence_libraries
from darkroom.models.load_errors import as_compile_error, as_setup_error
from darkroom.models.offload import apply_memory_settings, network_of, torch_dtype
from darkroom.models.repaint import is_picture, to_uint8
from darkroom.models.request import DiffEditMaskRequest, DiffEditRequest, InpaintRequest
from darkroom.models.settings import Memory
from darkroom.models.side_by_side import Turns
from darkroom.models.vae import Encodings
from darkroom.models.weights import ModelFiles
from darkroom.system.profiling import span, spanned
from darkroom.system.watching import piece_done

if TYPE_CHECKING:
    from darkroom.models.diffusers_interfaces import Pipeline

_Encode = Callable[[str], Any]
"""Encodes a text; returns all that `encode_prompt` of the pipeline does."""
_Arguments = Callable[[_Encode, InpaintRequest], dict[str, Any]]
"""Makes the pipeline's arguments for prompt and guidance."""


class FlowPainter:
    """A flow transformer's inpainting pipeline: requests in, pictures out.

    Pictures are painted one at a time, since one of 1024 px keeps a GPU busy; so company changes no bit.

    Args:
        pipe: a loaded pipeline of one of `darkroom.models.painter_families`, on its device.
        turns: held while a thread computes. Calls also take turns among themselves, as each of them leaves its settings
            on the pipeline and its tokenizer.

    Attributes:
        multiple: height and width of a request must be divisible by this: 8 px a latent, and 2 x 2 latents a token.
        native: side in pixels of the squares that the model was trained on.
        batch_size: 1.
    """

    multiple = 16
    native = 1024
    batch_size = 1

    def __init__(self, pipe: Pipeline, turns: Turns | None = None) -> None:
        self._pipe = pipe
        self._turns = turns or nullcontext()
        self._lock = RLock()
        self._base_scheduler = pipe.scheduler
        self._arguments, self._options = _CALLS[type(pipe).__name__]
        self._encode = lru_cache(maxsize=16)(self._encode_afresh)  # one prompt, many seeds

    def inpaint(self, requests: Sequence[InpaintRequest]) -> list[np.ndarray]:
        """Repaint the masked parts of pictures.

        On a CPU each equals the picture of diffusers for a generator of the request's seed, bit for bit. Pixels outside
        the mask change too, because all pixels pass through the VAE: composite the result.

        Returns:
            (h, w, 3) uint8 RGB for each request, in order.

        Raises:
            PhotoError: the model produced no picture for a request, or runs out of memory.
            Cancelled: the watcher of this work has stopped it.
        """
        return [self._picture(request) for request in requests]

    def diffedit_map(self, request: DiffEditMaskRequest) -> np.ndarray:
        """Not possible; the check before a run refuses it. Raises `SetupError`."""
        raise SetupError(f"{type(self._pipe).__name__} has no noise prediction to compare")

    def diffedit(self, requests: Sequence[DiffEditRequest]) -> list[np.ndarray]:
        """Not possible; the check before a run refuses it. Raises `SetupError`."""
        raise SetupError(f"{type(self._pipe).__name__} cannot be inverted by DDIM")

    def describe(self) -> dict[str, Any]:
        """The pipeline and its settings, as plain data for `run.json`."""
        return {
            "pipeline": type(self._pipe).__name__,
            "dtype": str(network_of(self._pipe).dtype).removeprefix("torch."),
            "batch_size": self.batch_size,
            "default_scheduler": type(self._base_scheduler).__name__,
        }

    def _picture(self, request: InpaintRequest) -> np.ndarray:
        import torch

        try:
            with as_compile_error(), self._turns, self._lock:
                picture = self._painted(request)
        except torch.OutOfMemoryError:
            picture = None  # the traceback keeps tensors alive within this clause
        if picture is None:
            with self._turns, self._lock:  # another thread may be painting
                self._pipe.maybe_free_model_hooks()
            torch.cuda.empty_cache()
            raise PhotoError("one picture runs out of GPU memory: try memory=low or a lower resolution")
        if not is_picture(picture):
            raise PhotoError(f"the model produced no picture for seed {request.seed}: NaN or a single colour")
        return _resized(to_uint8(picture), request.image.shape[:2])

    def _painted(self, request: InpaintRequest) -> np.ndarray:
        """(h, w, 3) float."""
        import torch

        pipe = self._pipe
        pipe.scheduler = type(self._base_scheduler).from_config(self._base_scheduler.config)
        arguments = {
            "image": Image.fromarray(request.image),
            "mask_image": Image.fromarray(request.mask.astype(np.uint8) * 255),
            "generator": torch.Generator("cpu").manual_seed(request.seed),
            "num_inference_steps": request.steps,
            "strength": request.strength,
            **self._arguments(self._encode, request),
        }
        with span("denoise"):
            try:
                pictures = pipe(**arguments, callback_on_step_end=_after_step, output_type="np").images
            except Cancelled:
                pipe.maybe_free_model_hooks()  # which the pipeline itself does only at its end
                raise
        picture: np.ndarray = pictures[0]
        return picture

    @spanned("text")
    def _encode_afresh(self, text: str) -> Any:
        import torch

        with torch.no_grad():
            return self._pipe.encode_prompt(prompt=[text], device=self._pipe._execution_device, **self._options)


def _after_step(pipe: Any, step: int, _timestep: int, tensors: dict[str, Any]) -> dict[str, Any]:
    piece_done(step + 1, pipe.num_timesteps)
    return tensors


def _klein(encode: _Encode, request: InpaintRequest) -> dict[str, Any]:
    """Guided as diffusers does it, away from the empty text if there is no negative prompt."""
    guided = request.guidance_scale > 1
    return {
        "prompt_embeds": encode(request.prompt.text)[0],
        "negative_prompt_embeds": encode(request.prompt.negative or "")[0] if guided else None,
        "guidance_scale": request.guidance_scale,
    }


def _z_image(encode: _Encode, request: InpaintRequest) -> dict[str, Any]:
    """Its own scale counts from 0: so many times the difference of both predictions is added to the wanted one."""
    guided = request.guidance_scale > 1
    return {
        "prompt_embeds": encode(request.prompt.text)[0],
        "negative_prompt_embeds": encode(request.prompt.negative or "")[0] if guided else None,
        "guidance_scale": request.guidance_scale - 1 if guided else 0.0,
    }


def _qwen_image_edit(_encode: _Encode, request: InpaintRequest) -> dict[str, Any]:
    """The prompt is encoded together with the picture, so nothing is kept; " " is the model card's empty prompt."""
    negative = " " if request.prompt.negative is None else request.prompt.negative
    return {
        "prompt": request.prompt.text,
        "negative_prompt": negative if request.guidance_scale > 1 else None,
        "true_cfg_scale": max(request.guidance_scale, 1.0),
    }


def _flux(encode: _Encode, request: InpaintRequest) -> dict[str, Any]:
    """Guidance is an input of the network, or nothing that it takes; so there is no negative prompt."""
    embeds, pooled, *_ = encode(request.prompt.text)
    return {
        "prompt_embeds": embeds,
        "pooled_prompt_embeds": pooled,
        "guidance_scale": request.guidance_scale,
        **_size(request),
    }


def _sd3(encode: _Encode, request: InpaintRequest) -> dict[str, Any]:
    embeds, _, pooled, _ = encode(request.prompt.text)
    guided = request.guidance_scale > 1
    unwanted, _, pooled_unwanted, _ = encode(request.prompt.negative or "") if guided else [None] * 4
    return {
        "prompt_embeds": embeds,
        "pooled_prompt_embeds": pooled,
        "negative_prompt_embeds": unwanted,
        "negative_pooled_prompt_embeds": pooled_unwanted,
        "guidance_scale": request.guidance_scale,
        **_size(request),
    }


def _size(request: InpaintRequest) -> dict[str, int]:
    """For pipelines that would scale the picture to the size they were trained on."""
    height, width = request.image.shape[:2]
    return {"height": height, "width": width}


_CALLS: Mapping[str, tuple[_Arguments, Mapping[str, Any]]] = {
    "Flux2KleinInpaintPipeline": (_klein, {}),
    "ZImageInpaintPipeline": (_z_image, {"do_classifier_free_guidance": False}),
    "QwenImageEditInpaintPipeline": (_qwen_image_edit, {}),
    "FluxInpaintPipeline": (_flux, {}),
    "FluxFillPipeline": (_flux, {}),
    "StableDiffusion3InpaintPipeline": (
        _sd3,
        {"prompt_2": None, "prompt_3": None, "do_classifier_free_guidance": False},
    ),
}
"""By the class of the pipeline: how it takes prompt and guidance, and the options of its `encode_prompt`."""


def _resized(picture: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A uint8 picture at (height, width): some pipelines choose the size themselves."""
    if picture.shape[:2] == shape:
        return picture
    return np.asarray(Image.fromarray(picture).resize(shape[::-1], Image.Resampling.LANCZOS))


def load_flow_painter(files: ModelFiles, memory: Memory, device: str, turns: Turns | None = None) -> FlowPainter:
    """The painter of a checkpoint, on its device.

    Args:
        files: the checkpoint, a folder.
        memory: resolved settings (`darkroom.models.device.resolve_memory`).
        device: `cpu`, `cuda`, `cuda:1` or `mps`.
        turns: see `FlowPainter`.

    Raises:
        SetupError: files are missing or damaged, or the checkpoint is of another kind.
    """
    silence_libraries()
    pipe = load_pipeline(files, torch_dtype(memory))
    with as_setup_error(files.path, "a checkpoint of this kind"):
        check_parts(pipe, files.path)
    pipe.set_progress_bar_config(disable=True)
    vae = pipe.vae
    vae.encode, vae.decode = Encodings(vae, spanned("VAE")(vae.encode)), spanned("VAE")(vae.decode)
    apply_memory_settings(pipe, memory, device)
    return FlowPainter(pipe, turns)
