"""A worker: an ordinary runner whose pictures go to no run folder. It fills the store and answers with the results."""

from __future__ import annotations

import logging
import os
import platform
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from darkroom.cluster.messages import Done, Lent, Picture, Ready, Setup, Share, Work, without_steps
from darkroom.cluster.numerics import differences, numerics
from darkroom.cluster.probe import is_shared, locks_hold, renames_hold
from darkroom.dataset import Photo
from darkroom.engine.runner import Runner
from darkroom.engine.step_result import StepResult
from darkroom.errors import DarkroomError, PhotoError
from darkroom.planning.plan import Step, paths
from darkroom.record import metadata
from darkroom.store import FOLDER, Result, Store
from darkroom.system.memory import peak_memory

_OWN_BYTES = 2 << 30  # files in a worker's own store, above which it is emptied: the head has them all

_log = logging.getLogger("darkroom")


class Worker:
    """Computes shares of photos, one list of them after the other."""

    def __init__(self) -> None:
        self._free_since = time.monotonic()

    def begin(self, setup: Setup) -> Ready:
        """Get ready, and find out whether this machine may compute at all. Call it once, before `run`."""
        place = partial(Ready, platform.node(), os.getpid())
        try:
            self._models = setup.make_models()
            self._models.require(setup.kinds)
            found = numerics(self._models, setup.kinds, setup.loras)
        except DarkroomError as error:
            return place(problems=error.problems)
        if problems := differences(setup.numerics, found):
            return place(problems=problems)
        self._store = Store(setup.store)
        shared = is_shared(self._store, setup.probe)
        safe = not shared or (locks_hold(self._store) and renames_hold(self._store.files))
        if not shared:
            self._own = tempfile.TemporaryDirectory(prefix="darkroom-")
            self._store = Store(Path(self._own.name) / FOLDER)
            self._store.create()
        self._sent: set[str] | None = None if shared else set()
        self._runner = Runner(self._models, self._store, metadata.texts)
        self._free_since = time.monotonic()
        return place(shared, safe)

    def run(self, shares: Sequence[Share], lent: Lent) -> Done:
        """Compute the pictures of some shares, save for what is lent."""
        started = time.monotonic()
        self._make_room()
        self._take(lent)
        waited, before = started - self._free_since, self._work()
        catchers = [_Catcher(shares, number) for number in range(len(shares[0].trees))]
        error = None
        with _kept_log() as lines:
            try:
                self._runner.run([share.photo for share in shares], catchers)
            except DarkroomError as caught:
                error = caught
        self._free_since = time.monotonic()
        work = self._work(before)
        work.photos, work.busy, work.waited = len(shares), self._free_since - started, waited
        work.loaded, work.peak_memory = self._models.loaded(), peak_memory()
        if error:
            return Done(work=work, log=lines, error=error)
        pictures = [[picture for catcher in catchers for picture in catcher.of(share)] for share in shares]
        return Done(pictures, work, *self._unsent(pictures), lines)

    def _make_room(self) -> None:
        """Empty a store of its own that has grown large; what a later share needs of it is lent, or computed again."""
        if self._sent is not None and sum(size for _, size, _ in self._store.blobs()) > _OWN_BYTES:
            self._store.clear()

    def _take(self, lent: Lent) -> None:
        for name, data in lent.blobs.items():
            self._store.add_blob(data, Path(name).suffix)
        for key, result in lent.stored.items():
            self._store.put(key, result)
        for key, result in lent.unverified.items():
            self._store.put_unverified(key, result)
        if self._sent is not None:
            self._sent |= {*lent.blobs, *lent.stored}

    def _unsent(self, pictures: Sequence[Sequence[Picture]]) -> tuple[dict[str, Result], dict[str, bytes]]:
        """The results in a store of its own, and all files, that have not been sent; none if all see the store."""
        if self._sent is None:
            return {}, {}
        every = (one for share in pictures for picture in share for one in picture if not isinstance(one, PhotoError))
        found = {key: result for key, result, _ in every}
        stored = {key: found[key] for key in found.keys() - self._sent if self._store.has(key)}
        names = {name for result in found.values() for name in result.blobs()} - self._sent
        self._sent |= {*stored, *names}
        return stored, {name: self._store.read_blob(name) for name in sorted(names)}

    def _work(self, before: Work | None = None) -> Work:
        """The runner's counters, since `before`."""
        runner, then = self._runner, before or Work()
        seconds = {op: value - then.seconds.get(op, 0) for op, value in runner.seconds.items()}
        now = (runner.reused - then.reused, runner.computed - then.computed, runner.failed - then.failed)
        return Work(*now, seconds)


class _Catcher:
    """Keeps the pictures of all shares for one consumer elsewhere (`consumer.Consumer`)."""

    def __init__(self, shares: Sequence[Share], number: int) -> None:
        self._shares = {id(share.photo): share for share in shares}
        self._number = number
        self._caught: dict[int, _CaughtPictures] = {}

    def tree(self, photo: Photo) -> Sequence[Step]:
        """See `consumer.Consumer`."""
        return self._shares[id(photo)].trees[self._number]

    def begin(self, photo: Photo, digest: str | PhotoError, tree: Sequence[Step] | PhotoError) -> _CaughtPictures:
        """See `consumer.Consumer`."""
        share = self._shares[id(photo)]
        steps = share.trees[self._number]
        error = digest if isinstance(digest, PhotoError) else tree if isinstance(tree, PhotoError) else None
        if error is None and digest != share.digest:
            error = PhotoError("has changed during the run, or is another file there")
        if error is None:
            sink = _CaughtPictures(steps, [])
        else:
            located = PhotoError(f"on {platform.node()}: {error}")
            sink = _CaughtPictures((), [[located] for _ in paths(steps)])
        self._caught[id(photo)] = sink
        return sink

    def of(self, share: Share) -> Sequence[Picture]:
        """The pictures of a share."""
        return self._caught[id(share.photo)].pictures


class _CaughtPictures(NamedTuple):
    """Keeps the pictures of one photo (`consumer.ResultSink`)."""

    remaining: Sequence[Step]
    pictures: list[Picture]

    def start(self) -> None:
        """See `consumer.ResultSink`."""

    def prepare(self, steps: Sequence[Step], results: Sequence[StepResult | PhotoError]) -> Picture:
        """See `consumer.ResultSink`."""
        return without_steps(results)

    def deliver(self, prepared: Picture) -> None:
        """See `consumer.ResultSink`."""
        self.pictures.append(prepared)

    def flush(self) -> None:
        """See `consumer.ResultSink`."""


class _Lines(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[tuple[int, str]] = []
        self.setFormatter(logging.Formatter("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append((record.levelno, self.format(record)))


@contextmanager
def _kept_log() -> Iterator[list[tuple[int, str]]]:
    handler, level = _Lines(), _log.level
    _log.addHandler(handler)
    _log.setLevel(logging.DEBUG)
    try:
        yield handler.lines
    finally:
        _log.removeHandler(handler)
        _log.setLevel(level)
