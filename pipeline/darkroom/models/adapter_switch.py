"""`AdapterSwitch`: which adapters are attached to modules that several threads share."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from threading import Condition
from typing import Generic, TypeVar

_State = TypeVar("_State", bound=Hashable)


class AdapterSwitch(Generic[_State]):
    """Attaches what each picture needs to shared modules, such as LoRAs to a UNet, and takes it off again.

    Computations with equal states run side by side. A computation with another state waits until nobody computes. It
    may be overtaken by others with the current state, so that alternating states cause few switches: whoever calls
    this has a limited amount of work, and no thread waits forever.

    Args:
        nothing: the state of the bare modules; they are in it now.
        attach: brings bare modules into a state.
        detach: makes them bare again, bit for bit, and also after an `attach` that failed half-way.
    """

    def __init__(self, nothing: _State, attach: Callable[[_State], None], detach: Callable[[_State], None]) -> None:
        self._nothing = nothing
        self._attach = attach
        self._detach = detach
        self._state = nothing
        self._users = 0
        self._changed = Condition()

    @contextmanager
    def using(self, state: _State) -> Iterator[None]:
        """Hold the modules in a state. A thread must not ask for one while it holds one.

        Raises:
            Exception: whatever `attach` raises; the modules are bare then.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._state == state or not self._users)
            self._switch_to(state)
            self._users += 1
        try:
            yield
        finally:
            with self._changed:
                self._users -= 1
                self._changed.notify_all()

    def _switch_to(self, state: _State) -> None:
        if self._state == state:
            return
        if self._state != self._nothing:
            self._detach(self._state)
            self._state = self._nothing
        if state == self._nothing:
            return
        try:
            self._attach(state)
        except BaseException:
            self._detach(state)
            raise
        self._state = state
