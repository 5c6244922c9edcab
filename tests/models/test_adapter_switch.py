"""The adapters of shared modules: a computation only ever sees its own state, and equal ones run side by side."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from darkroom.models.adapter_switch import AdapterSwitch

NOTHING = ""


class Modules:
    """Stands for modules with adapters attached."""

    def __init__(self) -> None:
        self.attached: list[str] = []
        self.switch = AdapterSwitch(NOTHING, self._attach, self._detach)

    def _attach(self, state: str) -> None:
        self.attached.append(state)
        if state == "damaged":
            raise ValueError("half attached")

    def _detach(self, state: str) -> None:
        self.attached.remove(state)


def test_equal_states_run_side_by_side() -> None:
    modules, together = Modules(), threading.Barrier(3, timeout=60)

    def compute(_: int) -> list[str]:
        with modules.switch.using("sketch"):
            together.wait()  # breaks unless all three are inside at once
            return list(modules.attached)

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(compute, range(3))) == [["sketch"]] * 3


def test_nobody_sees_the_state_of_another() -> None:
    modules = Modules()

    def compute(state: str) -> bool:
        with modules.switch.using(state):
            seen = [list(modules.attached) for _ in range(100)]
        return seen == [[state] if state else []] * 100

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(compute, [NOTHING, "sketch", "dusk", "sketch", "sketch+dusk"] * 60))
    with modules.switch.using(NOTHING):
        assert modules.attached == []


def test_after_a_failure_the_modules_are_bare() -> None:
    modules = Modules()
    with pytest.raises(ValueError, match="half attached"), modules.switch.using("damaged"):
        pass
    assert modules.attached == []
    with modules.switch.using("sketch"):
        assert modules.attached == ["sketch"]
    with pytest.raises(RuntimeError), modules.switch.using("sketch"):
        raise RuntimeError  # of the computation: others must not wait for it forever
    with modules.switch.using(NOTHING):
        assert modules.attached == []
