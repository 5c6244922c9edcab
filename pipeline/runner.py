"""The one loop: every photo through its tree of steps. A failure costs its photo; nothing here knows an op."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.dataset import Photo
from pipeline.edit import Edit
from pipeline.errors import DarkroomError, EmptyMask, PhotoError
from pipeline.models import Models
from pipeline.plan import Step, expand, paths, settings_of
from pipeline.progress import Progress
from pipeline.recipe import Recipe
from pipeline.record import Record
from pipeline.record.artifacts import Branch, begin, follow

log = logging.getLogger("darkroom")


class Runner:
    """Runs a recipe over its dataset and records everything.

    Args:
        recipe: what to do.
        models: the models it may ask.
        record: the run folder.
    """

    def __init__(self, recipe: Recipe, models: Models, record: Record) -> None:
        self._recipe = recipe
        self._models = models
        self._record = record
        self._totals = Counter(photos=0, done=0, failed=0, skipped=0)

    def run(self) -> Mapping[str, int]:
        """Edit every photo.

        Returns:
            how many `photos` there were, and how many pictures are `done`, `failed` and `skipped`.

        Raises:
            SetupError: something that the recipe needs is missing.
            OutputError: results cannot be written.
        """
        status = "interrupted"
        try:
            with Progress(self._recipe.dataset) as progress:
                for photo in self._recipe.dataset.photos():
                    self._totals["photos"] += 1
                    self._edit(photo)
                    progress.photo_done(photo.name, self._totals)
            status = "failed" if self._totals["failed"] else "done"
        finally:
            self._record.finish(status, self._models.describe(), self._totals)
        return self._totals

    def _edit(self, photo: Photo) -> None:
        tree: Sequence[Step] = ()
        try:
            tree = () if photo.problem else expand(self._recipe, photo.item)
            picture = photo.load()
        except PhotoError as error:
            self._give_up(photo, None, paths(tree) if tree else [()], error)
            return
        self._record.add_photo(photo.name, picture.digest)
        self._grow(begin(self._record, photo, picture), tree)

    def _grow(self, branch: Branch, siblings: Sequence[Step]) -> None:
        """Take the steps that follow a branch, all variants together, and go on from each."""
        started = time.perf_counter()
        results = self._apply(branch, siblings)
        seconds = (time.perf_counter() - started) / len(siblings)
        context = {"recipe": self._recipe.name, "models": self._models.describe()}
        for step, result in zip(siblings, results, strict=True):
            if isinstance(result, PhotoError):
                self._give_up(branch.photo, branch, paths([step], branch.steps), result)
                continue
            new = follow(self._record, branch, step, result, context)
            if result.mask is not None and not np.rint(result.mask.max() * 255):
                self._nothing_to_repaint(new, step)
            elif step.children:
                self._grow(new, step.children)
            else:
                self._finish(new, seconds)

    def _apply(self, branch: Branch, siblings: Sequence[Step]) -> list[Edit | PhotoError]:
        """Each step's result, or why there is none; where one spoils it for all, one by one."""
        stages = [step.stage for step in siblings]
        try:
            return [*type(stages[0]).apply_together(stages, branch.edit, self._models)]
        except Exception as error:
            failure = _as_photo_error(error, branch.photo)
            if len(siblings) == 1:
                return [failure]
        return [result for step in siblings for result in self._apply(branch, [step])]

    def _nothing_to_repaint(self, branch: Branch, step: Step) -> None:
        ways = paths(step.children, branch.steps) if step.children else [branch.steps]
        if self._recipe.on_empty == "keep":
            for way in ways:
                self._log_picture(branch.photo, branch, way, "done", outside_max_diff=branch.edit.outside_max_diff())
        else:
            self._give_up(branch.photo, branch, ways, EmptyMask(f"{step.name}: nothing to repaint: the mask is empty"))

    def _finish(self, branch: Branch, seconds: float) -> None:
        """Check the paste-back contract and put the picture into the journal."""
        difference = branch.edit.outside_max_diff()
        if difference or branch.edit.image.shape != branch.edit.original.shape:
            error = PhotoError(f"pixels outside the mask changed by up to {difference}: a bug, please report it")
            self._give_up(branch.photo, branch, [branch.steps], error)
        else:
            facts = {"outside_max_diff": difference, "seconds": round(seconds, 3)}
            self._log_picture(branch.photo, branch, branch.steps, "done", **facts)

    def _give_up(
        self, photo: Photo, branch: Branch | None, ways: Iterable[tuple[Step, ...]], error: PhotoError
    ) -> None:
        """Record every picture that will not be made."""
        status = "skipped" if isinstance(error, EmptyMask) and self._recipe.on_empty == "skip" else "failed"
        for way in ways:
            self._log_picture(photo, branch, way, status, error=str(error))
        log.warning("%s: %s: %s", status, photo.name, error)

    def _log_picture(
        self, photo: Photo, branch: Branch | None, steps: tuple[Step, ...], status: str, **facts: Any
    ) -> None:
        settings = settings_of(steps)
        repaint = next((each for each in reversed(settings) if "prompt" in each), {})
        self._totals[status] += 1
        self._record.append(
            {
                "photo": photo.name,
                "status": status,
                "result": branch.image if branch and status == "done" else None,
                "mask": branch.mask if branch else None,
                "source": branch.source if branch else None,
                "prompt": repaint.get("prompt"),
                "negative_prompt": repaint.get("negative_prompt"),
                "seed": repaint.get("seed"),
                "outside_max_diff": None,
                "seconds": None,
                "error": None,
                "digest": branch.picture.digest if branch else None,
                "item": dict(photo.item),
                "settings": settings,
                **facts,
            }
        )


def _as_photo_error(error: Exception, photo: Photo) -> PhotoError:
    """What nobody foresaw costs one photo too; its traceback goes to the log file."""
    if isinstance(error, PhotoError):
        return error
    if isinstance(error, DarkroomError):
        raise error
    log.debug("unexpected error at %s", photo.name, exc_info=error)
    return PhotoError(f"unexpected {type(error).__name__}: {error} (traceback in run.log)")
