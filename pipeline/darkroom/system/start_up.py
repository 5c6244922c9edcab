"""How the process of the command line begins and ends without needless work: a mistake in a recipe is reported at once.

A program that calls `darkroom.run` is left as it is.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any, NoReturn

_ENVIRONMENT = {
    # NumPy's BLAS starts a thread for each core when it is imported, and how many share a product can change its bits.
    "OPENBLAS_NUM_THREADS": "1",
    # pydantic would read the metadata of all installed packages to find plugins.
    "PYDANTIC_DISABLE_PLUGINS": "__all__",
}
_LATE = ("numpy", "cv2")  # modules name them at their tops, but checking a recipe needs no pixels

_exit_code = 1  # of a process that ends by another way than `end`


def begin() -> None:
    """Prepare the environment of this process. Call it once, before the first import that takes its time."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    atexit.register(_leave)  # before all others, so that it is called last


def end(code: int) -> NoReturn:
    """End the process: as `sys.exit`, but freeing all objects one by one, up to two seconds, is left to the system."""
    global _exit_code
    _exit_code = code
    sys.exit(code)


def _leave() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(_exit_code)


@contextmanager
def uncollected() -> Iterator[None]:
    """Let the garbage collector rest while modules are imported, which make much and throw nothing away."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@contextmanager
def without_pixels() -> Iterator[None]:
    """Import NumPy and OpenCV inside only when something uses them; on leaving without an error, in any case."""
    late = _Late()
    sys.meta_path.insert(0, late)
    try:
        yield
    finally:
        sys.meta_path.remove(late)
    for module in late.found:
        _ = module.__name__  # which is not safe in several threads at once


class _Late:
    """Finds the modules that may wait.

    Attributes:
        found: those that were asked for.
    """

    def __init__(self) -> None:
        self._waiting = set(_LATE) - set(sys.modules)
        self.found: list[ModuleType] = []

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in self._waiting:
            return None
        self._waiting.remove(name)  # so that the other finders are asked now
        spec = find_spec(name)
        if spec and spec.loader:
            spec.loader = _LateLoader(spec.loader, self.found)
        return spec


class _LateLoader(Loader):
    def __init__(self, loader: Loader, found: list[ModuleType]) -> None:
        self._loader, self._found = loader, found

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__
        module.__spec__.loader = module.__loader__ = self._loader
        module.__class__ = _LateModule
        self._found.append(module)


class _LateModule(ModuleType):
    """A module that is executed when somebody asks for its first attribute.

    `importlib.util.LazyLoader` executes it as soon as a second module imports it, which asks for `__spec__`.
    """

    def __getattribute__(self, name: str) -> Any:
        if name != "__spec__":
            spec = ModuleType.__getattribute__(self, "__spec__")
            self.__class__ = ModuleType  # type: ignore[assignment]  # an ordinary module from now on
            spec.loader.exec_module(self)
        return ModuleType.__getattribute__(self, name)
