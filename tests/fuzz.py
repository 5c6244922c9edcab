"""Damages the real files of a small desk and sees what the command line makes of it: `make fuzz SECONDS=600`.

A trial takes a desk with a run, a stopped run, a sweep, runs from tables, their store and the files that they were made
from. It damages one to three of these, as a stranger, a disk or an old version might have left them, and then gives
every command that reads them. Whatever the damage, a command ends by itself with a documented exit code, prints no
traceback, touches nothing but the outputs folder, and removes or changes no finished picture.

    python tests/fuzz.py --seconds 600      from a seed that is told at the beginning
    python tests/fuzz.py --seed 4711        that one trial, told step by step
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import faulthandler
import hashlib
import io
import json
import os
import random
import resource
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image, PngImagePlugin

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # where `run.py` is

from darkroom.cli import main as cli  # noqa: E402
from darkroom.errors import DarkroomError  # noqa: E402
from darkroom.report import contact_sheet, run_page, sweep_page, sweep_sheet  # noqa: E402

ENDS_WELL = (0, 2, 3, 4)
MEMORY = 3 * 2**30  # bytes that a trial may take on top of what is loaded

Tree = dict[str, tuple[Any, ...]]
Command = tuple[str, Callable[[], int]]


class _Hang(BaseException):
    """A command has not ended in time."""


@dataclass(frozen=True)
class Finding:
    """Something that must not happen.

    Attributes:
        kind: what it is, with the place in the code where that is known; findings of one kind are one.
        seed: of the trial.
        command: after which it was seen.
        damage: what had been done to the desk.
    """

    kind: str
    seed: int
    command: str
    damage: str

    def __str__(self) -> str:
        return f"{self.kind}\n    python tests/fuzz.py --seed {self.seed}    # {self.damage}; then {self.command}"


# ---- The desk --------------------------------------------------------------------------------------------------------

MASKED = "stages: {mask: {op: mask_file, folder: masks}, refine: {grow: 1}, erase: }\n"
RECIPES = {
    "mine.yaml": "dataset: {images: photos}\n" + MASKED,
    "cut.yaml": "dataset: {images: photos/a.png}\n"
    "stages: {cut: {op: grabcut, box: [4, 4, 20, 20], iterations: 1}, refine: {grow: 0}, erase: }\n",
    "csv.yaml": "dataset: {manifest: photos/list.csv}\n" + MASKED.replace("grow: 1", 'grow: "${item.grow}"'),
    "jsonl.yaml": "dataset: {manifest: photos/list.jsonl}\n" + MASKED.replace("grow: 1", 'grow: "${item.grow}"'),
    "paint.yaml": "dataset: {images: photos/a.png}\n"
    "stages: {mask: {op: mask_file, folder: masks}, inpaint: {prompts_file: prompts.txt}}\n",
}
AROUND = ("desk", "canary", "home", "tmp")
RECIPE_OF = {"table": "csv.yaml", "lines": "jsonl.yaml"}
TABLE_OF = {"table": "list.csv", "lines": "list.jsonl"}


@dataclass
class Desk:
    """A user's folder with recipes, photos and runs, and around it what is nobody's business.

    Attributes:
        root: holds all of it: `desk`, `canary`, `home`, `tmp`, `pristine`, which the desk is restored from.
        runs: the runs on the desk by what they are: `user` is not touched by any trial.
        built: all finished pictures, as they were built.
    """

    root: Path
    runs: dict[str, Path] = field(default_factory=dict)
    built: Tree = field(default_factory=dict)

    @property
    def desk(self) -> Path:
        return self.root / "desk"

    @property
    def outputs(self) -> Path:
        return self.desk / "outputs"

    @classmethod
    def build(cls, root: Path) -> Desk:
        desk = cls(root)
        for name in ("desk/photos", "desk/masks", "canary/project/.store/blobs/aa", "home", "tmp"):
            (root / name).mkdir(parents=True)
        rng = np.random.default_rng(0)
        for name in ("a.png", "b.jpg", "c.png"):
            pixels = rng.integers(0, 60, (24, 24, 3), np.uint8)
            pixels[8:16, 8:16] += 180
            Image.fromarray(pixels).save(desk.desk / "photos" / name)
            mask = Image.fromarray(np.pad(np.full((8, 8), 255, np.uint8), 8))
            mask.save(desk.desk / "masks" / f"{name[0]}.png")
        Image.new("RGB", (24, 24), "red").save(root / "canary/private.png")
        for name in ("thesis.txt", "project/main.py", "project/.store/blobs/aa/x.png"):
            (root / "canary" / name).write_text("years of work\n")
        (root / "home/.bashrc").write_text("# mine\n")
        os.mkfifo(root / "canary/pipe")
        (root / "canary/zero").symlink_to("/dev/zero")  # a file without an end
        for name, text in RECIPES.items():
            (desk.desk / name).write_text(text)
        (desk.desk / "photos/list.csv").write_text("image,grow,note\na.png,1,one\nc.png,0,two\n")
        rows = [{"image": name, "grow": 1, "note": ["x", 1]} for name in ("a.png", "b.jpg")]
        (desk.desk / "photos/list.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows))
        (desk.desk / "prompts.txt").write_text("mars\n# no prompt\na (red:1.2) car\n")
        for kind, words in {
            "user": ["recipe=cut.yaml"],
            "run": ["recipe=mine.yaml"],
            "table": ["recipe=csv.yaml"],
            "lines": ["recipe=jsonl.yaml"],
            "sweep": ["-m", "recipe=mine.yaml", "stages.refine.grow=0,2"],
        }.items():
            desk._make(kind, [*words, "device=cpu"])
        desk._make_stopped()
        desk.built = desk.finished()
        (root / "pristine").mkdir()
        copy([root / name for name in AROUND], root / "pristine")
        return desk

    def _make(self, kind: str, words: Sequence[str]) -> None:
        before = set(self.outputs.glob("*"))
        with contextlib.redirect_stdout(io.StringIO()) as said:
            code = command_line(self.desk, *words)
        assert code == 0, said.getvalue()
        (self.runs[kind],) = set(self.outputs.glob("*")) - before - {self.outputs / ".store"}

    def _make_stopped(self) -> None:
        """A copy of the run as it is when it has been killed while it was resumed."""
        folder = self.runs["stopped"] = self.outputs / "2099-01-01_00-00-00-000_mine"
        shutil.copytree(self.runs["run"], folder, copy_function=os.link)
        facts = json.loads((folder / "run.json").read_bytes())
        lines = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
        for name, data in {
            "run.json": json.dumps({**facts, "status": "running"}).encode(),
            "journal.jsonl": lines[0],
            "journal.earlier.jsonl": b"".join(lines[:2]),
        }.items():
            (folder / name).unlink(missing_ok=True)
            (folder / name).write_bytes(data)

    def restore(self) -> None:
        """Lay everything out again as it was built."""
        for name in AROUND:
            shutil.rmtree(self.root / name)
        copy([self.root / "pristine" / name for name in AROUND], self.root)

    def around(self) -> Tree:
        """All but the outputs folder: no command may touch it."""
        return tree(self.root, skip=(self.outputs, self.root / "pristine"))

    def finished(self) -> Tree:
        """The pictures of all runs, and every file of the one that no trial touches; no matter which are damaged."""
        found = {
            str(path): _content(path)
            for path in self.outputs.rglob("*")
            if path.suffix in (".png", ".jpg") and not {".store", "thumbnails", "contact_sheet.png"} & set(path.parts)
        }
        return found | {path: each[-1:] for path, each in tree(self.runs["user"]).items()}


def copy(folders: Sequence[Path], target: Path) -> None:
    """Put copies of folders into another one, with their links, hard ones too, their times and pipes."""
    subprocess.run(["cp", "-a", *folders, target], check=True)


def tree(folder: Path, skip: Sequence[Path] = ()) -> Tree:
    """Every path below a folder: kind and mode, time of change, and content. No link is followed, no pipe opened."""
    found: Tree = {}
    waiting = [folder]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for path in (Path(entry) for entry in entries):
                if path in skip:
                    continue
                status = path.lstat()
                found[str(path)] = (status.st_mode, status.st_mtime_ns, *_content(path))
                if stat.S_ISDIR(status.st_mode):
                    waiting.append(path)
    # The desk itself and `tmp` hold what comes and goes.
    return {path: each[2:] if path.endswith(("/desk", "/tmp")) else each for path, each in found.items()}


def _content(path: Path) -> tuple[Any, ...]:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return (str(path.readlink()),)
    return (hashlib.sha256(path.read_bytes()).hexdigest() if stat.S_ISREG(mode) else None,)


# ---- What is done to it ----------------------------------------------------------------------------------------------

RAW = "@raw@"  # stands in JSON for what no JSON value is
TOKENS = (
    "1e999",
    "-1e999",
    "NaN",
    "-Infinity",
    "9" * 400,
    "9" * 5000,
    "[" * 100_000,
    "[" * 500 + "]" * 500,
    "",
    "1e308",
)
TEXTS = (
    *(
        "",
        "\ud800",
        "x" * 100_000,
        "\0",
        "\x1b]0;x\x07\r\n\u202e",
        "${item.x}",
        "${oc.env:HOME}",
        "../" * 40,
        "-",
        "null",
    ),
    *("𝕏" * 80, "{{", "%s%n", "CON", "a/b", "  ", "2026-13-45T99:99", "done", "running"),
)
VALUES = (None, True, False, 0, -1, 2**63, -0.5, 1e300, [], {}, [[]], [None], {"": None}, [0] * 2000, *TEXTS)

Damage = Callable[[random.Random, Desk, Path], str]


def places(desk: Desk) -> list[str]:
    """Paths that no record of ours names. None leads to what the machine needs: a bug might delete it."""
    canary = desk.root / "canary"
    names = ("private.png", "thesis.txt", "project/main.py", "pipe", "zero", "nowhere", "project", ".")
    above = (
        "..",
        ".",
        "../../../canary/private.png",
        "../../../canary/pipe",
        "a/../../../../canary/thesis.txt",
        "run.json",
    )
    return [
        *(str(canary / name) for name in names),
        *(f"out/{name}" for name in names),
        *above,
        f"{desk.runs['user']}/run.json",
    ]


def hostile(rng: random.Random, desk: Desk, old: Any) -> Any:
    """A value for the place of another."""
    if isinstance(old, str) and rng.random() < 0.4:
        return rng.choice(places(desk))
    if isinstance(old, int | float) and rng.random() < 0.3:
        return rng.choice((-old, old + 1, old * 10**6, str(old), [old]))
    return rng.choice([*VALUES, *[RAW] * 6])


def within(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, Any, tuple[Any, ...]]]:
    """(what holds it, key or index, dotted path) of everything in plain data."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in list(items):
        yield value, key, (*path, key)
        yield from within(each, (*path, key))


