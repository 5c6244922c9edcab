"""The one loop: every photo through its tree of steps. A failure costs what it must; nothing here knows an op."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from pipeline.compositing import to_alpha
from pipeline.dataset import Photo
from pipeline.edit import Edit
from pipeline.errors import DarkroomError, EmptyMask, PhotoError
from pipeline.models import Models
from pipeline.plan import Step, expand, paths
from pipeline.progress import Progress
from pipeline.recipe import Recipe
from pipeline.record import Record
from pipeline.record.artifacts import Branch, begin, follow
from pipeline.record.journal import journal_line

log = logging.getLogger("darkroom")
T = TypeVar("T")


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
        self._progress = Progress(recipe.dataset)
        self._totals = Counter(photos=0, done=0, failed=0, skipped=0)

    def run(self) -> Mapping[str, int]:
        """Edit every photo.

        Returns:
            how many `photos` there were, and how many pictures are `done`, `failed` and `skipped`.

        Raises:
            SetupError: something that the recipe needs is missing.
            OutputError: results cannot be written.
        """
        status = "stopped"
        try:
            with self._progress:
                for photo in self._recipe.dataset.photos():
                    self._totals["photos"] += 1
                    self._edit(photo)
            status = "failed" if self._totals["failed"] else "done"
        except KeyboardInterrupt:
            status = "interrupted"
            raise
        finally:
            self._record.finish(status, self._describe_models(), self._totals)
        return self._totals

    def _edit(self, photo: Photo) -> None:
        tree = () if photo.problem else _attempt(lambda: expand(self._recipe, photo.item), photo)
        if isinstance(tree, PhotoError):
            self._progress.begin_photo(1)
            self._give_up(photo, None, [()], tree)
            return
        self._progress.begin_photo(sum(1 for _ in paths(tree)) or 1)
        branch = _attempt(lambda: self._start(photo), photo)
        if isinstance(branch, PhotoError):
            self._give_up(photo, None, paths(tree) if tree else [()], branch)
        else:
            self._grow(branch, tree)

    def _start(self, photo: Photo) -> Branch:
        picture = photo.load()
        self._record.add_photo(photo.name, picture.digest)
        return begin(self._record, photo, picture)

    def _grow(self, branch: Branch, siblings: Sequence[Step]) -> None:
        """Take the steps that follow a branch, and go on from each; what a batch has made is kept before the next."""
        size = _attempt(lambda: siblings[0].stage.batch_size(self._models), branch.photo)
        if isinstance(size, PhotoError):
            self._give_up(branch.photo, branch, paths(siblings, branch.steps), size)
            return
        for start in range(0, len(siblings), size):
            batch = siblings[start : start + size]
            started = time.perf_counter()
            results = self._apply(branch, batch)
            seconds = (time.perf_counter() - started) / len(batch)
            for step, result in zip(batch, results, strict=True):
                self._go_on(branch, step, result, seconds)

    def _apply(self, branch: Branch, batch: Sequence[Step]) -> Sequence[Edit | PhotoError]:
        """Each step's result, or why there is none; where one spoils it for all, one by one."""
        stages = [step.stage for step in batch]
        results = _attempt(lambda: type(stages[0]).apply_together(stages, branch.edit, self._models), branch.photo)
        if not isinstance(results, PhotoError):
            return results
        return [results] if len(batch) == 1 else [self._apply(branch, [step])[0] for step in batch]

    def _go_on(self, branch: Branch, step: Step, result: Edit | PhotoError, seconds: float) -> None:
        new = result if isinstance(result, PhotoError) else self._keep(branch, step, result, seconds)
        if isinstance(new, PhotoError):
            self._give_up(branch.photo, branch, paths([step], branch.steps), new)
        elif step.children:
            self._grow(new, step.children)
        else:
            self._log_picture(new.photo, new, new.steps, "done")

    def _keep(self, branch: Branch, step: Step, edit: Edit, seconds: float) -> Branch | PhotoError:
        """Check a result and write its files."""
        context = {"recipe": self._recipe.name, "models": self._describe_models()}

        def keep() -> Branch:
            _check(edit, is_last=not step.children)
            return follow(self._record, branch, step, edit, seconds, context)

        return _attempt(keep, branch.photo)

    def _give_up(
        self, photo: Photo, branch: Branch | None, ways: Iterable[tuple[Step, ...]], error: PhotoError
    ) -> None:
        """Record every picture that will not be made, or that stays as it is."""
        status = "failed"
        if isinstance(error, EmptyMask):
            status = {"keep": "done", "skip": "skipped"}.get(self._recipe.on_empty, "failed")
        for way in ways:
            if branch and status == "done":
                self._log_picture(photo, branch, branch.steps, status)
            else:
                self._log_picture(photo, branch, way, status, str(error))
        log.warning("%s: %s: %s", "kept as it is" if status == "done" else status, photo.name, error)

    def _log_picture(
        self, photo: Photo, branch: Branch | None, steps: Sequence[Step], status: str, error: str | None = None
    ) -> None:
        self._record.append(journal_line(photo, branch, steps, status, error))
        self._totals[status] += 1
        self._progress.picture_done(photo.name, status)

    def _describe_models(self) -> dict:
        return self._models.describe(self._recipe.models())


def _check(edit: Edit, is_last: bool) -> None:
    """The paste-back contract after every stage; and that a recipe which repaints nothing has found something."""
    if edit.image.shape != edit.original.shape:
        raise PhotoError(f"the picture has another size, {edit.image.shape}, than the photo: a bug, please report it")
    if edit.outside_max_diff():
        raise PhotoError(f"pixels outside the mask changed by {edit.outside_max_diff()}: a bug, please report it")
    if is_last and edit.repainted is None and edit.mask is not None and not to_alpha(edit.mask).any():
        raise EmptyMask("nothing found: the mask is empty")


def _attempt(work: Callable[[], T], photo: Photo) -> T | PhotoError:
    """The work's result, or why this photo cannot have it. What nobody foresaw costs one photo too."""
    try:
        return work()
    except PhotoError as error:
        return error
    except DarkroomError:
        raise
    except Exception as error:
        log.debug("unexpected error at %s", photo.name, exc_info=error)
        return PhotoError(f"unexpected {type(error).__name__}: {error} (traceback in run.log)")
