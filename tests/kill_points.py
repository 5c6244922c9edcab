"""Runs command lines in processes that are killed at a chosen point: a driver for `test_resume.py`.

Everything is imported once; each command line gets a fork of this process. A point is whatever is about to change a
file below the outputs folder: Python's own audit events tell of them, so the product needs no hook. Two more are
added here: `fsync`, which has no such event, and the journal's lines, of which a killed process leaves a half.

A line of JSON on standard input, {"words": [...], "cwd": folder, "kill_at": number or null}, is answered by a line of
JSON: {"code": exit status, negative for a signal, "points": how many there were, null for a killed process,
"batches": what was computed, [[op, photo, seed], ...] each, "output": what was printed}.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ |= {"OMP_NUM_THREADS": "1", "PATH": ""}  # no threads, so that forks are safe; no git, which takes its time

import cv2
import numpy as np
from pydantic import Field

import run
from pipeline import hydra_glue, session  # noqa: F401  session: imported here once instead of in every fork
from pipeline.compositing import to_alpha
from pipeline.edit import Edit
from pipeline.record import Record
from pipeline.stages import STAGES
from pipeline.stages.base import Stage, stage
from pipeline.stages.fields import Seeds

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_CHANGES = {f"os.{name}" for name in ("rename", "link", "symlink", "mkdir", "remove", "rmdir", "chmod", "truncate")}


@stage
class Paint(Stage):
    """Stands in for the diffusion model: noise that depends on the seed."""

    takes_mask: ClassVar[bool] = True

    seed: Seeds = Field(0, description="Start of the random numbers; a list makes a picture each.")

    def variants(self) -> Sequence[Self]:
        seeds = self.seed if isinstance(self.seed, tuple) else (self.seed,)
        return [replace(self, seed=seed) for seed in seeds]

    def batch_size(self, models: Any) -> int:
        return 2

    def apply(self, edit: Edit, models: Any) -> Edit:
        alpha = to_alpha(edit.need_mask())
        noise = np.random.default_rng(self.seed).integers(0, 256, edit.image.shape, np.uint8)
        image = np.where(alpha[..., None] > 0, noise, edit.image)
        heat = noise[..., 0] / np.float32(255)
        return replace(edit, image=image, repainted=alpha, artifacts={"noise": heat})


class Points:
    """Counts the points of this process and kills it at one of them."""

    def __init__(self, below: Path, kill_at: int | None) -> None:
        self.number = 0
        self._below = f"{below}/"
        self._kill_at = kill_at

    def watch(self) -> None:
        """Begin; there is no end to it, as hooks cannot be removed."""
        sys.addaudithook(self._hear)
        self._add_fsync()
        self._add_torn_lines()

    def due(self) -> bool:
        """Count a point; whether it is the one."""
        self.number += 1
        return self.number == self._kill_at

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        change = event in _CHANGES or (event == "open" and isinstance(args[2], int) and args[2] & _WRITES)
        if change and any(self._is_below(arg) for arg in args[:2]) and self.due():
            die()

    def _is_below(self, arg: Any) -> bool:
        return isinstance(arg, str | bytes | os.PathLike) and os.fsdecode(arg).startswith(self._below)

    def _add_fsync(self) -> None:
        original = os.fsync

        def fsync(descriptor: int) -> None:
            if self.due():
                die()
            original(descriptor)

        os.fsync = fsync

    def _add_torn_lines(self) -> None:
        original = Record.append

        def append(record: Record, line: dict[str, Any]) -> None:
            if self.due():
                text = json.dumps(line).encode()
                with (record.folder / "journal.jsonl").open("ab") as journal:
                    journal.write(text[: len(text) // 2])
                die()
            original(record, line)

        Record.append = append


def die() -> None:
    """As the kernel ends a process when memory runs out: without a last word."""
    os.kill(os.getpid(), signal.SIGKILL)


def note_batches(op: str, descriptor: int) -> None:
    """Have an op tell what it is about to compute."""
    original = STAGES[op].apply_together.__func__

    def apply_together(cls: type[Stage], stages: Sequence[Stage], edits: Sequence[Edit], models: Any) -> list[Edit]:
        batch = [(op, edit.name, getattr(each, "seed", None)) for each, edit in zip(stages, edits, strict=True)]
        os.write(descriptor, json.dumps(batch).encode() + b"\n")
        return original(cls, stages, edits, models)

    STAGES[op].apply_together = classmethod(apply_together)


def work(asked: dict[str, Any], tell: int, printed: int) -> None:
    """In the fork: run the command line; tells the batches, and at its end the number of points."""
    os.dup2(printed, 1)
    os.dup2(printed, 2)
    os.chdir(asked["cwd"])
    for op in ("grabcut", "refine", "paint"):
        note_batches(op, tell)
    points = Points(Path(asked["cwd"]) / "outputs", asked["kill_at"])
    points.watch()
    sys.argv = ["run.py", *asked["words"]]
    code = run.main()
    sys.stdout.flush()
    os.write(tell, json.dumps(points.number).encode() + b"\n")
    os._exit(code)


def answer(asked: dict[str, Any]) -> dict[str, Any]:
    """Fork, and say how it ended."""
    ours, theirs = os.pipe()
    printed = os.memfd_create("printed")
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            work(asked, theirs, printed)
        os._exit(99)
    os.close(theirs)
    with os.fdopen(ours) as pipe:
        told = [json.loads(line) for line in pipe]
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    batches = [each for each in told if isinstance(each, list)]
    points = next((each for each in told if isinstance(each, int)), None)
    with os.fdopen(printed, "rb") as file:
        file.seek(0)
        return {"code": code, "points": points, "batches": batches, "output": file.read().decode()}


if __name__ == "__main__":
    cv2.setNumThreads(0)
    STAGES["paint"] = Paint
    for request in sys.stdin:
        print(json.dumps(answer(json.loads(request))), flush=True)
