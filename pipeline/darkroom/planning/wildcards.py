"""Puts words in the place of wildcards, when photos are planned."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from darkroom.config.wildcards import WILDCARD, Words
from darkroom.errors import PhotoError, suggest
from darkroom.stages import Stage
from darkroom.stages.markers import RandomSeed


def with_words(name: str, stage: Stage, words: Words) -> Stage:
    """A scalar stage with words in the place of the wildcards in its texts. A stage without a seed stays as it is.

    The seed, the wildcard's name and the number of its occurrence in the text choose the word, and nothing else: texts
    of one stage that agree in these get the same words.

    Args:
        name: of the stage, for errors.
        stage: its parameters.
        words: by wildcard.

    Raises:
        PhotoError: a text from a table names an unknown wildcard.
    """
    seeds, given, texts = stage.fields_with(RandomSeed), vars(stage), _texts(stage)
    if not texts or not seeds:
        return stage
    for key, text in texts.items():
        unknown = [each for each in WILDCARD.findall(text) if each not in words]
        if unknown:
            raise PhotoError(f"{name}.{key}: no wildcard '{unknown[0]}', {suggest(unknown[0], list(words))}")
    return replace(stage, **{key: _filled(text, words, given[seeds[0]]) for key, text in texts.items()})


def has_wildcards(stage: Stage) -> bool:
    """Whether there are wildcards in a stage's texts; in a plain text there is none."""
    return bool(_texts(stage))


def _texts(stage: Stage) -> dict[str, str]:
    """The texts with wildcards, by parameter."""
    given = vars(stage).items()
    return {key: text for key, text in given if isinstance(text, str) and "$" in text and WILDCARD.search(text)}


def _filled(text: str, words: Words, seed: int) -> str:
    seen: Counter[str] = Counter()

    def word(match: re.Match[str]) -> str:
        seen[match[1]] += 1
        return choose(words[match[1]], seed, match[1], seen[match[1]])

    return WILDCARD.sub(word, text)


def choose(words: Sequence[str], seed: int, name: str, occurrence: int) -> str:
    """One of some words. Each is as likely, up to 1 in 10**15.

    Args:
        words: of the wildcard.
        seed: of the picture.
        name: of the wildcard.
        occurrence: the first, second, ... place of the wildcard in a text.
    """
    digest = hashlib.sha256(f"{seed} {occurrence} {name}".encode()).digest()
    return words[int.from_bytes(digest[:8], "big") % len(words)]
