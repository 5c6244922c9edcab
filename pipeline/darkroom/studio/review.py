"""Looking through a finished run: which pictures a person approves or rejects, and the list of photos to do again.

RUN/review.json     the decisions, by the number of the picture in the journal
RUN/rejected.txt    the photos with a rejected picture, one on each line, for `dataset.only`
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict  # pydantic requires it before Python 3.12

from darkroom.config.recipe_paths import label
from darkroom.errors import OutputError, RecordError
from darkroom.record import RUN, read_facts, read_journal
from darkroom.record.schema import JournalLine
from darkroom.report.commands import recipe_command, settings_in
from darkroom.system import strict_json
from darkroom.system.file_names import is_portable
from darkroom.system.files import Folder, writing
from darkroom.system.locks import locked

REVIEW, REJECTED = "review.json", "rejected.txt"

_MAX_BYTES = 16_000_000  # of review.json
_one_decision = threading.Lock()  # requests of one page run in several threads

Decision = Literal["approved", "rejected"]


class _Review(TypedDict):
    decisions: dict[Annotated[str, Field(pattern=r"^\d{1,9}$")], Decision]


_REVIEW = TypeAdapter(_Review)


class RunFolder:
    """A run folder to look through; it may come from a stranger.

    Args:
        outputs: the folder of all runs.
        name: of the run folder in it.

    Raises:
        RecordError: it is no run folder.
    """

    def __init__(self, outputs: Path, name: str) -> None:
        if (
            len(name) > 255
            or not is_portable(name)
            or not Folder(outputs / name).holds(RUN)
            or (outputs / name).is_symlink()
        ):
            raise RecordError(f"{name:.80}: no such run")
        self.folder = outputs / name
        self.files = Folder(self.folder)

    def lines(self) -> list[JournalLine]:
        """The pictures, in the order of the journal; damaged lines are left out."""
        return list(read_journal(self.folder, skip_damaged=True))

    def line(self, number: int) -> JournalLine:
        """One picture. Raises `RecordError` if there is none of this number."""
        lines = self.lines()
        if not 0 <= number < len(lines):
            raise RecordError(f"{self.folder.name}: has no picture {number}")
        return lines[number]

    def summary(self) -> dict[str, Any]:
        """What a list of runs shows."""
        facts, lines = read_facts(self.folder), self.lines()
        return {
            "name": self.folder.name,
            "recipe": facts["name"],
            "status": "stopped" if facts["status"] == "running" and not self._is_busy() else facts["status"],
            "pictures": len(lines),
            "photos": len({line["photo"] for line in lines}),
            "flagged": sum(bool(line["flags"]) for line in lines),
            **self._counts(self.decisions()),
        }

    def _is_busy(self) -> bool:
        """Whether a process works in the folder; one that was killed left its status behind."""
        try:
            with locked(self.folder, busy="busy"):
                return False
        except OutputError:
            return True

    def decisions(self) -> dict[int, Decision]:
        """What has been decided, by number of the picture; empty if the file is missing or damaged."""
        try:
            review = _REVIEW.validate_python(strict_json.loads(self.files.read(REVIEW, _MAX_BYTES)), strict=True)
        except (OSError, ValueError, ValidationError):
            return {}
        return {int(number): decision for number, decision in review["decisions"].items()}

    def decide(self, number: int, decision: Decision | None) -> None:
        """Record a decision, or take it back. Raises `OutputError` if it cannot be written."""
        self.line(number)
        with _one_decision:
            decisions = {key: value for key, value in self.decisions().items() if key != number}
            if decision:
                decisions[number] = decision
            self._write(decisions)

    def review(self) -> dict[str, Any]:
        """The counts of decisions, and how to do the rejected photos again."""
        decisions = self.decisions()
        rejected = list(self._rejected(decisions))
        path = label(self.folder / REJECTED)
        recipe = label(self.folder / "recipe.yaml")
        settings = settings_in(read_facts(self.folder))
        again = recipe_command(settings, **{"recipe": recipe, "dataset.only": path})
        return {
            **self._counts(decisions),
            "list": path if rejected else None,
            "command": again if rejected else None,
        }

    def rejected(self) -> list[str]:
        """The names of the photos with a rejected picture."""
        return self._rejected(self.decisions())

    def pictures(self) -> Iterator[dict[str, Any]]:
        """What the page shows of each picture."""
        decisions = self.decisions()
        for number, line in enumerate(self.lines()):
            yield {
                "number": number,
                "photo": line["photo"],
                "status": line["status"],
                "reason": line["error"],
                "flags": line["flags"],
                "prompt": line["prompt"],
                "seed": line["seed"],
                "decision": decisions.get(number),
            }

    def _write(self, decisions: dict[int, Decision]) -> None:
        text = json.dumps({"decisions": {str(key): decisions[key] for key in sorted(decisions)}}, indent=1)
        photos = "".join(f"{photo}\n" for photo in self._rejected(decisions))
        with writing(self.folder):
            self.files.write(REVIEW, (text + "\n").encode())
            self.files.write(REJECTED, photos.encode())

    def _rejected(self, decisions: dict[int, Decision]) -> list[str]:
        lines = self.lines()
        numbers = (number for number, decision in decisions.items() if decision == "rejected" and number < len(lines))
        return list(dict.fromkeys(lines[number]["photo"] for number in sorted(numbers)))

    @staticmethod
    def _counts(decisions: dict[int, Decision]) -> dict[str, int]:
        values = list(decisions.values())
        return {"approved": values.count("approved"), "rejected": values.count("rejected")}


def runs_in(outputs: Path) -> Iterator[RunFolder]:
    """The run folders, the newest first; damaged ones are left out."""
    for path in sorted(outputs.glob(f"*/{RUN}"), reverse=True):
        try:
            run = RunFolder(outputs, path.parent.name)
            read_facts(run.folder)
        except RecordError:
            continue
        yield run
