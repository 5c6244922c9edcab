"""Terminals and logs: nothing that strangers have named can steer them, or pass for a line of ours."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import re
import subprocess
import sys
import termios
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from darkroom.errors import OutputError, PhotoError, RecipeError, SetupError
from darkroom.record.run_log import run_log
from darkroom.system.console import GuardedStream
from support.runs import ROOT, Cli

EVIL = "\x1b]0;owned\x07\r\x1b[2J\b\x7f\x9b31m\u202e\u2066\u2028\u0085\t"
FORGED = "\n2026-01-01 00:00:00,000 INFO all is well"
RECIPE = """
dataset: {manifest: list.jsonl}
stages:
  mask: {op: mask_file, folder: "${item.masks}"}
  erase:
"""


@pytest.fixture
def desk(cli: Cli) -> Cli:
    """Photos, tables, masks and folders with names that no friend would give them; of five rows two can be done."""
    rng = np.random.default_rng(0)
    (cli.folder / "masks").mkdir()
    names = ["good.png", f"a{EVIL}{FORGED}.png", "no_mask.png", f"broken{EVIL}.png"]
    for name in names:
        Image.fromarray(rng.integers(0, 255, (24, 24, 3), np.uint8)).save(cli.folder / name)
    (cli.folder / names[3]).write_bytes(b"no picture" + EVIL.encode())
    (cli.folder / os.fsdecode(b"\xff\xfe.png")).write_bytes(b"nor this")
    for name in names[:2]:
        Image.fromarray(np.pad(np.full((8, 8), 255, np.uint8), 8)).save(cli.folder / "masks" / name)
    rows = [{"image": name, "masks": "masks"} for name in names]
    rows[2]["masks"] = f"nowhere{EVIL}{FORGED}"
    rows.append({"image": f"gone{EVIL}{FORGED}.png", "masks": "masks"})
    (cli.folder / "list.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows))
    (cli.folder / "mine.yaml").write_text(RECIPE)
    return cli


def said(cli: Cli, *words: str, **environment: str) -> tuple[int, bytes]:
    """Exit code, and all that a command line prints, as bytes."""
    done = subprocess.run(
        cli.command(*words), cwd=cli.folder, capture_output=True, timeout=300, env={**os.environ, **environment}
    )
    return done.returncode, done.stdout + done.stderr


def is_harmless(output: bytes, encoding: str = "utf-8") -> bool:
    """Nothing but printable characters and line breaks, no line that was forged, and no bug of ours."""
    text = output.decode(encoding)
    assert "Traceback" not in text
    return all(line.isprintable() and not line.startswith(FORGED.strip()[:10] + " 00:") for line in text.split("\n"))


@pytest.mark.fault(
    "Reports and messages",
    "escape sequences, line breaks and right-to-left marks in names of photos, masks, folders and in tables",
    "terminal and `run.log` show them as escapes such as \\x1b; every message stays one line",
)
def test_no_name_steers_the_terminal_or_the_log(desk: Cli) -> None:
    outputs = f"out{EVIL}{FORGED}"
    quoted = f"outputs='{outputs}'"
    code, output = said(desk, "recipe=mine.yaml", quoted, "device=cpu")
    assert code == 3 and is_harmless(output), output
    assert b"2 done, 3 failed" in output and rb"\x1b]0;owned\x07\r\x1b[2J\x08\x7f\x9b31m\u202e" in output
    (run,) = (path for path in (desk.folder / outputs).iterdir() if path.name != ".store")
    log = (run / "run.log").read_bytes()
    assert is_harmless(log) and rb"\x1b]0;owned" in log
    assert all(re.match(rb"\d{4}-\d\d-\d\d .* (INFO|WARNING|DEBUG) ", line) for line in log.splitlines())
    for words in (
        ["recipe=mine.yaml", quoted, "device=cpu", "dry_run=true"],
        [f"resume={run}"],
        [f"reproduce={run}"],
        [f"verify={run}"],
        ["store=report", f"outputs={outputs}"],
    ):
        code, output = said(desk, *words)
        assert code in (0, 3) and is_harmless(output), (words, output)


@pytest.mark.fault(
    "Reports and messages",
    "escape sequences on the command line, in a recipe, and in a stranger's `sweep.json`",
    "the error shows them as escapes",
)
def test_no_word_and_no_record_steers_the_terminal(desk: Cli) -> None:
    (desk.folder / "bad.yaml").write_text(f"dataset: {{images: good.png}}\nstages: {json.dumps({EVIL: {'op': EVIL}})}")
    sweep = desk.folder / "outputs" / f"1{EVIL}{FORGED}_sweep"
    sweep.mkdir(parents=True)
    job = {"folder": "0_x", "values": {}, "status": "failed", "error": EVIL + FORGED}
    (sweep / "sweep.json").write_text(json.dumps({"started": "", "axes": {}, "jobs": [job]}))
    for words in (
        [f"recipe={EVIL}"],
        [f"recipe='{EVIL}{FORGED}'"],
        ["recipe=bad.yaml"],
        ["recipe=mine.yaml", f"{EVIL}=1"],
        ["recipe=mine.yaml", f"models.sam='{EVIL}{FORGED}'", "device=cpu"],
        ["recipe=mine.yaml", f"device='{EVIL}{FORGED}'"],
        ["recipe=mine.yaml", f"--{EVIL}"],
        [f"resume={EVIL}{FORGED}"],
        [f"verify={EVIL}{FORGED}", f"{EVIL}=1"],
        [f"store={EVIL}{FORGED}"],
    ):
        code, output = said(desk, *words)
        assert output and code in (0, 2, 3) and is_harmless(output), (words, code, output)
    code, output = said(desk, f"resume={sweep}")
    assert is_harmless(output) and rb"\x1b]0;owned" in output
    assert is_harmless(said(desk, "recipe=mine.yaml", f"name='{EVIL}'", "--cfg", "job")[1])


@pytest.mark.fault(
    "Reports and messages",
    "names that are not UTF-8, and a terminal limited to ASCII (`LANG=C`)",
    "names are shown with escapes; nothing fails",
)
def test_terminals_of_little_alphabet(desk: Cli) -> None:
    words = ["recipe=mine.yaml", "device=cpu", "dataset.manifest=null", "dataset.images='.'"]
    (desk.folder / "masks").rename(desk.folder / "masqués")
    for environment in ({"LANG": "C", "LC_ALL": "C", "PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "latin-1"}):
        code, output = said(desk, *words, "stages.mask.folder='masqués'", **environment)
        assert code == 3 and is_harmless(output, environment["PYTHONIOENCODING"]), output
        assert b"\\udcff\\udcfe.png: failed" in output


def test_a_bar_is_drawn_and_messages_stand_above_it(desk: Cli) -> None:
    """On a terminal the bar itself may steer it, and nobody else."""
    outer, inner = pty.openpty()
    termios.tcsetwinsize(inner, (24, 80))
    process = subprocess.Popen(
        desk.command("recipe=mine.yaml", "device=cpu"), cwd=desk.folder, stdin=inner, stdout=inner, stderr=inner
    )
    os.close(inner)
    shown = b""
    with contextlib.suppress(OSError):  # the other side has hung up
        while part := os.read(outer, 65536):
            shown += part
    os.close(outer)
    assert process.wait(timeout=60) == 3
    assert b"picture" in shown and b"photo 5 of 5" in shown
    assert not re.search(rb"\x1b(?!\[A)|[\x00-\x07\b\x7f]|\xe2\x80\xae", shown)
    failed = [line.rpartition(b"\r")[2] for line in shown.split(b"\r\n") if b"failed: " in line]
    assert len(failed) == 3 and all(line.startswith(b"failed: ") for line in failed)


@given(st.text(st.characters()))
def test_whatever_is_printed_is_printable(text: str) -> None:
    written = io.BytesIO()
    print(text, file=GuardedStream(written, "ascii"))
    assert all(line.isprintable() for line in written.getvalue().decode("ascii").split("\n"))


def test_libraries_and_tracebacks_pass_through_the_same_place() -> None:
    program = """
