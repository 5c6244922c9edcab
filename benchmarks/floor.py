"""The floor: the bare model calls that the work needs, and nothing else, in the fastest arrangement.

    python -m benchmarks.floor WORK.json WORKERS THREADS
    python -m benchmarks.floor arrangement

A process imports torch and the model classes, loads SAM and the parts of the miniature SDXL, and calls them on random
numbers of the right shapes:

* for each photo SAM's image encoder and mask decoder twice (the miniature looks at the photo, then at the object), and
  the VAE's encoder once;
* for each prompt both text encoders once;
* for each picture the UNet once per step, on two rows (with the prompt and without), and the VAE's decoder once.

Independent calls run side by side in WORKERS threads with THREADS torch threads each. There is no tokenizer, no
scheduler, no noise, no photo and no file; so no program that makes the pictures can be faster than this, unless it
changes the arithmetic.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from benchmarks.contenders.work import MINIATURE, SIZE, Work, given_work
from darkroom.models.miniature.networks import load_sam_network

FACTOR = 4  # px per latent, of the miniature's VAE
TOKENS = 32
TRIAL = 12  # UNet calls for each arrangement


def calls(work: Work) -> Counter[str]:
    """How often each model part is called for the work; `Models` has a method for each."""
    photos, pictures = len(work.photos), work.pictures
    return Counter(
        sam=2 * photos,
        encode=photos,
        text=len(work.prompts),
        unet=work.steps * pictures,
        decode=pictures,
    )


class Models:
    """The model parts, each with a method that calls it once."""

    def __init__(self) -> None:
        checkpoint = MINIATURE / "sdxl_inpaint"
        self._sam = load_sam_network(MINIATURE / "sam").eval()
        self._vae = AutoencoderKL.from_pretrained(checkpoint / "vae", local_files_only=True)
        self._unet = UNet2DConditionModel.from_pretrained(checkpoint / "unet", local_files_only=True)
        self._texts = [
            CLIPTextModel.from_pretrained(checkpoint / "text_encoder", local_files_only=True),
            CLIPTextModelWithProjection.from_pretrained(checkpoint / "text_encoder_2", local_files_only=True),
        ]
        side, (width, height) = self._sam.image_encoder.img_size, SIZE
        config, rows = self._unet.config, (height // FACTOR, width // FACTOR)
        self._photo = torch.rand(1, 3, side, side)
        self._points = (torch.tensor([[[100.0, 100.0]]]), torch.ones(1, 1))
        self._crop = torch.rand(1, 3, height, width)
        self._tokens = torch.ones(1, TOKENS, dtype=torch.int64)
        self._latents = torch.randn(1, 4, *rows)
        self._sample = torch.randn(2, config.in_channels, *rows)
        self._embeds = torch.randn(2, TOKENS, config.cross_attention_dim)
        pooled = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
        self._added = {"text_embeds": torch.randn(2, pooled), "time_ids": torch.ones(2, 6)}

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
        """One step of one picture, with and without the prompt."""
        self._unet(self._sample, 500, encoder_hidden_states=self._embeds, added_cond_kwargs=self._added)

    def decode(self) -> None:
        """Latents to one picture."""
        self._vae.decode(self._latents)


def replay(models: Models, counts: Counter[str], pictures: int, workers: int) -> None:
    """Make the calls: first those that pictures share, then picture by picture."""
    shared = [getattr(models, name) for name in ("sam", "encode", "text") for _ in range(counts[name])]
    steps = counts["unet"] // pictures

    def picture() -> None:
        for _ in range(steps):
            models.unet()
        models.decode()

    side_by_side(shared, workers)
    side_by_side([picture] * pictures, workers)


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
    seconds = {}
    for workers, threads in ((cores, 1), (1, cores), (1, cores), (cores, 1)):
        torch.set_num_threads(threads)
        side_by_side([models.unet] * workers, workers)
        started = time.perf_counter()
        side_by_side([models.unet] * TRIAL, workers)
        seconds[workers, threads] = seconds.get((workers, threads), 0) + time.perf_counter() - started
    return min(seconds, key=lambda each: seconds[each])


def main() -> None:
    """See the module."""
    if sys.argv[1:] == ["arrangement"]:
        print(*arrangement(Models()))
        return
    work, (workers, threads) = given_work(), map(int, sys.argv[2:])
    torch.set_num_threads(threads)
    replay(Models(), calls(work), work.pictures, workers)


if __name__ == "__main__":
    main()
