"""The page of runs and sweeps that are made up here: what it holds, and that nothing in it gets out of its place."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from pathlib import Path

import pytest

from darkroom.errors import RecordError
from darkroom.report import page, run_page, sweep_page
from support.fake_run_folder import FakeRun, data_of, write_sweep

HOSTILE = [
    "</script><script>alert(1)</script>",
    "<!-- <script>",
    "'\"`${alert(1)}\\",
    "{data}{script}",
    "line\u2028line\u2029line\nline",
    "🐎 名前 \udce9",
]


@pytest.fixture
def run(tmp_path: Path) -> FakeRun:
    return FakeRun(tmp_path / "run")


@pytest.mark.parametrize("text", HOSTILE)
def test_whatever_strangers_write_arrives_as_text(run: FakeRun, text: str) -> None:
    settings = [{"stage": "inpaint", "op": "inpaint", "prompt": text}]
    run.add(text, prompt=text, error=text, item={text: text}, settings=settings)
    shown = run_page(run.write())
    data = data_of(shown)
    (picture,) = data["pictures"]
    assert [picture[key] for key in ("photo", "prompt", "error", "item")] == [text, text, text, {text: text}]
    assert data["stages"] == settings
    source = shown.read_text()
    assert source.count("<script") == source.count("</script") == 2
    assert re.search(r'id="data">(.*)</script>\n<script>', source)[1].isascii()  # on one line, too


def test_a_run_of_any_name_has_its_title(tmp_path: Path) -> None:
    run = FakeRun(tmp_path / "run", name="</title>{data}&\udce9")
    source = run_page(run.write()).read_text()
    assert html.unescape(re.search("<title>(.*?)</title>", source)[1]) == "</title>{data}&?"


def test_only_its_own_style_and_script_may_run(run: FakeRun) -> None:
    source = run_page(run.write()).read_text()
    policy = re.search('Content-Security-Policy" content="(.*?)"', source)[1]
    assert policy.startswith("default-src 'none'; ")
    for kind, inside in (("style", "<style>(.*?)</style>"), ("script", "<script>(.*?)</script>")):
        text = re.search(inside, source, re.DOTALL)[1]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|https?:|\bon\w+=", source)


def test_every_path_leads_to_a_file(run: FakeRun, tmp_path: Path) -> None:
    run.picture("a b#1/photo.png", (9, 99, 199))
    run.picture("a b#1/mask.png", 255)
    run.picture("a b#1/seed0.png", (200, 40, 40))
    run.picture("results/a b#1.png", (200, 40, 40))
    made = {"source": "a b#1/photo.png", "mask": "a b#1/mask.png", "result": "a b#1/seed0.png"}
    made["delivered"] = "results/a b#1.png"
    run.add("a b#1.png", prompt="mars", seed=0, outside_max_diff=0, **made)
    run.add("a b#1.png", **{**made, "result": None, "delivered": None}, prompt="mars", seed=1, error="out of memory")
    sweep = write_sweep(tmp_path, {"stages.x.seed": ["0", "1"]}, [{"folder": "run", "values": {"stages.x.seed": "0"}}])
    for folder, shown in ((run.folder, run_page(run.write())), (tmp_path, sweep_page(sweep))):
        data = data_of(shown)
        done, failed = data["pictures"]
        paths = [done[key] for key in ("source", "mask", "result", "delivered", "thumbnail")]
        paths += [failed["source"], failed["mask"], *data["files"]]
        paths += [each["page"] for each in data["runs"] if "page" in each]
        assert all((folder / path).is_file() for path in paths)
        assert not {"result", "delivered", "thumbnail", "reproduce"} & set(failed)
        assert (failed["status"], failed["error"]) == ("failed", "out of memory")
        assert (done["seed"], done["outside_max_diff"]) == (0, 0)  # a nought is not nothing


def test_sweeps_tell_the_values_of_each_run_and_why_one_was_refused(tmp_path: Path) -> None:
    axes = {"stages.inpaint.seed": ["0", "1", "2"], "models": ["miniature"]}
    for number in range(2):
        run = FakeRun(tmp_path / f"{number}_car_on_mars")
        run.add("car.png", seed=number)
        run.write()
    jobs = [{"folder": f"{seed}_car_on_mars", "values": {"stages.inpaint.seed": str(seed)}} for seed in range(3)]
    jobs[2] |= {"status": "failed", "error": "seed: too large"}
    data = data_of(sweep_page(write_sweep(tmp_path, axes, jobs)))
    assert data["axes"] == [{"name": "stages.inpaint.seed", "label": "inpaint.seed"}]
    assert [each["run"] for each in data["pictures"]] == [0, 1, 2]
    assert [each["values"] for each in data["runs"]] == [each["values"] for each in jobs]
    assert data["pictures"][2]["error"] == "seed: too large"
    assert data["summary"] == ["20 November 2026, 14:03", "3 runs", "2 pictures", "1 failed"]
    assert data["title"] == "car_on_mars sweep"


def test_many_pictures_go_to_several_files(run: FakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "MAX_PICTURES", 3)
    for seed in range(7):
        run.add("car.png", seed=seed)
    run_page(run.write())
    files = [run.folder / name for name in ("index.html", "index_2.html", "index_3.html")]
    pages = [data_of(file) for file in files]
    assert [[each["seed"] for each in data["pictures"]] for data in pages] == [[0, 1, 2], [3, 4, 5], [6]]
    assert [each["number"] for data in pages for each in data["pictures"]] == list(range(1, 8))
    assert [data["page"] for data in pages] == [0, 1, 2]
    starts = list(zip(files, (1, 4, 7), strict=True))
    for data in pages:
        assert [(run.folder / each["file"], each["first"]) for each in data["pages"]] == starts
        assert data["total"] == 7
    del run.lines[3:]
    run_page(run.write())
    assert sorted(run.folder.glob("index*")) == files[:1]


def test_stages_stand_in_a_page_once(run: FakeRun) -> None:
    for seed in range(50):
        inpaint = {"stage": "inpaint", "op": "inpaint", "seed": seed % 2}
        run.add("car.png", seed=seed, settings=[{"stage": "car", "op": "sam"}, inpaint])
    data = data_of(run_page(run.write()))
    assert len(data["stages"]) == 3
    found = [[data["stages"][number] for number in each["settings"]] for each in data["pictures"]]
    assert found == [line["settings"] for line in run.lines]


def test_run_without_pictures_and_without_facts(run: FakeRun) -> None:
    (run.folder / "run.json").unlink()
    assert data_of(run_page(run.write()))["pictures"] == []
    (run.folder / "journal.jsonl").unlink()
    with pytest.raises(RecordError, match="journal"):
        run_page(run.folder)
