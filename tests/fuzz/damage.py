"""Ways to damage a file, as strangers, disks and old versions do."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import random
import shutil
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from PIL import Image, PngImagePlugin

from fuzz.desk import Desk

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


def change_book(rng: random.Random, desk: Desk, path: Path) -> str:
    """Damage one file within a workbook."""
    with zipfile.ZipFile(path) as book:
        parts = {name: book.read(name) for name in book.namelist()}
    name = rng.choice([each for each in parts if each.endswith(".xml")])
    part = path.with_name("part")
    part.write_bytes(parts[name])
    told = change_bytes(rng, desk, part)
    if rng.random() < 0.6:
        text = parts[name].decode()
        new = rng.choice((*TEXTS, *TOKENS, *places(desk), "1048577", "XFE9", "&x;", "<v>", "<!DOCTYPE x>"))
        numbers = [at for at in range(len(text)) if text[at] in '0123456789"']
        at = rng.choice(numbers or [0])
        part.write_bytes((text[:at] + new + text[at + 1 :]).encode(errors="surrogatepass"))
        told = f"at {at}: {new[:40]!r}"
    parts[name] = part.read_bytes()
    part.unlink()
    path.unlink()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as book:
        for each, data in parts.items():
            book.writestr(each, data)
    return f"{name}: {told}"


def change_weights(rng: random.Random, desk: Desk, path: Path) -> str:
    """Damage the header of a safetensors file, whose first 8 bytes are its length."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header, told = damage_data(rng, desk, json.loads(data[8 : 8 + length]))
    if isinstance(header, dict) and rng.random() < 0.3:
        config, told = damage_data(rng, desk, {"unet.lora_alpha": 4, "unet.alpha_pattern": {"to_q": 2}, "unet.r": 4})
        header["__metadata__"] = {"lora_adapter_metadata": dump(rng, config, told)[0].decode()}
    text, told = dump(rng, header, told)
    if rng.random() < 0.05:
        length = rng.choice((0, 2**63, 2**64 - 1))
        rewrite(path, struct.pack("<Q", length) + data[8:])
        return f"header of {length} bytes"
    rewrite(path, struct.pack("<Q", len(text)) + text + data[8 + length :])
    return f"header: {told}"


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
