"""The measurements of `make bench`, in groups whose contenders take turns."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks import cases, large_photo
from benchmarks.cases import Sizes, workshop
from benchmarks.contenders import other_tools
from benchmarks.contenders.work import Work
from benchmarks.measure import Cost, Ratios, cost_of, in_turns, output_of, python, start, wait

Rows = dict[str, Ratios | str]
"""By the keys of `TARGETS`: the figures, or why there are none."""


@dataclass(frozen=True)
class Bench:
    """How much is measured.

    Attributes:
        sizes: of the work.
        rounds: in which contenders take turns; twice as many where they are quick.
    """

    sizes: Sizes
    rounds: int

    def sweeps(self) -> Rows:
        """Four prompts x four seeds on one photo, by every contender."""
        with workshop() as folder:
            work = self._work(folder, prompts=cases.PROMPTS[:4], seeds=self.sizes.seeds)
            contenders = self._loops(folder, work)
            costs = in_turns(contenders, self.rounds, once=("one process", "hydra"))
            foreign = _other_tool(other_tools.dgenerate(work, cases.write_mask(folder / "mask.png")))
            in_bytes = cases.disk_bytes(folder / "sweep") / cases.disk_bytes(folder / "list")
        costs["one process"] = [cost.times(work.pictures) for cost in costs["one process"]]
        return {
            "process": Ratios.of(costs["sweep"], costs["one process"]),
            "loop": Ratios.of(costs["sweep"], costs["warm loop"]),
            "fast loop": Ratios.of(costs["fast sweep"], costs["warm loop"]),
            "batches": Ratios.of(costs["sweep"], costs["batched loop"]),
            "fast batches": Ratios.of(costs["fast sweep"], costs["batched loop"]),
            "hydra": Ratios.of(costs["sweep"], costs["hydra"]),
            "list": Ratios.of(costs["sweep"], costs["list"]),
            "list bytes": Ratios((in_bytes,) * 3, (in_bytes,) * 3),
            "dgenerate": _against(foreign, costs["sweep"]),
        }

    def floors(self) -> Rows:
        """Darkroom and the bare model calls, for one photo with many pictures and for many photos."""
        with workshop() as folder:
            arrangement = output_of(python("-m", "benchmarks.floor", "arrangement")).split()
            print("    the floor runs in {} workers of {} threads".format(*arrangement), flush=True)
            one = self._work(folder, prompts=cases.PROMPTS[:4], seeds=self.sizes.many_seeds)
            many = self._work(folder, prompts=cases.PROMPTS[:1], seeds=1, photos=self.sizes.photos)
            contenders: dict[str, Callable[[], Cost]] = {}
            for name, work in (("one photo", one), ("many photos", many)):
                contenders[f"Darkroom, {name}"] = _fresh(folder / name, work, cases.recipe)
                file = work.save(folder / f"{name}.json")
                contenders[f"floor, {name}"] = _program("benchmarks.floor", file, *arrangement)
            costs = in_turns(contenders, self.rounds)
            costs["killed"] = [killed_and_resumed(replace(many, out=str(folder / "killed")))]
        return {
            "floor, one photo": Ratios.of(costs["Darkroom, one photo"], costs["floor, one photo"]),
            "floor, many photos": Ratios.of(costs["Darkroom, many photos"], costs["floor, many photos"]),
            "killed": Ratios.of(costs["killed"], costs["Darkroom, many photos"]),
        }

    def again(self) -> Rows:
        """A large run, once; the same again, and with one of eight prompts changed."""
        with workshop() as folder:
            work = self._work(folder, prompts=cases.PROMPTS, seeds=1, photos=self.sizes.photos)
            work = replace(work, out=str(folder / "out"))
            changed = replace(work, prompts=(*cases.PROMPTS[:-1], cases.OTHER_PROMPT))
            first = in_turns({"first run": lambda: cost_of(cases.recipe(work))}, 1)["first run"]
            no_op = in_turns({"the same run again": lambda: cost_of(cases.recipe(work))}, 2 * self.rounds)
            change = in_turns({"one prompt changed": lambda: cost_of(cases.recipe(changed))}, 1)
        return {
            "no-op": Ratios.of(no_op["the same run again"], first),
            "change": Ratios.of(change["one prompt changed"], first),
        }

    def without_diffusion(self) -> Rows:
        """A recipe that needs no model, beside a script and IOPaint."""
        with workshop() as folder:
            recipe = cases.write_marked(folder, self.sizes.erased)
            photos, masks, out = folder / "photos", folder / "masks", folder / "out"
            program = python("-m", "benchmarks.contenders.erase_script", photos, masks, out)

            def darkroom() -> Cost:
                cases.empty(folder / "runs")
                return cost_of(cases.run(f"recipe={recipe}", "models=miniature", f"outputs={folder / 'runs'}"))

            costs = in_turns({"recipe": darkroom, "script": lambda: cost_of(program)}, 2 * self.rounds)
            foreign = _other_tool(other_tools.iopaint(photos, masks, folder / "iopaint"))
        return {
            "script": Ratios.of(costs["recipe"], costs["script"]),
            "iopaint": _against(foreign, costs["recipe"]),
        }

    def starts(self) -> Rows:
        """Help, a refused recipe, and the first picture."""
        with workshop() as folder:
            work = self._work(folder, prompts=cases.PROMPTS[:1], seeds=1)
            work = replace(work, steps=1)
            refused = cases.run("recipe=car_on_mars", "stages.inpaint.strength=2", f"outputs={folder / 'refused'}")
            contenders = {
                "--help": lambda: cost_of(cases.run("--help")),
                "refused recipe": lambda: cost_of(refused, exit_code=2),
                "first picture": _fresh(folder / "first", work, cases.recipe),
                "only imports": _program("benchmarks.contenders.only_imports"),
            }
            costs = in_turns(contenders, 2 * self.rounds)
        return {
            "help": Ratios.seconds(costs["--help"]),
            "refused": Ratios.seconds(costs["refused recipe"]),
            "first picture": Ratios.of(costs["first picture"], costs["only imports"]),
        }

    def large_photo(self) -> Rows:
        """A photo of 24 megapixels, outside the models."""
        with workshop() as folder:
            photos, out = large_photo.write_photos(folder / "photos", large_photo.SIDE_BY_SIDE), folder / "out"
            contenders = {
                "one worker": lambda: large_photo.seconds_alone(photos, out, self.sizes.steps),
                "all workers": lambda: large_photo.seconds_side_by_side(photos, out, self.sizes.steps),
            }
            costs = in_turns(contenders, self.rounds)
        return {
            "large photo": Ratios.seconds(costs["one worker"]),
            "large photos": Ratios.seconds(costs["all workers"]),
        }

    def profile(self) -> list[str]:
        """The table of `profile=true` for four photos with four prompts each."""
        with workshop() as folder:
            work = self._work(folder, prompts=cases.PROMPTS[:4], seeds=1, photos=4)
            cost_of(cases.recipe(work, "profile=true"))
            (table,) = Path(work.out).glob("*/profile.txt")
            return table.read_text().splitlines()

    def _work(self, folder: Path, prompts: tuple[str, ...], seeds: int, photos: int = 0) -> Work:
        """Work with the car, or with so many photos of it, in a folder."""
        paths = cases.write_cars(folder / "photos", photos) if photos else [str(cases.CAR)]
        return Work(tuple(paths), prompts, tuple(range(seeds)), self.sizes.steps, str(folder / "out"))

    def _loops(self, folder: Path, work: Work) -> dict[str, Callable[[], Cost]]:
        """Everybody who can make the pictures of a sweep."""

        def script(module: str, name: str, work: Work = work) -> Callable[[], Cost]:
            file = replace(work, out=str(folder / name)).save(folder / f"{name}.json")
            return _program(f"benchmarks.contenders.{module}", file)

        single = replace(work, prompts=work.prompts[:1], seeds=work.seeds[:1])
        return {
            "sweep": _fresh(folder / "sweep", work, cases.sweep),
            "list": _fresh(folder / "list", work, cases.recipe),
            "fast sweep": _fresh(folder / "fast", work, cases.sweep, "memory=fast"),
            "warm loop": script("warm_loop", "warm loop"),
            "batched loop": script("batched_loop", "batched loop"),
            "one process": script("warm_loop", "one process", single),
            "hydra": lambda: cost_of(_hydra(folder / "hydra", work)),
        }


GROUPS: Mapping[str, Callable[[Bench], Rows]] = {
    "starts": Bench.starts,
    "without diffusion": Bench.without_diffusion,
    "sweeps": Bench.sweeps,
    "floors": Bench.floors,
    "again": Bench.again,
    "large photo": Bench.large_photo,
}


def killed_and_resumed(work: Work) -> Cost:
    """A run, killed when half of its pictures are finished, and resumed; the cost of both."""
    started = time.perf_counter()
    process = start(cases.recipe(work))
    while finished(work) < work.pictures // 2:
        if process.poll() is not None:
            raise RuntimeError("the run to be killed ended by itself")
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    before = wait(process, started)
    after = cost_of(cases.run("resume=latest", f"outputs={work.out}"))
    if finished(work) != work.pictures:
        raise RuntimeError(f"the resumed run has {finished(work)} of {work.pictures} pictures")
    return before + after


def finished(work: Work) -> int:
    """Pictures in the journals of a work's runs."""
    lines = [line for path in Path(work.out).glob("*/journal.jsonl") for line in path.read_text().splitlines()]
    return sum(json.loads(line)["status"] == "done" for line in lines if line.endswith("}"))