def damage_data(rng: random.Random, desk: Desk, data: Any) -> tuple[Any, str]:
    """Change one thing in plain data; what was changed."""
    spots = list(within(data))
    if not spots or rng.random() < 0.05:
        return hostile(rng, desk, data), "all of it replaced"
    depth = rng.randint(1, max(len(path) for *_, path in spots))  # else what is deep, of which there is most, takes all
    holder, key, path = rng.choice([spot for spot in spots if len(spot[2]) <= depth])
    where, old = ".".join(map(str, path)), holder[key]
    match rng.randrange(8):
        case 0:
            del holder[key]
            return data, f"{where} removed"
        case 1 if isinstance(holder, dict):
            new = rng.choice([*TEXTS, *places(desk)])
            holder[new] = holder.pop(key)
            return data, f"{where} renamed {new[:40]!r}"
        case 2 if isinstance(holder, list):
            holder[key:key] = [old] * rng.choice((1, 3000))
            return data, f"{where} repeated"
        case 3 if isinstance(holder, dict):
            new = rng.choice(["", "files", "path", "x", "op", "_target_", "config"])
            holder[new] = hostile(rng, desk, old)
            return data, f"{'.'.join(map(str, path[:-1]))}.{new} = {holder[new]!r:.60}"
    holder[key] = hostile(rng, desk, old)
    return data, f"{where} = {holder[key]!r:.60}"


