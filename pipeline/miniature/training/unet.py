"""Trains the painter: the SDXL inpainting UNet together with its two text encoders.

Pictures and masked pictures are encoded once, with the trained autoencoder, in the way that
``StableDiffusionXLInpaintPipeline`` does it: the masked part is set to 0 (mid grey) before encoding and the
mask is thinned to latent size by taking the nearest pixel.
"""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from pipeline.miniature.networks import build_scheduler, build_text_encoders, build_unet

from .loop import device
from .masks import prompt, random_repaint
from .scenes import SIZES, SceneCache
from .vae import to_tensor

REPAINTS = 3  # tasks per scene
CROP = 24  # side, in latents, of the cut-out around an object that is to be repainted
CUT_OUTS = 0.62  # share of the batches that are such cut-outs; they cost half of a whole picture
NO_TEXT, EMPTY_PROMPT = 0.10, 0.03  # shares of a batch without text (as guidance asks) and with "" as prompt
OUTSIDE_WEIGHT = 0.15  # of the loss where nothing is repainted
NOISY = 0.8  # below 1 more of the batch is noisy, where it is decided what the picture shows


def fingerprint(net: nn.Module) -> str:
    """Eight characters that change with any weight."""
    digest = hashlib.sha256()
    for weight in net.state_dict().values():
        digest.update(weight.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:8]


def extent(mask: np.ndarray) -> tuple[int, int]:
    """Height and width of the box around a mask that is nowhere empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1


class LatentCache:
    """Latents of every cached scene and of ``REPAINTS`` masked versions of it; made on first use."""

    def __init__(self, folder: Path, scenes: SceneCache, vae):
        self.scenes = scenes
        self.folder = folder / f"{scenes.folder.name}_latents_{fingerprint(vae)}"
        if not self.folder.exists():
            self._encode(vae.to(device()).eval())
        self.groups, small, large = [], [], []
        for i, _ in enumerate(SIZES):
            arrays = [np.load(self.folder / f"{i}_{kind}.npy", mmap_mode="r") for kind in ("whole", "masked", "mask")]
            facts = json.loads((self.folder / f"{i}.json").read_text())
            self.groups.append((*arrays, facts))
            for index, tasks in enumerate(facts):
                for k, (_, kind) in enumerate(tasks):
                    mask = arrays[2][index, k]
                    fits = kind == "object" and mask.any() and max(extent(mask)) <= CROP - 2
                    (small if fits else large).append((i, index, k))
        self.cut_outs, whole = np.array(small), np.array(large)
        self.whole = [whole[whole[:, 0] == i] for i, _ in enumerate(SIZES)]

    def batch(self, count: int, rng: np.random.Generator) -> tuple[np.ndarray, tuple[int, int], list[np.ndarray]]:
        """Tasks, each as group, scene and number; the latents' (width, height); whole, masked and mask, float32."""
        if rng.random() < CUT_OUTS:
            tasks = self.cut_outs[rng.integers(len(self.cut_outs), size=count)]
            parts = [self._cut_out(*task, rng) for task in tasks]
        else:
            group = self.whole[self.scenes.pick_group(rng)]
            tasks = group[rng.integers(len(group), size=count)]
            parts = [self._parts(*task) for task in tasks]
        whole, masked, mask = (np.stack(arrays).astype(np.float32) for arrays in zip(*parts, strict=True))
        return tasks, mask.shape[:0:-1], [whole, masked, mask[:, None]]

    def _parts(self, group: int, index: int, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        whole, masked, mask, _ = self.groups[group]
        return whole[index], masked[index, k], mask[index, k]

    def _cut_out(self, group: int, index: int, k: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """CROP x CROP latents somewhere around the mask."""
        parts, windows = self._parts(group, index, k), []
        for axis, side in enumerate(parts[2].shape):
            hit = np.flatnonzero(parts[2].any(1 - axis))
            start = int(rng.integers(max(0, hit[-1] + 1 - CROP), min(hit[0], side - CROP) + 1))
            windows.append(slice(start, start + CROP))
        return tuple(part[..., windows[0], windows[1]] for part in parts)

    @torch.no_grad()
    def _encode(self, vae) -> None:
        partial = self.folder.with_name(f"{self.folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for i, _ in enumerate(SIZES):
            indices = tqdm(range(self.scenes.size(i)), desc="latents {}x{}".format(*SIZES[i]), unit="scene")
            parts = [self._encode_scene(vae, i, index) for index in indices]
            for name, arrays in zip(
                ("whole", "masked", "mask"), zip(*(p[:3] for p in parts), strict=True), strict=True
            ):
                np.save(partial / f"{i}_{name}.npy", np.stack(arrays))
            (partial / f"{i}.json").write_text(json.dumps([part[3] for part in parts]))
        partial.replace(self.folder)

    def _encode_scene(self, vae, group: int, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, list]:
        rng = np.random.default_rng((group, index))
        sample = self.scenes.get(group, index).halved()
        tasks = [random_repaint(sample, rng) for _ in range(REPAINTS)]
        masks = torch.from_numpy(np.stack([task.mask for task in tasks])).to(device())
        picture = to_tensor([sample.image])
        with torch.autocast(picture.device.type, torch.bfloat16):
            moments = vae.encode(torch.cat([picture, picture * ~masks[:, None]])).latent_dist
        torch.manual_seed(index)
        # The pipeline samples the masked latents; what is learnt is their mean, which decodes cleanest.
        whole, masked = moments.mean[0].float(), moments.sample()[1:].float()
        scale, thinned = (
            vae.config.scaling_factor,
            F.interpolate(masks[:, None].float(), size=whole.shape[-2:])[:, 0],
        )
        facts = [[task.shown, task.kind] for task in tasks]
        return (
            (whole * scale).half().cpu().numpy(),
            (masked * scale).half().cpu().numpy(),
            thinned.byte().cpu().numpy(),
            facts,
        )


class Painter(nn.Module):
    """The UNet and the text encoders, which are trained as one."""

    def __init__(self, tokenizer):
        super().__init__()
        self.unet = build_unet()
        self.text_encoder, self.text_encoder_2 = build_text_encoders(tokenizer)

    def text(self, tokens: Tensor, blank: Tensor) -> tuple[Tensor, Tensor]:
        """Bx32x128 word states and Bx64 pooled text of Bx32 tokens, zero where ``blank`` (B bool) is set."""
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

    def __init__(self, latents: LatentCache, tokenizer, batch: int = 16):
        self.net, self.latents, self.tokenizer, self.batch = Painter(tokenizer), latents, tokenizer, batch
        self.alphas = build_scheduler().alphas_cumprod.float().to(device())

    def _batch(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        tasks, (width, height), arrays = self.latents.batch(self.batch, rng)
        prompts = []
        for group, index, k in tasks.tolist():
            facts = self.latents.groups[group][3][index][k]
            words = prompt(self.latents.scenes.get(group, index), *facts, rng)
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
