"""Chooses one to three things on a desk, and damages them."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from pathlib import Path

import yaml

from fuzz.damage import (
    Damage,
    change_book,
    change_bytes,
    change_csv,
    change_json,
    change_line,
    change_paths,
    change_texts,
    change_weights,
    change_yaml,
    replace_file,
)
from fuzz.desk import WEIGHTS, Desk

RECIPE_OF = {"table": "csv.yaml", "lines": "jsonl.yaml", "book": "xlsx.yaml"}
TABLE_OF = {"table": "list.csv", "lines": "list.jsonl"}


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
    if kind in TABLE_OF:
        table = desk.desk / "photos" / TABLE_OF[kind]
        found += [(table, [change_csv if kind == "table" else change_line] * 4 + anything)] * 6
    if kind == "book":
        found += [(desk.desk / "photos/list.xlsx", [change_book] * 5 + anything)] * 6
    found += [(desk.desk / "ink.safetensors", [change_weights] * 4 + anything)] * 2
    found += [(desk.desk / "control/config.json", [change_json] * 4 + anything)]
    found += [(desk.desk / f"control/{WEIGHTS}", [change_weights, *anything]), (desk.desk / "control", [replace_file])]
    found += [(desk.desk / "prompts.txt", anything)]
    found += [(rng.choice(sorted(desk.desk.glob(f"{name}/*"))), anything) for name in ("photos", "masks")]
    parts = ("results", "thumbnails", "run.log", "index.html", "index_2.html", "contact_sheet.jpg", ".hydra", "a", "x")
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
