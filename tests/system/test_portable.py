"""Nothing of what Windows lacks is needed to import Darkroom or to run a recipe."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from darkroom.provenance.verify import verify
from support.runs import environment, journal

LIKE_WINDOWS = '''
import os, sys
from types import SimpleNamespace

import platformdirs, portalocker, psutil  # they choose their own code for Windows by the name of the system

LACKING = {"fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog", "posix_ipc"}

class NotOnWindows:
    """Stands for a Python without these modules."""
    def find_spec(self, name, path=None, target=None):
        if name in LACKING:
            raise ModuleNotFoundError(f"No module named {name!r}: there is none on Windows", name=name)

sys.meta_path.insert(0, NotOnWindows())
for name in LACKING:
    sys.modules.pop(name, None)
import signal
for name in ("SIGALRM", "setitimer", "alarm", "ITIMER_REAL", "SIGHUP", "SIGKILL", "SIGUSR1", "pthread_kill"):
    delattr(signal, name)
for name in ("O_NOFOLLOW", "O_DIRECTORY", "O_NONBLOCK", "O_CLOEXEC", "fork", "getuid", "geteuid", "mkfifo", "statvfs",
             "sched_getaffinity", "fchmod", "getpgid", "killpg", "setsid"):
    delattr(os, name)
os.supports_dir_fd = set()
os.supports_fd = {os.stat, os.truncate}
os.supports_follow_symlinks = {os.stat}
psutil.Process.memory_info = lambda self: SimpleNamespace(rss=1, peak_wset=7_000_000)
'''
RUN = """
import importlib, pkgutil

from darkroom.__main__ import entry
import darkroom

if "modules" in sys.argv:
    for module in pkgutil.walk_packages(darkroom.__path__, "darkroom."):
        print(importlib.import_module(module.name).__name__)
else:
    entry()
"""


def on_windows(folder: Path, *words: str) -> str:
    """Standard output of a process that lacks what Windows lacks; it must succeed without a warning."""
    command = [sys.executable, "-c", LIKE_WINDOWS + RUN, *words]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout


def test_every_module_can_be_imported(tmp_path: Path) -> None:
    package = Path(verify.__code__.co_filename).parents[1]
    modules = {
        ".".join(("darkroom", *path.relative_to(package).with_suffix("").parts)).removesuffix(".__init__")
        for path in package.rglob("*.py")
    }
    assert {"darkroom", *on_windows(tmp_path, "modules").split()} == modules


def test_a_recipe_runs_resumes_and_can_be_checked(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    scene = rng.integers(60, 90, (48, 64, 3), np.uint8)
    scene[12:36, 20:44] = 220, 30, 30
    for name in ("one.png", "con.png"):
        Image.fromarray(scene).save(tmp_path / name)
    recipe = """
        dataset: {images: "*.png"}
        stages:
          thing: {op: grabcut, box: [16, 8, 48, 40], iterations: 1}
          refine: {grow: 1, feather: 1}
          erase: {method: telea}
    """
    (tmp_path / "mine.yaml").write_text(recipe)
    assert "pictures: " in on_windows(tmp_path, "recipe=mine.yaml", "models=miniature")
    (run,) = tmp_path.glob("outputs/*_mine")
    lines = journal(run)
    assert {line["status"] for line in lines} == {"done"} and not verify(run).problems
    assert {line["folder"] for line in lines} == {
        "one",
        next(line["folder"] for line in lines if "con-" in line["folder"]),
    }
    facts = json.loads((run / "run.json").read_text())
    assert facts["status"] == "done" and facts["work"]["peak_memory"] == 7_000_000
    (run / lines[0]["result"]).unlink()
    assert "nothing" in on_windows(tmp_path, f"resume={run}")
    assert not verify(run).problems
    assert "identical" in on_windows(tmp_path, f"reproduce={run}")
    on_windows(tmp_path, f"verify={run}")
    on_windows(tmp_path, "store=prune")
