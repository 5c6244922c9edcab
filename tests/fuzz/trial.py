"""A trial: damage a desk, give it to every command that reads it, and report every broken rule."""

from __future__ import annotations

import contextlib
import faulthandler
import io
import random
import signal
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from darkroom.errors import DarkroomError
from darkroom.report import contact_sheet, run_page, sweep_page, sweep_sheet
from fuzz.desk import STEERED, Desk, Tree, command_line
from fuzz.targets import RECIPE_OF, damage

ENDS_WELL = (0, 2, 3, 4)
Command = tuple[str, Callable[[], int]]


class _Hang(BaseException):
    """A command did not end in time."""


@dataclass(frozen=True)
class Finding:
    """A broken rule.

    Attributes:
        kind: which rule, with the place in the code if known; equal kinds count as one finding.
        seed: of the trial.
        command: the command that broke it.
        damage: what was done to the desk before.
    """

    kind: str
    seed: int
    command: str
    damage: str

    def __str__(self) -> str:
        return f"{self.kind}\n    python tests/fuzz --seed {self.seed}    # {self.damage}; then {self.command}"


def commands(desk: Desk, kind: str, told: str) -> list[Command]:
    """All commands that read the damaged files."""
    run, outputs = desk.runs[kind], desk.outputs
    recipe = RECIPE_OF.get(kind, "mine.yaml")
    picture = next(iter(sorted(run.glob("**/*_erase.png"))), run / "a/3_erase.png")
    lines = [
        *(f"resume={run}", f"reproduce={run}", f"reproduce={picture}", f"verify={run}"),
        *(f"export=coco {run} object=kept", f"export=imagefolder {run}", f"export=webdataset {run} label=item.note"),
        *("store=report", "store=prune", f"recipe={recipe} dry_run=true", f"recipe={recipe} device=cpu"),
    ]
    lines += ["resume=latest"] * (kind == "stopped")
    lines += ["recipe=paint.yaml dry_run=true models=miniature"] * ("paint.yaml" in told or "prompts.txt" in told)
    lines += [STEERED] * ("ink.safetensors" in told or "control" in told)
    lines += [f"recipe={run / 'recipe.yaml'} device=cpu"] * ("recipe.yaml" in told)

    def ask(line: str) -> Command:
        return line.replace(str(outputs), "outputs"), lambda: command_line(desk.desk, *line.split(" "))

    def draw(make: Callable[[Path], Path], folder: Path) -> Command:
        def drawn() -> int:
            try:
                make(folder)
            except DarkroomError:
                return 2
            return 0

        return f"{make.__name__}({folder.relative_to(outputs)})", drawn

    found = [ask(line) for line in lines]
    for folder in [path.parent for path in run.glob("*/run.json")] or [run]:
        found += [draw(contact_sheet, folder), draw(run_page, folder)]
    return found + ([draw(sweep_sheet, run), draw(sweep_page, run)] if kind == "sweep" else [])


def watch(desk: Desk, command: Command, seconds: float) -> list[str]:
    """Run a command; returns the rules that it broke."""
    around = desk.around()
    finished = {path: each for path, each in desk.finished().items() if desk.built.get(path) == each}
    found, said = [], io.StringIO()
    started = time.monotonic()
    faulthandler.dump_traceback_later(20 * seconds, exit=True)  # if not even the alarm gets through
    signal.signal(signal.SIGALRM, _ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = command[1]()
        if code not in ENDS_WELL:
            found.append(_told_place(said.getvalue()) or f"exit code {code}")
        elif "raceback" in said.getvalue():
            found.append(f"unforeseen: {_line_with('raceback', said.getvalue())}")
    except _Hang as error:
        found.append(f"hangs in {_place(error)}")
    except Exception as error:
        found.append(f"{type(error).__name__} in {_place(error)}")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()
    if time.monotonic() - started > seconds and not any(each.startswith("hangs") for each in found):
        found.append("takes too long")
    found += [f"touched outside: {_shown(desk, each)}" for each in _differing(around, desk.around())]
    now = desk.finished()
    found += [
        f"a finished picture {'is gone' if each not in now else 'has changed'}"
        for each in finished
        if now.get(each) != finished[each]
    ][:1]
    return found


def _ring(*_: Any) -> None:
    raise _Hang


def _place(error: BaseException) -> str:
    """The innermost function of Darkroom in a traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [each for each in frames if "/pipeline/" in each.filename or each.filename.endswith("/run.py")]
    return f"{Path(ours[-1].filename).name}:{ours[-1].name}" if ours else "nothing of ours"


def _told_place(said: str) -> str | None:
    """Error type and innermost function of Darkroom in a printed traceback."""
    if "Traceback" not in said:
        return None
    lines = said.splitlines()
    ours = [line for line in lines if line.startswith('  File "') and ("/pipeline/" in line or "/run.py" in line)]
    name = next((line.partition(":")[0] for line in reversed(lines) if line and not line.startswith(" ")), "")
    where = ours[-1].split('"') if ours else ["", "?", "in ?"]
    return f"{name} in {Path(where[1]).name}:{where[2].rpartition(' in ')[2]}"


def _line_with(word: str, text: str) -> str:
    line = next(line for line in text.splitlines() if word in line)
    return line[line.find("unexpected") :][:60]


def _differing(before: Tree, after: Tree) -> list[str]:
    return [path for path in {**before, **after} if before.get(path) != after.get(path)]


def _shown(desk: Desk, path: str) -> str:
    parts = Path(path).relative_to(desk.root).parts
    return "/".join(parts[:2])


def trial(desk: Desk, seed: int, seconds: float, say: Callable[[str], None] = lambda line: None) -> list[Finding]:
    """Restore the desk, damage it, run all commands in random order; returns the findings."""
    rng = random.Random(seed)
    desk.restore()
    kind = rng.choice(("run", "run", "stopped", "stopped", "sweep", "sweep", "table", "lines", "book"))
    told = damage(rng, desk, kind)
    say(f"damage: {told!r}")
    asked = commands(desk, kind, told)
    rng.shuffle(asked)
    found = []
    for command in asked:
        kinds = watch(desk, command, seconds)
        say(f"  {command[0]}: {kinds or 'well'}")
        found += [Finding(each, seed, command[0], repr(told)[1:-1]) for each in kinds]
    return found
