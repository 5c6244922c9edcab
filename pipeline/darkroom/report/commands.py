"""The commands that make a picture of a run again, quoted for Hydra's grammar and then for the shell."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

from darkroom.report.redaction import Redactor

Scalar = str | int | float | bool | None

_BARE = re.compile(r"([A-Za-z/_]|\d[\w-]*/)[\w./+@%-]*", re.ASCII)  # a text that Hydra takes without quotes ...
_RESERVED = ("true", "false", "null", "inf", "nan")  # ... save these
_KEY = re.compile(r"[A-Za-z_][\w-]*", re.ASCII)  # a part of a key that it can address
_SETTINGS = re.compile(r"[+~]*(models|memory|device|until|results)\b")


def reproduce(run: PurePath, result: str) -> str:
    """The command that makes a result again from its run folder.

    Args:
        run: the run folder, as others may read it.
        result: the result's path in it.
    """
    return _command([f"reproduce={run / result}"])  # no word of Hydra's: it takes the path as it stands


def ordinary(run: PurePath, facts: Mapping[str, Any], line: Mapping[str, Any], redactor: Redactor) -> str | None:
    """The command of an ordinary run that makes one picture: the run's recipe with this photo, prompt and seed alone.

    What the run's command line said of models, memory, device, `until` and `results` is repeated.

    Args:
        run: the run folder, as others may read it.
        facts: its `run.json`.
        line: the picture's line of the journal.
        redactor: makes texts safe to send away.

    Returns:
        None where no command line can say it: the run's photos come from a manifest, or have files beside them that
        go by their names in the dataset, or a stage that makes several pictures has a name that Hydra's grammar
        cannot address.
    """
    config = facts.get("config") or {}
    dataset = config.get("dataset") or {}
    if not dataset.get("images") or dataset.get("manifest") or line.get("inputs"):
        return None
    chosen = list(_chosen(config.get("stages") or {}, line))
    if not all(_KEY.fullmatch(stage) for stage, _, _ in chosen):
        return None
    words = [word("recipe", str(run / "recipe.yaml"))]
    if line["path"] != dataset["images"]:
        words.append(word("dataset.images", redactor.redact_path(line["path"])))
    words += [word(f"stages.{stage}.{key}", redactor.redact(value)) for stage, key, value in chosen]
    return _command([*words, *(redactor.redact(each) for each in facts.get("overrides", ()) if _SETTINGS.match(each))])


def word(key: str, value: Scalar) -> str:
    """A word of the command line, not yet quoted for the shell, that gives a key exactly this value.

    >>> print(word("recipe", "car_on_mars"), word("seed", 7), word("prompt", 'a "car", red'))
    recipe=car_on_mars seed=7 prompt="a \\"car\\", red"
    """
    return f"{key}={_text(value) if isinstance(value, str) else _plain(value)}"


def _text(text: str) -> str:
    if _BARE.fullmatch(text) and text.lower() not in _RESERVED:
        return text
    # In quotes a backslash stands for itself, unless those that it belongs to end at a quote.
    return '"{}"'.format(re.sub(r'(\\*)("|\Z)', lambda found: found[1] * 2 + ('\\"' if found[2] else ""), text))


def _plain(value: int | float | bool | None) -> str:
    return "null" if value is None else str(value).lower()


def _command(words: list[str]) -> str:
    return f"python run.py {shlex.join(words)}"


def _chosen(stages: Mapping[str, Any], line: Mapping[str, Any]) -> Iterator[tuple[str, str, Scalar]]:
    """(stage, key, this picture's value) of everything that the recipe gives as a list of variants."""
    for step in line["settings"]:
        given = stages.get(step["stage"])
        for key, value in step.items():
            if isinstance(given, Mapping) and isinstance(given.get(key), list) and not isinstance(value, list):
                yield step["stage"], key, value
