"""What a run folder holds, in a form in which two runs can be compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from darkroom.provenance.verify import verify

DRAWN = ("run.log", "contact_sheet.jpg", "index.html")  # they tell the time of the run


def finished(folder: Path) -> dict[str, Any]:
    """All that a finished run folder holds, save for times and places. Everything in it is whole."""
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    lines = [json.loads(line) for line in files.pop("journal.jsonl").splitlines()]
    for line in lines:
        for timed in (line, *line["steps"]):
            timed.pop("seconds")
        line["path"] = Path(line["path"]).name
    facts = json.loads(files.pop("run.json"))
    facts = {key: facts[key] for key in ("name", "status", "overrides", "totals", "dataset_fingerprint")}
    assert not verify(folder).problems
    return {**files, **{name: name in files for name in DRAWN}, "journal": lines, "facts": facts}
