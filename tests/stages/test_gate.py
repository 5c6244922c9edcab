"""`gate`: what it measures, what it lets through, and what is usual among photos."""

from __future__ import annotations

from statistics import median

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from darkroom.errors import EmptyMask, PhotoError, Stopped
from darkroom.imaging.edit import Edit
from darkroom.stages import STAGES
from darkroom.stages.baseline import FEWEST_PHOTOS, Baseline
from darkroom.stages.gate import Gate
from support.fake_models import ColourSam, edit_of, stage_models

MEASURING = Gate(coverage=[0, 1])


def drawn(*rows: str) -> np.ndarray:
    """A mask from a drawing: `#` is white, `+` a third, `.` black."""
    return np.array([[{"#": 1.0, "+": 1 / 3, ".": 0.0}[each] for each in row] for row in rows])


def measures(mask: np.ndarray, confidence: float | None = None) -> dict[str, float]:
    return dict(MEASURING.apply(edit_of(*mask.shape).with_mask(mask, confidence), stage_models()).figures)


@pytest.mark.parametrize(
    "mask, coverage, regions, border",
    [
        (drawn("....", ".##.", ".##.", "...."), 4 / 16, 1, 0),
        (drawn("#...", ".#..", "..#.", "...#"), 4 / 16, 1, 2 / 12),  # joined across corners
        (drawn("#..#", "#..#", "....", "...#"), 5 / 16, 3, 5 / 12),
        (drawn("++++", "+##+", "+##+", "++++"), 8 / 16, 1, 0),  # the soft rim covers, and is no edge
        (drawn("####", "####", "####", "####"), 1, 1, 1),
        (drawn("#"), 1, 1, 1),
        (drawn("+...", "....", "....", "...."), 1 / 48, 0, 0),
    ],
)
def test_it_measures(mask: np.ndarray, coverage: float, regions: int, border: float) -> None:
    assert measures(mask) == pytest.approx({"coverage": coverage, "regions": regions, "border": border}, abs=2e-6)


def test_it_hands_the_edit_on_and_lets_no_empty_mask_through() -> None:
    edit = edit_of(3, 3).with_mask(np.eye(3), 0.7)
    passed = MEASURING.apply(edit, stage_models())
    assert passed.mask is edit.mask and passed.image is edit.image and passed.confidence == 0.7
    with pytest.raises(EmptyMask, match="nothing found"):
        MEASURING.apply(edit_of(3, 3, np.full((3, 3), 0.001)), stage_models())
    with pytest.raises(PhotoError, match="there is no mask yet"):
        MEASURING.apply(edit_of(3, 3), stage_models())


@given(
    mask=arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.sampled_from([0, 70, 255])),
    coverage=st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted),
    regions=st.tuples(st.integers(0, 4), st.integers(0, 4)).map(sorted),
    border=st.floats(0, 1),
)
def test_a_mask_passes_where_every_measure_is_within_its_bounds(mask, coverage, regions, border) -> None:
    if not mask.any():
        return
    figures = measures(mask / 255)
    gate = Gate(coverage=coverage, regions=regions, border=border, policy="skip")
    broken = [
        not coverage[0] <= figures["coverage"] <= coverage[1],
        not regions[0] <= figures["regions"] <= regions[1],
        figures["border"] > border,
    ]
    try:
        assert gate.check("size", figures, None) is None and not any(broken)
    except Stopped as error:
        assert str(error).startswith("size: ") and str(error).count("; ") == 2 * sum(broken) - 1
        assert error.policy == "skip" and any(broken)


@pytest.mark.parametrize(
    "bounds, reason",
    [
        ({"coverage": [0, 0.6]}, "the mask covers 72.5 % of the photo; at most 60 % is allowed"),
        ({"coverage": [0.8, 1]}, "the mask covers 72.5 % of the photo; at least 80 % is required"),
        ({"regions": [1, 1]}, "the mask has 2 regions; at most 1 region is allowed"),
        ({"border": 0}, "the mask takes 0.12 % of the photo's border; at most 0 % is allowed"),
        ({"confidence": 0.6}, "the mask's confidence is 0.41; at least 0.6 is required"),
        (
            {"outlier": 3.5},
            "the mask covers 72.5 % of the photo, 12.5 deviations from the median of 40 photos, 10 %; "
            "at most 3.5 is allowed",
        ),
    ],
)
def test_it_says_which_bound_was_broken_and_by_what(bounds: dict, reason: str) -> None:
    figures = {"coverage": 0.725, "regions": 2, "border": 0.00123, "confidence": 0.41}
    assert Gate(**bounds, policy="flag").check("size", figures, Baseline(40, 0.1, 0.05)) == f"size: {reason}"


