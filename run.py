"""Darkroom: batch photo editing from YAML recipes.

    python run.py recipe=NAME [KEY=VALUE ...]       run a recipe
    python run.py recipe=my/own.yaml                ... of your own
    python run.py recipe=NAME dry_run=true          tell what would be computed and what is there already
    python run.py -m recipe=NAME stages.inpaint.seed='range(0,8)'
                                                    run it for every value, as one (a sweep)
    python run.py recipe=NAME --cfg job             show every parameter and its value, run nothing

    python run.py resume=RUN_DIR|latest             finish a run or a sweep that was stopped
    python run.py reproduce=RUN_DIR|PICTURE.png     make it again and say how far it is from what it was
    python run.py verify=RUN_DIR                    check every file, and that nothing outside the masks changed
    python run.py store=report|prune                what the store holds for which run; free what no run holds

Any parameter can be given on the command line:
    dataset.images=photos/                          a photo, a folder, or a glob such as '"photos/*.jpg"'
    dataset.manifest=photos.csv dataset.images=null a table of photos; recipes use its columns as ${item.NAME}
    'stages.inpaint.prompt="a car, (red)"'          quote twice what holds commas or special signs
    ~stages.invert                                  leave a stage out
    until=refine                                    stop behind a stage and show the masks, before any repaint
    models=auto|sdxl|sd15|miniature                 which models
    memory=auto|fast|balanced|low                   low is meant for 8 GB cards
    device=auto|cpu|cuda|mps   outputs=DIR          where it runs, where the results go
    results.format=png|jpeg|webp results.quality=95 what kind of files the finished pictures are
    strict=true                                     words of a prompt that the model cannot read are an error
    tolerance=N                                     with reproduce: differences up to N of 255 pass, as
                                                    between devices; device=, models.*= and memory.*= fit there too

Shell completion: eval "$(python run.py -sc install=bash)"
Exit codes: 0 all done, 2 bad recipe or usage, 3 some photos failed or differ, 4 results cannot be written,
130 interrupted (and 1, with a traceback: a bug of Darkroom).
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "pipeline"))

if __name__ == "__main__":  # before the imports that take their time
    from darkroom.system import interrupts as process

    process.begin()

import os
import traceback
from collections.abc import Callable
from contextlib import suppress

import hydra
from omegaconf import DictConfig

from darkroom.cli import commands
from darkroom.config import compose as hydra_glue
from darkroom.config import recipe_file
from darkroom.config.jobs import Ready, Refused
from darkroom.config.recipe import check_dataset, parse
from darkroom.config.settings import Settings
from darkroom.errors import DarkroomError, OutputError, collect_errors
from darkroom.planning.preflight import check
from darkroom.record import environment
from darkroom.resources import CONF
from darkroom.system import console
from darkroom.system.interrupts import raise_if_interrupted

DONE, BUG, USAGE, SOME_FAILED, CANNOT_WRITE = 0, 1, 2, 3, 4

_GRAVITY = (DONE, USAGE, SOME_FAILED, CANNOT_WRITE, BUG)  # of several jobs, the worst is told

_jobs: list[Ready | Refused] = []  # of this process, in their order


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
def job(config: DictConfig) -> None:
    """Compose -> check. The jobs run when all have been checked, as one."""
    checked: list[Ready] = []
    code, line = _told(lambda: checked.append(_check(config)))
    if code:
        folder = hydra_glue.output_folder()
        _jobs.append(Refused(folder, hydra_glue.words(), code, line, hydra_glue.sweep_folder()))
        with suppress(OSError):
            folder.rmdir()  # Hydra made it; only an empty folder can go
    _jobs.extend(checked)


def _check(config: DictConfig) -> Ready:
    composed = hydra_glue.composed(config)
    recipe, settings = collect_errors(
        lambda: parse(composed.config, composed.source, composed.overridden),
        lambda: Settings.parse(composed.config),
    )
    check_dataset(recipe, composed.source, composed.overridden)
    warnings = check(recipe, settings.models(), settings.strict, composed.source, composed.overridden)
    return Ready(
        recipe,
        settings,
        composed.folder,
        composed.files,
        composed.config,
        composed.overrides,
        composed.sweep,
        warnings,
    )


def _start() -> int:
    """Plan -> run -> record; returns the exit code."""
    jobs = list(_jobs)
    _jobs.clear()
    ready = [each for each in jobs if isinstance(each, Ready)]
    codes = [each.code for each in jobs if isinstance(each, Refused)]
    if ready:
        # Here and not above: what is imported before a recipe is known to be good must be light.
        from darkroom.session.session import run

        whole: list[bool] = []
        codes.append(_told(lambda: whole.append(run(jobs)))[0])
        codes += [SOME_FAILED for each in whole if not each]
    return max(codes, key=_GRAVITY.index, default=DONE)


def _told(work: Callable[[], object]) -> tuple[int, str]:
    """Work; the exit code and the line, if it went wrong, that has been told."""
    try:
        work()
    except DarkroomError as error:
        print(error, file=sys.stderr)
        return (CANNOT_WRITE if isinstance(error, OutputError) else USAGE), str(error)
    except Exception as error:
        raise_if_interrupted()
        traceback.print_exc()
        return BUG, f"{type(error).__name__}: {error}"
    return DONE, ""


def main() -> int:
    """Run the command line; returns the exit code."""
    with console.guarded():
        return _main(sys.argv[1:])


def _main(words: list[str]) -> int:
    if {"-h", "--help", "--hydra-help"} & set(words):
        recipes = "\n".join(f"    {name:<16} {line}" for name, line in recipe_file.available())
        print(f"{__doc__}\nRecipes:\n{recipes}")
        return DONE
    if "--version" in words:
        print(f"Darkroom {environment()['packages']['darkroom'] or '(not installed)'}")
        return DONE
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises instead of printing; the errors are told here
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin while waiting slow a shared machine down
    return _command(words) if commands.named(words) else _hydra(words)


def _command(words: list[str]) -> int:
    whole: list[bool] = []
    code, _ = _told(lambda: whole.append(commands.run(words)))
    return code or (DONE if all(whole) else SOME_FAILED)


def _hydra(words: list[str]) -> int:
    hydra_glue.register()
    try:
        sys.argv[1:] = hydra_glue.arranged(words)
        job()
        return _start()
    except Exception as error:  # of Hydra's: a job tells its own
        raise_if_interrupted()
        if isinstance(error, OSError) and error.filename:  # the run folder could not be made
            print(OutputError(f"{error.filename}: cannot be written: {error.strerror}"), file=sys.stderr)
            return CANNOT_WRITE
        print(hydra_glue.explain(error, words), file=sys.stderr)
        return USAGE
    finally:
        hydra_glue.tidy()


if __name__ == "__main__":
    sys.exit(process.run(main))
