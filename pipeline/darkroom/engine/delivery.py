"""One photo's pictures on their way into a run folder; what earlier attempts have finished is taken over as it is."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from darkroom.dataset import Photo
from darkroom.engine.step_result import StepResult, outcome
from darkroom.errors import EmptyMask, PhotoError, Stopped
from darkroom.planning.cache_keys import content
from darkroom.planning.plan import Step, paths, settings_of, without
from darkroom.planning.preflight import warnings
from darkroom.record.journal import journal_line
from darkroom.record.picture_files import PictureFiles
from darkroom.record.schema import JournalLine

if TYPE_CHECKING:
    from darkroom.engine.run_job import JobRun

log = logging.getLogger("darkroom")


class _Planned(NamedTuple):
    """A picture of a photo: the way to it, and the line of an earlier attempt that has finished it.

    A photo that cannot be planned has one picture without a way, which fails.
    """

    steps: Sequence[Step]
    line: JournalLine | None
    left: bool  # it is still to be made, perhaps since files of the finished one are gone


class Delivery:
    """One photo's pictures on their way into a run folder (`runner.ResultSink`).

    What earlier attempts have finished is taken over as it is: a resume adds, and never replaces.

    Attributes:
        remaining: see `runner.ResultSink`.
        pictures: how many there will be.
    """

    def __init__(self, run: JobRun, photo: Photo, digest: str | PhotoError, tree: Sequence[Step] | PhotoError) -> None:
        self._run = run
        self._photo = photo
        self._digest = None if isinstance(digest, PhotoError) else digest
        self._folder = run.record.photo_folder(photo)
        self._before = run.record.earlier_photo(photo, self._folder)
        self._linked: set[str] = set()
        self._inputs: dict[Path, str] = {}
        self._said: set[str] = set()
        self._plan = deque(self._unplanned(tree) if isinstance(tree, PhotoError) else self._planned(tree))
        self.pictures = len(self._plan)
        self.remaining: Sequence[Step] | PhotoError = tree
        if not isinstance(tree, PhotoError):
            self.remaining = without(tree, (not each.left for each in self._plan))
        elif not any(each.left for each in self._plan):
            self.remaining = ()
        if self.remaining:
            run.record.import_earlier(photo.name, run.store)
        done = self._before.done
        self._note_changes(done, digest)
        if used := done[0]["digest"] if done else self._digest:
            run.record.add_photo(photo.name, used)

    def deliver(self, steps: Sequence[Step], way: Sequence[StepResult | PhotoError]) -> None:
        """See `runner.ResultSink`."""
        planned = self._plan.popleft()
        made, error = outcome(way)
        finds_only = not any(step.stage.repaints for step in steps)
        status = "done" if error is None else self._status(error)
        if error and status == "done":  # kept as it was when nothing more was found
            steps = [each.step for each in made if each.step]
        trail = _files_of(self._folder, made)
        if status == "done":
            results = self._run.ready.settings.results
            trail.deliver(self._run.store, finds_only, results.format, results.quality)
        if obstacle := self._run.record.find_conflict(trail.files, self._before, self._run.store):
            status, error, trail = "failed", PhotoError(f"not made: {obstacle}"), PictureFiles(self._folder)
        if planned.line and status != "done":
            self._say(f"{planned.line['result']}: stays, though files of it are gone: {error}")
            self._run.append(planned.line)
        else:
            if isinstance(error, Stopped) and status == "done":
                trail.flags.append(str(error))
            self._tell(status, error, trail.flags)
            self._keep(trail, self._line(trail, steps, made, status, error))
        self.hand_on()

    def hand_on(self) -> None:
        """Take over what is finished, up to the next picture that is still to be made."""
        while self._plan and not self._plan[0].left:
            self._run.append(self._plan.popleft().line)

    def flush(self) -> None:
        """See `runner.ResultSink`."""
        self._run.record.flush()

    def _planned(self, tree: Sequence[Step]) -> Iterator[_Planned]:
        for steps in paths(tree):
            line = self._before.finished_picture(settings_of(steps))
            yield _Planned(steps, line, line is None or bool(self._run.record.restore_files(line, self._run.store)))

    def _unplanned(self, error: PhotoError) -> Iterator[_Planned]:
        """What is finished, and, unless that was all of it, a failure."""
        yield from (_Planned((), line, left=False) for line in self._before.done)
        if not (self._before.done and self._run.record.ended):
            yield _Planned((), None, left=True)

    def _note_changes(self, done: Sequence[JournalLine], digest: str | PhotoError) -> None:
        """Say of what was finished earlier that it stays, where what it was made from, or its files, have changed."""
        if not done:
            return
        stay = f"its {len(done)} finished picture{'s' * (len(done) > 1)} stay{'s' * (len(done) == 1)}"
        if isinstance(digest, PhotoError):
            self._say(f"{self._photo.name}: {digest}; {stay}")
        elif digest != done[0]["digest"]:
            self._say(f"{self._photo.name}: was changed since; {stay}, and a new run takes the change in")
        for path, then in dict.fromkeys(pair for line in done for pair in line["inputs"].items()):
            with suppress(PhotoError):
                if self._content(Path(path)) == then:
                    continue
            self._say(f"{self._photo.name}: {path} was changed or is gone since; {stay}")
        if isinstance(self.remaining, PhotoError):
            self._say(f"{self._photo.name}: {self.remaining}; {stay}")
        for path in self._run.record.changed_files(done):
            self._say(f"{path}: was changed since it was written; left as it is")

    def _keep(self, trail: PictureFiles, line: JournalLine) -> None:
        """Put a picture's files into the folder and its line into the journal."""
        for path, blob in trail.files.items():
            if path not in self._linked:
                self._run.record.add_file(path, self._run.store, blob, self._before)
                self._linked.add(path)
        self._run.append(line)

    def _line(
        self,
        trail: PictureFiles,
        steps: Sequence[Step],
        made: Sequence[StepResult],
        status: str,
        error: PhotoError | None,
    ) -> JournalLine:
        reason = self._photo.located(error) if error and status != "done" else None
        inputs = self._inputs_of(each.step for each in made if each.step)
        line = journal_line(self._photo, self._digest, inputs, trail, steps, status, reason)
        return {**line, "warnings": warnings(steps, self._run.ready.settings.models())}

    def _inputs_of(self, steps: Iterable[Step]) -> dict[str, str]:
        """The files that these steps have read, each looked at once; without one that has gone since."""
        found = {}
        for step in steps:
            with suppress(PhotoError):
                for path in step.stage.input_files(self._photo.name):
                    found[str(path)] = self._content(path)
        return found

    def _content(self, path: Path) -> str:
        if path not in self._inputs:
            self._inputs[path] = content(path)
        return self._inputs[path]

    def _status(self, error: PhotoError) -> str:
        policy = error.policy if isinstance(error, Stopped) else "fail"
        policy = self._run.ready.recipe.on_empty if isinstance(error, EmptyMask) else policy
        return {"keep": "done", "skip": "skipped"}.get(policy, "failed")

    def _tell(self, status: str, error: PhotoError | None, flags: Sequence[str]) -> None:
        """A reason that several pictures share is said once."""
        for flag in flags:
            if flag != str(error):
                self._say(f"flagged: {self._photo.name}: {flag}")
        if error:
            what_happened = "kept as it is" if status == "done" else status
            self._say(f"{what_happened}: {self._photo.name}: {self._photo.located(error)}")

    def _say(self, line: str) -> None:
        if line not in self._said:
            self._said.add(line)
            log.warning("%s", line)


def _files_of(folder: str, results: Sequence[StepResult]) -> PictureFiles:
    files = PictureFiles(folder)
    for found in results:
        if found.step is None:
            files.add_photo(found.key, found.result)
        else:
            files.add_step(f"{found.step.index}_{found.step.name}", found.step.variant, found.key, found.result)
        files.flags += [found.flag] if found.flag else []
    return files
