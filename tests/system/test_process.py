"""The process as those who start it see it: standard streams that are closed or full, and signals at any time."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.runs import ROOT, Cli, journal

RECIPE = """
dataset: {images: CAR}
on_empty: keep
stages:
  box: {op: grabcut, box: [200, 250, 460, 400], iterations: 1}
  erase:
"""
LINE = "interrupted; finished pictures are kept\n"


@pytest.fixture
def shell(cli: Cli):
    """Run a recipe with its streams redirected by a real shell."""
    (cli.folder / "own.yaml").write_text(RECIPE.replace("CAR", str(ROOT / "examples/car.png")))
    command = f"'{sys.executable}' '{ROOT}/run.py'"

    def run(words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", f"{command} {words}"], cwd=cli.folder, capture_output=True, text=True, timeout=120
        )

    return run


@pytest.mark.fault(
    "Processes and disks",
    "standard output or error closed, as for a daemon, or on a full disk",
    "the run finishes with exit code 0; run.log has what could not be printed",
)
@pytest.mark.parametrize(
    "streams", [">&-", "2>&-", "<&- >&- 2>&-", ">/dev/full", ">/dev/full 2>/dev/full", "| head -1"]
)
def test_a_run_does_its_work_without_readers(cli: Cli, shell, streams: str) -> None:
    done = shell(f"recipe=own.yaml models=miniature {streams}")
    assert done.returncode == 0, done.stderr
    told = "standard output: cannot be written: No space left on device\n" if streams == ">/dev/full" else ""
    assert done.stderr == told
    folder = cli.run_folder()
    (line,) = journal(folder)
    assert line["status"] == "done" and (folder / line["result"]).is_file()
    assert "run folder:" in (folder / "run.log").read_text()


def test_nothing_printed_gets_into_a_file_where_streams_are_closed(shell, cli: Cli) -> None:
    """With number 1 free, the first file that is opened would get it."""
    assert shell("recipe=gone >&- 2>&-").returncode == 2
    assert shell("recipe=own.yaml --cfg job <&- >&- 2>&-").returncode == 0
    assert sorted(path.name for path in cli.folder.iterdir()) == ["own.yaml"]


def test_what_a_terminal_cannot_show_is_escaped(cli: Cli) -> None:
    recipe = "dataset: {images: Größe.png}\nstages: {grabcut: {box: [0, 0, 9, 9]}}\n"
    (cli.folder / "own.yaml").write_text(recipe, encoding="utf-8")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    words = ("recipe=own.yaml", "--cfg", "job")
    done = subprocess.run(cli.command(*words), cwd=cli.folder, capture_output=True, env=environment, timeout=60)
    assert rb"Gr\xf6\xdfe.png" in done.stdout and done.returncode == 0


def has_begun(process: subprocess.Popen[str]) -> bool:
    """Whether Python itself has started and the first line of `run.py` has run, told by the kernel."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


@pytest.mark.fault(
    "Processes and disks",
    "Ctrl-C or SIGTERM at any time, also twice, also while modules and models load",
    "one line, exit code 130, no traceback",
)
@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc when to begin")
@pytest.mark.parametrize(
    "delay", [0, 0.1, 0.3, 1.2, 3, 5, *(pytest.param(delay, marks=pytest.mark.slow) for delay in (0.7, 2))]
)
def test_an_interruption_at_any_time_is_one_line(cli: Cli, delay: float) -> None:
    words = ("recipe=car_on_mars", "models=miniature", f"dataset.images={ROOT}/examples/car.png")
    process = subprocess.Popen(
        cli.command(*words, "stages.inpaint.steps=1000"),
        cwd=cli.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while not has_begun(process):
        time.sleep(0.001)
    time.sleep(delay)
    process.send_signal(signal.SIGTERM if delay < 0.2 else signal.SIGINT)
    if delay == 3:
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, LINE)


@pytest.mark.fault("Processes and disks", "standard output is a full non-blocking pipe", "the exit code is still right")
def test_a_full_pipe_that_does_not_wait(cli: Cli) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while os.write(writer, b"x" * 65536):
            pass
    done = subprocess.run(cli.command("--help"), stdout=writer, stderr=subprocess.PIPE, timeout=60, cwd=cli.folder)
    for descriptor in (reader, writer):
        os.close(descriptor)
    assert done.returncode == 0 and done.stderr == b""
