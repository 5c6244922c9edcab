"""Damages one to three things on a desk, as strangers, disks and old versions do."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from PIL import Image, PngImagePlugin

from fuzz.desk import Desk

RECIPE_OF = {"table": "csv.yaml", "lines": "jsonl.yaml"}
TABLE_OF = {"table": "list.csv", "lines": "list.jsonl"}
RAW = "@raw@"  # replaced by one of TOKENS, which are no JSON values
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
    """Paths that no record names. None leads to files that the machine needs: a bug might delete them."""
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
    """A hostile value to replace `old`."""
    if isinstance(old, str) and rng.random() < 0.4:
        return rng.choice(places(desk))
    if isinstance(old, int | float) and rng.random() < 0.3:
        return rng.choice((-old, old + 1, old * 10**6, str(old), [old]))
    return rng.choice([*VALUES, *[RAW] * 6])


def within(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, Any, tuple[Any, ...]]]:
    """(container, key or index, path) of every value in plain data."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in list(items):
        yield value, key, (*path, key)
        yield from within(each, (*path, key))


def damage_data(rng: random.Random, desk: Desk, data: Any) -> tuple[Any, str]:
    """Change one value; returns the data and a description of the change."""
    spots = list(within(data))
    if not spots or rng.random() < 0.05:
        return hostile(rng, desk, data), "all of it replaced"
    depth = rng.randint(1, max(len(path) for *_, path in spots))  # otherwise nearly all choices are deep values
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
    """JSON with a token in place of RAW, and the description of the change."""
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
    """Redirect paths of a record, also through a link in the run folder."""
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
    """Damage the metadata of a picture."""
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
    """Replace a file or folder by something else."""
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
    """Replace a file; other hard links keep the old content."""
    path.unlink()
    path.write_bytes(data)


def targets(rng: random.Random, desk: Desk, kind: str) -> list[tuple[Path, Sequence[Damage]]]:
    """Files of a run and the files behind it, each with the kinds of damage that fit."""
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
    """Whether this is a real file or folder of the desk; damage leaves links and pipes behind."""
    return str(path) == os.path.realpath(path) and (path.is_file() or path.is_dir())


def damage(rng: random.Random, desk: Desk, kind: str) -> str:
    """Damage one to three files; returns a description."""
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
