"""Trains the miniature models from nothing: ``python -m miniature.train``.

Renders the scenes, trains the models one after another and writes their weights. It can be stopped at any
time, also by SIGKILL, and goes on from its last checkpoint when started again. With one thread, as by default, on the
same kind of processor and with the same torch it makes the same weights, to the bit.
"""

import argparse
import os
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import torch

from miniature.training import export
from miniature.training.classifier import ColourTask, ObjectTask, PlaceTask
from miniature.training.clipseg import ClipsegTask
from miniature.training.loop import Plan, Task, keep_freed_memory, restore, train
from miniature.training.sam import SamCrowdTask, SamTask
from miniature.training.scenes import CLASSIFIER_SEEDS, TRAINING_SEEDS, SceneCache
from miniature.training.unet import LatentCache, UnetTask
from miniature.training.vae import VaeTask
from miniature.words import build_tokenizer

WEIGHTS = Path(__file__).parents[1] / "pipeline/darkroom/models/miniature/weights"
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
    """What the training needs, each made when first asked for.

    folder: caches, checkpoints and the log.
    """

    def __init__(self, folder: Path, smoke: bool = False):
        self.folder, self.smoke = folder, smoke

    def plan(self, name: str) -> Plan:
        """How to train a model; for the smoke run a few steps of the same."""
        plan = PLANS[name]
        if not self.smoke:
            return plan
        again = min(plan.restart, SMOKE_STEPS - 2)
        return replace(plan, steps=SMOKE_STEPS, warmup=2, hold=2, restart=again, save_every=2, log_every=2)

    def _scenes(self, count: int, first_seed: int) -> SceneCache:
        return SceneCache(self.folder / "data", SMOKE_SCENES if self.smoke else count, first_seed, os.cpu_count() or 1)

    @cached_property
    def scenes(self) -> SceneCache:
        return self._scenes(SCENES, TRAINING_SEEDS)

    @cached_property
    def classifier_scenes(self) -> SceneCache:
        return self._scenes(CLASSIFIER_SCENES, CLASSIFIER_SEEDS)

    @cached_property
    def tokenizer(self):
        return build_tokenizer()

    def task(self, name: str) -> Task:
        """A model as its training begins, the same at every call, and its training data."""
        makers = {
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
        return LatentCache(self.folder / "data", self.scenes, self.vae)

    @cached_property
    def vae(self):
        task = self.trained("vae")
        task.set_scale()
        return task.net

    def trained(self, name: str) -> Task:
        """A trained model.

        Raises:
            SystemExit: its training has not come to its end.
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
        """Trains one model, or the rest of it."""
        train(self.task(name), self.plan(name), self.folder)

    def export(self, folder: Path, names: list[str]) -> None:
        """Writes the weights of these models and the logs that led to them; what others build on comes with those."""
        tokenizer = build_tokenizer()  # a used one would be stored with the lengths that it was used for
        writers = {
            "sam_crowd": lambda: export.export_sam(self.trained("sam_crowd").net, folder / "sam"),
            "clipseg": lambda: export.export_clipseg(
                self.trained("clipseg").net.clipseg, tokenizer, folder / "clipseg"
            ),
            "place_classifier": lambda: self._export_classifier("place_classifier", folder),
            "object_classifier": lambda: self._export_classifier("object_classifier", folder),
            "colour_classifier": lambda: self._export_classifier("colour_classifier", folder),
            "unet": lambda: export.export_inpainter(
                self.trained("unet").net, self.vae, tokenizer, folder / "sdxl_inpaint"
            ),
        }
        written = [name for name in names if name in writers]
        for name in written:
            writers[name]()
        led = {*written, *(BUILDS_ON[name] for name in written if name in BUILDS_ON)}
        export.export_log(self.folder, [name for name in PLANS if name in led], folder)

    def _export_classifier(self, name: str, folder: Path) -> None:
        export.export_classifier(self.trained(name), folder / "classifier")


def main(arguments: list[str] | None = None) -> None:
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
        help="where the weights go (default: the package; with --smoke the work folder)",
    )
    parser.add_argument("--smoke", action="store_true", help="a few steps of everything, to see that it runs")
    parser.add_argument("--threads", type=int, default=1, help="others make other weights (default: %(default)s)")
    options = parser.parse_args(arguments)
    keep_freed_memory()
    torch.set_num_threads(options.threads)
    folder = options.folder / "smoke" if options.smoke else options.folder
    workshop = Workshop(folder, options.smoke)
    names = [name for name in PLANS if name in (options.only or PLANS)]
    for name in names:
        workshop.train(name)
    workshop.export(options.export or (folder / "weights" if options.smoke else WEIGHTS), names)


if __name__ == "__main__":
    main()
