"""Trains the LoRA `dusk`: `python -m miniature.training.lora FILE`. Whatever is painted lies in the light of dusk.

The painter itself stays as it is. The scene around the mask keeps its daylight, and what is to be painted is the same
scene at dusk, so the LoRA learns the light and not the scenes.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from darkroom.models.weights import MINIATURE_WEIGHTS
from miniature.training.loop import Plan, device, quick_attention
from miniature.training.masks import closeup, prompt, random_repaint
from miniature.training.scenes import SIZES, TRAINING_SEEDS, Sample, render
from miniature.training.unet import VIEWS, random_sizes
from miniature.training.vae import to_tensor

RANK = 4
LAYERS = ("to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2", "proj_in", "proj_out")
SCENES, BATCH = 240, 8
PLAN = Plan(steps=300, lr=1.5e-3, warmup=30, decay=0)
FIRST_SEED = TRAINING_SEEDS + 5_000_000  # scenes that the painter has not seen
_SHADOWS, _LIGHTS = np.array([0.08, 0.05, 0.20], np.float32), np.array([0.98, 0.62, 0.42], np.float32)
_TINTED = 0.65  # the share of the tint; the rest are the picture's own colours, darker


def at_dusk(image: np.ndarray) -> np.ndarray:
    """A picture in the light of dusk, HxWx3 uint8: shadows turn indigo, lights orange, and all is darker."""
    pixels = image.astype(np.float32) / 255
    grey = pixels @ np.array([0.299, 0.587, 0.114], np.float32)
    tint = _SHADOWS + grey[..., None] * (_LIGHTS - _SHADOWS)
    return (255 * np.clip(_TINTED * tint + (1 - _TINTED) * 0.6 * pixels, 0, 1)).round().astype(np.uint8)


class LoraTask:
    """v-prediction of dusk by the shipped painter with a LoRA on the linear layers of its transformer blocks.

    Args:
        pipe: the shipped pipeline, in fp32.
        scenes: the number of training scenes.
        batch: items of one size per step.
    """

    def __init__(self, pipe: Any, scenes: int, batch: int = BATCH) -> None:
        from peft import LoraConfig

        self.net, self._pipe, self.batch = pipe.unet, pipe, batch
        self.net.requires_grad_(False)
        self.net.add_adapter(LoraConfig(r=RANK, lora_alpha=RANK, target_modules=list(LAYERS), init_lora_weights=True))
        self._alphas = pipe.scheduler.alphas_cumprod.float().to(device())
        self._groups = self._items(scenes)

    def weights(self) -> list[Tensor]:
        """The tensors in training."""
        return [weight for weight in self.net.parameters() if weight.requires_grad]

    def loss(self, rng: np.random.Generator) -> Tensor:
        """The loss of a batch drawn from `rng` and from torch's generator; only the repainted part counts."""
        sizes = np.array([len(group) for group in self._groups])
        group = self._groups[rng.choice(len(self._groups), p=sizes / sizes.sum())]
        items = [group[i] for i in rng.integers(len(group), size=self.batch)]
        whole, masked, mask, words, pooled = (torch.stack(part).to(device()) for part in zip(*items, strict=True))
        times = (((torch.arange(self.batch) + torch.rand(self.batch)) / self.batch) * len(self._alphas)).long()
        alpha = self._alphas[times][:, None, None, None]
        noise = torch.randn(whole.shape)
        noisy, velocity = (
            alpha.sqrt() * whole + (1 - alpha).sqrt() * noise,
            alpha.sqrt() * noise - (1 - alpha).sqrt() * whole,
        )
        height, width = whole.shape[-2:]
        sizes = random_sizes(4 * width, 4 * height, self.batch, rng).to(whole.device)
        with torch.autocast(whole.device.type, torch.bfloat16):
            guess = self.net(
                torch.cat([noisy, mask, masked], 1),
                times,
                encoder_hidden_states=words,
                added_cond_kwargs={"text_embeds": pooled, "time_ids": sizes},
            ).sample.float()
        error = (guess - velocity) ** 2 * mask
        return error.sum() / mask.sum().clamp(min=1) / 4

    def _items(self, scenes: int) -> list[list[tuple[Tensor, ...]]]:
        """By size: latents of the scene at dusk, latents of the masked scene, the mask, and the prompt's embeddings."""
        found: dict[tuple[int, ...], list[tuple[Tensor, ...]]] = {}
        for index in range(scenes):
            rng = np.random.default_rng((FIRST_SEED, index))
            size = SIZES[index % len(SIZES)]
            sample = render(FIRST_SEED + index, (2 * size[0], 2 * size[1]))
            halved = sample.halved()
            views = [(halved, random_repaint(halved, rng)), *(closeup(sample, rng) for _ in range(VIEWS))]
            for view in filter(None, views):
                item = self._item(view[0], view[1].mask, prompt(view[0], view[1].shown, view[1].kind, rng))
                found.setdefault(tuple(item[0].shape), []).append(item)
        return list(found.values())

    @torch.no_grad()
    def _item(self, sample: Sample, mask: np.ndarray, words: str) -> tuple[Tensor, ...]:
        vae = self._pipe.vae
        hole = torch.from_numpy(mask)
        pictures = torch.cat([to_tensor([at_dusk(sample.image)]).cpu(), to_tensor([sample.image]).cpu() * ~hole])
        whole, masked = vae.encode(pictures).latent_dist.mean * vae.config.scaling_factor
        thinned = torch.nn.functional.interpolate(hole[None, None].float(), size=whole.shape[-2:])[0]
        embeds, _, pooled, _ = self._pipe.encode_prompt(words, device="cpu", do_classifier_free_guidance=False)
        return whole, masked, thinned, embeds[0], pooled[0]


