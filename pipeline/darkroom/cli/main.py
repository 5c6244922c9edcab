"""The command line: arguments to an exit code."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from darkroom.cli.help import STUDIO_HELP, help_text
from darkroom.config.shipped_recipes import available
from darkroom.errors import DarkroomError, OutputError, RecipeError
from darkroom.resources import COMMAND
from darkroom.system.interrupts import raise_if_interrupted
from darkroom.system.start_up import uncollected, without_pixels

if TYPE_CHECKING:
    from darkroom.config.jobs import Job, RefusedJob

_COMMANDS = ("resume", "reproduce", "verify", "export", "store")
DONE, BUG, USAGE, SOME_FAILED, CANNOT_WRITE = 0, 1, 2, 3, 4


def main(argv: Sequence[str]) -> int:
    """Run a command line.

    Args:
        argv: the command-line arguments, without the program's name.

    Returns:
        the exit code: see `help_text`.
    """
    try:
        _check_current_folder()
        return _command(list(argv))
    except DarkroomError as error:
        print(error, file=sys.stderr)
        return CANNOT_WRITE if isinstance(error, OutputError) else USAGE
    except Exception:
        raise_if_interrupted()
        traceback.print_exc()
        return BUG


def _check_current_folder() -> None:
    try:
        Path.cwd()
    except OSError as error:
        raise RecipeError(f"the current folder cannot be read: {error.strerror}; change to another") from None


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise RecipeError(f"command line: {message}")


def _parser() -> _Parser:
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("--version", action="store_true")
    parser.add_argument("-m", "--multirun", action="store_true")
    parser.add_argument("-c", "--cfg", choices=["job"])
    parser.add_argument("-sc", "--shell-completion", action="store_true")
    parser.add_argument("words", nargs="*")
    return parser


def _command(argv: list[str]) -> int:
    if argv[:1] == ["studio"]:
        return _studio(argv[1:])
    if {"-h", "--help"} & set(argv):
        print(help_text(available()))
        return DONE
    # Imported here, like all that takes time, so that help and refusals are there at once.
    if any(word.partition("=")[0] in _COMMANDS for word in argv):
        from darkroom.cli import commands

        return DONE if commands.run(argv) else SOME_FAILED
    given = _parser().parse_intermixed_args(argv)
    if given.version:
        from importlib.metadata import version

        print(f"Darkroom {version('darkroom')}")
        return DONE
    return _compose(given)


def _studio(words: list[str]) -> int:
    if {"-h", "--help"} & set(words):
        print(STUDIO_HELP.format(command=COMMAND), end="")
        return DONE
    from darkroom.studio.command import run

    run(words)
    return DONE


def _compose(given: argparse.Namespace) -> int:
    with uncollected(), without_pixels():
        jobs = _jobs(given)
    return DONE if jobs is None else _run(jobs)


def _jobs(given: argparse.Namespace) -> Sequence[Job | RefusedJob] | None:
    """The jobs that a command line asks for; None if it asked for something to print."""
    from darkroom.config import recipe_yaml
    from darkroom.config.compose import check_single, compose
    from darkroom.config.hydra_loader import complete
    from darkroom.config.override_errors import check_words
    from darkroom.session.prepare import prepare, prepare_sweep

    if given.shell_completion:
        complete(given.words)
        return None
    check_words(given.words)
    if given.cfg:
        if given.multirun:
            raise RecipeError("command line: --cfg job shows one job; leave out -m")
        check_single(given.words)
        print(recipe_yaml.dump(compose(given.words).config), end="")
        return None
    return prepare_sweep(given.words) if given.multirun else [prepare(given.words)]


def _run(jobs: Sequence[Job | RefusedJob]) -> int:
    from darkroom.config.jobs import RefusedJob

    with uncollected():
        from darkroom.session.dry_run import dry_run
        from darkroom.session.session import run, runnable, store_of

    refused, ready = [job.error for job in jobs if isinstance(job, RefusedJob)], runnable(jobs)
    if any(job.settings.dry_run for job in ready):
        counted = dry_run(ready, store_of(jobs))
        refused += counted.errors
        print(counted.text, end="\n" if counted.text else "")
        ready = []
    for error in dict.fromkeys(refused):
        print(error, file=sys.stderr)
    if ready and not run(jobs):
        return SOME_FAILED
    return USAGE if refused else DONE
