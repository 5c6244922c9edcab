"""Runs the same recipes on two commits and compares what they wrote: cache keys, file names and bytes.

    python -m benchmarks.compare_commits BASE [HEAD]

Use it for a change that must not alter results. It prints one line per difference, and exits with 1 if there are any.
Cache keys, settings, artifacts and results must be equal; times, paths and the text of reports may differ.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RUNS = (
    ("recipe=car_on_mars", "stages.inpaint.seed=[0,1]"),
    ("recipe=two_passes",),
    ("recipe=manifest",),
    ("recipe=diffedit",),
    ("recipe=by_name",),
    ("recipe=photo_on_mars", f"dataset.images={ROOT}/examples/car.png"),
)
TIMES = ("seconds",)
PLACES = ("path", "inputs")  # absolute paths


def main() -> int:
    """Compare two commits; returns the exit code."""
    if len(sys.argv) not in (2, 3):
        print(__doc__)
        return 2
    base, head = sys.argv[1], sys.argv[2] if len(sys.argv) == 3 else "HEAD"
    with tempfile.TemporaryDirectory() as folder:
        journals = [_journals(commit, Path(folder) / name) for name, commit in (("base", base), ("head", head))]
    differences = [
        line for words in RUNS for line in _differences(" ".join(words), *(each[words] for each in journals))
    ]
    pictures = sum(len(lines) for lines in journals[1].values())
    print("\n".join([*differences, f"{pictures} pictures of {len(RUNS)} recipes: {len(differences)} differences"]))
    return bool(differences)


def _journals(commit: str, folder: Path) -> dict[tuple[str, ...], list[dict[str, Any]]]:
    """The journal of every run on a commit, checked out into a folder of its own."""
    subprocess.run(["git", "-C", ROOT, "worktree", "add", "--quiet", "--detach", folder, commit], check=True)
    try:
        return {words: _journal(folder, words) for words in RUNS}
    finally:
        subprocess.run(["git", "-C", ROOT, "worktree", "remove", "--force", folder], check=True)


def _journal(checkout: Path, words: tuple[str, ...]) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as outputs:
        command = [sys.executable, checkout / "run.py", *words, "models=miniature", f"outputs={outputs}"]
        clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=checkout, env=clean)
        (journal,) = Path(outputs).glob("*/journal.jsonl")
        return [json.loads(line) for line in journal.read_text().splitlines()]


def _differences(run: str, old: list[dict[str, Any]], new: list[dict[str, Any]]) -> Iterator[str]:
    if len(old) != len(new):
        yield f"{run}: {len(old)} pictures before, {len(new)} after"
    for then, now in zip(old, new, strict=False):
        yield from _differing(f"{run}: {now['photo']} {now['variant']}", then, now)


def _differing(where: str, then: Any, now: Any) -> Iterator[str]:
    if isinstance(then, dict) and isinstance(now, dict):
        for key in dict.fromkeys((*then, *now)):
            if key not in TIMES and key not in PLACES:
                yield from _differing(f"{where}.{key}", then.get(key), now.get(key))
    elif isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        for index, pair in enumerate(zip(then, now, strict=True)):
            yield from _differing(f"{where}[{index}]", *pair)
    elif then != now:
        yield f"{where}: {then!r:.100} -> {now!r:.100}"


if __name__ == "__main__":
    sys.exit(main())