def dump(rng: random.Random, data: Any, told: str) -> tuple[bytes, str]:
    """JSON, with what is no JSON where it is asked for; what was changed."""
    text, token = json.dumps(data), rng.choice(TOKENS)
    return text.replace(f'"{RAW}"', token).encode(), told.replace(repr(RAW), f"{token:.20}")


def change_json(rng: random.Random, desk: Desk, path: Path) -> str:
    data, told = damage_data(rng, desk, json.loads(path.read_bytes()))
    data, told = dump(rng, data, told)
    rewrite(path, data)
    return told


def change_line(rng: random.Random, desk: Desk, path: Path) -> str:
    lines = path.read_bytes().splitlines(keepends=True)
    number = rng.randrange(len(lines))
    data, told = damage_data(rng, desk, json.loads(lines[number]))
    data, told = dump(rng, data, told)
    lines[number] = data + b"\n"
    rewrite(path, b"".join(lines))
    return f"line {number + 1}: {told}"


def change_paths(rng: random.Random, desk: Desk, path: Path) -> str:
    """Let a record's paths, some or all of one kind, lead elsewhere, also through a link that lies beside it."""
    with contextlib.suppress(FileExistsError):
        (path.parent / "out").symlink_to(desk.root / "canary")
    lines = path.read_bytes().splitlines() if path.suffix == ".jsonl" else [path.read_bytes()]
    told = "no path in it"
    for number in range(len(lines)) if rng.random() < 0.5 else [rng.randrange(len(lines))]:
        data, new = json.loads(lines[number]), rng.choice(places(desk))
        spots = list(within(data))
        files = [(holder, key) for holder, key, at in spots if "files" in at[:-1]]
        texts = [(holder, key) for holder, key, _ in spots if isinstance(holder[key], str) and "/" in holder[key]]
        if files and rng.random() < 0.6:
            holder, key = rng.choice(files)
            holder[new] = holder.pop(key)
            told = f"path {key} of line {number + 1} renamed {new}, out is a link to canary"
        elif texts:
            holder, key = rng.choice(texts)
            holder[key] = new
            told = f"path {key} of line {number + 1} = {new}, out is a link to canary"
        lines[number] = json.dumps(data).encode()
    rewrite(path, b"\n".join(lines) + b"\n")
    return told


