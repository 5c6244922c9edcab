"""What `results/` offers besides the picture: cut-out, mask, background and layers, framed or not."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from darkroom.config.settings import Results
from darkroom.engine.outputs import FinishedPicture, Outputs
from darkroom.imaging.codec import read_photo
from darkroom.imaging.layers import is_band
from darkroom.imaging.png import decode_png, encode_png
from darkroom.provenance.verify import verify
from darkroom.record import read_journal
from darkroom.report.folder import is_unchanged
from darkroom.store import Store
from support.in_process import LEFT, CliInProcess, command_line, deliver
from support.photo_files import SRGB, noise16
from support.runs import environment, journal, pixels

ALL = ["picture", "cutout", "mask", "background", "layers"]
REPAINT = {"left": LEFT, "refine": {"feather": 9}, "inpaint": {"prompt": "x", "seed": 180}}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    (tmp_path / "photos/a.png").write_bytes(encode_png(noise, icc=SRGB))
    return tmp_path / "photos"


def over(cutout: np.ndarray, background: np.ndarray) -> np.ndarray:
    share = cutout[..., 3:] / 255
    return share * cutout[..., :3] + (1 - share) * background


def results(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (run / "results").iterdir()}


@pytest.mark.parametrize("frame", [{}, {"frame": {"aspect": "2:1", "share": 0.9}}], ids=["photo", "frame"])
def test_the_cutout_over_the_background_is_the_picture(frame: dict, photos: Path, tmp_path: Path) -> None:
    (line,) = deliver(photos, {**REPAINT, **frame}, tmp_path / "run", what=ALL)
    names = {kind: f"results/a.{kind}.png" for kind in ALL}
    assert line["outputs"] == {**names, "picture": "results/a.png", "layers": "results/a.psd"}
    assert line["delivered"] == "results/a.png" and list(line["outputs"]) == ALL
    picture, cutout, mask, background = (pixels(tmp_path / "run" / line["outputs"][kind]) for kind in ALL[:4])
    assert np.array_equal(cutout[..., 3], mask) and (mask == 255).any() and ((mask > 0) & (mask < 255)).any()
    assert not cutout[mask == 0].any() and np.array_equal(cutout[mask == 255][:, :3], picture[mask == 255])
    assert np.array_equal(background[mask == 0], picture[mask == 0])
    assert np.abs(over(cutout, background) - picture).max() <= 1
    assert not verify(tmp_path / "run").problems
    for kind in ("cutout", "background"):
        assert read_photo(tmp_path / "run" / line["outputs"][kind]).icc == SRGB


def test_the_colour_around_a_frame_is_in_the_photos_profile(photos: Path, tmp_path: Path) -> None:
    swapped = SRGB.replace(b"rXYZ", b"tmp ").replace(b"bXYZ", b"rXYZ").replace(b"tmp ", b"bXYZ")  # red means blue
    (photos / "a.png").write_bytes(encode_png(np.full((60, 80, 3), 90, np.uint8), icc=swapped))
    frame = {"aspect": "3:1", "padding": 0.3, "fill": "red"}
    (line,) = deliver(photos, {**REPAINT, "frame": frame}, tmp_path / "run", what=["picture", "background", "layers"])
    for kind in ("picture", "background"):
        assert read_photo(tmp_path / "run" / line["outputs"][kind]).icc == swapped
        assert pixels(tmp_path / "run" / line["outputs"][kind])[0, 0].tolist() == [0, 0, 255]


@pytest.mark.parametrize("repaint", [True, False])
def test_after_a_matte_both_have_unmixed_colours(repaint: bool, tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    subject, behind, new = (random.integers(0, 256, (30, 40, 3), np.uint8) for _ in range(3))
    alpha = np.tile(np.linspace(-80, 335, 40).clip(0, 255).astype(np.uint8), (30, 1))
    mask = 255 - alpha if repaint else alpha
    photo, picture = (over(np.dstack([subject, alpha]), ground).round().astype(np.uint8) for ground in (behind, new))
    band = is_band(alpha)[..., None]
    layers = {"inside": new, "outside": subject} if repaint else {"inside": subject, "outside": behind}
    store = Store(tmp_path)

    def blob(pixels: np.ndarray) -> str:
        return store.add_blob(encode_png(pixels), ".png")

    blobs = {side: blob(colours * band) for side, colours in layers.items()}
    pictures = (
        (blob(photo), blob(picture), blob(mask), blob(mask)) if repaint else (*[blob(photo)] * 2, blob(mask), None)
    )
    files = FinishedPicture(*pictures, layers=blobs)
    made = dict(Outputs("a", store, files, not repaint, Results(what=["cutout", "background"])).made())
    cutout, background = (
        decode_png(store.read_blob(made[kind]), mode) for kind, mode in (("cutout", "RGBA"), ("background", "RGB"))
    )
    seen = np.repeat(band, 3, axis=2)
    assert np.array_equal(cutout[..., :3][seen], subject[seen]) and np.array_equal(cutout[..., 3], alpha)
    assert np.array_equal(background[seen], (new if repaint else behind)[seen])
    assert np.abs(over(cutout, background) - (picture if repaint else photo)).max() <= 1


def test_the_layers_are_those_files_and_the_same_bytes_each_time(photos: Path, tmp_path: Path) -> None:
    from psd_tools import PSDImage
    from psd_tools.constants import Resource

    (line,) = deliver(photos, REPAINT, tmp_path / "run", what=ALL)
    files = {kind: pixels(tmp_path / "run" / path) for kind, path in line["outputs"].items() if kind != "layers"}
    document = PSDImage.open(tmp_path / "run/results/a.psd")
    assert [layer.name for layer in document] == ["background", "subject"]
    background, subject = (np.asarray(layer.topil(apply_icc=False)) for layer in document)
    assert np.array_equal(background[..., :3], files["background"]) and (background[..., 3] == 255).all()
    assert np.array_equal(subject, files["cutout"])
    assert document.image_resources.get_data(Resource.ICC_PROFILE) == SRGB
    with Image.open(tmp_path / "run/results/a.psd") as merged:
        assert np.array_equal(np.asarray(merged), files["picture"])
    (again,) = deliver(photos, REPAINT, tmp_path / "again", what=ALL)
    assert again["files"] == line["files"]


def test_only_what_was_asked_for_in_its_formats(photos: Path, tmp_path: Path) -> None:
    stages = {**REPAINT, "inpaint": {"prompt": "x", "seed": [7, 8]}, "frame": {"size": [30, 30], "share": 0.5}}
    lines = deliver(photos, stages, tmp_path / "run", what=["cutout", "background"], format="jpeg")
    assert sorted(results(tmp_path / "run")) == [
        *("a.seed7.background.jpg", "a.seed7.cutout.png", "a.seed8.background.jpg", "a.seed8.cutout.png")
    ]
    assert [line["delivered"] for line in lines] == ["results/a.seed7.cutout.png", "results/a.seed8.cutout.png"]
    for name in results(tmp_path / "run"):
        with Image.open(tmp_path / "run/results" / name) as image:
            assert image.size == (30, 30)
    assert not verify(tmp_path / "run").problems


def test_where_nothing_is_repainted_the_subject_is_the_masks_white(photos: Path, tmp_path: Path) -> None:
    (line,) = deliver(photos, {"left": LEFT}, tmp_path / "run", what=ALL)
    photo, mask = pixels(photos / "a.png"), pixels(tmp_path / "run" / line["outputs"]["mask"])
    assert (mask[:, :40] == 255).all() and not mask[:, 40:].any()
    assert np.array_equal(pixels(tmp_path / "run" / line["outputs"]["picture"]), mask)
    cutout, background = (pixels(tmp_path / "run" / line["outputs"][kind]) for kind in ("cutout", "background"))
    assert np.array_equal(cutout[:, :40, :3], photo[:, :40]) and np.array_equal(cutout[..., 3], mask)
    assert np.array_equal(background[:, 40:], photo[:, 40:])
    assert background[:, :30].std() < photo.std() / 3  # smooth, and nothing of the subject
    with Image.open(tmp_path / "run/results/a.psd") as merged:
        assert np.array_equal(np.asarray(merged), photo)


def test_a_transparent_photo(photos: Path, tmp_path: Path) -> None:
    alpha = np.full((60, 80), 255, np.uint8)
    alpha[20:40] = 0
    (photos / "a.png").write_bytes(encode_png(pixels(photos / "a.png"), alpha=alpha))
    (line,) = deliver(photos, REPAINT, tmp_path / "run", what=ALL)
    cutout, mask = (pixels(tmp_path / "run" / line["outputs"][kind]) for kind in ("cutout", "mask"))
    assert not cutout[20:40].any() and np.array_equal(cutout[:20, :, 3], mask[:20])
    assert not verify(tmp_path / "run").problems


def test_a_kept_photo_has_no_subject(photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    stages = {"left": LEFT, "refine": {"grow": -60}, "erase": None, "frame": {"aspect": "1:1"}}
    with caplog.at_level(logging.WARNING):
        (line,) = deliver(photos, stages, tmp_path / "run", on_empty="keep", what=["picture", "cutout"])
    assert line["outputs"] == {"picture": "results/a.png"} and pixels(tmp_path / "run/results/a.png").shape == (
        60,
        80,
        3,
    )
    assert "a: no cutout in results: nothing was repainted" in caplog.text


@pytest.mark.parametrize("channels", [3, 4])
def test_a_16_bit_picture_is_scaled_with_16_bits(channels: int, photos: Path, tmp_path: Path) -> None:
    (photos / "a.png").write_bytes(encode_png(noise16(channels), icc=SRGB))
    stages = {"left": LEFT, "once": {"op": "erase"}, "frame": {"size": [21, 30], "share": 0.6, "fill": "mirror"}}
    (line,) = deliver(photos, stages, tmp_path / "run")
    framed = read_photo(tmp_path / "run" / line["delivered"])
    assert framed.pixels16.shape == (30, 21, channels) and (framed.pixels16 % 257 > 0).any()
    assert not verify(tmp_path / "run").problems


@pytest.mark.parametrize("format", ["png", "jpeg", "webp"])
def test_a_framed_picture_is_the_result_seen_through_the_frame(format: str, photos: Path, tmp_path: Path) -> None:
    (photos / "a.png").write_bytes(encode_png(noise16(3)[:40, :60], icc=SRGB))
    stages = {"left": LEFT, "once": {"op": "erase"}, "frame": {"aspect": "1:1", "share": 0.9}}
    (line,) = deliver(photos, stages, tmp_path / "run", format=format)
    result, framed = (read_photo(tmp_path / "run" / line[key]) for key in ("result", "delivered"))
    figures = line["steps"][-1]["figures"]
    x, y, width, height = (int(figures[key]) for key in ("x", "y", "width", "height"))
    assert framed.pixels.shape == (height, width, 3) and figures["scale"] == 1 and framed.icc == SRGB
    if format == "png":
        deep = np.pad(result.pixels16, ((60, 60), (60, 60), (0, 0)), "edge")
        assert np.array_equal(framed.pixels16, deep[60 + y : 60 + y + height, 60 + x : 60 + x + width])
        with Image.open(tmp_path / "run" / line["delivered"]) as image:
            stages_told = [stage["op"] for stage in json.loads(image.info["darkroom"])["stages"]]
        assert stages_told == ["text", "erase", "frame"]
    assert not verify(tmp_path / "run").problems


def rewritten(run: Path, line: dict, data: bytes | None = None) -> list[str]:
    """The problems after a change of the delivered picture, with a digest to match, and of its line."""
    if data is not None:
        path = run / line["delivered"]
        path.unlink()
        path.write_bytes(data)
        line["files"][line["delivered"]] = sha256(data).hexdigest()
    (run / "journal.jsonl").write_text(json.dumps(line) + "\n")
    return verify(run).problems


@pytest.mark.parametrize("stages", [REPAINT, {"left": LEFT}], ids=["repaint", "mask"])
def test_verify_maps_back(stages: dict, photos: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    (line,) = deliver(photos, {**stages, "frame": {"size": [50, 40], "share": 0.5}}, run)
    assert not verify(run).problems
    framed = pixels(run / line["delivered"]).copy()
    framed[3, 4] ^= 1
    changed = encode_png(framed, icc=None if framed.ndim == 2 else SRGB)
    assert rewritten(run, line, changed) == ["results/a.png: is not the result seen through the recorded frame"]
    assert rewritten(run, line, encode_png(framed[1:])) == ["results/a.png: its size is not that of the recorded frame"]


@pytest.mark.parametrize("stages", [REPAINT, {"left": LEFT}], ids=["repaint", "mask"])
def test_verify_sees_a_delivered_picture_that_is_not_the_result(stages: dict, photos: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    (line,) = deliver(photos, stages, run)
    assert not verify(run).problems
    changed = pixels(run / line["delivered"]) ^ 1
    assert "results/a.png: is not the result" in "".join(rewritten(run, line, encode_png(changed, icc=None)))


@pytest.mark.fault(
    "Run folders", "a journal with a frame that cannot be", "`verify=` names the photo, and makes nothing"
)
@pytest.mark.parametrize(
    ("figures", "settings", "problem"),
    [
        ({"width": 1e300}, {}, "px; at most 20000 px a side"),
        ({"scale": 1e-9}, {}, "more than can be made"),
        ({"x": -1e300}, {}, "more than can be made"),
        ({}, {"fill": "no colour"}, "the settings of frame are not those of a frame"),
        ({}, {"aspect": "1:1"}, "the settings of frame are not those of a frame"),
        ({}, {"strange": 1}, "the settings of frame are not those of a frame"),
    ],
)
def test_a_frame_from_a_stranger(figures: dict, settings: dict, problem: str, photos: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    (line,) = deliver(photos, {**REPAINT, "frame": {"size": [50, 40], "share": 0.5}}, run)
    line["steps"][-1]["figures"] |= figures
    line["settings"][-1] |= settings
    (found,) = rewritten(run, line)
    assert found.startswith("a.png: ") and problem in found


def test_a_frame_that_is_not_recorded(photos: Path, tmp_path: Path) -> None:
    (line,) = deliver(photos, {**REPAINT, "frame": {"size": [50, 40], "share": 0.5}}, tmp_path / "run")
    line["steps"][-1]["figures"] = {}
    assert rewritten(tmp_path / "run", line) == ["a.png: the journal does not say the `x` of the frame"]


def test_the_command_line_makes_verifies_restores_and_reproduces(tmp_path: Path, photos: Path) -> None:
    photo = np.full((60, 80, 3), 60, np.uint8)
    photo[20:40, 30:50] = (200, 30, 60)
    Image.fromarray(photo).save(photos / "a.png")
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(
        "name: mine\ndataset: {images: photos}\nstages:\n  box: {op: grabcut, box: [20, 15, 60, 45]}\n  invert:\n"
        "  refine: {grow: -6}\n  erase:\n  frame: {aspect: '4:5', share: 0.7, fill: mirror}\n"
    )
    words = [f"recipe={recipe}", "results.what=[cutout,picture,layers]"]
    assert command_line(tmp_path, *words) == 0
    (run,) = tmp_path.glob("outputs/*_mine")
    whole = results(run)
    assert sorted(whole) == ["a.cutout.png", "a.png", "a.psd"]
    (line,) = journal(run)
    assert line["delivered"] == "results/a.png" and line["thumbnails"]["result"] == "thumbnails/results/a.jpg"
    with Image.open(run / line["thumbnails"]["result"]) as small:
        assert small.width / small.height == pytest.approx(0.8, abs=0.05)
    for path in (*line["outputs"].values(), line["thumbnails"]["result"]):
        (run / path).unlink()
    assert command_line(tmp_path, f"verify={run}") == 3
    assert command_line(tmp_path, f"resume={run}") == 0 and results(run) == whole
    assert command_line(tmp_path, f"verify={run}") == 0
    assert command_line(tmp_path, f"reproduce={run}/results/a.png") == 0
    assert command_line(tmp_path, "store=prune") == 0 and command_line(tmp_path, *words) == 0
    assert results(max(tmp_path.glob("outputs/*_mine"))) == whole


def test_a_journal_of_version_0_2_0_is_read(photos: Path, tmp_path: Path) -> None:
    """It names the delivered picture only."""
    run = tmp_path / "run"
    (line,) = deliver(photos, {**REPAINT, "inpaint": {"prompt": "x", "seed": 7}}, run)
    old = {key: value for key, value in line.items() if key != "outputs"}
    assert not rewritten(run, old)
    (read,) = read_journal(run)
    assert read["outputs"] == line["outputs"] == {"picture": "results/a.png"}
    (run / "results/a.png").unlink()
    assert verify(run).problems


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["results.what=[picture,cutot]"],
            "results.what: 'cutot' should be 'picture', 'cutout', 'mask', 'background' or",
        ),
        (["results.what=[]"], "results.what: [] should be a list such as [picture, cutout]"),
        (["results.what=3"], "results.what: 3 should be a list such as [picture, cutout]"),
        (
            ["~stages.box", "~stages.erase", "results.what=cutout"],
            "results.what: cutout: the recipe has no stage that makes",
        ),
        (
            ["+stages.more={op: invert}"],
            "stages.more: comes after `frame`, which only gates and `upscale` may follow: put `frame` last",
        ),
        (
            ["+stages.more={op: frame, aspect: '1:1'}"],
            "stages.more: comes after `frame`, which only gates and `upscale`",
        ),
    ],
)
def test_what_is_refused_before_the_run(
    words: list[str], message: str, photos: Path, tmp_path: Path, quick_cli: CliInProcess
) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(
        "name: mine\ndataset: {images: photos}\nstages:\n  box: {op: grabcut, box: [20, 15, 60, 45]}\n"
        "  erase:\n  frame: {aspect: '4:5'}\n"
    )
    done = quick_cli(f"recipe={recipe}", *words)
    assert done.returncode == 2 and message in done.stderr and len(done.stderr.strip().splitlines()) == 1


def test_a_gate_may_follow_a_frame(photos: Path, tmp_path: Path) -> None:
    stages = {**REPAINT, "frame": {"aspect": "1:1"}, "gate": {"coverage": [0, 1]}}
    (line,) = deliver(photos, stages, tmp_path / "run")
    assert line["status"] == "done" and pixels(tmp_path / "run" / line["delivered"]).shape == (60, 60, 3)
    assert not verify(tmp_path / "run").problems


def test_reports_call_a_photo_unchanged_only_if_nothing_frames_it(photos: Path, tmp_path: Path) -> None:
    empty = {"left": LEFT, "refine": {"grow": -60}, "erase": None}
    (kept,) = deliver(photos, empty, tmp_path / "kept", on_empty="keep")
    (framed,) = deliver(photos, {"frame": {"aspect": "1:1"}}, tmp_path / "framed")
    assert kept["result"] == kept["source"] and framed["result"] == framed["source"]
    assert is_unchanged(kept) and not is_unchanged(framed)


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        (
            "find = util.find_spec\n"
            "util.find_spec = lambda name, *more: None if name == 'psd_tools' else find(name, *more)",
            "psd-tools: pip install --editable '.[layers]'",
        ),
        ("sys.path.insert(0, 'broken')", "psd-tools cannot be imported: no such symbol"),
    ],
    ids=["missing", "broken"],
)
def test_layers_without_psd_tools(program: str, reason: str, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/psd_tools.py").write_text("raise ImportError('no such symbol')")
    (tmp_path / "mine.yaml").write_text(
        "name: mine\ndataset: {images: photos}\nstages: {box: {op: grabcut, box: [20, 15, 60, 45]}}\n"
    )
    program = (
        f"import sys, importlib.util as util\n{program}\nfrom darkroom.cli.main import main\n"
        "sys.exit(main(['recipe=mine.yaml', 'results.what=layers']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 2 and reason in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
