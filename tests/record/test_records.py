"""Records are read through their schemas, and the paths in them opened through `Folder`, and nowhere else."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darkroom.errors import RecordError
from darkroom.record import read_facts, read_journal, read_sweep
from darkroom.system.files import Folder, relative_parts
from support.runs import ROOT, journal_line, run_facts

# What opens files by themselves, and what for.
_OPENERS = {
    "system/files.py": "all files that records name",
    "config/shipped_recipes.py": "the recipes that are shipped",
    "config/prompts_file.py": "whether it may be read, through `Folder`",
    "imaging/codec.py": "photos, out of bytes",
    "imaging/png.py": "pictures, out of bytes",
    "dataset/manifest.py": "none: it reads text",
    "stages/mask_file.py": "masks, out of bytes",
    "store/seal.py": "the user's key",
    "report/drawing.py": "thumbnails, out of bytes that `Folder` has read",
    "report/page.py": "its own template",
    "stages/parameter_tables.py": "its own page",
    "system/console.py": "/dev/null",
    "system/locks.py": "folders, or a file in them, to lock them",
    "system/strict_json.py": "none: it reads text",
    "record/earlier.py": "journals, through `Folder`",
    "config/photo_lists.py": "whether it may be read, through `Folder`",
    "dataset/table_rows.py": "none: it reads text",
    "dataset/text_tables.py": "none: it reads text",
    "export/webdataset.py": "tars that it writes into a new folder of its own",
    "config/text_lists.py": "whether it may be read, through `Folder`",
    "imaging/strands.py": "its own weights",
    "studio/brush.py": "none: it reads text",
    "studio/command.py": "a browser",
    "studio/draft_files.py": "none: it reads text",
    "studio/photos.py": "none: photos open their own files",
    "studio/review.py": "none: it reads text",
    "studio/requests.py": "none: it reads text",
    "studio/server.py": "none: photos open their own files",
    "studio/studio.py": "none: photos open their own files",
    "studio/work.py": "a journal of its own run, to count its lines",
    "record/reading.py": "run.json, sweep.json and journals, through `Folder`",
}
_OPENS = re.compile(r"(?<![\w_.])open\(|\.open\(|\.read_bytes\(|\.read_text\(|json\.load")


def test_only_these_modules_open_files() -> None:
    found = {}
    for path in sorted((ROOT / "pipeline/darkroom").rglob("*.py")):
        name = path.relative_to(ROOT / "pipeline/darkroom").as_posix()
        if not name.startswith("models/") and (lines := _OPENS.findall(path.read_text())):
            found[name] = lines
    assert found and set(found) <= set(_OPENERS), found


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
_paths = st.sampled_from(["../x", "/etc/passwd", "a//b", "", ".", "C:\\x", "a\0", "x" * 300, "a/../b"])
_LINE = journal_line("a.png", steps=[{"key": "", "empty": False, "seconds": 1.0}], files={"a/b.png": "0" * 64})
_SWEEP = {"started": "2026-11-20T14:03:22+01:00", "axes": {}, "jobs": []}
_JOB = {"folder": "0_x", "values": {}, "status": "waiting", "error": None}
_SWEEP["jobs"] = [{**_JOB, "start": {"overrides": [], "config": {}, "files": {}}}]


def changed(data: Any, record: dict[str, Any]) -> dict[str, Any]:
    """The record with a value exchanged, somewhere in it; or a key left out."""
    new = json.loads(json.dumps(record))
    holder: Any = new
    while True:
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        key = data.draw(st.sampled_from(keys))
        if isinstance(holder[key], dict | list) and holder[key] and data.draw(st.booleans()):
            holder = holder[key]
            continue
        if isinstance(holder, dict) and data.draw(st.integers(0, 4)) == 0:
            del holder[key]
        else:
            holder[key] = data.draw(_json | _paths)
        return new


@pytest.mark.fault("Run folders", "every value of every record replaced by any other, or removed", "one line of error")
@given(st.data())
@settings(max_examples=300, deadline=None)
def test_whatever_a_record_holds_it_is_sound_or_one_line(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    folder = tmp_path_factory.getbasetemp() / "records"
    folder.mkdir(exist_ok=True)
    records = {"run.json": run_facts(), "sweep.json": _SWEEP, "journal.jsonl": _LINE}
    name = data.draw(st.sampled_from(sorted(records)))
    (folder / name).write_text(json.dumps(changed(data, records[name])) + "\n")
    read = {"run.json": read_facts, "sweep.json": read_sweep, "journal.jsonl": lambda at: list(read_journal(at))}[name]
    try:
        found = read(folder)
    except RecordError as error:
        assert len(str(error).splitlines()) == 1 and name in str(error)
        return
    for line in found if name == "journal.jsonl" else ():
        paths = [*line["files"], *(line[key] for key in ("result", "mask", "source", "delivered") if line[key])]
        assert all(relative_parts(path) for path in paths) and relative_parts(line["folder"])
    for job in found["jobs"] if name == "sweep.json" else ():
        assert len(relative_parts(job["folder"])) == 1


@given(st.text(max_size=12) | st.lists(st.sampled_from(["..", ".", "", "a", "link", "~"])).map("/".join))
@settings(max_examples=300, deadline=None)
def test_no_path_leads_out_of_a_folder(tmp_path_factory: pytest.TempPathFactory, path: str) -> None:
    base = tmp_path_factory.getbasetemp() / "outside"
    (base / "in/a").mkdir(parents=True, exist_ok=True)
    (base / "secret").write_bytes(b"secret")
    link = base / "in/link"
    if not link.is_symlink():
        link.symlink_to(base)
    before = sorted(base.rglob("*"))
    folder = Folder(base / "in")
    for act in (folder.read, folder.remove, lambda path: folder.write(f"{path}/../../new", b"x")):
        try:
            assert act(path) != b"secret"
        except OSError as error:
            assert error.strerror
    assert sorted(base.rglob("*")) == before
