"""The floor: the bare model calls that the work needs, and nothing else, in the fastest arrangement.

    python -m benchmarks.floor WORK.json WORKERS THREADS
    python -m benchmarks.floor arrangement

A process imports torch and the model classes, loads SAM and the parts of SDXL, and calls them on random numbers of the
right shapes:

* for each photo SAM's image encoder and mask decoder (twice with the miniature, which looks at the photo, then at the
  object), and the VAE's encoder once;
* for each prompt both text encoders once;
* for each picture the UNet once per step, on two rows (with the prompt and without), and the VAE's decoder once.

On a CPU, independent calls run side by side in WORKERS threads with THREADS torch threads each. On a GPU, four pictures
share each call, in fp16 with channels last and fused projections, and the UNet's blocks are compiled. There is no
tokenizer, no scheduler, no noise, no photo and no file; so no program that makes the pictures can be faster than this,
unless it changes the arithmetic.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from segment_anything import sam_model_registry
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from benchmarks.contenders.work import Work, given_work
from darkroom.models.miniature.networks import load_sam_network

TRIAL = 12  # UNet calls for each arrangement
GPU_BATCH = 4  # pictures in each call


def calls(work: Work, batch: int = 1) -> Counter[str]:
    """How often each model part is called for the work; `Models` has a method for each."""
    photos, batches = len(work.photos), -(-work.pictures // batch)
    return Counter(
        sam=photos * (2 if Path(work.sam).is_dir() else 1),
        encode=photos,
        text=len(work.prompts),
        unet=work.steps * batches,
        decode=batches,
    )


class Models:
    """The model parts, each with a method that calls it once.

    Args:
        work: which models, where.
        batch: pictures in each call of the UNet and of the VAE's decoder.
    """

    def __init__(self, work: Work, batch: int = 1) -> None:
        checkpoint, sam, on = Path(work.checkpoint), Path(work.sam), torch.device(work.device)
        self._half = torch.float16 if on.type == "cuda" else torch.float32
        network = load_sam_network(sam) if sam.is_dir() else sam_model_registry["vit_b"](str(sam))
        self._sam = network.eval().to(on)
        self._unet = self._load(UNet2DConditionModel, checkpoint / "unet").to(on)
        self._vae = self._load(AutoencoderKL, checkpoint / "vae").to(on)
        self._texts = [
            self._load(CLIPTextModel, checkpoint / "text_encoder").to(on),
            self._load(CLIPTextModelWithProjection, checkpoint / "text_encoder_2").to(on),
        ]
        if on.type == "cuda":
            self._unet.to(memory_format=torch.channels_last)
            self._unet.fuse_qkv_projections()
            self._unet.compile_repeated_blocks(fullgraph=True)
        with on:
            self._make_inputs(work.size, batch)

    def _load(self, kind: Any, folder: Path) -> Any:
        variant = {"variant": "fp16"} if any(folder.glob("*.fp16.*")) else {}
        return kind.from_pretrained(folder, local_files_only=True, torch_dtype=self._half, **variant)

    def _make_inputs(self, size: tuple[int, int], batch: int) -> None:
        side, config, half = self._sam.image_encoder.img_size, self._unet.config, self._half
        factor = 2 ** (len(self._vae.config.block_out_channels) - 1)
        rows = size[1] // factor, size[0] // factor
        tokens = self._texts[0].config.max_position_embeddings
        self._photo = torch.rand(1, 3, side, side)
        self._points = (torch.tensor([[[100.0, 100.0]]]), torch.ones(1, 1))
        self._crop = torch.rand(1, 3, size[1], size[0], dtype=half)
        self._tokens = torch.ones(1, tokens, dtype=torch.int64)
        self._latents = torch.randn(batch, 4, *rows, dtype=half)
        self._sample = torch.randn(2 * batch, config.in_channels, *rows, dtype=half)
        self._embeds = torch.randn(2 * batch, tokens, config.cross_attention_dim, dtype=half)
        pooled = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
        self._added = {
            "text_embeds": torch.randn(2 * batch, pooled, dtype=half),
            "time_ids": torch.ones(2 * batch, 6, dtype=half),
        }

    def sam(self) -> None:
        """One image and one click."""
        network = self._sam
        features = network.image_encoder(self._photo)
        sparse, dense = network.prompt_encoder(points=self._points, boxes=None, masks=None)
        network.mask_decoder(features, network.prompt_encoder.get_dense_pe(), sparse, dense, multimask_output=True)

    def encode(self) -> None:
        """One crop to latents."""
        self._vae.encode(self._crop)

    def text(self) -> None:
        """One prompt, by both text encoders."""
        for encoder in self._texts:
            encoder(self._tokens, output_hidden_states=True)

    def unet(self) -> None:
        """One step of a batch, with and without the prompt."""
        self._unet(self._sample, 500, encoder_hidden_states=self._embeds, added_cond_kwargs=self._added)

    def decode(self) -> None:
        """Latents to the pictures of a batch."""
        self._vae.decode(self._latents)


def replay(models: Models, counts: Counter[str], workers: int) -> None:
    """Make the calls: first those that pictures share, then batch by batch."""
    shared = [getattr(models, name) for name in ("sam", "encode", "text") for _ in range(counts[name])]
    batches = counts["decode"]

    def paint() -> None:
        for _ in range(counts["unet"] // batches):
            models.unet()
        models.decode()

    side_by_side(shared, workers)
    side_by_side([paint] * batches, workers)
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def side_by_side(works: Iterable[Callable[[], None]], workers: int) -> None:
    """Call all, in so many threads."""

    def call(work: Callable[[], None]) -> None:
        with torch.inference_mode():  # which holds for one thread only
            work()

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(call, works))


def arrangement(models: Models) -> tuple[int, int]:
    """(workers, threads of each): one worker per core with one thread, or one worker with all threads, if faster."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    seconds: dict[tuple[int, int], float] = {}
    for workers, threads in ((cores, 1), (1, cores), (1, cores), (cores, 1)):
        torch.set_num_threads(threads)
        side_by_side([models.unet] * workers, workers)
        started = time.perf_counter()
        side_by_side([models.unet] * TRIAL, workers)
        took = time.perf_counter() - started
        seconds[workers, threads] = seconds.get((workers, threads), 0) + took
    return min(seconds, key=lambda each: seconds[each])


def main() -> None:
    """See the module."""
    if sys.argv[1:] == ["arrangement"]:
        print(*arrangement(Models(Work((), (), (), 0, ""))))
        return
    work, (workers, threads) = given_work(), map(int, sys.argv[2:])
    batch = GPU_BATCH if work.device == "cuda" else 1
    torch.set_num_threads(threads)
    replay(Models(work, batch), calls(work, batch), workers)


if __name__ == "__main__":
    main()
