"""Wrong parameters are found while the recipe is read, with a line that says what would be right."""

from __future__ import annotations

import dataclasses

import pytest
from pydantic import ValidationError

from darkroom.stages import STAGES

WRONG = [
    ("sam", {}, "sam needs `points` or `boxes`"),
    ("sam", {"negative": [[1, 2]]}, "sam needs `points` or `boxes`"),
    ("sam", {"points": [[1, 2, 3]]}, r"should be \[x, y\], 2 numbers; got \[1, 2, 3\]"),
    ("sam", {"points": [[1, float("nan")]]}, r"should be \[x, y\], 2 numbers"),
    ("sam", {"points": [["a", 2]]}, r"should be \[x, y\], 2 numbers"),
    ("sam", {"points": [[True, 2]]}, r"should be \[x, y\], 2 numbers"),
    ("sam", {"points": [[-1, 2]]}, "outside every photo"),
    ("sam", {"points": [[0.5, 2]], "units": "fraction"}, "go from 0 to 1"),
    ("sam", {"points": [[1, 2]], "units": "percent"}, "'pixels' or 'fraction'"),
    ("sam", {"boxes": [[5, 1, 5, 9]]}, "x0 < x1 and y0 < y1"),
    ("sam", {"boxes": [1, 2, 3]}, r"should be \[x0, y0, x1, y1\], 4 numbers"),
    ("sam", {"points": [[1, 2]], "choose": "best"}, "'score', 'smallest', 'middle' or 'largest'"),
    ("grabcut", {}, "box"),
    ("grabcut", {"box": [0, 0, 10**400, 1]}, "4 numbers; got"),
    ("sam", {"points": [[10**400, 1]]}, "2 numbers; got"),
    ("text", {"phrase": 10**400}, "should be text"),
    ("text", {"phrase": "car", "threshold": 10**400}, "should be a number from 0 to 1"),
    ("grabcut", {"box": [0, 0, 2, 1], "units": "fraction"}, "go from 0 to 1"),
    ("grabcut", {"box": [0, 0, 2, 1], "iterations": 0}, "greater than or equal to 1"),
    ("text", {"phrase": []}, "should be text or a list of texts"),
    ("text", {"phrase": ""}, "should name something, such as `a car`; got ''"),
    ("find", {"phrase": ["a car", " "]}, "should name something"),
    ("find", {"phrase": "a car", "index": 256}, "255"),
    ("find", {"phrase": "a car", "index": []}, "a list of numbers, or .* got"),
    ("text", {"phrase": "car", "threshold": 1.5}, "should be a number from 0 to 1, `otsu`, or .* `p90`; got 1.5"),
    ("text", {"phrase": "car", "threshold": "p101"}, "a percentile such as `p90`; got 'p101'"),
    ("text", {"phrase": "car", "threshold": True}, "should be a number from 0 to 1"),
    ("text", {"phrase": "car", "threshold": float("nan")}, "should be a number from 0 to 1"),
    ("text", {"phrase": "car", "combine": "logits"}, "'probability', 'logit' or 'softmax'"),
    ("text", {"without": "truck"}, "phrase"),
    ("snap", {"phrase": "car", "threshold": None}, "should be a number from 0 to 1, `otsu`"),
    ("snap", {"phrase": "car", "objects": 0}, "greater than or equal to 1"),
    ("auto", {"choose": "text"}, "`choose: text` needs a `phrase`"),
    ("auto", {"phrase": "car"}, "`phrase` and `without` need `choose: text`"),
    ("auto", {"choose": "largest", "point": [1, 2]}, "`point` needs `choose: nearest`"),
    ("auto", {"point": [1, 2], "units": "fraction"}, "go from 0 to 1"),
    ("auto", {"min_area": 0.2, "max_area": 0.1}, "min_area 0.2 is more than max_area 0.1"),
    ("auto", {"grid": 65}, "less than or equal to 64"),
    ("erase", {"method": "mat"}, "'ns', 'telea' or 'lama'"),
    ("erase", {"radius": 0}, "greater than or equal to 1"),
    ("background", {}, "exactly one of `colour`, `gradient`, `picture` and `blur`; .* needs quotes"),
    ("background", {"colour": "white", "blur": 0.1}, "exactly one of"),
    ("background", {"colour": "wite"}, "a colour such as white or \"#f0f0f0\" .*; got 'wite'"),
    ("background", {"colour": "#ffffff80"}, "should be a colour"),
    ("background", {"colour": []}, "should be a colour"),
    ("background", {"gradient": ["white"]}, "at least 2"),
    ("background", {"gradient": ["white", 0]}, "should be a colour"),
    ("background", {"colour": "white", "angle": 90}, "`angle` and `radial` need a `gradient`"),
    ("background", {"gradient": ["white", "red"], "radial": True, "angle": 90}, "has no `angle`"),
    ("background", {"blur": 3}, "less than or equal to 0.5"),
    ("background", {"picture": ""}, "the path of a picture or of a folder"),
    ("shadow", {"direction": 400}, "less than or equal to 360"),
    ("shadow", {"strength": 40}, "less than or equal to 1"),
    ("clip_diff", {"source": "horse"}, "target"),
    ("diffedit", {"reference": "a horse"}, "query"),
    ("diffedit", {"reference": "a horse", "query": "a horse"}, "the same text, so there is nothing to find"),
    ("diffedit", {"reference": "a", "query": "b", "maps": 0}, "greater than or equal to 1"),
    ("diffedit", {"reference": "a", "query": "b", "strength": 0}, "greater than 0"),
    ("diffedit", {"reference": "a", "query": "b", "clamp": 0.5}, "greater than or equal to 1"),
    ("diffedit", {"reference": "a", "query": "b", "seed": -1}, "greater than or equal to 0"),
    ("diffedit_repaint", {"reference": "a horse"}, "prompt"),
    ("diffedit_repaint", {"prompt": "a", "ratio": 1.5}, "less than or equal to 1"),
    ("diffedit_repaint", {"prompt": "a", "steps": 4, "ratio": 0.2}, "runs no step at all"),
    ("inpaint", {"prompt": "a", "crop": True}, "'mask', 'regions', 'each' or 'photo'"),
    ("inpaint", {"prompt": "a", "harmonise": "laplace"}, "'none', 'mean_std', 'histogram' or 'poisson'"),
    ("inpaint", {"prompt": "a", "blend": 300}, "less than or equal to 250"),
    ("mask_file", {}, "exactly one of `folder: ...`, `file: ...` and `alpha: true`"),
    ("mask_file", {"folder": "masks", "alpha": True}, "exactly one of"),
    ("mask_file", {"folder": "masks", "file": "mask.png"}, "exactly one of"),
    ("mask_file", {"file": "mask.png", "suffix": "_mask"}, "for the names of masks in a `folder`"),
    ("mask_file", {"folder": "masks", "prefix": "../"}, "`folder` takes the path"),
    ("refine", {"threshold": None, "blur": 2, "grow": 3}, "grow need a hard edge"),
    ("refine", {"feather": float("inf")}, "finite number"),
    ("refine", {"keep_largest": 0}, "greater than or equal to 1"),
    ("combine", {"mask": "a", "how": "xor"}, "'union', 'intersection' or 'difference'"),
    ("gate", {"policy": "skip"}, "gate needs a bound"),
    ("gate", {"coverage": [0.5]}, r"should be \[low, high\], 2 numbers"),
    ("gate", {"coverage": [0.5, 0.2]}, "0 <= low <= high"),
    ("gate", {"coverage": [2, 60]}, "shares of the photo go from 0 to 1"),
    ("gate", {"regions": [1, 2.5]}, "integer"),
    ("gate", {"border": -0.1}, "greater than or equal to 0"),
    ("gate", {"confidence": 70}, "less than or equal to 1"),
    ("gate", {"outlier": 0}, "greater than 0"),
    ("gate", {"coverage": [0, 1], "policy": "drop"}, "'fail', 'skip', 'flag' or 'keep'"),
    ("inpaint", {"prompt": True}, "should be text or a list of texts"),
    ("inpaint", {"prompt": ["a", ["b"]]}, "should be text or a list of texts"),
    ("inpaint", {"prompt": "a", "seed": -1}, "whole number from 0"),
    ("inpaint", {"prompt": "a", "seed": 2**63}, "whole number from 0"),
    ("inpaint", {"prompt": "a", "seed": [1, 2.5]}, "whole number from 0"),
    ("inpaint", {"prompt": "a", "seed": []}, "whole number from 0"),
    ("inpaint", {"prompt": "a", "strength": 0}, "greater than 0"),
    ("inpaint", {"prompt": "a", "steps": 4, "strength": 0.2}, "runs no step at all"),
    ("inpaint", {"prompt": "a", "scheduler": "eulr"}, "'euler'"),
    ("inpaint", {"prompt": "a", "context": 0.9}, "greater than or equal to 1"),
]


@pytest.mark.parametrize("op, parameters, words", WRONG)
def test_what_is_wrong_is_said(op, parameters, words):
    with pytest.raises(ValidationError, match=words):
        STAGES[op](**parameters)


@pytest.mark.parametrize("op", STAGES)
def test_unknown_keys_are_refused_and_every_parameter_is_described(op):
    fields = STAGES[op].__pydantic_fields__
    assert all(field.description for field in fields.values())
    with pytest.raises(ValidationError, match="no_such_key"):
        STAGES[op](no_such_key=1)


def test_stages_are_values():
    one, same = (STAGES["sam"](points=[[1, 2]]) for _ in range(2))
    assert one == same and hash(one) == hash(same)
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.points = ()
