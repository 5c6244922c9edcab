"""The desk of the fuzzer: a user's folder with recipes, photos and runs, and files around it that nobody may touch."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import resource
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from openpyxl import Workbook
from PIL import Image

from darkroom.cli import main as cli
from darkroom.config import settings
from darkroom.models import weights
from darkroom.models.weights import MINIATURE_WEIGHTS

MEMORY = 3 * 2**30  # bytes that a trial may allocate
Tree = dict[str, tuple[Any, ...]]
MASKED = "stages: {mask: {op: mask_file, folder: masks}, refine: {grow: 1}, erase: }\n"
RECIPES = {
    "mine.yaml": "dataset: {images: photos}\n" + MASKED,
    "cut.yaml": "dataset: {images: photos/a.png}\n"
    "stages: {cut: {op: grabcut, box: [4, 4, 20, 20], iterations: 1}, refine: {grow: 0}, erase: }\n",
    "csv.yaml": "dataset: {manifest: photos/list.csv}\n" + MASKED.replace("grow: 1", 'grow: "${item.grow}"'),
    "jsonl.yaml": "dataset: {manifest: photos/list.jsonl}\n" + MASKED.replace("grow: 1", 'grow: "${item.grow}"'),
    "xlsx.yaml": "dataset: {manifest: photos/list.xlsx}\n" + MASKED.replace("grow: 1", 'grow: "${item.grow}"'),
    "steered.yaml": "dataset: {images: photos/a.png}\nstages:\n  mask: {op: mask_file, folder: masks}\n"
    "  inpaint: {prompt: mars, lora: {ink: 1}, control: {depth: 0.5}, control_images: {depth: photos/a.png}}\n",
    "paint.yaml": "dataset: {images: photos/a.png}\n"
    "stages: {mask: {op: mask_file, folder: masks}, inpaint: {prompts_file: prompts.txt}}\n",
}
STEERED = (
    "recipe=steered.yaml dry_run=true models=miniature models.loras.ink=ink.safetensors models.controls.depth=control"
)
WEIGHTS = "diffusion_pytorch_model.safetensors"  # of a control model
AROUND = ("desk", "canary", "home", "tmp")


@dataclass
class Desk:
    """A user's folder with recipes, photos and runs, and files around it that no command may touch.

    Attributes:
        root: holds the folders `desk`, `canary`, `home` and `tmp`, and `pristine`, a copy of them all.
        runs: the runs on the desk by kind. No trial damages `user`.
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
        (root / "canary/zero").symlink_to("/dev/zero")  # an endless file
        for name, text in RECIPES.items():
            (desk.desk / name).write_text(text)
        (desk.desk / "photos/list.csv").write_text("image,grow,note\na.png,1,one\nc.png,0,two\n")
        rows = [{"image": name, "grow": 1, "note": ["x", 1]} for name in ("a.png", "b.jpg")]
        (desk.desk / "photos/list.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows))
        book = Workbook()
        for row in (("image", "grow", "note"), ("a.png", 1, "one"), ("c.png", 0, "two")):
            book.active.append(row)
        book.save(desk.desk / "photos/list.xlsx")
        shutil.copy(MINIATURE_WEIGHTS / "loras/dusk.safetensors", desk.desk / "ink.safetensors")
        shutil.copytree(MINIATURE_WEIGHTS / "outlines", desk.desk / "control")
        (desk.desk / "prompts.txt").write_text("mars\n# no prompt\na (red:1.2) car\n")
        for kind, words in {
            "user": ["recipe=cut.yaml"],
            "run": ["recipe=mine.yaml"],
            "table": ["recipe=csv.yaml"],
            "lines": ["recipe=jsonl.yaml"],
            "book": ["recipe=xlsx.yaml"],
            "sweep": ["-m", "recipe=mine.yaml", "stages.refine.grow=0,2"],
        }.items():
            desk._make(kind, [*words, "device=cpu"])
        with contextlib.redirect_stdout(io.StringIO()):  # imports what checks LoRAs before memory is limited
            assert command_line(desk.desk, *STEERED.split()) == 0
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
        """Copy the run and make it look like one that was killed during a resume."""
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
        """Restore all folders to how they were built."""
        for name in AROUND:
            shutil.rmtree(self.root / name)
        copy([self.root / "pristine" / name for name in AROUND], self.root)

    def around(self) -> Tree:
        """Everything outside the outputs folder, which no command may touch."""
        return tree(self.root, skip=(self.outputs, self.root / "pristine"))

    def finished(self) -> Tree:
        """The pictures of all runs, damaged or not, and every file of the run `user`."""
        found = {
            str(path): _content(path)
            for path in self.outputs.rglob("*")
            if path.suffix in (".png", ".jpg") and not {".store", "thumbnails", "contact_sheet.jpg"} & set(path.parts)
        }
        return found | {path: each[-1:] for path, each in tree(self.runs["user"]).items()}


def copy(folders: Sequence[Path], target: Path) -> None:
    """Copy folders into another folder, with hard and symbolic links, times and pipes."""
    subprocess.run(["cp", "-a", *folders, target], check=True)


def tree(folder: Path, skip: Sequence[Path] = ()) -> Tree:
    """Mode, modification time and content of every path below a folder. Follows no link and opens no pipe."""
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
    # Modes and times of the desk itself and of `tmp` may change.
    return {path: each[2:] if path.endswith(("/desk", "/tmp")) else each for path, each in found.items()}


def _content(path: Path) -> tuple[Any, ...]:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return (str(path.readlink()),)
    return (hashlib.sha256(path.read_bytes()).hexdigest() if stat.S_ISREG(mode) else None,)


def command_line(folder: Path, *words: str) -> int:
    """Run `darkroom WORDS` from a folder, in this process; returns the exit code."""
    settings._models.cache_clear()  # as in a process of its own: else a LoRA is checked once for all trials
    weights._digest.cache_clear()
    here = Path.cwd()
    os.chdir(folder)
    try:
        return cli.main(words)
    finally:
        os.chdir(here)


@contextlib.contextmanager
def a_desk() -> Iterator[Desk]:
    """Build a desk; meanwhile this process has a home and a temporary folder beside it, and limited memory."""
    root = Path(tempfile.mkdtemp(prefix="darkroom-fuzz-")).resolve()
    before = {name: os.environ.get(name) for name in ("HOME", "XDG_DATA_HOME", "HYDRA_FULL_ERROR")}
    limit, temporary = resource.getrlimit(resource.RLIMIT_AS), tempfile.tempdir
    try:
        os.environ |= {"HOME": str(root / "home"), "XDG_DATA_HOME": str(root / "home")}
        tempfile.tempdir = str(root / "tmp")
        desk = Desk.build(root)
        if sys.platform == "linux":  # other systems ignore the limit
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