def change_yaml(rng: random.Random, desk: Desk, path: Path) -> str:
    if rng.random() < 0.2:
        text = rng.choice(
            (
                "a: &a [x, x]\nb: &b [*a, *a]\nstages: [" + "*b, " * 3000 + "]\n",
                "!!python/object/apply:os.system ['true']\n",
                "stages: " + "{a: " * 3000 + "}" * 3000,
                "stages: {x: &x {op: erase, <<: *x}}\n",
                "dataset: {images: photos}\nstages: {a: {op: erase}, a: {op: erase}}\n",
                "base: mine\n",
                "1: 2\n" * 5000,
                "? [a]\n: b\n",
                "stages: {a: 0123, b: 12:30, c: 1e999, d: .inf, e: " + "9" * 5000 + "}\n",
                "\ufeff---\n...\n---\n",
            )
        )
        path.write_text(text)
        return f"is {text[:50]!r}"
    data, told = damage_data(rng, desk, yaml.safe_load(path.read_text()))
    path.write_text(yaml.safe_dump(data, allow_unicode=False).replace(RAW, rng.choice(TOKENS)[:3000]))
    return told


def change_csv(rng: random.Random, desk: Desk, path: Path) -> str:
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    row, column = rng.randrange(len(rows)), rng.randrange(len(rows[0]))
    cell = rng.choice([*TEXTS, *TOKENS, *places(desk), "/", "[" + "9" * 400 + ", 1]", '"', '[{"a": 1e999}]', "\n" * 50])
    rows[row][column] = cell
    with path.open("w", newline="", errors="surrogatepass") as file:
        csv.writer(file, quoting=rng.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL))).writerows(rows)
    return f"row {row + 1}, column {column + 1} = {cell[:60]!r}"


def change_bytes(rng: random.Random, desk: Desk, path: Path) -> str:
    data = bytearray(path.read_bytes())
    at = rng.randrange(len(data) + 1)
    match rng.randrange(7):
        case 0:
            data, told = data[:at], f"cut off at {at}"
        case 1:
            for _ in range(rng.choice((1, 1, 3, 30))):
                spot = rng.randrange(len(data) or 1)
                data[spot : spot + 1] = bytes([rng.randrange(256)])
            told = f"bytes changed at {at}"
        case 2:
            data[at:at] = rng.choice(
                (b"\0", b"\xff\xfe", b"\xef\xbb\xbf", rng.randbytes(50), b"\n", b"[", b'"', b"9" * 5000)
            )
            told = f"bytes put in at {at}"
        case 3:
            lines = data.splitlines(keepends=True)
            data, told = bytearray(b"".join(rng.choices(lines or [b""], k=len(lines) + 1))), "lines shuffled"
        case 4:
            data, told = data * 2, "twice"
        case 5:
            data, told = bytearray(), "empty"
        case _:
            data, told = bytearray(rng.randbytes(200)), "noise"
    rewrite(path, bytes(data))
    return told


