"""`make bench`: what Darkroom costs beside scripts, other tools and the bare models; writes docs/performance.md.

    python -m benchmarks [--rounds N] [--only GROUP ...] [--quick]

Machines differ and are shared, so the figures are ratios of processes that took turns in one run. The whole takes some
fifteen minutes on two quiet cores. With `--only` or `--quick` the figures are printed, but not written to any page.
"""

from __future__ import annotations

import argparse
import time

from benchmarks import page
from benchmarks.cases import FULL, QUICK
from benchmarks.cpu import GROUPS, Bench, Rows

ROUNDS = 2


def main() -> None:
    """Measure, print, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"how often contenders take turns ({ROUNDS})")
    parser.add_argument("--only", nargs="+", choices=GROUPS, help="only some of the measurements")
    parser.add_argument("--quick", action="store_true", help="one step and two photos, to test this program")
    given = parser.parse_args()
    bench, rows, started = Bench(QUICK if given.quick else FULL, given.rounds), Rows(), time.perf_counter()
    for name in given.only or GROUPS:
        print(f"{name}:", flush=True)
        rows |= GROUPS[name](bench)
    print("\n".join(page.table(rows)))
    minutes = (time.perf_counter() - started) / 60
    print(f"measured in {minutes:.1f} minutes")
    if not given.only and not given.quick:
        page.write(rows, given.rounds, minutes)
        page.replace_part(page.PAGE, "profile", ["```", *bench.profile(), "```"])


if __name__ == "__main__":
    main()