def test_a_confidence_that_nobody_tells_is_no_verdict() -> None:
    with pytest.raises(PhotoError, match="reports no confidence"):
        figures = {"coverage": 0.5, "regions": 1, "border": 0}
        Gate(confidence=0.5, policy="flag").check("sure", figures, None)


SIX = [0.1, 0.11, 0.12, 0.13, 0.14, 0.4]


@pytest.mark.parametrize(
    "coverages, odd",
    [
        (SIX, [0.4]),  # 0.6745 x 0.275 / 0.02 = 9.3
        ([0.1] * 9 + [0.9], [0.9]),  # the median deviation is 0, the mean one tells it: 8.0
        ([0.2] * 7, []),
        ([0.1, 0.2, 0.3, 0.4, 0.5], []),
        (SIX[-FEWEST_PHOTOS + 1 :], None),  # too few to tell
    ],
)
def test_outliers(coverages: list[float], odd: list[float] | None) -> None:
    baseline = Baseline.of([[each] for each in coverages])
    assert (baseline is None) == (odd is None)
    if baseline:
        assert [each for each in coverages if baseline.is_outlier(each, 3.5)] == odd


@given(st.lists(st.integers(0, 10**6), min_size=5, max_size=40), st.floats(0.5, 9))
def test_outliers_are_those_of_iglewicz_and_hoaglin(millionths: list[int], limit: float) -> None:
    coverages = [each / 10**6 for each in millionths]
    baseline, middle = Baseline.of([[each] for each in coverages]), median(coverages)
    deviation = median(abs(each - middle) for each in coverages)
    for each in coverages if deviation else []:
        score = abs(0.6745 * (each - middle) / deviation)
        if score != pytest.approx(limit):
            assert baseline.is_outlier(each, limit) == (score > limit)
            assert baseline.score(each) == pytest.approx(score)


RED = np.full((32, 32, 3), 30, np.uint8)
RED[8:24, 8:24] = (200, 0, 0)


@pytest.mark.parametrize(
    "op, parameters, confidence",
    [
        ("sam", {"points": [50, 60]}, 0.9),
        ("sam", {"points": [50, 60], "choose": "largest"}, 0.7),
        ("text", {"phrase": "2-5:0.8"}, 0.8),
        ("text", {"phrase": ["2-4:0.8", "4-6:0.6"]}, 0.7),
        ("text", {"phrase": ["2-4:0.8", "4-6:0.4"], "threshold": None}, 2 / 3),  # weighed by itself
        ("text", {"phrase": "2-5:0.3"}, None),
        ("clip_diff", {"source": "2-5:0.8", "target": "0-4:0.2"}, (0.6 + 0.6 + 0.8) / 3),
        ("grabcut", {"box": [10, 10, 90, 70], "iterations": 1}, None),
    ],
)
def test_who_finds_something_says_how_sure_it_is(op: str, parameters: dict, confidence: float | None) -> None:
    edit = STAGES[op](**parameters).apply(edit_of(80, 100), stage_models())
    assert edit.confidence == (confidence and pytest.approx(confidence, abs=0.01))
    assert STAGES[op].reports_confidence == (op != "grabcut")
    assert edit.figures.get("confidence") == edit.confidence


@pytest.mark.parametrize(
    "op, parameters, confidence",
    [
        ("snap", {"phrase": "8-24:0.8"}, 0.8),  # the whole square is as warm
        ("snap", {"phrase": "8-16:0.8"}, 0.4),  # SAM takes twice of what was found
        ("auto", {"min_score": 0.8}, 0.9),
        ("auto", {"choose": "text", "phrase": "8-24:0.6"}, 0.6),
        ("auto", {"min_score": 0.95}, None),  # nothing is taken
    ],
)
def test_who_asks_sam_says_how_sure_it_is(op: str, parameters: dict, confidence: float | None) -> None:
    made = STAGES[op](**parameters).apply(Edit(RED, RED), stage_models(sam=ColourSam()))
    assert made.confidence == (confidence and pytest.approx(confidence, abs=0.01))
