"""The profile of a run as files in its folder: `profile.json`, a trace, and `profile.txt`, a table."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from darkroom.errors import OutputError
from darkroom.system.files import Folder, writing
from darkroom.system.profiling import profiling

log = logging.getLogger("darkroom")


@contextmanager
def profiled(folder: Path) -> Iterator[None]:
    """Profile what happens in this context, also if it is interrupted; a resumed run gets `profile-2.json`.

    Raises:
        OutputError: the trace cannot be created.
    """
    files = Folder(folder)
    name = next(name for name in map(_name, count(1)) if not files.holds(f"{name}.json"))
    with writing(folder / f"{name}.json"):
        trace = files.append(f"{name}.json")
    with profiling(trace) as profile:
        try:
            yield
        finally:
            lines = [f"profile: {profile.wall:.2f} s; time in inner spans counts there only", *profile.table()]
            with suppress(OutputError), writing(folder / f"{name}.txt"):
                files.write(f"{name}.txt", "".join(f"{line}\n" for line in lines).encode())
            for line in lines:
                log.info("%s", line)


def _name(number: int) -> str:
    return "profile" if number == 1 else f"profile-{number}"
