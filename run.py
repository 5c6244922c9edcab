"""Darkroom: batch photo editing from YAML recipes.

    python run.py recipe=NAME [KEY=VALUE ...]       run a recipe
    python run.py recipe=my/own.yaml                ... of your own
    python run.py -m recipe=NAME stages.inpaint.seed='range(0,8)'
                                                    run it once for every value (a sweep)
    python run.py recipe=NAME --cfg job             show every parameter and its value, run nothing

Any parameter can be given on the command line:
    dataset.images=photos/                          a photo, a folder, or a glob such as '"photos/*.jpg"'
    dataset.manifest=photos.csv dataset.images=null a table of photos; recipes use its columns as ${item.NAME}
    'stages.inpaint.prompt="a car, (red)"'          quote twice what holds commas or special signs
    ~stages.invert                                  leave a stage out
    models=auto|sdxl|sd15|miniature                 which models
    memory=auto|fast|balanced|low                   low is meant for 8 GB cards
    device=auto|cpu|cuda|mps   outputs=DIR          where it runs, where the results go

Shell completion: eval "$(python run.py -sc install=bash)"
Exit codes: 0 all done, 2 bad recipe or usage, 3 some photos failed, 4 results cannot be written, 130 interrupted
(and 1, with a traceback: a bug of Darkroom).
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from contextlib import suppress
from functools import lru_cache

import hydra
from omegaconf import DictConfig

from pipeline import hydra_glue, recipe_file
from pipeline.errors import DarkroomError, OutputError, together
from pipeline.models import Memory, Models, Weights
from pipeline.recipe import parse
from pipeline.settings import Settings

DONE, BUG, USAGE, SOME_FAILED, CANNOT_WRITE, INTERRUPTED = 0, 1, 2, 3, 4, 130

_codes: list[int] = []  # of the jobs of this process


class JobFailed(Exception):
    """A job of a sweep has ended without success, and has said why; the others still run."""


@hydra.main(version_base="1.3", config_path=str(recipe_file.ROOT / "conf"), config_name="config")
def job(config: DictConfig) -> None:
    """Compose -> check -> plan -> run, once; in a sweep, once for each set of values."""
    code = _told(config)
    _codes.append(code)
    if code and hydra_glue.runs_elsewhere():  # where `_codes` is another process's; Hydra prints a line of its own
        raise JobFailed(code)


def _told(config: DictConfig) -> int:
    """Run, and tell what goes wrong here, so that all that leaves `job` is Hydra's."""
    try:
        return _run(config)
    except DarkroomError as error:
        with suppress(OSError):
            hydra_glue.output_folder().rmdir()  # Hydra made it; only an empty folder can go
        print(error, file=sys.stderr)
        return CANNOT_WRITE if isinstance(error, OutputError) else USAGE
    except Exception:
        traceback.print_exc()
        return BUG


def _run(job_config: DictConfig) -> int:
    composed = hydra_glue.composed(job_config)
    config = composed.config
    recipe, settings = together(
        lambda: parse(config, composed.source, composed.overridden),
        lambda: Settings.parse(config),
    )
    recipe.dataset.check()

    # Here and not above: what is imported before a recipe is known to be good must be light.
    from pipeline.record import Record
    from pipeline.record.run_log import run_log
    from pipeline.report import contact_sheet
    from pipeline.runner import Runner

    models = _models(settings.weights, settings.memory, settings.device)
    models.require(recipe.models())
    facts = {"overrides": composed.overrides, "config": config}
    record = Record(composed.folder, recipe.name, composed.files, facts)
    with run_log(composed.folder) as log:
        log.info("%s", models.summary)
        try:
            totals = Runner(recipe, models, record).run()
        except KeyboardInterrupt:
            contact_sheet(composed.folder)
            raise
        log.info("photos: %(photos)d; pictures: %(done)d done, %(failed)d failed, %(skipped)d skipped", totals)
        log.info("run folder:    %s", composed.folder)
        log.info("contact sheet: %s", contact_sheet(composed.folder))
    return SOME_FAILED if totals["failed"] else DONE


@lru_cache(maxsize=1)
def _models(weights: Weights, memory: Memory, device: str) -> Models:
    """One set of models per process: the jobs of a sweep share what is loaded."""
    return Models(weights, memory, device)


def main() -> int:
    """Run the command line; returns the exit code."""
    if {"-h", "--help", "--hydra-help"} & set(sys.argv[1:]):
        recipes = "\n".join(f"    {name:<16} {line}" for name, line in recipe_file.available())
        print(f"{__doc__}\nRecipes:\n{recipes}")
        return DONE
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises instead of printing; the errors are told here
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin while waiting slow a shared machine down
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    hydra_glue.register()
    try:
        job()
    except JobFailed as failed:
        return max(*_codes, *failed.args)
    except KeyboardInterrupt:
        print("interrupted; what is finished is kept", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:  # of Hydra's: a job tells its own
        if isinstance(error, OSError) and error.filename:  # the run folder could not be made
            print(f"{error.filename}: cannot be written: {error.strerror}", file=sys.stderr)
            return CANNOT_WRITE
        print(hydra_glue.explain(error, sys.argv[1:]), file=sys.stderr)
        return USAGE
    finally:
        hydra_glue.tidy()
    return max(_codes, default=DONE)


if __name__ == "__main__":
    sys.exit(main())
