"""Damages the files of a small desk and checks how the command line reacts: `make fuzz SECONDS=600`.

A desk holds a run, a stopped run, a sweep, runs from tables, their store, and the photos, masks and recipes behind
them. A trial damages one to three of these, as a stranger, a disk or an old version might, and then runs every command
that reads them. Whatever the damage, a command ends by itself with a documented exit code, prints no traceback, touches
nothing but the outputs folder, and removes or changes no finished picture.

    python tests/fuzz --seconds 600      random trials; prints their first seed
    python tests/fuzz --seed 4711        only the trial of that seed, step by step
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent / "pipeline")]

from fuzz.desk import a_desk  # noqa: E402
from fuzz.trial import Finding, trial  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60, help="how long to run")
    parser.add_argument("--seed", type=int, help="run only the trial of this seed")
    parser.add_argument("--limit", type=float, default=5, help="seconds that one command may take")
    options = parser.parse_args()
    kinds: dict[str, list[Finding]] = {}
    with a_desk() as desk:
        if options.seed is not None:
            return bool(trial(desk, options.seed, options.limit, print))
        seed, started, trials = random.SystemRandom().randrange(10**9), time.monotonic(), 0
        print(f"seeds from {seed}", flush=True)
        while time.monotonic() - started < options.seconds:
            for finding in trial(desk, seed + trials, options.limit):
                if finding.kind not in kinds:
                    print(finding, flush=True)
                kinds.setdefault(finding.kind, []).append(finding)
            trials += 1
    print(f"{trials} trials, {sum(map(len, kinds.values()))} findings of {len(kinds)} kinds")
    for kind, found in sorted(kinds.items(), key=lambda each: -len(each[1])):
        print(f"{len(found):6} {kind}")
    return bool(kinds)


if __name__ == "__main__":
    sys.exit(main())
