"""Signs of other tools in a text are told before a run; ordinary prose passes in silence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkroom.models.foreign_syntax import find_foreign_syntax
from darkroom.models.prompts import compel_error, compel_warnings
from darkroom.stages import STAGES
from support.in_process import command_line
from support.runs import ROOT, journal

PROSE = """
red desert of Mars, dusty sky
a car, (red)
(a car, red) on a street
a photo of a zebra, 85 mm, f/2.8, (shallow focus)
a poster in 3:4, or (as I said) in 16:9
(ratio 3:4)
(scale 1:87)
(scale 1:2.5)
a clock at 10:30
a clock (10:30)
John 3:16 on a wall (John 3:16)
sizes {s}, {m} and {l}
a menu: soup (5), bread (2), tea
mars at dusk: wide-angle, f/2.8
100 % & more! #1 ~ * ?
costs $5, $HOME, $(date)
a "wet" street: (night), neon
it's late; the street is wet -- and empty
a street--wet, empty--at night
well-lit, hand-held, slow-motion
a sign that says DO NOT BREAK THE GLASS
a sign reading SALT AND PEPPER
a "BREAK" button
COFFEE BREAK
black AND WHITE
R AND B, live
C++ code on a screen
a hoodie that says A+
I <3 mars
x < 3 and y > 2, chalk on a blackboard
footnote [1], page [23]
a keyboard, one key with [ on it
snake_case and __ under __ scores
a list: (1) a car; (2) a road
a smile :) and a tear :(
a) a car b) a road
café, 火星, Müller's Straße
C:\\new\\text on a screen
an e-mail to me@example.com, @ sign
a = b, a | b, a/b, ~5
1,000 cars (or more), 2.5 m apart
a horse (brown) by J. M. W. Turner (1775-1851)
two (or three) trees -- no more
std::vector on a T-shirt
"""

FOREIGN = [
    ("<lora:add_detail:0.8> a car", "<lora:add_detail:0.8>", "LoRA"),
    ("a car <hypernet:x:1>", "<hypernet:x:1>", "LoRA"),
    ("a photo of <cat-toy>", "<cat-toy>", "embedding"),
    ("embedding:EasyNegative, blurred", "embedding:EasyNegative", "embedding"),
    ("a {red|blue} car", "{red|blue}", "a list of prompts"),
    ("a {2$$red|blue|green} car", "{2$$red|blue|green}", "a list of prompts"),
    ("a __color__ car", "__color__", "declare it in `wildcards:`"),
    ("a __colors/bright-*__ car", "__colors/bright-*__", "declare it in `wildcards:`"),
    ("cinematic still {prompt}, bokeh", "{prompt}", "leave it out"),
    ("a (red:1.4) car", "(red:1.4)", "prompt_syntax: compel"),
    ("a (red, shiny: 1.2) car", "(red, shiny: 1.2)", "prompt_syntax: compel"),
    ("a (4k:2) car", "(4k:2)", "prompt_syntax: compel"),
    ("a (red:.5) car", "(red:.5)", "prompt_syntax: compel"),
    ("a ((red)) car", "((red))", "prompt_syntax: compel"),
    ("a {{red}} car", "{{red}}", "prompt_syntax: compel"),
    ("a [red] car", "[red]", "prompt_syntax: compel"),
    ("a [[red car]]", "[[red car]]", "prompt_syntax: compel"),
    ("a [cat:dog:0.5]", "[cat:dog:0.5]", "leave it out"),
    ("a [smile:10] face", "[smile:10]", "leave it out"),
    ("a [cat|dog]", "[cat|dog]", "leave it out"),
    ("a red car BREAK a blue sky", "BREAK", ".and()"),
    ("a cat AND a dog", "AND", ".and()"),
    ("a sky ADDROW a sea", "ADDROW", ".and()"),
    ("a car --ar 16:9 --no people", "--ar 16:9", "parameters of the stage"),
    ("a car::2 a road::1", "car::2", "prompt_syntax: compel"),
]
COMPELS = [  # what compel reads as it is meant
    (r"ganyu \(genshin impact\)", r"\(", "write it plainly"),
    ("a (red)1.3 car", "(red)1.3", "set `prompt_syntax: compel`"),
    ("a red++ car", "red++", "set `prompt_syntax: compel`"),
    ("a (red car)++", "(red car)++", "set `prompt_syntax: compel`"),
    ('("a car", "a road").blend(1, 1)', ").blend(", "set `prompt_syntax: compel`"),
]

NEARLY = [
    ("a (red car", "(red car", "unbalanced"),
    ("a red)1.3 car", "a red)1.3", "unbalanced"),
    ("(a (red)1.2 car", "(a (red)1.2 car", "unbalanced"),
    ('("a car", "a road").blned(1,1)', ".blned(", '("a car", "a road").blend(1, 1)'),
    ('("a car" "a road").adn()', ".adn(", '("a car", "a road").and(1, 1)'),
    ("(a red car).blend(1)", ".blend(", "follow quoted texts"),
    ("a (red) 1.3, car", ") 1.3", "without a space, )1.3"),
]


@pytest.mark.parametrize("text", PROSE.strip().splitlines())
def test_prose_passes_in_silence(text: str) -> None:
    assert all(find_foreign_syntax(text, syntax) == () for syntax in ("plain", "compel", None))
    assert compel_warnings(text) == ()


@pytest.mark.fault(
    "Prompts",
    "the syntax of web UIs, dynamic prompts, ComfyUI, Midjourney, and of compel where it is off",
    "a warning that quotes it and suggests what to write; an error with strict=true",
)
@pytest.mark.parametrize("text, piece, remedy", FOREIGN + COMPELS)
def test_what_another_tool_would_heed_is_told(text: str, piece: str, remedy: str) -> None:
    by_syntax = {syntax: find_foreign_syntax(text, syntax) for syntax in ("plain", "compel", None)}
    start = f"`{piece}` is "
    assert any(line.startswith(start) and "words here: " in line and remedy in line for line in by_syntax["plain"])
    assert by_syntax[None] and all("compel`" not in line for line in by_syntax[None])
    assert bool(by_syntax["compel"] or compel_error(text)) == ((text, piece, remedy) in FOREIGN)
    assert all("compel`" not in line for line in by_syntax["compel"])


@pytest.mark.fault(
    "Prompts",
    "mistakes in compel's syntax: an unclosed parenthesis, .blned(1,1), a weight after a space",
    "a warning that quotes it and says how compel reads it; an error with strict=true",
)
@pytest.mark.parametrize("text, piece, told", NEARLY)
def test_slips_that_compel_takes_for_words_are_told(text: str, piece: str, told: str) -> None:
    assert compel_error(text) is None
    (line,) = compel_warnings(text)
    assert line.startswith(f"`{piece}`") and told in line


@pytest.mark.parametrize(
    "text", ["a red++ car--", "(a (red)1.2 car)0.9", '("a", "b").blend(1, 0.5)', r"a \(red car", ""]
)
def test_what_compel_reads_passes(text: str) -> None:
    assert compel_warnings(text) == find_foreign_syntax(text, "compel") == ()


@pytest.mark.parametrize("text", ["()", '("a", "b").blend(1)', "(" * 300, "a (red:1.3) car"])
def test_what_compel_cannot_read_at_all_is_another_line(text: str) -> None:
    assert compel_error(text) is not None and compel_warnings(text) == ()


@pytest.mark.parametrize(
    "sign", ["(", ")", "[", "{|", "<a:", "__a", "__a/", "a:", "[a:", "((", "\\", "_", "a::", "--ar ", "(a:1"]
)
def test_a_text_without_end_costs_no_time(sign: str) -> None:
    find_foreign_syntax((sign * 100_000)[:100_000], "plain")  # with quadratic time, minutes


@given(st.text(st.sampled_from('ab ,.:()[]{}|<>_"+-1\\'), max_size=40))
def test_any_text_is_looked_at(text: str) -> None:
    for syntax in ("plain", "compel", None):
        assert all("\n" not in line for line in find_foreign_syntax(text, syntax))
    compel_warnings(text)


TEXTS: dict[str, dict[str, Any]] = {
    "inpaint": dict.fromkeys(("prompt", "negative_prompt", "prompt_2", "negative_prompt_2"), "a"),
    "diffedit": {"reference": "a", "query": "b"},
    "diffedit_repaint": {"prompt": "a", "reference": "b"},
    "text": {"phrase": "a", "without": "b"},
    "snap": {"phrase": "a", "without": "b"},
    "auto": {"choose": "text", "phrase": "a", "without": "b"},
    "clip_diff": {"source": "a", "target": "b"},
}


@pytest.mark.parametrize("op", TEXTS)
def test_every_text_of_every_op_is_looked_at(models: Any, op: str) -> None:
    for key in set(TEXTS[op]) - {"choose"}:
        stage = STAGES[op](**{**TEXTS[op], key: "a {red|blue} car"})
        assert [found for found, line in stage.warnings(models) if "{red|blue}" in line] == [key]


RECIPE = """
stages:
  car: {op: sam, points: [[330, 300]]}
  mars: {op: inpaint, steps: 2, prompt: ["a (red) car", "a (red:1.4) car"], negative_prompt: "${item.not}"}
"""


def test_it_is_a_warning_in_the_record_and_an_error_under_strict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own.yaml").write_text(RECIPE)
    rows = [{"image": str(ROOT / "examples/car.png"), "not": text} for text in ("blurred", "<lora:bad:1>")]
    (tmp_path / "photos.jsonl").write_text("\n".join(map(json.dumps, rows)))
    words = "recipe=own.yaml", "models=miniature", "dataset.manifest=photos.jsonl"
    assert command_line(tmp_path, *words) == 0
    (folder,) = tmp_path.glob("outputs/*_own")
    weight, lora = json.loads((folder / "run.json").read_text())["warnings"]
    assert "stages.mars.prompt: `(red:1.4)` is how web UIs write a weight" in weight
    assert "stages.mars.negative_prompt: `<lora:bad:1>` is how web UIs load a LoRA" in lora
    assert [len(line["warnings"]) for line in journal(folder)] == [0, 1, 1, 2]
    capsys.readouterr()
    assert command_line(tmp_path, *words, "strict=true") == 2
    assert len(capsys.readouterr().err.splitlines()) == 2
