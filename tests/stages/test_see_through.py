"""Photos that are see-through in places: a repaint can be seen, and what hides there never gets into a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from darkroom.imaging.codec import read_photo
from darkroom.imaging.compositing import fill_alpha, paste
from darkroom.imaging.crops import Crop
from darkroom.imaging.edit import Edit
from darkroom.provenance.verify import verify
from darkroom.stages import STAGES
from support.fake_models import ColourSam, stage_models
from support.in_process import LEFT, CliInProcess, deliver
from support.photo_files import png16
from support.runs import journal, pixels

HIDDEN = [(0, 0, 0), (255, 255, 255), (255, 0, 255)]


def cut_out(hidden: tuple[int, int, int] | np.ndarray = (0, 0, 0), height: int = 60, width: int = 80) -> np.ndarray:
    """A disc of blue noise with a soft edge, and a colour or a picture hidden all around it: (H, W, 4) uint8."""
    rows, columns = np.mgrid[:height, :width]
    alpha = np.clip((22 - np.hypot(rows - height / 2, columns - width / 2)) * 40, 0, 255).astype(np.uint8)
    noise = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8) // (4, 4, 1)
    return np.dstack([np.where(alpha[..., None] > 0, noise, hidden), alpha]).astype(np.uint8)


def over(picture: np.ndarray, paper: int) -> np.ndarray:
    """A picture of four channels on a paper of one grey, (H, W, 3) float."""
    share = picture[..., 3:].astype(float) / 255
    return picture[..., :3] * share + paper * (1 - share)


def edit_of(picture: np.ndarray) -> Edit:
    colours = np.ascontiguousarray(picture[..., :3])
    return Edit(colours, colours, alpha=np.ascontiguousarray(picture[..., 3]), name="cut.png")


@given(st.integers(0, 2**32 - 1))
def test_a_blend_shows_what_the_photo_shows_and_what_is_new_and_nothing_else(seed: int) -> None:
    random = np.random.default_rng(seed)
    picture, new = (random.integers(0, 256, (6, 7, channels), np.uint8) for channels in (4, 3))
    extremes = random.choice([0, 128, 255], (2, 6, 7)).astype(np.uint8)
    picture[..., 3] = np.where(random.random((6, 7)) < 0.5, extremes[0], picture[..., 3])
    share = np.where(random.random((6, 7)) < 0.5, extremes[1], random.integers(0, 256, (6, 7))).astype(np.uint8)
    result = paste(picture[..., :3], share, Crop(0, 0, 7, 6, 7, 6), new, picture[..., 3])
    alpha = fill_alpha(picture[..., 3], share)
    untouched = share == 0
    assert np.array_equal(result[untouched], picture[untouched][:, :3])
    assert np.array_equal(alpha, np.minimum(picture[..., 3].astype(int) + share, 255))
    s, old = share[..., None] / 255, picture[..., 3:] / 255
    for paper in (
        0,
        255,
    ):  # the new picture takes its share, the old one what it has of the rest, the paper what is left
        seen = s * new + np.minimum(old, 1 - s) * picture[..., :3] + (1 - np.minimum(1, s + old)) * paper
        assert np.abs(over(np.dstack([result, alpha]), paper) - seen)[~untouched].max(initial=0) <= 0.51


def test_the_alpha_of_16_bits_is_kept_exactly_or_filled_exactly() -> None:
    alpha = np.random.default_rng(0).integers(0, 65536, (40, 40), np.uint16)
    share = np.random.default_rng(1).choice([0, 1, 128, 254, 255], (40, 40)).astype(np.uint8)
    assert np.array_equal(fill_alpha(alpha, share), np.minimum(alpha.astype(int) + share.astype(int) * 257, 65535))
    assert np.array_equal(fill_alpha(alpha, share)[share == 0], alpha[share == 0])
    assert (fill_alpha(alpha, share)[share == 255] == 65535).all()


RECIPES = {
    "inpaint": {"hole": {"op": "mask_file", "alpha": True}, "inpaint": {"prompt": "x", "seed": 200}},
    "erase": {"hole": {"op": "mask_file", "alpha": True}, "erase": None},
    "passes": {
        "left": LEFT,
        "once": {"op": "inpaint", "prompt": "x", "seed": 90},
        "hole": {"op": "mask_file", "alpha": True},
        "twice": {"op": "inpaint", "prompt": "x", "seed": 200},
        "again": {"op": "erase"},
    },
}


@pytest.mark.fault(
    "Repaints",
    "a cut-out with a transparent background, repainted by its own transparency, erased, or in several passes",
    "the result is opaque there and shows the new picture, on white and on black; hidden colours do not matter",
)
@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("bits", [8, 16])
def test_a_repaint_of_what_is_see_through_can_be_seen(name: str, bits: int, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for number, hidden in enumerate(HIDDEN):
        picture = cut_out(hidden)
        if bits == 16:
            (tmp_path / f"photos/{number}.png").write_bytes(png16(picture * np.uint16(257)))
        else:
            Image.fromarray(picture).save(tmp_path / f"photos/{number}.png")
    lines = deliver(tmp_path / "photos", RECIPES[name], tmp_path / "run", format="jpeg", quality=95)
    results = [read_photo(tmp_path / "run" / line["result"]) for line in lines]
    for line, result in zip(lines, results, strict=True):
        assert line["status"] == "done" and line["outside_max_diff"] == 0
        assert (result.alpha == 255).all() and np.array_equal(result.pixels, results[0].pixels)
        assert result.pixels16 is None if bits == 8 else (result.pixels16[..., 3] == 65535).all()
        jpeg, small = (pixels(tmp_path / "run" / each) for each in (line["delivered"], line["thumbnails"]["result"]))
        for shown in (jpeg, small):
            assert np.abs(shown.astype(int) - result.pixels).mean() < 4
        if name == "inpaint":
            assert (result.pixels[0, 0] == 200).all()
    assert not verify(tmp_path / "run").problems


@pytest.mark.fault(
    "Repaints",
    "a mask that excludes transparent areas",
    "they stay transparent, with their hidden colours, bit for bit; a JPEG shows white there",
)
def test_what_is_not_repainted_stays_see_through(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    picture = cut_out((255, 0, 255))
    Image.fromarray(picture).save(tmp_path / "photos/cut.png")
    stages = {"left": LEFT, "soft": {"op": "refine", "feather": 9}, "inpaint": {"prompt": "x", "seed": 80}}
    (line,) = deliver(tmp_path / "photos", stages, tmp_path / "run", format="jpeg", quality=95)
    result, mask = (pixels(tmp_path / "run" / line[key]) for key in ("result", "mask"))
    assert np.array_equal(result[mask == 0], picture[mask == 0]) and (result[mask == 255] == (80, 80, 80, 255)).all()
    assert np.array_equal(result[..., 3], np.minimum(picture[..., 3].astype(int) + mask, 255))
    edge = (mask > 0) & (mask < 255) & (picture[..., 3] == 0)
    assert edge.any() and (result[edge][:, :3] == 80).all()  # no magenta, and no dark fringe
    assert (pixels(tmp_path / "run" / line["delivered"])[:8, -8:] > 245).all()
    kept = {"left": LEFT, "nothing": {"op": "refine", "grow": -90}, "erase": None}
    (line,) = deliver(tmp_path / "photos", kept, tmp_path / "kept", on_empty="keep")
    assert np.array_equal(pixels(tmp_path / "kept" / line["delivered"]), picture)


LOOKING = {
    "sam": {"points": [70, 5]},
    "auto": {"choose": "largest", "min_area": 0, "max_area": 1},
    "grabcut": {"box": [15, 5, 65, 55]},
    "diffedit": {"reference": "x", "query": "y"},
    "inpaint": {"prompt": "x", "seed": 1},
    "diffedit_repaint": {"prompt": "x"},
    "erase": {},
}


@pytest.mark.fault(
    "Repaints",
    "colours hidden in transparent areas, such as a background that was only made transparent",
    "no op sees them: models get the picture on white paper",
)
@pytest.mark.parametrize("op", LOOKING)
def test_nothing_looks_at_hidden_colours(op: str) -> None:
    made = []
    stripes = np.where(np.arange(80)[None, :, None] // 10 % 2, (20, 30, 50), (200, 250, 90)) + np.zeros((60, 1, 1), int)
    more_of_it = np.random.default_rng(2).integers(0, 256, (60, 80, 3)) // (4, 4, 1)
    for hidden in (*HIDDEN, stripes, more_of_it):
        models = stage_models(sam=ColourSam())
        mask = np.zeros((60, 80), bool)
        mask[20:40, 40:75] = True
        edit = STAGES[op](**LOOKING[op]).apply(edit_of(cut_out(hidden)).with_mask(mask), models)
        seen = [request.image for call in models.diffusion.calls for request in call]
        made.append([edit.mask, edit.image[edit.opacity > 0], *edit.artifacts.values(), *seen, edit.figures])
        for image in seen:
            assert (image[:4, -4:] == 255).all()
    for each in made[1:]:
        for one, other in zip(made[0], each, strict=True):
            np.testing.assert_equal(one, other)


@pytest.mark.fault(
    "Repaints",
    "a new background for a cut-out, by its transparency, and by an inverted mask of the object",
    "no transparent rim is left around the object; white and black paper show the same picture",
)
def test_a_cut_out_gets_a_background_on_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for number, hidden in enumerate(HIDDEN):
        Image.fromarray(cut_out(hidden, 96, 128)).save(tmp_path / f"photos/{number}.png")
    (tmp_path / "r.yaml").write_text(
        "dataset: {images: photos}\n"
        "stages:\n"
        "  hole: {op: mask_file, alpha: true}\n"
        "  thing: {op: sam, points: [64, 48]}\n"
        "  refine: {grow: 1, feather: 6}\n"
        "  invert:\n"
        "  all: {op: combine, mask: hole}\n"
        "  inpaint: {prompt: red desert of Mars, seed: 1, steps: 2}\n"
    )
    cli = CliInProcess(tmp_path)
    done = cli("recipe=r.yaml", "models=miniature")
    assert done.returncode == 0, done.stdout + done.stderr
    results = [pixels(cli.run_folder() / line["delivered"]) for line in journal(cli.run_folder())]
    for result in results:
        assert (result[..., 3] == 255).all() and np.array_equal(result, results[0])
    kept = pixels(cli.run_folder() / journal(cli.run_folder())[0]["mask"]) == 0
    assert np.array_equal(results[0][kept], cut_out((0, 0, 0), 96, 128)[kept]) and kept.any()
    assert cli(f"verify={cli.run_folder()}").returncode == 0
