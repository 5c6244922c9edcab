"""Trains the miniature models from nothing: ``python -m pipeline.miniature.train``.

Renders the scenes, trains the models one after another and writes their weights. It can be stopped at any
time, also by SIGKILL, and goes on from its last checkpoint when started again.
"""

import argparse
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import torch

from .training import export
from .training.classifier import ColourTask, ObjectTask, PlaceTask
from .training.clipseg import ClipsegTask
from .training.loop import Plan, Task, keep_freed_memory, restore, train
from .training.sam import SamTask
from .training.scenes import CLASSIFIER_SEEDS, TRAINING_SEEDS, SceneCache
from .training.start import adopt, fingerprint
from .training.unet import LatentCache, UnetTask
from .training.vae import DecoderTask, VaeTask
from .words import build_tokenizer

WEIGHTS = Path(__file__).parent / "weights"
SCENES, CLASSIFIER_SCENES = 9_000, 2_400

# In the order they are trained: the painter works on the latents of the autoencoder, whose decoder may be trained on.
PLANS = {
    "vae": Plan(steps=5500, lr=2.5e-3, flat=0.3, decay=0),
    "sam": Plan(steps=12_000, lr=1.2e-3, warmup=150, flat=0.2, decay=0.02, muon=True),
    "place_classifier": Plan(steps=350, lr=4e-3, decay=0.02),
    "object_classifier": Plan(steps=1050, lr=4e-3, decay=0.02),
    "colour_classifier": Plan(steps=800, lr=4e-3, decay=0.02),
    "clipseg": Plan(steps=14_000, lr=1.2e-3, warmup=150, flat=0.2, decay=0.02, muon=True),
    "vae_decoder": Plan(steps=3000, lr=1e-3, decay=0),
    "unet": Plan(steps=4400, lr=1.2e-3, warmup=200, flat=0.45, average=400),
}
SMOKE_STEPS, SMOKE_SCENES = 6, 80


class Workshop:
    """What the training needs, each made when first asked for.

    folder: caches, checkpoints and the log. start: exported weights that a leg starts from; from nothing if None.
    changes: other steps or learning rates than the plans'.
    """

    def __init__(
        self,
        folder: Path,
        smoke: bool = False,
        workers: int = 1,
        start: Path | None = None,
        changes: dict[str, float] | None = None,
    ):
        self.folder, self.smoke, self.workers = folder, smoke, workers
        self.start, self.changes = start, changes or {}

    def plan(self, name: str) -> Plan:
        """How to train a model; for the smoke run a few steps of the same."""
        plan = replace(PLANS[name], **self.changes)
        return replace(plan, steps=SMOKE_STEPS, warmup=2, save_every=2, log_every=2) if self.smoke else plan

    def _scenes(self, count: int, first_seed: int) -> SceneCache:
        return SceneCache(self.folder / "data", SMOKE_SCENES if self.smoke else count, first_seed, self.workers)

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
        """A model with fresh weights (or those the leg starts from), the same at every call, and its training data."""
        makers = {
            "vae": lambda: VaeTask(self.scenes),
            "sam": lambda: SamTask(self.scenes),
            "place_classifier": lambda: PlaceTask(self.classifier_scenes),
            "object_classifier": lambda: ObjectTask(self.classifier_scenes),
            "colour_classifier": lambda: ColourTask(self.classifier_scenes),
            "clipseg": lambda: ClipsegTask(self.scenes, self.tokenizer),
            "vae_decoder": lambda: DecoderTask(self.scenes, self.vae),
            "unet": lambda: UnetTask(self.latents, self.tokenizer),
        }
        if name == "unet":
            _ = self.latents  # before the seed, since making them draws random numbers
        if name == "vae_decoder":
            _ = self.vae
        torch.manual_seed(0)
        task = makers[name]()
        if self.start and name != "vae_decoder":
            adopt(task, self.start)
        return task

    @cached_property
    def latents(self) -> LatentCache:
        return LatentCache(self.folder / "data", self.scenes, self.vae)

    @cached_property
    def vae(self):
        trained = (self.folder / "vae.checkpoint.pt").exists() or not self.start
        task = self.trained("vae") if trained else self.task("vae")
        task.set_scale()
        return task.net

    @property
    def finished_vae(self):
        """The autoencoder with the decoder trained last."""
        done = (self.folder / "vae_decoder.checkpoint.pt").exists()
        return self.trained("vae_decoder").net if done else self.vae

    def trained(self, name: str) -> Task:
        """A model with the weights of its latest checkpoint."""
        task = self.task(name)
        restore(task, self.folder)
        return task

    def train(self, name: str) -> None:
        """Trains one model, or the rest of it."""
        start = {"from_weights": fingerprint(self.start)} if self.start else {}
        train(self.task(name), self.plan(name), self.folder, start)

    def export(self, folder: Path, names: list[str]) -> None:
        """Writes the weights of these models, from their latest checkpoints."""
        writers = {
            "sam": lambda: export.export_sam(self.trained("sam").net, folder / "sam"),
            "clipseg": lambda: export.export_clipseg(
                self.trained("clipseg").net.clipseg, self.tokenizer, folder / "clipseg"
            ),
            "place_classifier": lambda: self._export_classifier("place_classifier", folder),
            "object_classifier": lambda: self._export_classifier("object_classifier", folder),
            "colour_classifier": lambda: self._export_classifier("colour_classifier", folder),
            "unet": lambda: export.export_inpainter(
                self.trained("unet").net, self.finished_vae, self.tokenizer, folder / "sdxl_inpaint"
            ),
        }
        for name in names:
            if name in writers:
                writers[name]()
        export.export_log(self.folder, names, folder)

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
    parser.add_argument("--only", choices=PLANS, action="append", help="train just this model; may be repeated")
    parser.add_argument(
        "--export",
        type=Path,
        metavar="DIR",
        help="where the weights go (default: the package; with --smoke the work folder)",
    )
    parser.add_argument("--export-now", action="store_true", help="train nothing, export the latest checkpoints")
    parser.add_argument("--smoke", action="store_true", help="a few steps of everything, to see that it runs")
    parser.add_argument(
        "--from-weights",
        type=Path,
        metavar="DIR",
        help=f"start a leg from exported weights, such as {WEIGHTS.relative_to(Path(__file__).parents[2])}",
    )
    parser.add_argument("--steps", type=int, help="how many steps, instead of the plan's")
    parser.add_argument("--lr", type=float, help="peak learning rate, instead of the plan's")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="default: %(default)s")
    options = parser.parse_args(arguments)
    keep_freed_memory()
    torch.set_num_threads(options.threads)
    folder = options.folder / "smoke" if options.smoke else options.folder
    changes = {key: value for key in ("steps", "lr") if (value := getattr(options, key)) is not None}
    workshop = Workshop(folder, options.smoke, options.threads, options.from_weights, changes)
    names = options.only or list(PLANS)
    if not options.export_now:
        for name in names:
            workshop.train(name)
    workshop.export(options.export or (folder / "weights" if options.smoke else WEIGHTS), names)


if __name__ == "__main__":
    main()
