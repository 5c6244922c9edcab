"""The shell commands that make one picture of a run again, quoted for Hydra's grammar and for the shell."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from darkroom.config.speed import GROUP, brings_preset
from darkroom.report.redaction import Redactor
from darkroom.resources import CHECKOUT, COMMAND

Scalar = str | int | float | bool | None

_BARE = re.compile(r"([A-Za-z/_]|\d[\w-]*/)[\w./+@%-]*", re.ASCII)  # a text that Hydra takes without quotes ...
_RESERVED = ("true", "false", "null", "inf", "nan")  # ... except these
_KEY = re.compile(r"[A-Za-z_][\w-]*", re.ASCII)  # a part of a key that Hydra can address
_SETTINGS = re.compile(r"[+~]*(models|memory|device|until|results)\b")
_PAINTER = re.compile(r"[+~]*models=")


def reproduce_command(run: PurePath, result: str) -> str:
    """The `reproduce=` command for a result.

    Args:
        run: the run folder, already redacted.
        result: the result's path in it.
    """
    return _command([f"reproduce={run / result}"])  # Hydra never sees this word, so the path needs no quotes


def run_command(run: PurePath, facts: Mapping[str, Any], line: Mapping[str, Any], redactor: Redactor) -> str | None:
    """The command of an ordinary run that makes one picture: the run's recipe with one photo, prompt and seed.

    It repeats what the run's command line set for models, memory, device, `until` and `results`.

    Args:
        run: the run folder, already redacted.
        facts: its `run.json`.
        line: the picture's line of the journal.
        redactor: makes paths safe to send away.

    Returns:
        None if no command line can do it: the photos come from a manifest, a stage reads files named after photos, or
        a stage with variants has a name that Hydra's grammar cannot address.
    """
    config = facts.get("config") or {}
    dataset = config.get("dataset") or {}
    if not dataset.get("images") or dataset.get("manifest") or line.get("inputs"):
        return None
    variants = list(_variant_values(config.get("stages") or {}, line))
    if not all(_KEY.fullmatch(stage) for stage, _, _ in variants):
        return None
    words = [word("recipe", str(run / "recipe.yaml"))]
    if line["path"] != dataset["images"]:
        words.append(word("dataset.images", redactor.redact_path(line["path"])))
        words += [f"dataset.{key}=null" for key in ("only", "exclude") if dataset.get(key)]
    words += [word(f"stages.{stage}.{key}", redactor.redact(value)) for stage, key, value in variants]
    return _command([*words, *map(redactor.redact, settings_in(facts))])


def recipe_command(settings: Sequence[str], **words: str) -> str:
    """The command of an ordinary run in the current folder.

    Args:
        settings: overrides that say how it runs, such as `models=miniature`.
        words: the values of other overrides by key, such as `recipe`.
    """
    command = COMMAND
    if CHECKOUT and not Path("run.py").is_file():
        command = f"python {shlex.quote(str(CHECKOUT / 'run.py'))}"
    return f"{command} {shlex.join([*(word(key, value) for key, value in words.items()), *settings])}"


def settings_in(facts: Mapping[str, Any]) -> list[str]:
    """The overrides that say how a run is made, and not what: of models, memory, device, `until` and `results`.

    The run's recipe holds the values of its preset already, but not where its LoRA is.

    Args:
        facts: its `run.json`.
    """
    found = [text for text in facts.get("overrides", ()) if _SETTINGS.match(text)]
    painters = [text.partition("=")[2] for text in found if _PAINTER.match(text)]
    loras = ((facts.get("config") or {}).get("models") or {}).get("loras") or {}
    unnamed = (name for name in loras if not any(name in text for text in found if "loras" in text))
    places = [word(f"models.loras.{name}", loras[name]) for name in unnamed]
    return [*found, *places, *([f"{GROUP}=none"] if brings_preset(painters) else [])]


def word(key: str, value: Scalar) -> str:
    """A word of the command line that sets a key to exactly this value; not yet quoted for the shell.

    >>> print(word("recipe", "car_on_mars"), word("seed", 7), word("prompt", 'a "car", red'))
    recipe=car_on_mars seed=7 prompt="a \\"car\\", red"
    """
    return f"{key}={_quoted(value) if isinstance(value, str) else _plain(value)}"


def _quoted(text: str) -> str:
    if _BARE.fullmatch(text) and text.lower() not in _RESERVED:
        return text
    # Inside quotes Hydra reads a backslash as itself, except in a row of backslashes that ends at a quote.
    return '"{}"'.format(re.sub(r'(\\*)("|\Z)', lambda found: found[1] * 2 + ('\\"' if found[2] else ""), text))


def _plain(value: int | float | bool | None) -> str:
    return "null" if value is None else str(value).lower()


def _command(words: list[str]) -> str:
    return f"{COMMAND} {shlex.join(words)}"


def _variant_values(stages: Mapping[str, Any], line: Mapping[str, Any]) -> Iterator[tuple[str, str, Scalar]]:
    """(stage, key, value in this picture) of every parameter that the recipe does not give by this value alone.

    It gives a list, a rule, wildcards or a column, or the value goes along with another one. A list is no variant.
    """
    for step in line["settings"]:
        given = stages.get(step["stage"])
        given = given if isinstance(given, Mapping) else {}
        for key, value in step.items():
            if key in given and given[key] != value and not isinstance(value, list | dict):
                yield step["stage"], key, value
