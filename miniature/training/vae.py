"""Trains the painter's autoencoder: pictures to latents of a quarter of their size, and back."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from miniature.networks import build_vae
from miniature.training.loop import device
from miniature.training.scenes import SceneCache

KL_WEIGHT = 5e-4


def to_tensor(images: list[np.ndarray]) -> Tensor:
    """Pictures, HxWx3 uint8, to one tensor Bx3xHxW in -1..1."""
    batch = torch.from_numpy(np.stack(images)).to(device())
    return batch.permute(0, 3, 1, 2).float() / 127.5 - 1


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Peak signal to noise ratio of each picture in dB; both Bx3xHxW in -1..1."""
    return -10 * torch.log10(((a - b) ** 2).mean((1, 2, 3)) / 4)


def _edges(a: Tensor, b: Tensor) -> Tensor:
    """Difference of the gradients at two scales: keeps thin lines that the pixel loss alone would blur."""
    total = a.new_zeros(())
    for _ in range(2):
        total = total + (a.diff(dim=-1) - b.diff(dim=-1)).abs().mean() + (a.diff(dim=-2) - b.diff(dim=-2)).abs().mean()
        a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
    return total


class VaeTask:
    """Mostly small crops; a quarter of the batches has whole pictures, as group norms will see them later."""

    name = "vae"

    def __init__(self, scenes: SceneCache, batch: int = 16) -> None:
        self.net, self.scenes, self.batch = build_vae(), scenes, batch

    def _crop(self, rng: np.random.Generator, side: int) -> np.ndarray:
        sample = self.scenes.sample(rng, 0 if side == 128 else None).halved()
        image = np.array(sample.image)
        if rng.random() < 0.25:  # the painter also encodes pictures with a grey hole
            hole = sample.labels > 0
            image[hole if rng.random() < 0.5 else ~hole] = 128
        if rng.random() < 0.15:
            image = image[..., rng.permutation(3)]  # rare colours, so that saturation is not a matter of the object
        height, width = image.shape[:2]
        top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
        image = image[top : top + side, left : left + side]
        return image[:, ::-1] if rng.random() < 0.5 else image

    def loss(self, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        side = 128 if rng.random() < 0.25 else 64
        x = to_tensor([self._crop(rng, side) for _ in range(max(1, self.batch * 64**2 // side**2))])
        with torch.autocast(x.device.type, torch.bfloat16):
            latents = self.net.encode(x).latent_dist
            y = self.net.decode(latents.sample()).sample
        y, mean, logvar = y.float(), latents.mean.float(), latents.logvar.float()
        divergence = 0.5 * (mean**2 + logvar.exp() - 1 - logvar).mean()
        loss = (y - x).abs().mean() + 8 * ((y - x) ** 2).mean() + 0.5 * _edges(y, x) + KL_WEIGHT * divergence
        return loss, {
            "psnr": float(psnr(y, x).mean().detach()),
            "worst": float(psnr(y, x).min().detach()),
            "kl": float(divergence.detach()),
        }

    @torch.no_grad()
    def set_scale(self) -> None:
        """Set the scaling factor to what gives latents a standard deviation of 1 on training scenes."""
        rng = np.random.default_rng(0)
        x = to_tensor([self.scenes.sample(rng, 0).halved().image for _ in range(64)])
        self.net.eval()
        deviation = torch.cat([self.net.encode(part).latent_dist.mean for part in x.split(8)]).std()
        self.net.register_to_config(scaling_factor=round(1 / float(deviation), 5))
