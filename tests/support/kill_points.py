"""Runs Darkroom in processes that receive a signal at a chosen point: the driver for `test_resume.py`.

This process imports everything once and forks for every job. A point is a moment before something below the folder
`outputs` changes. Python's audit events announce these changes, so the product needs no hook. A process can also die
while it writes: syncing a file and appending a journal line are points that leave half of the data behind.

A request is a line of JSON on standard input:

    {"cwd": folder, "at": point or null, "signal": number, "links": whether hard links work, "words": [...]}

With `"folder": name, "seeds": [[3, 4, 5], ...], "workers": number` in place of `words`, the job is a run below
`outputs`, or a sweep if there are several lists of seeds. The response is a line of JSON:

    {"code": exit status, negative for a signal,
     "points": how many points the job passed, null if it was killed,
     "batches": the computed batches, each [[op, photo, seed], ...],
     "begun": how many points came before each batch,
     "output": the printed text}
"""

from __future__ import annotations

import errno
import fcntl
import gc
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from functools import cache
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Annotated, Any, BinaryIO, ClassVar
from unittest.mock import patch

import cv2
import numpy as np
from PIL import Image
from pydantic import Field

from darkroom.cli.main import main
from darkroom.config.jobs import Job
from darkroom.config.recipe import parse
from darkroom.config.settings import Settings
from darkroom.imaging.edit import Edit
from darkroom.record import Record, machine
from darkroom.report import sheet
from darkroom.session.session import run as run_session
from darkroom.stages import STAGES
from darkroom.stages.base import Stage, stage
from darkroom.stages.fields import Seeds
from darkroom.stages.markers import EachValue
from darkroom.system import interrupts

_CHANGES = {f"os.{name}" for name in ("rename", "link", "symlink", "rmdir", "chmod", "truncate")}
_OPS = ("grabcut", "refine", "paint")


@stage
class Paint(Stage):
    """A stage that paints noise, which depends on the seed alone, without any model."""

    repaints: ClassVar[bool] = True
    needs_mask: ClassVar[bool] = True

    seed: Annotated[Seeds, EachValue()] = Field(0, description="Seed; a list makes one picture per seed.")

    def batch_size(self, models: Any) -> int:
        return 2

    def apply(self, edit: Edit, models: Any) -> Edit:
        mask = edit.need_mask()
        noise = np.random.default_rng(self.seed).integers(0, 256, edit.image.shape, np.uint8)
        return replace(edit, image=np.where(mask[..., None] > 0, noise, edit.image), repainted=mask)


class Points:
    """Counts the points of this process and sends it a signal at one of them.

    Args:
        below: only changes in this folder are points.
        at: number of the point, from 1; None for no signal.
        signal_number: the signal to send.
    """

    def __init__(self, below: Path, at: int | None, signal_number: int) -> None:
        self.number = 0
        self._below = str(below)
        self._at = at
        self._signal = signal_number
        self._lock = threading.RLock()

    def watch(self) -> None:
        """Start counting. Audit hooks cannot be removed, so counting never stops."""
        sys.addaudithook(self._on_event)
        os.fsync = lambda file: self._pass(lambda: _halve(file))
        append = Record.append

        def append_or_tear(record: Record, line: dict[str, Any]) -> None:
            self._pass(lambda: _tear(record, line))
            append(record, line)

        Record.append = append_or_tear

    def _pass(self, damage: Callable[[], None] = lambda: None) -> None:
        with self._lock:
            self.number += 1
            if self.number == self._at:
                damage()
                os.kill(os.getpid(), self._signal)

    def _on_event(self, event: str, args: tuple[Any, ...]) -> None:
        place = _place(event, args)
        if place is not None and (place.startswith(self._below) or place == "") and _changes(event, args, place):
            self._pass()


def _place(event: str, args: tuple[Any, ...]) -> str | None:
    """The path that an event changes; empty if the path is relative to an open folder."""
    if event == "open":
        return None if isinstance(args[0], int) else str(args[0]) if Path(args[0]).is_absolute() else ""
    if event in ("os.mkdir", "os.remove", *_CHANGES):
        folder = {"os.mkdir": 2, "os.remove": 1, "os.chmod": 2, "os.rename": 2, "os.link": 2}.get(event)
        handle = args[folder] if folder is not None and len(args) > folder else -1
        return str(Path(f"/proc/self/fd/{handle}").readlink() / args[0]) if handle >= 0 else str(args[0])
    return None


def _changes(event: str, args: tuple[Any, ...], place: str) -> bool:
    """Whether the event changes anything on the disk."""
    if event == "open":
        return bool(args[2] & os.O_TRUNC) or bool(args[2] & os.O_CREAT)
    if event in ("os.mkdir", "os.remove"):
        return os.path.lexists(place) == (event == "os.remove")
    return event in _CHANGES


