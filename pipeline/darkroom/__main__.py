"""The process of the command line: `darkroom`, `python -m darkroom` and `python run.py`."""

from __future__ import annotations

import sys
from typing import NoReturn

from darkroom.system import console, interrupts, start_up


def entry() -> NoReturn:
    """Run the command line of this process and end it."""
    start_up.begin()
    interrupts.begin()  # before the imports that take their time
    console.begin()
    from darkroom.cli.main import main

    start_up.end(interrupts.run(lambda: main(sys.argv[1:])))


if __name__ == "__main__":
    entry()