def change_texts(rng: random.Random, desk: Desk, path: Path) -> str:
    """Damage what a picture says of itself."""
    with Image.open(path) as image:
        image.load()
    texts = PngImagePlugin.PngInfo()
    for key, text in image.text.items() or [("darkroom", "{}")]:
        told = "no JSON"
        with contextlib.suppress(ValueError):
            data, told = damage_data(rng, desk, json.loads(text))
            data, told = dump(rng, data, told)
            text = data.decode()
        texts.add_text(key, text, zip=rng.random() < 0.5)
    file = io.BytesIO()
    image.save(file, "PNG", pnginfo=texts)
    rewrite(path, file.getvalue())
    return f"text: {told}"


def replace_file(rng: random.Random, desk: Desk, path: Path) -> str:
    """Put something else in a file's or folder's place."""
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
    canary = desk.root / "canary"
    match rng.randrange(8):
        case 0:
            os.mkfifo(path)
            return "is a pipe"
        case 1:
            path.mkdir()
            (path / "inside").write_text("x")
            return "is a folder"
        case 2:
            return "is gone"
        case 3:
            path.symlink_to(path)
            return "is a link to itself"
        case 4:
            to = Path(rng.choice(("/dev/zero", "/dev/full", "/proc/self/mem")))
        case 5:
            to = canary / "pipe"
        case 6:
            to = rng.choice((canary, canary / "project", canary / "nowhere"))
        case _:
            to = rng.choice((canary / "thesis.txt", canary / "private.png", desk.root / "home/.bashrc"))
    path.symlink_to(to)
    return f"is a link to {os.path.relpath(to, desk.root) if to.is_relative_to(desk.root) else to}"


def rewrite(path: Path, data: bytes) -> None:
    """Replace a file; its other names keep the old content."""
    path.unlink()
    path.write_bytes(data)


def targets(rng: random.Random, desk: Desk, kind: str) -> list[tuple[Path, Sequence[Damage]]]:
    """What can be damaged of a run and of the files behind it, and how."""
    run = desk.runs[kind]
    folders = sorted(path.parent for path in run.glob("*/run.json")) or [run]
    one = rng.choice(folders)
    anything: list[Damage] = [change_bytes, replace_file]
    found: list[tuple[Path, Sequence[Damage]]] = []
    for name in ("journal.jsonl", "journal.earlier.jsonl"):
        found += [(one / name, [change_line] * 5 + [change_paths] * 4 + anything)] * 4
    found += [(one / "run.json", [change_json] * 5 + [change_paths] * 2 + anything)] * 5
    found += [(run / "sweep.json", [change_json] * 5 + anything)] * 4
    entries = sorted(desk.outputs.glob(".store/results/*/*"))
    found += [(rng.choice(entries), [change_json] * 4 + anything) for _ in range(4)]
    pictures = sorted(one.glob("*/*.png")) + sorted(one.glob("results/*"))
    found += [(rng.choice(pictures), [change_texts, *anything]) for _ in range(2)]
    found += [(rng.choice(sorted(desk.outputs.glob(".store/blobs/*/*"))), anything) for _ in range(2)]
    found += [(one / "recipe.yaml", [change_yaml] * 3 + anything)] * 2
    found += [
        (desk.desk / name, [change_yaml] * 4 + anything) for name in (RECIPE_OF.get(kind, "mine.yaml"), "paint.yaml")
    ]
    if kind in RECIPE_OF:
        table = desk.desk / "photos" / TABLE_OF[kind]
        found += [(table, [change_csv if kind == "table" else change_line] * 4 + anything)] * 6
    found += [(desk.desk / "prompts.txt", anything)]
    found += [(rng.choice(sorted(desk.desk.glob(f"{name}/*"))), anything) for name in ("photos", "masks")]
    parts = ("results", "thumbnails", "run.log", "index.html", "index_2.html", "contact_sheet.png", ".hydra", "a", "x")
    found += [(one / rng.choice(parts), [replace_file]) for _ in range(5)]
    found += [(run / "run.log", [replace_file])] * 2
    store = desk.outputs / ".store"
    inner = [store, store / "blobs", store / "results", store / "damaged", *sorted(store.glob("[br]*/*"))]
    found += [(rng.choice(inner), [replace_file])]
    return [each for each in found if _is_ours(each[0]) or (each[1] == [replace_file] and _is_ours(each[0].parent))]


