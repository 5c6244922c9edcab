"""Trains the miniature models from scratch: `python -m miniature.train`.

Renders the scenes, trains the models one after another and writes their weights. It can be stopped at any time, even
by SIGKILL; started again, it resumes from its last checkpoint. With one thread, the default, on the same kind of
processor and with the same torch it makes the same weights, to the bit.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from darkroom.models.weights import MINIATURE_WEIGHTS
from miniature.training import export
from miniature.training.classifier import ColourTask, ObjectTask, PlaceTask
from miniature.training.clipseg import ClipsegTask
from miniature.training.loop import Plan, Task, restore, train
from miniature.training.sam import SamCrowdTask, SamTask
from miniature.training.scenes import CLASSIFIER_SEEDS, TRAINING_SEEDS, SceneCache
from miniature.training.unet import LatentCache, UnetTask
from miniature.training.vae import VaeTask
from miniature.words import build_tokenizer

if TYPE_CHECKING:
    from diffusers import AutoencoderKL
    from transformers import CLIPTokenizer

HERE = Path(__file__).parent  # the judges and the training log are not shipped, so they stay beside the training
SCENES, CLASSIFIER_SCENES = 9_000, 2_400

# In the order they are trained.
PLANS = {
    "vae": Plan(steps=4400, lr=2.5e-3, hold=3400, decay=0, muon=True),
    "sam": Plan(steps=11_000, lr=1.2e-3, warmup=150, hold=4600, decay=0.02, muon=True),
    "sam_crowd": Plan(steps=3600, lr=7e-4, warmup=150, decay=0.02, muon=True),
    "place_classifier": Plan(steps=330, lr=4e-3, decay=0.02),
    "object_classifier": Plan(steps=950, lr=4e-3, decay=0.02),
    "colour_classifier": Plan(steps=600, lr=4e-3, decay=0.02),
    "clipseg": Plan(steps=12_600, lr=1.2e-3, warmup=150, hold=5600, decay=0.02, muon=True),
    "unet": Plan(steps=7000, lr=1.6e-3, warmup=150, hold=1400, restart=2500, muon=True, average=300),
}
# The painter works on the autoencoder's latents, and a trained SAM goes on among things that touch.
BUILDS_ON = {"unet": "vae", "sam_crowd": "sam"}
SMOKE_STEPS, SMOKE_SCENES = 6, 80


class Workshop:
    """Scenes, tokenizer, latents and tasks of a training, each made when it is first needed.

    Args:
        folder: for caches, checkpoints and logs.
        smoke: take a few steps on a few scenes, only to see that the code runs.
    """

    def __init__(self, folder: Path, smoke: bool = False) -> None:
        self.folder, self.smoke = folder, smoke

    def plan(self, name: str) -> Plan:
        """How to train a model; in a smoke run, the same with a few steps."""
        plan = PLANS[name]
        if not self.smoke:
            return plan
        again = min(plan.restart, SMOKE_STEPS - 2)
        return replace(plan, steps=SMOKE_STEPS, warmup=2, hold=2, restart=again, save_every=2, log_every=2)

    def _scenes(self, count: int, first_seed: int) -> SceneCache:
        return SceneCache(self.folder / "data", SMOKE_SCENES if self.smoke else count, first_seed, os.cpu_count() or 1)

    @cached_property
    def scenes(self) -> SceneCache:
        """The scenes that the models are trained on."""
        return self._scenes(SCENES, TRAINING_SEEDS)

    @cached_property
    def classifier_scenes(self) -> SceneCache:
        """The scenes that the judges are trained on, which no model sees."""
        return self._scenes(CLASSIFIER_SCENES, CLASSIFIER_SEEDS)

    @cached_property
    def tokenizer(self) -> CLIPTokenizer:
        """The tokenizer of CLIPSeg and of both text encoders."""
        return build_tokenizer()

    def task(self, name: str) -> Task:
        """A model at the start of its training, the same at every call, with its training data."""
        makers: dict[str, Callable[[], Task]] = {
            "vae": lambda: VaeTask(self.scenes),
            "sam": lambda: SamTask(self.scenes),
            "sam_crowd": lambda: SamCrowdTask(self.scenes, self.trained("sam").net),
            "place_classifier": lambda: PlaceTask(self.classifier_scenes),
            "object_classifier": lambda: ObjectTask(self.classifier_scenes),
            "colour_classifier": lambda: ColourTask(self.classifier_scenes),
            "clipseg": lambda: ClipsegTask(self.scenes, self.tokenizer),
            "unet": lambda: UnetTask(self.latents, self.tokenizer),
        }
        if name == "unet":
            _ = self.latents  # before the seed, since making them draws random numbers
        torch.manual_seed(0)
        return makers[name]()

    @cached_property
    def latents(self) -> LatentCache:
        """The scenes as latents of the trained autoencoder."""
        return LatentCache(self.folder / "data", self.scenes, self.vae)

    @cached_property
    def vae(self) -> AutoencoderKL:
        """The trained autoencoder."""
        task: Any = self.trained("vae")
        task.set_scale()
        return task.net

    def trained(self, name: str) -> Task:
        """A trained model.

        Raises:
            SystemExit: its training has not finished.
        """
        task, steps = self.task(name), self.plan(name).steps
        try:
            step = restore(task, self.folder)
        except FileNotFoundError:
            step = 0
        if step < steps:
            raise SystemExit(f"{name} is trained to step {step} of {steps} only: finish it with --only {name}")
        return task

    def train(self, name: str) -> None:
        """Train one model, or resume its training."""
        train(self.task(name), self.plan(name), self.folder)

    def export(self, names: list[str], shipped: Path, unshipped: Path) -> None:
        """Write the weights of these models, and the logs of the trainings that led to them.

        Args:
            names: of the models; the log also gets what they build on.
            shipped: the folder for the weights that Darkroom loads.
            unshipped: the folder for the judges and the training log.
        """
        tokenizer = build_tokenizer()  # a fresh one: a used one would be stored with the lengths that it was used for
        judges = unshipped / "judges"
        writers: dict[str, Callable[[Any], None]] = {
            "sam_crowd": lambda task: export.export_sam(task.net, shipped / "sam"),
            "clipseg": lambda task: export.export_clipseg(task.net.clipseg, tokenizer, shipped / "clipseg"),
            "place_classifier": lambda task: export.export_classifier(task, judges),
            "object_classifier": lambda task: export.export_classifier(task, judges),
            "colour_classifier": lambda task: export.export_classifier(task, judges),
            "unet": lambda task: export.export_inpainter(task.net, self.vae, tokenizer, shipped / "sdxl_inpaint"),
        }
        written = [name for name in names if name in writers]
        for name in written:
            writers[name](self.trained(name))
        logged = {*written, *(BUILDS_ON[name] for name in written if name in BUILDS_ON)}
        export.export_log(self.folder, [name for name in PLANS if name in logged], unshipped)


def main(arguments: list[str] | None = None) -> None:
    """Train and export, as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path("outputs/miniature"),
        help="caches, checkpoints and log (default: %(default)s)",
    )
    parser.add_argument("--only", choices=PLANS, action="append", help="train just this; may be repeated")
    parser.add_argument(
        "--export",
        type=Path,
        metavar="DIR",
        help="where all that is made goes (default: the package and miniature/; with --smoke the work folder)",
    )
    parser.add_argument("--smoke", action="store_true", help="a few steps of everything, to see that it runs")
    parser.add_argument("--threads", type=int, default=1, help="others make other weights (default: %(default)s)")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    folder = options.folder / "smoke" if options.smoke else options.folder
    workshop = Workshop(folder, options.smoke)
    names = [name for name in PLANS if name in (options.only or PLANS)]
    for name in names:
        workshop.train(name)
    target = options.export or (folder / "weights" if options.smoke else None)
    workshop.export(names, target or MINIATURE_WEIGHTS, target or HERE)


if __name__ == "__main__":
    main()