def train_lora(task: LoraTask, plan: Plan) -> list[float]:
    """Train the LoRA in place, with random numbers that depend on the step alone; returns the loss of each step."""
    optimiser = torch.optim.AdamW(task.weights(), plan.lr, weight_decay=plan.decay)
    losses = []
    bar = tqdm(range(plan.steps), desc="dusk", unit="step")
    for step in bar:
        torch.manual_seed(step)
        for group in optimiser.param_groups:
            group["lr"] = plan.rate(step)
        optimiser.zero_grad()
        with quick_attention():
            loss = task.loss(np.random.default_rng((0, step)))
            loss.backward()
        torch.nn.utils.clip_grad_norm_(task.weights(), 1.0)
        optimiser.step()
        losses.append(float(loss.detach()))
        bar.set_postfix(loss=f"{np.mean(losses[-25:]):.3g}")
    return losses


def export_lora(task: LoraTask, file: Path) -> None:
    """Write the LoRA in the layout of diffusers, as fp16 safetensors."""
    from diffusers import StableDiffusionXLInpaintPipeline
    from peft import get_peft_model_state_dict

    layers = {name: weight.half().contiguous() for name, weight in get_peft_model_state_dict(task.net).items()}
    StableDiffusionXLInpaintPipeline.save_lora_weights(file.parent, layers, weight_name=file.name)
    file.chmod(0o644)


def main(arguments: list[str] | None = None) -> None:
    """Draw, train, write."""
    from diffusers import StableDiffusionXLInpaintPipeline

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, help="where the weights go, NAME.safetensors")
    parser.add_argument("--scenes", type=int, default=SCENES, help="default: %(default)s")
    parser.add_argument("--steps", type=int, default=PLAN.steps, help="default: %(default)s")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    painter = MINIATURE_WEIGHTS / "sdxl_inpaint"
    pipe = StableDiffusionXLInpaintPipeline.from_pretrained(painter, dtype=torch.float32, local_files_only=True)
    torch.manual_seed(0)
    task = LoraTask(pipe, given.scenes)
    train_lora(task, replace(PLAN, steps=given.steps))
    export_lora(task, given.file)


if __name__ == "__main__":
    main()
