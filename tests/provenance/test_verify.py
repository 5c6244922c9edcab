"""Run folders made by hand, then tampered with: each change is found, and named in one line."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import ImageCms

from darkroom.errors import RecordError
from darkroom.imaging.png import encode_png
from darkroom.provenance.verify import Verified, verify
from support.runs import journal_line

ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
PHOTO, MASK, RESULT = "car/0_photo.png", "car/2_inpaint_mask.png", "car/2_inpaint_seed0.png"
THUMBNAIL = "thumbnails/car/0_photo.jpg"

random = np.random.default_rng(0)
PIXELS = random.integers(0, 256, (20, 30, 3), dtype=np.uint8)
ALPHA = random.integers(0, 256, (20, 30), dtype=np.uint8)
AREA = np.zeros((20, 30), np.uint8)
AREA[5:9, 5:20] = 1  # the least share that counts
FILLED = np.minimum(ALPHA.astype(int) + AREA, 255).astype(np.uint8)


def repainted(**changes: int) -> np.ndarray:
    """The photo with other pixels inside the mask, and one value outside of it changed by so much."""
    pixels = np.where(AREA[..., None] > 0, 255 - PIXELS, PIXELS)
    pixels[19, 29, 2] ^= changes.get("outside", 0)
    return pixels


class Folder:
    """A run folder with two pictures of one photo, one photo that failed, and one that was kept as it is."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write(PHOTO, encode_png(PIXELS, alpha=ALPHA, icc=ICC))
        self.write(MASK, encode_png(AREA))
        self.write(THUMBNAIL, b"any bytes")
        self.write("kept/0_photo.png", encode_png(PIXELS))
        shared = journal_line("car.png", source=PHOTO, mask=MASK)
        self.lines = [self.paint(shared, seed) for seed in (0, 1)]
        self.lines.append(journal_line("bad.png", status="failed"))
        kept = "kept/0_photo.png"
        self.lines.append(journal_line("kept.png", source=kept, result=kept))
        self.record()

    def paint(self, shared: dict, seed: int) -> dict:
        path = f"car/2_inpaint_seed{seed}.png"
        self.write(path, encode_png(repainted(), alpha=FILLED, icc=ICC, texts={"parameters": f"Seed: {seed}"}))
        return {**shared, "result": path}

    def write(self, path: str, data: bytes) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_bytes(data)

    def record(self, **changes: object) -> None:
        """Write the journal with digests of the files as they are; `changes` go into its first line."""
        for line in self.lines:
            paths = [line[role] for role in ("source", "mask", "result") if line[role]]
            paths += [THUMBNAIL] if line["photo"] == "car.png" else []
            line["files"] = {path: hashlib.sha256((self.root / path).read_bytes()).hexdigest() for path in paths}
        self.lines[0] |= changes
        (self.root / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in self.lines))

    def repaint(self, pixels: np.ndarray, alpha: np.ndarray | None = FILLED, icc: bytes | None = ICC) -> None:
        """Put another picture in place of the first result, with a digest to match."""
        self.write(RESULT, encode_png(pixels, alpha=alpha, icc=icc))
        self.record()


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "run")


def test_what_was_written_is_found_sound_wherever_it_lies(folder: Folder, tmp_path: Path) -> None:
    assert verify(folder.root) == Verified(pictures=4, files=6, problems=[])
    moved = shutil.move(folder.root, tmp_path / "elsewhere")
    with (moved / "journal.jsonl").open("a") as journal:
        journal.write('{"photo": "torn.png", "sta')
    assert verify(moved) == Verified(4, 6, [])