def _is_ours(path: Path) -> bool:
    """Whether it is a file or folder of the desk itself; what has been replaced may be a link or a pipe."""
    return str(path) == os.path.realpath(path) and (path.is_file() or path.is_dir())


def damage(rng: random.Random, desk: Desk, kind: str) -> str:
    """Damage one to three things; what was done."""
    told = []
    if rng.random() < 0.3:
        (desk.runs[kind] / "out").symlink_to(desk.root / "canary")
        told.append(f"{kind}/out is a link to canary")
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        name = "what"
        try:
            path, ways = rng.choice(targets(rng, desk, kind))
            name = str(path.relative_to(desk.desk)).replace(desk.runs[kind].name, kind)
            told.append(f"{name} {rng.choice(ways)(rng, desk, path)}")
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, yaml.YAMLError) as error:
            told.append(f"{name} was damaged before ({type(error).__name__})")
    return "; ".join(told)


# ---- What is asked of the command line -------------------------------------------------------------------------------


def command_line(folder: Path, *words: str) -> int:
    """`python run.py WORDS` from a folder, within this process; the exit code."""
    here = Path.cwd()
    os.chdir(folder)
    try:
        return cli.main(words)
    finally:
        os.chdir(here)


def commands(desk: Desk, kind: str, told: str) -> list[Command]:
    """All that reads what has been damaged."""
    run, outputs = desk.runs[kind], desk.outputs
    recipe = RECIPE_OF.get(kind, "mine.yaml")
    picture = next(iter(sorted(run.glob("**/*_erase.png"))), run / "a/3_erase.png")
    lines = [
        *(f"resume={run}", f"reproduce={run}", f"reproduce={picture}", f"verify={run}"),
        *("store=report", "store=prune", f"recipe={recipe} dry_run=true", f"recipe={recipe} device=cpu"),
    ]
    lines += ["resume=latest"] * (kind == "stopped")
    lines += ["recipe=paint.yaml dry_run=true models=miniature"] * ("paint.yaml" in told or "prompts.txt" in told)
    lines += [f"recipe={run / 'recipe.yaml'} device=cpu"] * ("recipe.yaml" in told)

    def ask(line: str) -> Command:
        return line.replace(str(outputs), "outputs"), lambda: command_line(desk.desk, *line.split(" "))

    def draw(make: Callable[[Path], Path], folder: Path) -> Command:
        def drawn() -> int:
            try:
                make(folder)
            except DarkroomError:
                return 2
            return 0

        return f"{make.__name__}({folder.relative_to(outputs)})", drawn

    found = [ask(line) for line in lines]
    for folder in [path.parent for path in run.glob("*/run.json")] or [run]:
        found += [draw(contact_sheet, folder), draw(run_page, folder)]
    return found + ([draw(sweep_sheet, run), draw(sweep_page, run)] if kind == "sweep" else [])


# ---- What must hold --------------------------------------------------------------------------------------------------


