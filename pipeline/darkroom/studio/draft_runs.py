"""What the runs of a draft have made of its photos."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from darkroom.errors import RecordError
from darkroom.record.schema import JournalLine
from darkroom.studio.draft_files import DraftFiles, DraftRun
from darkroom.studio.review import RunFolder


@dataclass(frozen=True)
class Painted:
    """A picture that was painted of one photo.

    Attributes:
        run: the name of the run folder.
        number: of the picture in its journal.
        line: of the journal.
    """

    run: str
    number: int
    line: JournalLine

    def plain(self, index: int) -> dict[str, Any]:
        """As JSON; `index` is the photo's."""
        settings = self.line["settings"]
        last: dict[str, Any] = dict(settings[-1]) if settings else {}
        return {
            "id": f"{self.run}~{self.number}",
            "photo": index,
            "stage": last.get("stage"),
            "prompt": self.line["prompt"],
            "negative_prompt": self.line["negative_prompt"],
            "seed": self.line["seed"],
            "status": self.line["status"],
            "reason": self.line["error"],
            "seconds": self.line["seconds"],
            "flags": self.line["flags"],
            "settings": last,
            "all_settings": settings,
        }


class DraftRuns:
    """The runs that were started from a draft.

    Args:
        outputs: the folder of all runs.
        files: of the draft.
    """

    def __init__(self, outputs: Path, files: DraftFiles) -> None:
        self._outputs, self._files = outputs, files
        self._states: dict[str, str] = {}
        for run in files.runs():
            self.note(run)

    def note(self, run: DraftRun) -> list[str]:
        """Note what a run has made of each photo; returns the names of the photos."""
        done = "done" if run["photo"] is None else "painted"
        lines = self._lines(run["run"])
        for line in lines:
            state = "failed" if line["status"] == "failed" else "flagged" if line["flags"] else done
            self._states[run["photo"] or line["photo"]] = state
        return list(dict.fromkeys(run["photo"] or line["photo"] for line in lines))

    def forget(self, photo: str) -> None:
        """A photo has other clicks now, so what runs made of it is out of date."""
        self._states.pop(photo, None)

    def state_of(self, photo: str) -> str | None:
        """What the latest run made of a photo: `painted`, `done`, `flagged` or `failed`; None if no run took it."""
        return self._states.get(photo)

    def painted(self, photo: str) -> Iterator[Painted]:
        """The pictures that have been painted of a photo alone, oldest first."""
        for run in self._files.runs():
            if run["photo"] == photo:
                yield from (Painted(run["run"], number, line) for number, line in enumerate(self._lines(run["run"])))

    def find(self, result: str) -> tuple[RunFolder, int]:
        """The run folder and number of a picture, by its id. Raises `RecordError` if there is none."""
        name, _, number = result.rpartition("~")
        return RunFolder(self._outputs, name), int(number) if number.isdecimal() and len(number) < 10 else -1

    def _lines(self, run: str) -> list[JournalLine]:
        """The journal of a run; empty if somebody has removed it."""
        try:
            return RunFolder(self._outputs, run).lines()
        except RecordError:
            return []