def _fresh(folder: Path, work: Work, command: Callable[..., list[str]], *words: str) -> Callable[[], Cost]:
    """Darkroom, with an empty folder of results and an empty store."""

    def measure() -> Cost:
        cases.empty(folder)
        return cost_of(command(replace(work, out=str(folder)), *words))

    return measure


def _program(module: str, *words: str | Path) -> Callable[[], Cost]:
    """A contender."""
    return lambda: cost_of(python("-m", module, *words))


def _hydra(folder: Path, work: Work) -> list[str]:
    cases.empty(folder)
    photos, prompts, seeds = (",".join(map(str, each)) for each in (work.photos, work.prompts, work.seeds))
    return python(
        *("-m", "benchmarks.contenders.hydra_multirun", "--multirun", f"hydra.sweep.dir={folder}"),
        *(f"photo={photos}", f"prompt={prompts}", f"seed={seeds}", f"steps={work.steps}"),
    )


def _other_tool(command: list[str] | None) -> Cost | str:
    """What a tool of another project costs, or why that is unknown."""
    if command is None:
        return "not installed"
    try:
        return cost_of(command)
    except RuntimeError as error:
        print(error, flush=True)
        return "installed, but its command failed"


def _against(foreign: Cost | str, ours: Sequence[Cost]) -> Ratios | str:
    return foreign if isinstance(foreign, str) else Ratios.of(ours, [foreign])
