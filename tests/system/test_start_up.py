"""The process of the command line begins with no more than a refused recipe needs, and ends without losing anything."""

from __future__ import annotations

import subprocess
import sys

from support.runs import ROOT, environment

LATE = """
import sys
from darkroom.system.start_up import without_pixels

with without_pixels():
    import numpy as np
    import cv2, numpy
    assert "numpy._core" not in sys.modules
    numpy.ones(1)
    assert "numpy._core" in sys.modules and "cv2.data" not in sys.modules
assert "cv2.data" in sys.modules and np is numpy is sys.modules["numpy"] and cv2 is sys.modules["cv2"]
assert cv2.resize(np.ones((2, 2), np.uint8), (4, 4)).sum() == 16
assert type(np) is type(cv2) is type(sys)
"""
END = """
import atexit, threading, time
from darkroom.system import start_up

start_up.begin()
atexit.register(lambda: print("at exit"))
threading.Thread(target=lambda: (time.sleep(0.2), print("thread"))).start()
print("x" * 100_000)
start_up.end(3)
"""
REFUSED = """
import sys
from darkroom.cli.main import main

code = main(["recipe=car_on_mars", "stages.inpaint.strength=2"])
print(code, sorted({"numpy._core", "cv2.data", "torch"} & set(sys.modules)))
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=120
    )


def test_numpy_and_opencv_wait_until_something_uses_them() -> None:
    done = run(LATE)
    assert done.returncode == 0, done.stderr


def test_the_end_waits_for_threads_and_loses_no_output() -> None:
    done = run(END)
    assert (done.returncode, done.stderr) == (3, "")
    assert done.stdout == "x" * 100_000 + "\nthread\nat exit\n"


def test_a_recipe_is_refused_without_loading_what_computes_pixels() -> None:
    done = run(REFUSED)
    assert "strength: should be less than or equal to 1" in done.stderr
    assert done.stdout == "2 []\n"
