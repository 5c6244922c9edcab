"""What sheets and pages read of run folders and sweeps besides the journal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from darkroom.errors import RecordError
from darkroom.record import JOURNAL, read_facts, read_journal, read_sweep
from darkroom.record.schema import Line
from darkroom.system.files import Folder


@dataclass(frozen=True)
class Job:
    """A run of a sweep.

    Attributes:
        folder: its run folder; one that could not begin may have none.
        values: the swept parameters by dotted name, as texts.
        status: as in `run.json`.
        error: why it could not run, in a line.
    """

    folder: Path
    values: Mapping[str, str]
    status: str
    error: str | None

    @property
    def name(self) -> str:
        """The recipe's."""
        return self.folder.name.partition("_")[2] or self.folder.name

    def lines(self) -> Iterator[Line]:
        """Its journal's lines; none where it has no journal."""
        if Folder(self.folder).has(JOURNAL):
            yield from read_journal(self.folder, damaged=True)


@dataclass(frozen=True)
class Sweep:
    """What `sweep.json` says.

    Attributes:
        facts: all of it.
        axes: the parameters that vary and their values, as texts.
        jobs: in their order.
    """

    facts: Mapping[str, Any]
    axes: Mapping[str, Sequence[str]]
    jobs: Sequence[Job]

    @classmethod
    def read(cls, sweep_dir: Path) -> Self:
        """Read it; a parameter with a single value is no axis."""
        told = read_sweep(sweep_dir)
        jobs = [Job(sweep_dir / job["folder"], job["values"], job["status"], job["error"]) for job in told["jobs"]]
        return cls(told, {name: values for name, values in told["axes"].items() if len(values) > 1}, jobs)

    @property
    def title(self) -> str:
        """The recipes' names."""
        return f"{', '.join(dict.fromkeys(job.name for job in self.jobs))} sweep".strip()


def facts(run_dir: Path) -> Mapping[str, Any]:
    """What `run.json` says; nothing where it cannot be read."""
    try:
        return read_facts(run_dir)
    except RecordError:
        return {}


def date(facts: Mapping[str, Any]) -> str | None:
    """When it started, such as `20 November 2026, 14:03`."""
    if not facts.get("started"):
        return None
    day = datetime.fromisoformat(facts["started"])
    return f"{day.day} {day:%B %Y, %H:%M}"


def short(parameter: str) -> str:
    """A swept parameter as people call it: the last two parts of its name.

    >>> short("stages.inpaint.seed")
    'inpaint.seed'
    """
    return ".".join(parameter.split(".")[-2:])


def counted(number: int, what: str) -> str:
    """A number with its noun.

    >>> counted(1, "photo"), counted(1200, "photo")
    ('1 photo', '1,200 photos')
    """
    return f"{number:,} {what}{'s' * (number != 1)}"


def shows_masks(lines: Iterable[Mapping[str, Any]]) -> bool:
    """Whether what a run's journal tells of are masks: nothing was repainted, nor was to be after a prompt."""
    masks = False
    for line in lines:
        if line.get("prompt") is not None or line.get("result") not in (None, line.get("source")):
            return False
        masks |= line.get("mask") is not None
    return masks


def tally(statuses: Counter[str]) -> list[str]:
    """How many pictures there are, and how many are not done.

    >>> tally(Counter(done=4, failed=1))
    ['4 pictures', '1 failed']
    """
    undone = [f"{number:,} {status}" for status, number in sorted(statuses.items()) if status != "done"]
    return [counted(statuses["done"], "picture"), *undone]