import logging, sys, traceback, warnings
from darkroom.system import console
console.begin()
warnings.warn(sys.argv[1])
logging.getLogger("a library").warning(sys.argv[1])
try:
    raise ValueError(sys.argv[1])
except ValueError:
    traceback.print_exc()
"""
    done = subprocess.run([sys.executable, "-c", program, EVIL], cwd=ROOT, capture_output=True, timeout=60)
    assert all(map(str.isprintable, done.stderr.decode().split("\n")))
    assert done.stderr.count(rb"\x1b]0;owned\x07\r\x1b[2J") == 3


@pytest.mark.parametrize("kind", [RecipeError, SetupError, PhotoError, OutputError])
def test_an_error_is_one_line(kind: type[Exception]) -> None:
    assert str(kind(EVIL + FORGED)).isprintable()


def test_a_traceback_in_the_log_cannot_pass_for_a_record(tmp_path: Path) -> None:
    with run_log(tmp_path) as log:
        try:
            raise ValueError(EVIL + FORGED)
        except ValueError as error:
            log.debug("unexpected%s", FORGED, exc_info=error)
    lines = (tmp_path / "run.log").read_text(encoding="utf-8").split("\n")
    assert all(map(str.isprintable, lines)) and len(lines) > 4
    assert [bool(re.match(r"\d", line)) for line in lines[:-1]] == [True, *[False] * (len(lines) - 2)]