def _halve(file: int) -> None:
    """Truncate a file to half its size; files opened for appending are left to `_tear`."""
    if not fcntl.fcntl(file, fcntl.F_GETFL) & os.O_APPEND:
        os.ftruncate(file, os.fstat(file).st_size // 2)


def _tear(record: Record, line: dict[str, Any]) -> None:
    text = json.dumps(line).encode()
    with (record.folder / "journal.jsonl").open("ab") as journal:
        journal.write(text[: len(text) // 2])


def _no_links(*_: Any, **__: Any) -> None:
    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))


def note_batches(op: str, points: Points, descriptor: int) -> None:
    """Make an op report each batch before computing it, with the number of points so far."""
    original = STAGES[op].apply_together.__func__

    def apply_together(cls: type[Stage], stages: Sequence[Stage], edits: Sequence[Edit], models: Any) -> list[Edit]:
        batch = [(op, edit.name, getattr(each, "seed", None)) for each, edit in zip(stages, edits, strict=True)]
        os.write(descriptor, json.dumps([points.number, batch]).encode() + b"\n")
        return original(cls, stages, edits, models)

    STAGES[op].apply_together = classmethod(apply_together)


def start(outputs: Path, folder: str, seeds: Sequence[Sequence[int]], workers: int = 1) -> int:
    """Start a run or a sweep as the command line does, without the half second that Hydra takes."""
    (outputs / folder).mkdir(parents=True)
    sweep = outputs / folder if len(seeds) > 1 else None
    folders = [sweep / f"{number}_kill" if sweep else outputs / folder for number in range(len(seeds))]
    jobs = [_ready(outputs, *each, sweep, workers) for each in zip(folders, seeds, strict=True)]
    return 0 if run_session(jobs) else 3


def _ready(outputs: Path, folder: Path, seeds: Sequence[int], sweep: Path | None, workers: int) -> Job:
    folder.mkdir(exist_ok=True)
    config = {
        "name": "kill",
        "dataset": {"images": str(outputs.parent / "photos"), "manifest": None},
        "stages": {
            "thing": {"op": "grabcut", "box": [5, 4, 27, 20], "iterations": 1},
            "refine": {"op": "refine", "grow": 1},
            "paint": {"op": "paint", "seed": list(seeds)},
        },
        "on_empty": "fail",
        "models": dict.fromkeys(("sam", "clipseg", "inpaint"), "miniature"),
        "memory": {"workers": workers},
        "engine": {"kind": "local"},
        "device": "cpu",
        "results": {"what": ["picture", "cutout", "layers"], "format": "jpeg", "quality": 90},
        "outputs": str(outputs),
        "dry_run": False,
    }
    files = {"recipe.yaml": "name: kill\n", ".hydra/config.yaml": "name: kill\n"}
    words = ("recipe=kill", f"stages.paint.seed={list(seeds)}")
    return Job(parse(config, "kill.yaml"), Settings.parse(config), folder, files, config, words, sweep)


def work(asked: dict[str, Any], tell: int) -> int:
    """In the fork: do the job. Writes each batch to the descriptor `tell`, and finally the number of points."""
    os.chdir(asked["cwd"])
    outputs = Path(asked["cwd"]) / "outputs"
    if not asked["links"]:
        os.link = _no_links
    points = Points(outputs, asked["at"], asked["signal"])
    points.watch()
    for op in _OPS:
        note_batches(op, points, tell)
    code = (
        interrupts.run(lambda: main(asked["words"]))
        if "words" in asked
        else start(outputs, asked["folder"], asked["seeds"], asked["workers"])
    )
    sys.stdout.flush()
    os.write(tell, json.dumps(points.number).encode() + b"\n")
    return code


def answer(asked: dict[str, Any], printed: BinaryIO) -> dict[str, Any]:
    """Fork, and return how the job ended. A file collects the printed text."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        signal.signal(signal.SIGINT, signal.default_int_handler)  # the parent may ignore it
        os.dup2(printed.fileno(), 1)
        os.dup2(printed.fileno(), 2)
        try:
            code = work(asked, theirs)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(theirs)
    with os.fdopen(ours) as pipe:
        told = [json.loads(line) for line in pipe]
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    printed.seek(0)
    output = printed.read().decode()
    points = told.pop() if told and isinstance(told[-1], int) else None
    begun, batches = [each[0] for each in told], [each[1] for each in told]
    return {"code": code, "points": points, "batches": batches, "begun": begun, "output": output}


def warm_up() -> None:
    """Fill the caches that every fork needs, and replace slow parts that write nothing."""
    cv2.setNumThreads(0)  # threads do not survive a fork
    STAGES["paint"] = Paint
    machine.version = cache(machine.version)
    patch.object(sheet, "_pages", lambda run_dir: iter([Image.new("RGB", (1, 1))])).start()
    with TemporaryDirectory() as folder, redirect_stdout(StringIO()):
        photo = Path(folder) / "photos/0.png"
        photo.parent.mkdir()
        pixels = np.full((24, 32, 3), 60, np.uint8)
        pixels[6:18, 8:24] = (200, 30, 60)
        Image.fromarray(pixels).save(photo)
        assert start(Path(folder) / "outputs", "run", [[3, 4]]) == 0  # one that fails would warm up less
    gc.freeze()  # a collection in a fork would copy the pages that it touches


if __name__ == "__main__":
    warm_up()
    for request in sys.stdin:
        with TemporaryFile() as file:
            print(json.dumps(answer(json.loads(request), file)), flush=True)