def watch(desk: Desk, command: Command, seconds: float) -> list[str]:
    """Give a command; what it did that must not be."""
    around = desk.around()
    finished = {path: each for path, each in desk.finished().items() if desk.built.get(path) == each}
    found, said = [], io.StringIO()
    started = time.monotonic()
    faulthandler.dump_traceback_later(20 * seconds, exit=True)  # if not even the alarm gets through
    signal.signal(signal.SIGALRM, _ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = command[1]()
        if code not in ENDS_WELL:
            found.append(_told_place(said.getvalue()) or f"exit code {code}")
        elif "raceback" in said.getvalue():
            found.append(f"unforeseen: {_line_with('raceback', said.getvalue())}")
    except _Hang as error:
        found.append(f"hangs in {_place(error)}")
    except Exception as error:
        found.append(f"{type(error).__name__} in {_place(error)}")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()
    if time.monotonic() - started > seconds and not any(each.startswith("hangs") for each in found):
        found.append("takes too long")
    found += [f"touched outside: {_shown(desk, each)}" for each in _differing(around, desk.around())]
    now = desk.finished()
    found += [
        f"a finished picture {'is gone' if each not in now else 'has changed'}"
        for each in finished
        if now.get(each) != finished[each]
    ][:1]
    return found


def _ring(*_: Any) -> None:
    raise _Hang


def _place(error: BaseException) -> str:
    """The innermost function of ours in a traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [each for each in frames if "/pipeline/" in each.filename or each.filename.endswith("/run.py")]
    return f"{Path(ours[-1].filename).name}:{ours[-1].name}" if ours else "nothing of ours"


def _told_place(said: str) -> str | None:
    """Type of the error and innermost function of ours in a printed traceback."""
    if "Traceback" not in said:
        return None
    lines = said.splitlines()
    ours = [line for line in lines if line.startswith('  File "') and ("/pipeline/" in line or "/run.py" in line)]
    name = next((line.partition(":")[0] for line in reversed(lines) if line and not line.startswith(" ")), "")
    where = ours[-1].split('"') if ours else ["", "?", "in ?"]
    return f"{name} in {Path(where[1]).name}:{where[2].rpartition(' in ')[2]}"


def _line_with(word: str, text: str) -> str:
    line = next(line for line in text.splitlines() if word in line)
    return line[line.find("unexpected") :][:60]


def _differing(before: Tree, after: Tree) -> list[str]:
    return [path for path in {**before, **after} if before.get(path) != after.get(path)]


def _shown(desk: Desk, path: str) -> str:
    parts = Path(path).relative_to(desk.root).parts
    return "/".join(parts[:2])


def trial(desk: Desk, seed: int, seconds: float, say: Callable[[str], None] = lambda line: None) -> list[Finding]:
    """Damage the desk, give all commands in some order, restore it; what was found."""
    rng = random.Random(seed)
    desk.restore()
    kind = rng.choice(("run", "run", "stopped", "stopped", "sweep", "sweep", "table", "lines"))
    told = damage(rng, desk, kind)
    say(f"damage: {told!r}")
    asked = commands(desk, kind, told)
    rng.shuffle(asked)
    found = []
    for command in asked:
        kinds = watch(desk, command, seconds)
        say(f"  {command[0]}: {kinds or 'well'}")
        found += [Finding(each, seed, command[0], repr(told)[1:-1]) for each in kinds]
    return found


@contextlib.contextmanager
def a_desk() -> Iterator[Desk]:
    """A desk in a temporary folder that is also home and temporary folder of this process, and less memory."""
    root = Path(tempfile.mkdtemp(prefix="darkroom-fuzz-")).resolve()
    before = {name: os.environ.get(name) for name in ("HOME", "XDG_DATA_HOME", "HYDRA_FULL_ERROR")}
    limit, temporary = resource.getrlimit(resource.RLIMIT_AS), tempfile.tempdir
    try:
        os.environ |= {"HOME": str(root / "home"), "XDG_DATA_HOME": str(root / "home")}
        tempfile.tempdir = str(root / "tmp")
        desk = Desk.build(root)
        if sys.platform == "linux":  # elsewhere nobody heeds it
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, limit[1]))
        yield desk
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limit)
        tempfile.tempdir = temporary
        for name, value in before.items():
            os.environ.pop(name, None)
            os.environ.update({name: value} if value is not None else {})
        shutil.rmtree(root)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60, help="how long")
    parser.add_argument("--seed", type=int, help="of one trial")
    parser.add_argument("--limit", type=float, default=5, help="seconds that a command may take")
    options = parser.parse_args()
    kinds: dict[str, list[Finding]] = {}
    with a_desk() as desk:
        if options.seed is not None:
            return bool(trial(desk, options.seed, options.limit, print))
        seed, started, trials = random.SystemRandom().randrange(10**9), time.monotonic(), 0
        print(f"seeds from {seed}", flush=True)
        while time.monotonic() - started < options.seconds:
            for finding in trial(desk, seed + trials, options.limit):
                if finding.kind not in kinds:
                    print(finding, flush=True)
                kinds.setdefault(finding.kind, []).append(finding)
            trials += 1
    print(f"{trials} trials, {sum(map(len, kinds.values()))} findings of {len(kinds)} kinds")
    for kind, found in sorted(kinds.items(), key=lambda each: -len(each[1])):
        print(f"{len(found):6} {kind}")
    return bool(kinds)


if __name__ == "__main__":
    sys.exit(main())
