"""Trains the miniature control model, which keeps outlines: `python -m miniature.training.outlines`.

It is a T2I-Adapter (Mou et al. 2023, arXiv 2302.08453) for the miniature UNet, which stays as it is. A ControlNet has
the UNet's own widths, and would be ten times as large.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from darkroom.imaging.control_pictures import canny
from darkroom.models.weights import MINIATURE_WEIGHTS
from miniature.training.loop import Plan, device, restore, train
from miniature.training.masks import closeup, prompt, random_repaint
from miniature.training.scenes import SceneCache
from miniature.training.unet import random_sizes

if TYPE_CHECKING:
    from diffusers import T2IAdapter

PAINTER = MINIATURE_WEIGHTS / "sdxl_inpaint"
OUTLINES = MINIATURE_WEIGHTS / "outlines"
PLAN = Plan(steps=900, lr=2e-3, warmup=50, hold=300, decay=0, average=100)
SCENES, BATCH = 1200, 12
SHARE = 0.6  # of the batches that are close-ups
NO_TEXT = 0.1  # share of a batch without text, as guidance asks
NOISY = 0.6  # below 1 more of a batch is noisy, where outlines are decided


def build_adapter() -> T2IAdapter:
    """The control model: 1 grey channel in, one map of 48 channels out, which is added after the UNet's first block."""
    from diffusers import T2IAdapter

    adapter = T2IAdapter(in_channels=1, channels=[48], num_res_blocks=3, downscale_factor=8)
    last = adapter.adapter.body[-1].resnets[-1].block2
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    nn.init.normal_(adapter.adapter.conv_in.weight, std=1e-3)
    return adapter


class OutlinesTask:
    """Repaints of scenes whose outlines are given; batches of one size. Only the adapter is trained."""

    name = "outlines"

    def __init__(self, scenes: SceneCache, batch: int = BATCH) -> None:
        from diffusers import StableDiffusionXLInpaintPipeline

        self.scenes, self.batch = scenes, batch
        self.painter: Any = StableDiffusionXLInpaintPipeline.from_pretrained(PAINTER, local_files_only=True)
        for part in (self.painter.unet, self.painter.vae, self.painter.text_encoder, self.painter.text_encoder_2):
            part.to(device()).float().eval().requires_grad_(False)
        self.alphas = self.painter.scheduler.alphas_cumprod.float().to(device())
        self.net = build_adapter()

    def _views(self, rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray, str]]:
        """Picture, mask and prompt of each item of a batch; all pictures have one size."""
        views: dict[tuple[int, ...], list[tuple[np.ndarray, np.ndarray, str]]] = {}
        near, group = rng.random() < SHARE, self.scenes.pick_group(rng)
        while True:
            sample = self.scenes.sample(rng, group)
            view = closeup(sample, rng) if near else (sample.halved(), random_repaint(sample.halved(), rng))
            if view is None:
                continue
            seen, task = view
            found = views.setdefault(seen.labels.shape, [])
            found.append((seen.image, task.mask, prompt(seen, task.shown, task.kind, rng)))
            if len(found) == self.batch:
                return found

    @torch.no_grad()
    def _text(self, prompts: list[str]) -> tuple[Tensor, Tensor]:
        words, _, pooled, _ = self.painter.encode_prompt(prompts, do_classifier_free_guidance=False)
        blank = torch.rand(self.batch) < NO_TEXT
        return words.masked_fill(blank[:, None, None], 0), pooled.masked_fill(blank[:, None], 0)

    @torch.no_grad()
    def _latents(self, pictures: Tensor) -> Tensor:
        vae = self.painter.vae
        return vae.encode(pictures).latent_dist.mean * vae.config.scaling_factor

    def loss(self, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        """See `Task.loss`."""
        images, masks, prompts = zip(*self._views(rng), strict=True)
        pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 127.5 - 1
        mask = torch.from_numpy(np.stack(masks))[:, None].float()
        edges = torch.from_numpy(np.stack([canny(np.ascontiguousarray(image)) for image in images]))[:, None] / 255
        whole, masked = self._latents(torch.cat([pixels, pixels * (1 - mask)])).chunk(2)
        small = nn.functional.interpolate(mask, size=whole.shape[-2:])
        steps = len(self.alphas)
        spread = ((torch.arange(self.batch) + torch.rand(self.batch)) / self.batch) ** NOISY
        times = (spread * steps).long().clamp(max=steps - 1)
        alpha = self.alphas[times][:, None, None, None]
        noise = torch.randn(whole.shape)
        noisy = alpha.sqrt() * whole + (1 - alpha).sqrt() * noise
        velocity = alpha.sqrt() * noise - (1 - alpha).sqrt() * whole
        words, pooled = self._text(list(prompts))
        sizes = random_sizes(pixels.shape[3], pixels.shape[2], self.batch, rng)
        guess = self.painter.unet(
            torch.cat([noisy, small, masked], 1),
            times,
            encoder_hidden_states=words,
            added_cond_kwargs={"text_embeds": pooled, "time_ids": sizes},
            down_intrablock_additional_residuals=self.net(edges),
        ).sample
        loss = (((guess - velocity) ** 2) * small).sum() / small.sum().clamp(min=1) / 4
        return loss, {}


def main(arguments: list[str] | None = None) -> None:
    """Train and export."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("outputs/miniature"), help="caches, checkpoints and log")
    parser.add_argument("--export", type=Path, default=OUTLINES, help="where the weights go")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    scenes = SceneCache(options.folder / "data", SCENES)
    torch.manual_seed(0)
    task = OutlinesTask(scenes)
    train(task, PLAN, options.folder)
    restore(task, options.folder)
    task.net.half().save_pretrained(options.export)


if __name__ == "__main__":
    main()
