"""The generated parts of docs/performance.md and README.md."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from benchmarks.contenders.work import ROOT
from benchmarks.measure import Ratios
from benchmarks.targets import TARGETS, Target

PAGE, README = ROOT / "docs/performance.md", ROOT / "README.md"
IN_README = ("loop", "fast loop", "process", "floor, one photo", "no-op", "first picture")
LIBRARIES = ("torch", "diffusers", "transformers", "opencv-python-headless", "pillow")


def table(rows: Mapping[str, Ratios | str]) -> list[str]:
    """A Markdown table of all rows that were measured, in the order of the targets."""
    return [
        "| what | target | wall: median (lowest–highest) | CPU | |",
        "|---|---|---|---|---|",
        *(_row(target, rows[key]) for key, target in TARGETS.items() if key in rows),
    ]


def gpu_table(rows: Mapping[str, Ratios | str]) -> list[str]:
    """The same for the targets of a GPU."""
    return [
        "| what | target | wall: median (lowest–highest) | |",
        "|---|---|---|---|",
        *(_gpu_row(key, target, rows.get(key, "not measured")) for key, target in TARGETS.items() if target.gpu),
    ]


def write_gpu(lines: Sequence[str], gpu: str, rounds: int) -> None:
    """Write the results of a run on a GPU into docs/performance.md."""
    said = f"Measured on one {gpu}, {_machine()}; {_versions()}; {_commit()}; {rounds} rounds."
    replace_part(PAGE, "gpu", [said, "", *lines])


def write(rows: Mapping[str, Ratios | str], rounds: int, minutes: float) -> None:
    """Write the results of a whole run into both pages."""
    said = f"{measured_on()}; {rounds} rounds, {minutes:.0f} minutes."
    replace_part(PAGE, "bench", [said, "", *table(rows)])
    replace_part(README, "bench", [*table(rows)[:2], *(_row(TARGETS[key], rows[key]) for key in IN_README)])


def measured_on() -> str:
    """Machine, versions and commit."""
    return f"Measured on {_machine()}; {_versions()}; {_commit()}"


def part(page: Path, name: str) -> list[str]:
    """The lines of a generated part, between its markers.

    Raises:
        RuntimeError: the page has not exactly one part of that name.
    """
    found = _pattern(name).findall(page.read_text(encoding="utf-8"))
    if len(found) != 1:
        raise RuntimeError(f"{page}: needs <!-- {name} --> and <!-- end of {name} --> once")
    return found[0].splitlines()[1:-1]


def replace_part(page: Path, name: str, lines: Sequence[str]) -> None:
    """Replace the lines of a generated part; errors as in `part`."""
    begin, *_, end = f"<!-- {name} -->", *part(page, name), f"<!-- end of {name} -->"
    text = _pattern(name).sub(lambda _: "\n".join([begin, *lines, end]), page.read_text(encoding="utf-8"))
    page.write_text(text, encoding="utf-8")


def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(f"<!-- {re.escape(name)} -->.*?<!-- end of {re.escape(name)} -->", re.DOTALL)


def _row(target: Target, figure: Ratios | str) -> str:
    limit = "–" if target.cpu is None else f"≤ {target.cpu:g}"
    if isinstance(figure, str):
        return f"| {target.name} | {limit} | {figure} | | |"
    wall, cpu = ("" if target.unit == "cpu" else _spread(figure.wall)), _spread(figure.cpu)
    if target.unit == "bytes":
        wall, cpu = f"{figure.wall[1]:.2f}", ""
    if target.unit == "seconds":
        cpu = ""
    return f"| {target.name} | {limit} | {wall} | {cpu} | {_verdict(target, figure)} |"


def _gpu_row(key: str, target: Target, figure: Ratios | str) -> str:
    at_least = key == "limit"
    limit = f"{'≥' if at_least else '≤'} {target.gpu:g}"
    if isinstance(figure, str) or target.gpu is None:
        return f"| {target.name} | {limit} | {figure} | |"
    met = figure.wall[1] >= target.gpu if at_least else figure.wall[1] <= target.gpu
    return f"| {target.name} | {limit} | {_spread(figure.wall)} | {'met' if met else 'missed'} |"


def _verdict(target: Target, figure: Ratios) -> str:
    if target.cpu is None:
        return ""
    reached = figure.cpu[1] if target.unit == "cpu" else figure.wall[1]
    if reached <= target.cpu:
        return "met"
    return f"missed: {target.why or 'the reason has not been found yet'}"


def _spread(values: tuple[float, float, float]) -> str:
    low, median, high = (f"{value:.3f}" if values[1] < 0.1 else f"{value:.2f}" for value in values)
    return median if low == high else f"{median} ({low}–{high})"


def _machine() -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{cores} cores of {_processor()}, {memory:.0f} GiB, {platform.system()}"


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", information.read_text()) if information.exists() else None
    return found[1] if found else platform.processor() or platform.machine()


def _versions() -> str:
    return f"Python {platform.python_version()}, " + ", ".join(f"{name} {version(name)}" for name in LIBRARIES)


def _commit() -> str:
    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True).stdout.strip()

    changed = " with changes" if git("status", "--porcelain", "--untracked-files=no") else ""
    return f"commit {git('rev-parse', '--short', 'HEAD') or 'unknown'}{changed}"
