"""The strict reader of JSON: whatever comes, a value that can be written again, or a ValueError of one line."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from darkroom.system import strict_json

_SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
_VALUES = st.recursive(_SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)
_PIECES = ("[", "]", "{", "}", ",", ":", '"a"', '"\\ud800"', "1e999", "-1e999", "NaN", "Infinity", "9" * 400, "0", "\n")


@given(_VALUES)
def test_what_json_can_say_comes_back(value) -> None:
    assert strict_json.loads(json.dumps(value)) == value
    assert strict_json.loads(json.dumps(value, ensure_ascii=False).encode()) == value


@given(st.binary() | st.text() | st.lists(st.sampled_from(_PIECES), max_size=12).map("".join))
@example('"\ud800"')
def test_whatever_is_read_can_be_written_and_read_again(text) -> None:
    try:
        value = strict_json.loads(text)
    except ValueError as error:
        assert str(error).isprintable()
        return
    assert strict_json.loads(json.dumps(value, allow_nan=False)) == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": [1, 1e999]}', "a[1]: not a finite number"),
        ('{"a": NaN}', "a: not a finite number"),
        ('{"a": {"b": -Infinity}}', "a.b: not a finite number"),
        ("[" + "9" * 400 + "]", "[0]: not a finite number"),
        ("9" * 5_000_000, "not a finite number"),
        ("[" * 100_000, "nested more than 100 deep"),
        ("[" * 101 + "]" * 101, "nested more than 100 deep"),
        ('{"a": 1, "a": 2}', "the key a appears twice"),
        ('{"\\ud800": 1}', "a key: half of a surrogate pair"),
        (b"\xff", "not UTF-8 text"),
    ],
)
def test_the_reason_names_the_place(text, reason) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        strict_json.loads(text)


def test_names_of_files_that_are_not_utf_8_are_read() -> None:
    assert strict_json.loads('"\\udce4.png"') == "\udce4.png"
