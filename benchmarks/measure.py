"""What processes cost, side by side: wall time, CPU time and memory, in rounds that take turns."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contenders.work import ROOT

# Set by hand or by a shell they would slow down some of the contenders and not others.
_THREADS = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "MKL_NUM_THREADS", "KMP_BLOCKTIME", "GOMP_SPINCOUNT")
_UNWRITTEN = "PYTHONDONTWRITEBYTECODE"  # every process would compile this checkout again, but no installed library


@dataclass(frozen=True)
class Cost:
    """What a process and its children took.

    Attributes:
        wall: seconds.
        cpu: seconds of user and system time, of all threads.
        peak: largest resident memory, bytes.
    """

    wall: float
    cpu: float
    peak: int

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.wall + other.wall, self.cpu + other.cpu, max(self.peak, other.peak))

    def times(self, number: int) -> Cost:
        """The cost of so many such processes, one after the other."""
        return Cost(self.wall * number, self.cpu * number, self.peak)


@dataclass(frozen=True)
class Ratios:
    """One cost divided by another, round by round; each is (lowest, median, highest).

    Attributes:
        wall: of the wall times.
        cpu: of the CPU times.
    """

    wall: tuple[float, float, float]
    cpu: tuple[float, float, float]

    @classmethod
    def of(cls, costs: Sequence[Cost], by: Sequence[Cost]) -> Ratios:
        """Of two contenders; if one ran in fewer rounds, its first cost stands for the others."""
        rounds = range(max(len(costs), len(by)))
        pairs = [(costs[min(n, len(costs) - 1)], by[min(n, len(by) - 1)]) for n in rounds]
        return cls(
            _spread([one.wall / other.wall for one, other in pairs]),
            _spread([one.cpu / other.cpu for one, other in pairs]),
        )

    @classmethod
    def seconds(cls, costs: Sequence[Cost]) -> Ratios:
        """Not ratios: the seconds themselves, where the target is in seconds."""
        return cls(_spread([cost.wall for cost in costs]), _spread([cost.cpu for cost in costs]))


def python(*words: str | Path) -> list[str]:
    """A command line of this Python."""
    return [sys.executable, *map(str, words)]


def environment() -> dict[str, str]:
    """The environment of every process: the packages of this checkout, no settings for threads, code compiled once."""
    clean = {name: value for name, value in os.environ.items() if name not in (*_THREADS, _UNWRITTEN)}
    paths = [str(ROOT), str(ROOT / "pipeline")]
    return {**clean, "PYTHONPATH": os.pathsep.join(paths), "HF_HUB_OFFLINE": "1"}


def start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a process in the checkout, silently."""
    return subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def cost_of(command: Sequence[str], exit_code: int = 0) -> Cost:
    """Run a process to its end.

    Raises:
        RuntimeError: another exit code than expected, with the end of its output.
    """
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        process = subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=output, stderr=subprocess.STDOUT)
        cost = wait(process, started)
        if process.returncode != exit_code:
            output.seek(0)
            text = output.read().decode(errors="replace")[-3000:]
            raise RuntimeError(f"exit code {process.returncode} of {' '.join(command)}\n{text}")
    return cost


def output_of(command: Sequence[str]) -> str:
    """What a process prints. Raises `CalledProcessError`."""
    return subprocess.run(command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True, check=True).stdout


def wait(process: subprocess.Popen[bytes], started: float) -> Cost:
    """Wait for a process; `started` is the `time.perf_counter()` of its start."""
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit)


def in_turns(
    contenders: Mapping[str, Callable[[], Cost]], rounds: int, once: Sequence[str] = ()
) -> dict[str, list[Cost]]:
    """Run all contenders in each round, every other round in reverse (ABBA), so that drift cancels out.

    Args:
        contenders: by name.
        rounds: at least 1.
        once: those that run in the first round only.
    """
    costs: dict[str, list[Cost]] = {name: [] for name in contenders}
    for number in range(rounds):
        names = [name for name in contenders if number == 0 or name not in once]
        for name in names[:: 1 if number % 2 == 0 else -1]:
            cost = contenders[name]()
            costs[name].append(cost)
            print(f"    {name:34} {cost.wall:7.2f} s wall {cost.cpu:7.2f} s CPU", flush=True)
    return costs


def _spread(values: Sequence[float]) -> tuple[float, float, float]:
    return min(values), statistics.median(values), max(values)
