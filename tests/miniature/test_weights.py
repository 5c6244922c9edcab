"""The weights in the repository do what the model card says, measured through the public classes."""

from pathlib import Path

import pytest

from darkroom.models.weights import MINIATURE_WEIGHTS
from miniature import evaluate
from miniature.judge import JUDGES


def means(rows: list[evaluate.Row]) -> dict[str, float]:
    return {row.what: row.mean for row in rows}


@pytest.mark.parametrize(
    "scenes", [pytest.param(12, marks=pytest.mark.sample), pytest.param(30, marks=pytest.mark.slow)]
)
def test_a_click_finds_the_object(models, scenes):
    found = means(evaluate.measure_sam(models, scenes))
    assert found["SAM, careful click: mean IoU"] >= 0.9
    assert found["SAM, box: mean IoU"] >= 0.92
    assert found["SAM, careful click: picks the best of its three, within 0.02"] >= 0.85


def test_a_phrase_finds_the_object_and_the_place(models):
    found = means(evaluate.measure_clipseg(models, 40))
    assert found["CLIPSeg, object by colour and name: mean IoU"] >= 0.82
    assert found["CLIPSeg, object by its name: mean IoU"] >= 0.8
    assert found["CLIPSeg, place: mean IoU"] >= 0.93
    assert found["CLIPSeg, object that is not there: fires on more than 0.3 % of the picture"] <= 0.05


def test_the_difference_of_two_phrases_finds_the_horse(models):
    alone, beside_a_zebra = evaluate.measure_difference(models, 24)
    assert alone.mean >= 0.75 and beside_a_zebra.mean >= 0.65


@pytest.mark.parametrize("scenes", [pytest.param(4, marks=pytest.mark.sample), pytest.param(8, marks=pytest.mark.slow)])
def test_backgrounds_come_out_as_prompted(models, scenes):
    found = means(evaluate.measure_backgrounds(models, scenes))
    assert found["Background repainted in 20 steps: classified as prompted"] >= 0.9
    assert found["The kept object: still classified as what it is"] >= 0.85


def test_objects_come_out_as_prompted(models):
    kinds, colours = evaluate.measure_swaps(models, 1)
    assert kinds.mean >= 0.85 and colours.mean >= 0.85


def test_the_autoencoder_keeps_pictures(models):
    (quality,) = evaluate.measure_vae(models, 12)
    assert quality.mean >= 32


def test_the_judges_know_the_world(models):
    for row in evaluate.measure_judges(models, 40):
        assert row.mean >= 0.95, row.what


def test_a_control_keeps_outlines(models):
    kept, rising = evaluate.measure_outlines(models, 4)
    assert rising.mean == 1 and kept.mean >= 0.35


def test_dusk_makes_backgrounds_darker_the_more_of_it_there_is():
    brightness, falling, _, _ = evaluate.measure_dusk(evaluate.miniatures(), 3, steps=8)
    assert falling.mean == 1 and 0.05 < brightness.mean < 0.45


FOLDERS = [
    *(MINIATURE_WEIGHTS / name for name in ("sam", "clipseg", "sdxl_inpaint", "outlines", "loras")),
    JUDGES,
]


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_weights_are_small(folder: Path) -> None:
    assert 10_000 < size_of(folder) < 30e6


def test_all_weights_together_stay_within_what_was_asked() -> None:
    assert size_of(MINIATURE_WEIGHTS) + size_of(JUDGES) < 40e6


def test_only_what_runs_need_is_shipped() -> None:
    assert {path.name for path in MINIATURE_WEIGHTS.iterdir()} == {
        "sam",
        "clipseg",
        "sdxl_inpaint",
        "outlines",
        "loras",
    }


def test_the_table_replaces_what_stood_between_the_markers(tmp_path):
    card = tmp_path / "card.md"
    card.write_text(f"before\n{evaluate.BEGIN}\nold\n{evaluate.END}\nafter\n")
    evaluate.write_card(
        [evaluate.Row("IoU", [0.5, 1.0], "both", target="0.9"), evaluate.Row("right", [True, False], share=True)], card
    )
    lines = card.read_text().splitlines()
    assert lines[0] == "before"
    assert lines[-1] == "after"
    assert "old" not in lines
    assert "| IoU | 0.75 (both) | 0.9 | 2 |" in lines
    assert "| right | 50% |  | 2 |" in lines
