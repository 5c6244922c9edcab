"""Finds the syntax of other tools in prompts, which Darkroom reads as plain words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Literal, NamedTuple

Syntax = Literal["plain", "compel"]

# Matches `(red:1.4)`, not `(ratio 3:4)`. Every repetition is bounded, because texts come from strangers.
WEIGHT = re.compile(r"(?<!\\)\(([^()\\]{0,300}[^()\\\s\d][\d.]{0,5})\s*:(\s*-?\d?\.\d+|-?\d)\s*\)")

_WEIGHTS = {
    "plain": "`prompt_syntax: compel` reads weights, written (red)1.4",
    "compel": "compel's weights are written (red)1.4",
}
_JOINTS = {
    "plain": '`prompt_syntax: compel` joins texts, written ("a car", "a road").and()',
    "compel": 'compel joins texts by ("a car", "a road").and()',
}
_LIST = dict.fromkeys(("plain", "compel"), "use a list of prompts, a prompts_file, or `wildcards:`")
_WILDCARD = dict.fromkeys(("plain", "compel"), "declare it in `wildcards:` and write ${wildcard.NAME}")
_LORA = dict.fromkeys(("plain", "compel"), "use `lora: {NAME: 0.8}` in the stage")
_KEYS = dict.fromkeys(("plain", "compel"), "use the parameters of the stage")
_COMPEL = {"plain": "set `prompt_syntax: compel`"}
_JOINT_WORDS = {"BREAK", "AND", "ADDCOMM", "ADDBASE", "ADDCOL", "ADDROW"}
_MARKS = re.compile(r'[<:{_(\[\\+")]|--|BREAK|A[ND]D')  # each form below, and each of these words, needs one of these
_FLAGS = "ar|aspect|v|niji|no|s|stylize|style|q|quality|seed|chaos|c|iw|tile|stop|sref|cref|weird|raw|steps|cfg"


class _Form(NamedTuple):
    """A piece of another tool's syntax.

    Attributes:
        pattern: a regular expression.
        meaning: what it does in the other tool, as part of a sentence.
        remedies: the alternative for each syntax; for a syntax without one, to leave the piece out.
        syntaxes: those that read it as plain words; None stands for texts without syntax.
    """

    pattern: str
    meaning: str
    remedies: Mapping[str, str] = {}
    syntaxes: tuple[Syntax | None, ...] = ("plain", "compel", None)


_FORMS = [
    (re.compile(form.pattern), form)
    for form in (
        _Form(r"<[A-Za-z]\w{0,20}:[^<>]{1,200}>", "how web UIs load a LoRA or the like", _LORA),
        _Form(r"<[A-Za-z][\w-]{0,60}>|\bembedding:[\w.-]{1,100}", "how other tools load an embedding"),
        _Form(r"\{[^{}|]{0,300}\|[^{}]{0,600}\}", "a choice of dynamic prompts", _LIST),
        _Form(r"(?<!\w)__[A-Za-z0-9][\w/*.-]{0,80}__(?!\w)", "a wildcard of other tools", _WILDCARD),
        _Form(r"\{prompt\}", "the place of the prompt in other tools' styles"),
        _Form(WEIGHT.pattern, "how web UIs write a weight", _WEIGHTS, ("plain", None)),
        _Form(r"\({2,5}[^()\\]{1,300}\){2,5}|\{\{[^{}]{1,300}\}\}", "how web UIs give more weight", _WEIGHTS),
        _Form(r"(?<!\w)\[{1,5}[^\W\d_][^\[\]|:]{0,300}\]{1,5}", "how web UIs give less weight", _WEIGHTS),
        _Form(
            r"\[[^\[\]]{0,300}[^\[\]\s\d]\s*:\s*\d{0,4}\.?\d{1,4}\s*\]|\[[^\[\]|]{1,300}\|[^\[\]]{1,300}\]",
            "how web UIs change a prompt between steps",
        ),
        _Form(rf"(?<!\S)--(?:{_FLAGS})\b(?:\s+[\w.:]{{1,20}})?", "a Midjourney parameter", _KEYS),
        _Form(r"\b\w{1,40}::(?:-?\d[\d.]{0,5})?(?!\w)", "how other tools write a weight", _WEIGHTS),
        _Form(r"\\[()\[\]]", "how web UIs write a plain parenthesis", {"plain": "write it plainly"}, ("plain", None)),
        _Form(
            r"\([^()]{1,300}\)(?:\d?\.\d{1,4}|\+{1,5}|--+)(?![\w.])|\b[^\W\d_]{2,40}\+\+(?![\w+])",
            "how compel writes a weight",
            _COMPEL,
            ("plain", None),
        ),
        _Form(r"[)\"]\.(?:blend|and|swap)\(", "a compel function", _COMPEL, ("plain", None)),
    )
]


def find_foreign_syntax(text: str, syntax: Syntax | None) -> tuple[str, ...]:
    """A line for each piece of another tool's syntax in a text: the piece, its meaning there, the remedy.

    Ordinary prose passes: a parenthesis, `3:4`, a word in capitals among other such words.

    Args:
        text: a prompt, or a phrase that names what to find.
        syntax: of a prompt; None for a text without syntax.
    """
    return _found(text, syntax) if _MARKS.search(text) else ()


@lru_cache(maxsize=1000)  # thousands of photos may share a negative prompt
def _found(text: str, syntax: Syntax | None) -> tuple[str, ...]:
    found = [
        (match[0], form) for pattern, form in _FORMS if syntax in form.syntaxes and (match := pattern.search(text))
    ]
    found += [(word, _Form("", "how web UIs join prompts", _JOINTS)) for word in _joint_words(text)]
    return tuple(
        f"`{piece}` is {form.meaning}, and is read as words here: {form.remedies.get(syntax or '', 'leave it out')}"
        for piece, form in found
    )


def _joint_words(text: str) -> Iterator[str]:
    """The first word such as BREAK, unless its neighbours are in capitals too, as on a sign."""
    words = [word.strip(",.;") for word in text.split()]
    for before, word, after in zip(["", *words], words, [*words[1:], ""], strict=False):
        if word in _JOINT_WORDS and not (before.isupper() or after.isupper()):
            yield word
            return
