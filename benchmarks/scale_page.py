"""Writes the figures of `benchmarks.scale` into docs/scale.md, and draws them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.contenders.work import ROOT
from benchmarks.page import measured_on, replace_part
from benchmarks.scale_files import THREADS, Rates
from benchmarks.scale_simulation import Costs, Simulated, growth, most_gpus, simulate

if TYPE_CHECKING:
    from benchmarks.scale import Measured

_PAGE, _PICTURES = ROOT / "docs/scale.md", ROOT / "docs/pictures"
_ASSUMED = (300, 1_000, 3_000)  # operations per second of a shared file system


class Figures(NamedTuple):
    """What has been measured.

    Attributes:
        sleeping: runs of a model that sleeps.
        painted: runs of the miniature.
        at_once: a run of a model that takes no time.
        files: operations of the file system per second.
        costs: of a picture, from all these.
    """

    sleeping: Sequence[Measured]
    painted: Sequence[Measured]
    at_once: Measured
    files: Rates
    costs: Costs


def write(figures: Figures, gpus: int, pictures: int, minutes: float) -> None:
    """Simulate, and write tables and plots."""
    systems = _systems(figures.costs)
    growths = {name: growth(costs) for name, costs in systems.items()}
    whole = {name: simulate(gpus, pictures, costs) for name, costs in systems.items()}
    said = f"{measured_on()}; {minutes:.0f} minutes."
    replace_part(_PAGE, "workers", [said, "", *_workers(figures)])
    replace_part(_PAGE, "files", [*_files(figures)])
    replace_part(_PAGE, "simulation", [*_simulation(figures.costs, growths, whole, pictures)])
    _draw_workers(figures)
    _draw_growth(growths)


def _systems(costs: Costs) -> dict[str, Costs]:
    """File systems to simulate: the measured one, and slower ones that many machines might share."""
    here = {f"{costs.files_per_second:,.0f}/s, measured here": costs}
    return here | {f"{rate:,}/s, assumed": costs._replace(files_per_second=rate) for rate in _ASSUMED}


def _workers(figures: Figures) -> Iterator[str]:
    yield "| | 1 worker | 2 workers | 4 workers |"
    yield "|---|---|---|---|"
    yield _row("a model that sleeps 1 s per picture", figures.sleeping)
    yield _row("the miniature, 16 steps, one thread each", figures.painted)
    yield ""
    yield (
        f"The head takes {figures.at_once.head * 1000:.1f} ms per picture with one small photo per picture, so that it "
        f"can follow {1 / figures.at_once.head:.0f} pictures a second."
    )
    yield ""
    yield "![Times as fast as one worker](pictures/scale_workers.png)"


def _row(what: str, runs: Sequence[Measured]) -> str:
    cells = [f"{run.rate:.2f} pictures/s ({run.rate / runs[0].rate:.2f} times)" for run in runs]
    return f"| {what} | {' | '.join([*cells, *['–'] * (3 - len(cells))])} |"


def _files(figures: Figures) -> Iterator[str]:
    yield f"| operations per second | {' | '.join(f'{threads} at once' for threads in THREADS)} |"
    yield "|---|" + "---|" * len(THREADS)
    for what, rates in figures.files.items():
        yield f"| {what} | {' | '.join(f'{rates[threads]:,.0f}' for threads in THREADS)} |"
    yield ""
    made = figures.at_once
    yield f"A picture of a recipe with a mask and a repaint needs {made.stored:.1f} files in the store and"
    yield f"{made.linked:.1f} in the run folder."


def _simulation(
    costs: Costs, growths: dict[str, list[Simulated]], whole: dict[str, Simulated], pictures: int
) -> Iterator[str]:
    gpus = next(iter(whole.values())).gpus
    yield (
        f"Per picture: {costs.gpu:g} s of a GPU, {costs.files:.1f} operations of the file system, "
        f"{costs.head * 1000:.1f} ms of the head, with a photo of 4 MB to read and hash."
    )
    yield ""
    columns = (f"{pictures:,} pictures on {gpus} GPUs", "at work: GPUs, file system, head", "GPUs at work for 90 %")
    yield f"| operations of the file system | {' | '.join(columns)} | then limited by |"
    yield "|---|---|---|---|---|"
    for name, run in whole.items():
        busy = ", ".join(f"{share:.0%}" for share in run.busy.values())
        most = most_gpus(growths[name])
        limit = next((other.limit for other in growths[name] if other.gpus > most.gpus), "nothing up to 1,024")
        time = f"{run.seconds / 3600:.1f} h, {run.rate:.0f} pictures/s"
        yield f"| {name} | {time} | {busy} | up to {most.gpus} | {limit} |"
    yield ""
    yield "![Pictures per second by number of GPUs, for file systems of different speed](pictures/scale_simulation.png)"


def _plot() -> Any:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    return plt


def _draw_workers(figures: Figures) -> None:
    plt = _plot()
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    axes.plot([1, 4], [1, 4], "--", color="grey", label="as many times as workers")
    for what, runs in (("a model that sleeps", figures.sleeping), ("the miniature", figures.painted)):
        axes.plot([run.workers for run in runs], [run.rate / runs[0].rate for run in runs], "o-", label=what)
    axes.set(xlabel="workers", ylabel="times as fast as one worker", xticks=[1, 2, 3, 4], ylim=(0, None))
    axes.legend()
    figure.savefig(_PICTURES / "scale_workers.png", dpi=110)
    plt.close(figure)


def _draw_growth(growths: dict[str, list[Simulated]]) -> None:
    plt = _plot()
    figure, axes = plt.subplots(figsize=(7, 5), layout="constrained")
    first = next(iter(growths.values()))
    numbers = [run.gpus for run in first]
    axes.loglog(numbers, [run.gpus * first[0].rate for run in first], "--", color="grey", label="GPUs alone")
    for name, runs in growths.items():
        axes.loglog(numbers, [run.rate for run in runs], "o-", label=f"file operations: {name}")
    axes.set(xlabel="GPUs", ylabel="pictures per second (simulated)", xticks=numbers, xticklabels=numbers)
    axes.minorticks_off()
    axes.legend()
    figure.savefig(_PICTURES / "scale_simulation.png", dpi=110)
    plt.close(figure)
