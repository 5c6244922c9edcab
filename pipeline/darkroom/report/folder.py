"""Reads run folders and sweeps, except journals, for sheets and pages, and formats texts that both show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from darkroom.errors import RecordError
from darkroom.record import JOURNAL, read_facts, read_journal, read_sweep
from darkroom.record.schema import JournalLine
from darkroom.system.files import Folder


@dataclass(frozen=True)
class ReportedJob:
    """One run of a sweep.

    Attributes:
        folder: its run folder, which may not exist if the job could not start.
        values: the swept parameters by dotted name, as texts.
        status: as in `run.json`.
        error: one line on why it could not run.
    """

    folder: Path
    values: Mapping[str, str]
    status: str
    error: str | None

    @property
    def recipe_name(self) -> str:
        """The name of its recipe, from the name of its folder."""
        return self.folder.name.partition("_")[2] or self.folder.name

    def lines(self) -> Iterator[JournalLine]:
        """The lines of its journal; none if there is no journal."""
        if Folder(self.folder).has(JOURNAL):
            yield from read_journal(self.folder, skip_damaged=True)


@dataclass(frozen=True)
class Sweep:
    """The content of `sweep.json`.

    Attributes:
        facts: everything in the file.
        axes: the parameters with more than one value and their values, as texts.
        jobs: in their order.
    """

    facts: Mapping[str, Any]
    axes: Mapping[str, Sequence[str]]
    jobs: Sequence[ReportedJob]

    @classmethod
    def read(cls, sweep_dir: Path) -> Self:
        """Read a sweep's folder.

        Raises:
            RecordError: `sweep.json` is missing or damaged.
        """
        facts = read_sweep(sweep_dir)
        jobs = [
            ReportedJob(sweep_dir / job["folder"], job["values"], job["status"], job["error"]) for job in facts["jobs"]
        ]
        return cls(facts, {name: values for name, values in facts["axes"].items() if len(values) > 1}, jobs)

    @property
    def title(self) -> str:
        """The names of its recipes."""
        return f"{', '.join(dict.fromkeys(job.recipe_name for job in self.jobs))} sweep".strip()


def facts_or_nothing(run_dir: Path) -> Mapping[str, Any]:
    """The content of `run.json`; empty if the file cannot be read."""
    try:
        return read_facts(run_dir)
    except RecordError:
        return {}


def date(facts: Mapping[str, Any]) -> str | None:
    """When a run or a sweep started, such as `20 November 2026, 14:03`."""
    if not facts.get("started"):
        return None
    day = datetime.fromisoformat(facts["started"])
    return f"{day.day} {day:%B %Y, %H:%M}"


def short_name(parameter: str) -> str:
    """The last two parts of a parameter's dotted name.

    >>> short_name("stages.inpaint.seed")
    'inpaint.seed'
    """
    return ".".join(parameter.split(".")[-2:])


def counted(number: int, noun: str) -> str:
    """A number with its noun.

    >>> counted(1, "photo"), counted(1200, "photo")
    ('1 photo', '1,200 photos')
    """
    return f"{number:,} {noun}{'s' * (number != 1)}"


def shows_masks(lines: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a journal holds masks only: nothing was repainted, and no line has a prompt."""
    masks = False
    for line in lines:
        if line.get("prompt") is not None or line.get("result") not in (None, line.get("source")):
            return False
        masks |= line.get("mask") is not None
    return masks


def is_unchanged(line: Mapping[str, Any]) -> bool:
    """Whether a finished picture is the photo itself: nothing was repainted, and nothing frames it."""
    small = line.get("thumbnails", {})
    is_photo = line.get("result") is not None and line["result"] == line.get("source")
    return is_photo and small.get("result") == small.get("source")


def tally(statuses: Counter[str]) -> list[str]:
    """The number of pictures done, then the numbers of all other statuses.

    >>> tally(Counter(done=4, failed=1))
    ['4 pictures', '1 failed']
    """
    others = [f"{number:,} {status}" for status, number in sorted(statuses.items()) if status != "done"]
    return [counted(statuses["done"], "picture"), *others]
