"""Trains the painter: the SDXL inpainting UNet together with its two text encoders.

Pictures and masked pictures are encoded once, with the trained autoencoder, just as
`StableDiffusionXLInpaintPipeline` encodes them: the masked part is set to 0 (mid grey) before encoding, and the mask is
scaled to latent size by nearest pixel.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from miniature.networks import build_scheduler, build_text_encoders, build_unet
from miniature.training.loop import device
from miniature.training.masks import CLOSEUPS, Repaint, closeup, prompt, random_repaint
from miniature.training.scenes import SIZES, Sample, SceneCache
from miniature.training.vae import to_tensor

if TYPE_CHECKING:
    from diffusers import AutoencoderKL
    from transformers import CLIPTokenizer

VIEWS = 2  # close-ups per scene
SHARE = 0.75  # of the batches that are close-ups; they cost half of a whole picture
NO_TEXT, EMPTY_PROMPT = 0.10, 0.03  # shares of a batch without text (as guidance asks) and with "" as prompt
OUTSIDE_WEIGHT = 0.15  # of the loss where nothing is repainted
NOISY = 0.8  # below 1 more of the batch is noisy, where it is decided what the picture shows


def fingerprint(net: nn.Module) -> str:
    """Eight characters that change with any weight."""
    digest = hashlib.sha256()
    for weight in net.state_dict().values():
        digest.update(weight.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:8]


_Fact = tuple[int, int, list[int], str]  # group and index of the scene, what the prompt must name, why


def _name(size: tuple[int, int]) -> str:
    return "{}x{}".format(*size)


_WHOLE, _CLOSEUPS = [_name(size) for size in SIZES], [_name(size) for size in CLOSEUPS]


class LatentCache:
    """Latents of every cached scene with a task, and of close-ups of its objects; made on first use.

    The folder is named after the scenes and the autoencoder. Remove it after a change to the tasks' code.
    """

    def __init__(self, folder: Path, scenes: SceneCache, vae: AutoencoderKL) -> None:
        self.scenes = scenes
        self.folder = folder / f"{scenes.folder.name}_latents_{fingerprint(vae)}"
        if not self.folder.exists():
            self._encode(vae.to(device()).eval())
        self.whole, self.closeups = ([self._load(name) for name in names] for names in (_WHOLE, _CLOSEUPS))

    def batch(self, count: int, rng: np.random.Generator) -> tuple[list[_Fact], tuple[int, int], list[np.ndarray]]:
        """The facts of each item; (width, height) of the latents; whole, masked and mask, float32."""
        groups = self.closeups if rng.random() < SHARE else self.whole
        sizes = np.array([len(facts) for *_, facts in groups])
        *arrays, facts = groups[rng.choice(len(groups), p=sizes / sizes.sum())]
        chosen = np.sort(rng.integers(len(facts), size=count))
        whole, masked, mask = (array[chosen].astype(np.float32) for array in arrays)
        return [facts[i] for i in chosen], mask.shape[:0:-1], [whole, masked, mask[:, None]]

    def _load(self, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[_Fact]]:
        arrays = [np.load(self.folder / f"{name}_{kind}.npy", mmap_mode="r") for kind in ("whole", "masked", "mask")]
        return (*arrays, json.loads((self.folder / f"{name}.json").read_text()))

    def _encode(self, vae: AutoencoderKL) -> None:
        partial = self.folder.with_name(f"{self.folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        found: dict[str, list[tuple]] = {name: [] for name in (*_WHOLE, *_CLOSEUPS)}
        places = [(group, index) for group, _ in enumerate(SIZES) for index in range(self.scenes.size(group))]
        for group, index in tqdm(places, desc="latents", unit="scene"):
            rng = np.random.default_rng((group, index))
            torch.manual_seed(index)
            sample = self.scenes.get(group, index)
            halved = sample.halved()
            views = [(halved, random_repaint(halved, rng)), *(closeup(sample, rng) for _ in range(VIEWS))]
            for view in filter(None, views):
                fact = (group, index, view[1].shown, view[1].kind)
                found[_name(view[0].labels.shape[::-1])].append((*_latents(vae, *view), fact))
        for name, entries in found.items():
            *arrays, facts = zip(*entries, strict=True)
            for kind, array in zip(("whole", "masked", "mask"), arrays, strict=True):
                np.save(partial / f"{name}_{kind}.npy", np.stack(array))
            (partial / f"{name}.json").write_text(json.dumps(facts))
        partial.replace(self.folder)


@torch.no_grad()
def _latents(vae: AutoencoderKL, sample: Sample, task: Repaint) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    mask = torch.from_numpy(task.mask).to(device())
    picture = to_tensor([sample.image])
    with torch.autocast(picture.device.type, torch.bfloat16):
        moments = vae.encode(torch.cat([picture, picture * ~mask])).latent_dist
    # The pipeline samples the masked latents; what is learnt is their mean, which decodes cleanest.
    whole, masked = moments.mean[0].float(), moments.sample()[1].float()
    scale, thinned = vae.config.scaling_factor, F.interpolate(mask[None, None].float(), size=whole.shape[-2:])[0, 0]
    return (whole * scale).half().cpu().numpy(), (masked * scale).half().cpu().numpy(), thinned.byte().cpu().numpy()


class Painter(nn.Module):
    """The UNet and the text encoders, trained together."""

    def __init__(self, tokenizer: CLIPTokenizer) -> None:
        super().__init__()
        self.unet = build_unet()
        self.text_encoder, self.text_encoder_2 = build_text_encoders(tokenizer)

    def text(self, tokens: Tensor, blank: Tensor) -> tuple[Tensor, Tensor]:
        """Bx32x128 word states and Bx64 pooled text of Bx32 tokens, zero where `blank` (B bool) is set."""
        first = self.text_encoder(tokens, output_hidden_states=True).hidden_states[-2]
        second = self.text_encoder_2(tokens, output_hidden_states=True)
        words = torch.cat([first, second.hidden_states[-2]], -1)
        return words.masked_fill(blank[:, None, None], 0), second.text_embeds.masked_fill(blank[:, None], 0)


def random_sizes(width: int, height: int, count: int, rng: np.random.Generator) -> Tensor:
    """The six size numbers of SDXL (original, crop corner, target), varied so that none means much."""
    scale = np.exp(rng.uniform(-0.5, 1.8, (count, 1)))
    original, target = (
        scale * (height, width),
        np.tile((height, width), (count, 1)) * rng.uniform(0.7, 1.5, (count, 1)),
    )
    corner = np.where(rng.random((count, 1)) < 0.7, 0, rng.uniform(0, 64, (count, 2)))
    return torch.from_numpy(np.concatenate([original, corner, target], 1)).float().round()


class UnetTask:
    """v-prediction on latents, stratified over time; batches of one size."""

    name = "unet"

    def __init__(self, latents: LatentCache, tokenizer: CLIPTokenizer, batch: int = 32) -> None:
        self.net, self.latents, self.tokenizer, self.batch = Painter(tokenizer), latents, tokenizer, batch
        self.alphas = build_scheduler().alphas_cumprod.float().to(device())

    def _batch(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        facts, (width, height), arrays = self.latents.batch(self.batch, rng)
        prompts = []
        for group, index, shown, kind in facts:
            words = prompt(self.latents.scenes.get(group, index), shown, kind, rng)
            prompts.append("" if rng.random() < EMPTY_PROMPT else words)
        tokens = self.tokenizer(prompts, padding="max_length", truncation=True, return_tensors="pt").input_ids
        sizes = random_sizes(4 * width, 4 * height, self.batch, rng)
        return (*(torch.from_numpy(a).to(device()) for a in arrays), tokens.to(device()), sizes.to(device()))

    def loss(self, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        whole, masked, mask, tokens, sizes = self._batch(rng)
        steps = len(self.alphas)
        spread = ((torch.arange(self.batch) + torch.rand(self.batch)) / self.batch) ** NOISY
        times = (spread * steps).long().clamp(max=steps - 1).to(whole.device)
        alpha = self.alphas[times][:, None, None, None]
        noise = torch.randn(whole.shape).to(whole.device)
        noisy = alpha.sqrt() * whole + (1 - alpha).sqrt() * noise
        velocity = alpha.sqrt() * noise - (1 - alpha).sqrt() * whole
        blank = (torch.rand(self.batch) < NO_TEXT).to(whole.device)
        with torch.autocast(whole.device.type, torch.bfloat16):
            words, pooled = self.net.text(tokens, blank)
            guess = self.net.unet(
                torch.cat([noisy, mask, masked], 1),
                times,
                encoder_hidden_states=words,
                added_cond_kwargs={"text_embeds": pooled, "time_ids": sizes},
            ).sample.float()
        error = (guess - velocity) ** 2
        weight = OUTSIDE_WEIGHT + (1 - OUTSIDE_WEIGHT) * F.max_pool2d(mask, 3, 1, 1)
        return (error * weight).mean(), {"inside": float((error * mask).sum().detach() / mask.sum().clamp(min=1) / 4)}
