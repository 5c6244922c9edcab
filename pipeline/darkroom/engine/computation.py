"""Computes the results of nodes: what the workers of the runner do, several at once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

from darkroom.dataset import Photo
from darkroom.engine.edit_cache import EditCache
from darkroom.engine.graph import FindKey, Node, PhotoNode, StepNode
from darkroom.errors import DarkroomError, PhotoError
from darkroom.imaging.edit import Edit
from darkroom.models import Models
from darkroom.store import Result
from darkroom.system.interrupts import raise_if_interrupted
from darkroom.system.profiling import span

log = logging.getLogger("darkroom")
T = TypeVar("T")


class Computed(NamedTuple):
    """What has become of a node.

    Attributes:
        result: its files are in the store, though not yet under the node's key; or why there is none.
        seconds: computing time.
    """

    result: Result | PhotoError
    seconds: float = 0.0


class Computation:
    """Decodes photos and applies stages; it may be called from several threads.

    Args:
        models: passed to the stages.
        edits: where the edits before the steps come from, and where results go.
        find_key: see `FindKey`.
    """

    def __init__(self, models: Models, edits: EditCache, find_key: FindKey) -> None:
        self._models = models
        self._edits = edits
        self._find_key = find_key

    def __call__(self, batch: Sequence[Node]) -> list[Computed]:
        """Compute nodes of one op."""
        steps = [node for node in batch if isinstance(node, StepNode)]
        return self._steps(steps) if steps else [self._photo(node.root) for node in batch]

    def _photo(self, root: PhotoNode) -> Computed:
        return Computed(attempt(partial(self._edits.store_photo, root), root.photo))

    def _steps(self, batch: Sequence[StepNode]) -> list[Computed]:
        started = time.perf_counter()
        changes = self._apply(batch)
        seconds = (time.perf_counter() - started) / len(batch)
        return [
            Computed(self._stored(node, change, seconds), seconds) for node, change in zip(batch, changes, strict=True)
        ]

    def _apply(self, batch: Sequence[StepNode]) -> Sequence[tuple[Edit, Edit] | PhotoError]:
        """The edits before and after each step, or why it failed. If a batch fails, its steps run one by one."""
        stages = [node.step.stage for node in batch]

        def apply() -> list[tuple[Edit, Edit]]:
            before = [self._edits.edit_after(node.parent) for node in batch]
            with span(batch[0].step.op):
                after = type(stages[0]).apply_together(stages, before, self._models)
            return list(zip(before, after, strict=True))

        changes = attempt(apply, batch[0].root.photo)
        if not isinstance(changes, PhotoError):
            return changes
        return [changes] if len(batch) == 1 else [self._apply([node])[0] for node in batch]

    def _stored(self, node: StepNode, change: tuple[Edit, Edit] | PhotoError, seconds: float) -> Result | PhotoError:
        if isinstance(change, PhotoError):
            return change
        before, after = change

        def store() -> Result:
            self._check_inputs(node)
            return self._edits.store_edit(node, before, after, seconds)

        return attempt(store, node.root.photo)

    def _check_inputs(self, node: StepNode) -> None:
        """Raise `PhotoError` if a file that the step reads has changed since its key was made."""
        if not node.step.stage.input_files(node.root.photo.name):
            return
        is_other = self._find_key(node.step, node.parent) != node.key
        if is_other and node.root.batch_size == self._models.batch_size:  # which is also part of the key
            raise PhotoError("an input file changed during the run")


def attempt(work: Callable[[], T], photo: Photo) -> T | PhotoError:
    """Do something for one photo; an error in it, even an unexpected one, fails this photo only."""
    try:
        return work()
    except PhotoError as error:
        return error
    except DarkroomError:
        raise
    except Exception as error:
        raise_if_interrupted()
        log.debug("unexpected error at %s", photo.name, exc_info=error)
        return PhotoError(f"unexpected {type(error).__name__}: {error} (traceback in run.log)")
