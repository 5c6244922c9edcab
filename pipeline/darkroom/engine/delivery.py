"""Puts the pictures of one photo into a run folder. Pictures that earlier attempts finished stay as they are."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from darkroom.config.jobs import Job
from darkroom.dataset import Photo
from darkroom.engine.outputs import FinishedPicture, Outputs
from darkroom.engine.step_result import StepResult, outcome
from darkroom.errors import EmptyMask, PhotoError, Stopped
from darkroom.imaging.codec import read_location
from darkroom.imaging.png import decode_png
from darkroom.imaging.thumbnails import mask_thumbnail
from darkroom.planning.cache_keys import content
from darkroom.planning.plan import Step, paths, settings_of, without
from darkroom.planning.preflight import warnings
from darkroom.record import Record
from darkroom.record.journal import journal_line
from darkroom.record.picture_files import PictureFiles
from darkroom.record.result_names import result_name
from darkroom.record.schema import JournalLine, PictureStatus
from darkroom.store import Store

log = logging.getLogger("darkroom")


@dataclass(frozen=True)
class Destination:
    """Where the pictures of a job go.

    Attributes:
        job: the job.
        record: its run folder.
        store: has the files of the pictures.
        append: adds a picture's line to the journal and counts the picture.
    """

    job: Job
    record: Record
    store: Store
    append: Callable[[JournalLine], None]


class _PlannedPicture(NamedTuple):
    """A picture that the plan asks for.

    A photo that cannot be planned has one picture without steps, which fails.
    """

    steps: Sequence[Step]
    finished: JournalLine | None  # its line from an earlier attempt
    pending: bool  # it must be computed: it is not finished, or some of its files are missing


class _Prepared(NamedTuple):
    """A picture whose files are in the store.

    Attributes:
        steps: the path to it, for the journal.
        finished: the steps that have results.
        status: as in the journal, unless its files cannot be written.
        error: what stopped it; None if nothing did.
        files: all its files.
    """

    steps: Sequence[Step]
    finished: Sequence[Step]
    status: PictureStatus
    error: PhotoError | None
    files: PictureFiles


class Delivery:
    """Puts the pictures of one photo into a run folder (`consumer.ResultSink`).

    A resume adds pictures and never replaces a finished one.

    Args:
        destination: where the pictures go.
        photo: the photo.
        digest: SHA-256 of its file, or why it cannot be read.
        tree: its steps, or why they cannot be planned.

    Attributes:
        remaining: see `consumer.ResultSink`.
        pictures: the number of pictures that the photo will have.
    """

    def __init__(
        self, destination: Destination, photo: Photo, digest: str | PhotoError, tree: Sequence[Step] | PhotoError
    ) -> None:
        self._job, self._append = destination.job, destination.append
        self._record, self._store = destination.record, destination.store
        self._photo = photo
        self._digest = None if isinstance(digest, PhotoError) else digest
        self._folder = self._record.photo_folder(photo)
        self._earlier = self._record.earlier_photo(photo, self._folder)
        self._linked: set[str] = set()
        self._input_digests: dict[Path, str] = {}
        self._warned: set[str] = set()
        self._plan = deque(self._unplanned(tree) if isinstance(tree, PhotoError) else self._planned(tree))
        self.pictures = len(self._plan)
        self.remaining = self._remaining(tree)
        if self.remaining:
            self._record.import_earlier(photo.name, self._store)
        self._problem = digest if isinstance(digest, PhotoError) else None
        if used := self._earlier.done[0]["digest"] if self._earlier.done else self._digest:
            self._record.add_photo(photo.name, used)

    def start(self) -> None:
        """See `consumer.ResultSink`."""
        self._record.begin_lines(self._photo, self._folder)
        self._warn_of_changes()
        self._append_finished()

    def prepare(self, steps: Sequence[Step], results: Sequence[StepResult | PhotoError]) -> _Prepared:
        """See `consumer.ResultSink`. Makes the files of `results/`."""
        finished, error = outcome(results)
        status: PictureStatus = "done" if error is None else self._status(error)
        files = _files_of(self._folder, finished)
        self._add_mask_thumbnail(files)
        if status == "done":
            if template := self._job.settings.results.name:
                files.result_name = result_name(template, self._photo, steps)
            self._add_outputs(files, finished, masks_only=not any(step.stage.repaints for step in steps))
            steps = _steps_of(finished)  # fewer, if it is kept as it was before an error
        if self._job.settings.results.only:
            files.keep_results_only()
        return _Prepared(steps, _steps_of(finished), status, error, files)

    def deliver(self, prepared: _Prepared) -> None:
        """See `consumer.ResultSink`."""
        planned = self._plan.popleft()
        steps, finished, status, error, files = prepared
        if conflict := self._record.find_conflict(files.files, self._earlier, self._store):
            status, error, files = "failed", PhotoError(f"not made: {conflict}"), PictureFiles(self._folder)
        if planned.finished and status != "done":
            self._warn(f"{planned.finished['delivered']}: kept, although files of it are missing: {error}")
            self._append(planned.finished)
        else:
            if isinstance(error, Stopped) and status == "done":
                files.flags.append(str(error))
            self._report(status, error, files.flags)
            self._add(files, self._line(files, steps, finished, status, error))
        self._append_finished()

    def flush(self) -> None:
        """See `consumer.ResultSink`."""
        self._record.flush()

    def _append_finished(self) -> None:
        """Add the lines of pictures that earlier attempts finished, up to the next picture that must be computed."""
        while self._plan and not self._plan[0].pending:
            if line := self._plan.popleft().finished:
                self._append(line)

    def _add_mask_thumbnail(self, files: PictureFiles) -> None:
        """Make the thumbnail of the mask that is shown, if a later step was to make another mask."""
        if mask := files.mask_without_thumbnail:
            small = mask_thumbnail(decode_png(self._store.read_blob(mask), "L"))
            files.add_mask_thumbnail(self._store.add_blob(small, ".png"))

    def _add_outputs(self, files: PictureFiles, finished: Sequence[StepResult], masks_only: bool) -> None:
        picture = FinishedPicture.of(finished)
        settings, read_gps = self._job.settings.results, partial(read_location, self._photo.path, self._digest or "")
        outputs = Outputs(files.name, self._store, picture, masks_only, settings, read_gps)
        for kind, blob in outputs.made():
            files.add_output(kind, blob)
        if small := outputs.thumbnail():
            files.add_framed_thumbnail(small)

    def _planned(self, tree: Sequence[Step]) -> Iterator[_PlannedPicture]:
        for steps in paths(tree):
            line = self._earlier.finished_picture(settings_of(steps))
            pending = line is None or bool(self._record.restore_files(line, self._store))
            yield _PlannedPicture(steps, line, pending)

    def _unplanned(self, error: PhotoError) -> Iterator[_PlannedPicture]:
        """The finished pictures, and one failed picture, unless an earlier attempt ran to its end with finished
        pictures.
        """
        yield from (_PlannedPicture((), line, pending=False) for line in self._earlier.done)
        if not (self._earlier.done and self._record.ended):
            yield _PlannedPicture((), None, pending=True)

    def _remaining(self, tree: Sequence[Step] | PhotoError) -> Sequence[Step] | PhotoError:
        if isinstance(tree, PhotoError):
            return tree if any(picture.pending for picture in self._plan) else ()
        return without(tree, (not picture.pending for picture in self._plan))

    def _warn_of_changes(self) -> None:
        """Warn that finished pictures are kept although their photo, their input files or they themselves changed."""
        done, name = self._earlier.done, self._photo.name
        if not done:
            return
        kept = "its finished picture is kept" if len(done) == 1 else f"its {len(done)} finished pictures are kept"
        if self._problem:
            self._warn(f"{name}: {self._problem}; {kept}")
        elif self._digest != done[0]["digest"]:
            self._warn(f"{name}: has changed since; {kept}; start a new run to use the change")
        for path, recorded in dict.fromkeys(pair for line in done for pair in line["inputs"].items()):
            with suppress(PhotoError):
                if self._digest_of(Path(path)) == recorded:
                    continue
            self._warn(f"{name}: {path} was changed or removed since; {kept}")
        if isinstance(self.remaining, PhotoError):
            self._warn(f"{name}: {self.remaining}; {kept}")
        for path in self._record.changed_files(done):
            self._warn(f"{path}: has changed since it was written; left as it is")

    def _add(self, files: PictureFiles, line: JournalLine) -> None:
        """Add a picture's files to the folder and its line to the journal."""
        for path, blob in files.files.items():
            if path not in self._linked:
                self._record.add_file(path, self._store, blob, self._earlier)
                self._linked.add(path)
        self._append(line)

    def _line(
        self,
        files: PictureFiles,
        steps: Sequence[Step],
        finished: Sequence[Step],
        status: PictureStatus,
        error: PhotoError | None,
    ) -> JournalLine:
        reason = self._photo.located(error) if error and status != "done" else None
        line = journal_line(self._photo, self._digest, self._inputs_of(finished), files, steps, status, reason)
        return {**line, "warnings": warnings(steps, self._job.settings.models())}

    def _inputs_of(self, steps: Iterable[Step]) -> dict[str, str]:
        """SHA-256 of the input files of some steps, by path; files that have been removed since are left out."""
        found = {}
        for step in steps:
            with suppress(PhotoError):
                for path in step.stage.input_files(self._photo.name):
                    found[str(path)] = self._digest_of(path)
        return found

    def _digest_of(self, path: Path) -> str:
        if path not in self._input_digests:
            self._input_digests[path] = content(path)
        return self._input_digests[path]

    def _status(self, error: PhotoError) -> PictureStatus:
        policy = error.policy if isinstance(error, Stopped) else "fail"
        policy = self._job.recipe.on_empty if isinstance(error, EmptyMask) else policy
        statuses: dict[str, PictureStatus] = {"keep": "done", "skip": "skipped"}
        return statuses.get(policy, "failed")

    def _report(self, status: PictureStatus, error: PhotoError | None, flags: Sequence[str]) -> None:
        for flag in flags:
            if flag != str(error):
                self._warn(f"flagged: {self._photo.name}: {flag}")
        if error:
            decision = "kept as it is" if status == "done" else status
            self._warn(f"{decision}: {self._photo.name}: {self._photo.located(error)}")

    def _warn(self, line: str) -> None:
        """Log a warning once, even if several pictures share it."""
        if line not in self._warned:
            self._warned.add(line)
            log.warning("%s", line)


def _files_of(folder: str, results: Sequence[StepResult]) -> PictureFiles:
    files = PictureFiles(folder)
    for found in results:
        if found.step is None:
            files.add_photo(found.key, found.result)
        else:
            files.add_step(f"{found.step.place}_{found.step.name}", found.step.variant, found.key, found.result)
        files.flags += [found.flag] if found.flag else []
    return files


def _steps_of(results: Sequence[StepResult]) -> list[Step]:
    return [found.step for found in results if found.step]
