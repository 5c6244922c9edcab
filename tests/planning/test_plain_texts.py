"""Rows of a table that differ in plain texts are checked by one of them, which must tell what each would be told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darkroom.config.recipe import parse
from darkroom.dataset import Photo
from darkroom.errors import PhotoError
from darkroom.models import Memory, ModelNames, Models
from darkroom.models.foreign_syntax import find_foreign_syntax
from darkroom.planning.cache_keys import Keys
from darkroom.planning.preflight import Preflight
from darkroom.stages import STAGES
from darkroom.stages.inpaint import Inpaint
from darkroom.stages.markers import Prose
from darkroom.stages.plain_texts import is_plain

MODELS = Models(ModelNames(clipseg="miniature", inpaint="miniature"), Memory(), "cpu")
TEXTS = st.from_regex(r"[A-Za-z][a-z0-9 ,.'A-Z-]*", fullmatch=True).filter(is_plain)
OTHERS: Mapping[str, Mapping[str, Any]] = {
    "text": {"phrase": "a car", "without": "a truck"},
    "inpaint": {"prompt": "mars", "negative_prompt": "rain"},
    "diffedit_repaint": {"prompt": "a zebra"},
}
FIELDS = [(op, name) for op, kind in STAGES.items() for name in kind.fields_with(Prose)]


@pytest.mark.parametrize("op, name", FIELDS)
@pytest.mark.parametrize("syntax", ["plain", "compel"])
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_a_plain_text_makes_no_difference(op: str, name: str, syntax: str, data: st.DataObject) -> None:
    others = {**OTHERS[op], **({"prompt_syntax": syntax} if op == "inpaint" else {})}
    first, text = STAGES[op](**others), data.draw(TEXTS)
    copy, new = first.with_values({name: text}), STAGES[op](**{**others, name: text})
    assert copy is not None and copy.alike is first and new.alike is new
    assert (repr(copy), copy, hash(copy)) == (repr(new), new, hash(new))
    assert (copy.models(), copy.loras(), copy.needed_masks()) == (first.models(), first.loras(), first.needed_masks())
    keys = Keys(MODELS)
    found = [keys.step(op, one, "the parent's", {}, "photo.png") for one in (first, copy, copy)]
    assert found[1:] == [Keys(MODELS).step(op, new, "the parent's", {}, "photo.png")] * 2
    assert (found[0] == found[1]) == (first == copy)
    assert list(new.refusals(MODELS)) == list(first.refusals(MODELS))
    if len(text) <= 30:
        assert list(new.warnings(MODELS)) == list(first.warnings(MODELS))


CAPTIONS = (
    "a car",
    "a long car, which is cut off by the miniature because it reads few words",
    "a bus",
    "a BREAK in the road",
    "a long bus, which is cut off by the miniature because it reads few letters",
    "a (car:1.3)",
    "a car for ${wildcard.whom}",
    "ein Auto für zwei",
)


@settings(max_examples=20, deadline=None)
@given(st.permutations(CAPTIONS))
def test_each_row_is_told_what_it_would_be_told_alone(captions: Sequence[str]) -> None:
    stages = {"t": {"op": "text", "phrase": "x"}, "inpaint": {"prompt": "${item.words}", "negative_prompt": "rain"}}
    recipe = parse({"name": "x", "dataset": {"manifest": "x.csv"}, "stages": stages, "wildcards": {"w": ["v"]}}, "x")

    def told(*captions: str) -> list[str]:
        preflight, lines = Preflight(recipe, MODELS), []
        for caption in captions:
            photo = Photo("x.png", "x.png", {"words": caption}, f"x.csv:{CAPTIONS.index(caption)}")
            try:
                (first,) = preflight.plan(photo)
                assert first.children[0].stage == Inpaint(prompt=caption, negative_prompt="rain")
            except PhotoError as error:
                lines.append(str(error))
        return sorted([*lines, *preflight.warnings(False, "x")])

    assert told(*captions) == sorted(line for caption in captions for line in told(caption))


@given(TEXTS)
def test_a_plain_text_has_no_syntax(text: str) -> None:
    assert [find_foreign_syntax(text, syntax) for syntax in ("plain", "compel", None)] == [()] * 3
    assert "$" not in text