def flip_a_byte(folder: Folder) -> None:
    data = bytearray((folder.root / RESULT).read_bytes())
    data[len(data) // 2] ^= 1
    folder.write(RESULT, bytes(data))


@pytest.mark.parametrize(
    "tamper, expected",
    [
        (flip_a_byte, f"{RESULT}: changed since it was written"),
        (lambda folder: (folder.root / RESULT).unlink(), f"{RESULT}: missing"),
        (lambda folder: (folder.root / PHOTO).unlink(), f"{PHOTO}: missing"),
        (lambda folder: folder.write(THUMBNAIL, b"other bytes"), f"{THUMBNAIL}: changed since it was written"),
        (
            lambda folder: folder.repaint(repainted(outside=4)),
            f"{RESULT}: pixels outside the mask differ by 4 from the photo",
        ),
        (lambda folder: folder.repaint(repainted(), icc=None), f"{RESULT}: its colour profile is not the photo's"),
        (
            lambda folder: folder.repaint(repainted(), icc=ICC + b"x"),
            f"{RESULT}: its colour profile is not the photo's",
        ),
        *(
            (
                partial(Folder.repaint, pixels=repainted(), alpha=alpha),
                f"{RESULT}: its transparency is not the photo's, filled by the mask",
            )
            for alpha in (None, FILLED ^ 1, ALPHA)
        ),
        (
            lambda folder: folder.repaint(repainted()[:, :-1], alpha=None),
            f"{RESULT}: 29 x 20 px, but the photo is 30 x 20 px",
        ),
        (
            lambda folder: folder.record(mask=None),
            "car.png: done, but the journal does not name photo, mask and result",
        ),
        (
            lambda folder: folder.record(result=None),
            "car.png: done, but the journal does not name photo, mask and result",
        ),
        (
            lambda folder: folder.record(result="kept/0_photo.png"),
            "kept/0_photo.png: not in the journal's list of files",
        ),
        (lambda folder: folder.record(files={}, result=PHOTO), f"{MASK}: not in the journal's list of files"),
    ],
)
def test_what_is_wrong_is_told(folder: Folder, tamper: Callable[[Folder], None], expected: str) -> None:
    tamper(folder)
    assert expected in verify(folder.root).problems


def test_each_problem_is_told_once(folder: Folder) -> None:
    (folder.root / MASK).unlink()
    (folder.root / PHOTO).write_bytes(b"nothing")
    assert verify(folder.root).problems == [f"{PHOTO}: changed since it was written", f"{MASK}: missing"]
    folder.write(MASK, b"no picture")
    folder.record()
    problems = verify(folder.root).problems
    assert problems == [f"{PHOTO}: not a picture of a known format"]


def test_a_mask_made_wider_afterwards_does_not_hide_what_it_covers(folder: Folder) -> None:
    folder.write(MASK, encode_png(AREA | 255))
    assert verify(folder.root).problems == [f"{MASK}: changed since it was written"]


SECRET = hashlib.sha256(b"secret").hexdigest()


@pytest.mark.fault(
    "Run folders", "metadata of a result that is damaged or belongs to another picture", "`verify=` names it"
)
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"photo": "' + "0" * 64 + '", "stages": [], "models": {}}', ""),
        (
            '{"photo": "' + "1" * 64 + '", "stages": [], "models": {}}',
            "its metadata names another photo than the journal",
        ),
        ('{"photo": 7}', "its metadata is damaged"),
        ('{"photo": 1e999}', "its metadata is damaged"),
        ("[" * 99_999, "its metadata is damaged"),
    ],
)
def test_what_a_result_says_about_itself_is_checked(folder: Folder, text: str, problem: str) -> None:
    folder.write(RESULT, encode_png(repainted(), alpha=FILLED, icc=ICC, texts={"darkroom": text}))
    folder.record(digest="0" * 64)
    assert verify(folder.root).problems == ([f"{RESULT}: {problem}"] if problem else [])


@pytest.mark.fault("Run folders", "a journal that names /etc/passwd, ../secret.png and the like", "refused as damaged")
@pytest.mark.parametrize("path", ["../secret.png", "/etc/passwd", "car/../../secret.png", "a\0b", "C:\\x", "a//b", ""])
def test_a_journal_that_names_what_is_not_in_its_folder_is_damaged(folder: Folder, path: str) -> None:
    folder.record(files={**folder.lines[0]["files"], path: SECRET})
    with pytest.raises(RecordError, match="line 1 is damaged"):
        verify(folder.root)


@pytest.mark.fault(
    "Run folders", "files of a run that are links, pipes or folders", "`verify=` names them without opening them"
)
@pytest.mark.parametrize("path", ["link/secret.png", "link.png", "pipe", "car"])
def test_links_pipes_and_folders_are_not_opened(folder: Folder, path: str) -> None:
    (folder.root.parent / "secret.png").write_bytes(b"secret")
    (folder.root / "link").symlink_to("..")
    (folder.root / "link.png").symlink_to("../secret.png")
    os.mkfifo(folder.root / "pipe")
    folder.record(files={**folder.lines[0]["files"], path: SECRET})
    (problem,) = verify(folder.root).problems
    assert problem.startswith(f"{path}: cannot be read: ") and problem.endswith(("not followed", "not a file"))


GOOD_LINE = json.dumps(journal_line("a", status="failed")).encode() + b"\n"


@pytest.mark.parametrize(
    "journal, expected",
    [
        (b'{"photo": "a.png"\n', "journal.jsonl: line 1 is damaged"),
        (b"{}\n", "journal.jsonl: line 1 is damaged, or was written by another version"),
        (b"[]\n", "line 1 is damaged"),
        (b"\xff\n", "line 1 is damaged"),
        (b"[" * 100_000 + b"\n", "line 1 is damaged"),
        (b'{"photo": "a", "status": "done", "files": {"a": 1}, "result": "a"}\n', "line 1 is damaged"),
        (b'{"photo": "a", "status": "failed", "files": {}}\n', "line 1 is damaged"),
        (GOOD_LINE + b'{"photo": 1}\n', "line 2 is damaged"),
    ],
)
def test_a_damaged_journal(tmp_path: Path, journal: bytes, expected: str) -> None:
    (tmp_path / "journal.jsonl").write_bytes(journal)
    with pytest.raises(RecordError, match=expected) as caught:
        verify(tmp_path)
    assert len(str(caught.value).splitlines()) == 1


def test_a_run_killed_over_its_first_picture(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").write_bytes(GOOD_LINE[:20])
    assert verify(tmp_path) == Verified(0, 0, [])


def test_what_is_no_run_folder_is_named(tmp_path: Path) -> None:
    for folder in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(RecordError, match=rf"{folder}: not a run folder: it holds no journal\.jsonl"):
            verify(folder)
