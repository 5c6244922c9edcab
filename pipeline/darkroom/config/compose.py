"""Everything that knows Hydra, besides `run.py`'s decorator: recipes as a config group, its snapshot, its errors."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from hydra._internal.utils import get_args_parser
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.errors import MissingConfigException, OverrideParseException
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from darkroom.config import recipe_file, settings
from darkroom.errors import RecipeError, suggest

GROUP = "recipe"

_sweeps: set[Path] = set()  # the folders of this process's sweeps

_OWN_OPTIONS = ("config_path", "config_name", "config_dir", "experimental_rerun")  # Hydra's, that load other things
_OWN_KEY = re.compile(r"[+~]*(hydra\b|[^=]*@)")  # Hydra's settings, or a group that is put into them
_NO_HYDRA = "Hydra's own settings stay as they are; run folders are made in outputs=DIR and get names of their own"
_SYNTAX = re.compile("(mis|extra).* input|no viable alternative|NoViableAlt|token recognition|missing .* at")


class RecipeSource(ConfigSource):
    """Serves `recipe=NAME` and `recipe=PATH` to Hydra as plain data that `recipe_file` has read and checked."""

    @staticmethod
    def scheme() -> str:
        return "recipes"

    def load_config(self, config_path: str) -> ConfigResult:
        path = _file(config_path)
        if path is None:
            raise RecipeError(_not_found(_name(config_path)))
        config = OmegaConf.create(recipe_file.read(path))
        return ConfigResult(self.provider, f"recipes://{path}", config, header={"package": "_global_"})

    def is_config(self, config_path: str) -> bool:
        return _file(config_path) is not None

    def is_group(self, config_path: str) -> bool:
        return config_path in ("", GROUP)

    def available(self) -> bool:
        return True

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        if config_path == "":
            return [] if results_filter == ObjectType.CONFIG else [GROUP]
        if config_path == GROUP and results_filter != ObjectType.GROUP:
            return _names()
        return []


class RecipeSearchPath(SearchPathPlugin):
    """Puts `RecipeSource` behind the project's own `conf/`."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        search_path.append("darkroom", "recipes://")


def register() -> None:
    """Teach this process's Hydra about recipes; call once, before `hydra.main` runs."""
    Plugins.instance().register(RecipeSource)
    Plugins.instance().register(RecipeSearchPath)
    OmegaConf.register_new_resolver("darkroom.stamp", _stamp, use_cache=True, replace=True)
    for name, resolver in (("name", _checked_name), ("run", _run_folder), ("sweep", _sweep_folder)):
        OmegaConf.register_new_resolver(f"darkroom.{name}", resolver, replace=True)


def arranged(words: Sequence[str]) -> list[str]:
    """A command line as Hydra reads it: its options first, wherever they stood, then KEY=VALUE.

    Raises:
        RecipeError: unknown options, words without a value, and what would move or rename what a run writes.
    """
    parser = get_args_parser()
    parser.error = _refuse  # type: ignore[method-assign]  # it would print a usage that is not ours
    given = parser.parse_intermixed_args(list(words))
    if given.shell_completion:
        return list(words)
    for option in _OWN_OPTIONS:
        if getattr(given, option) is not None:
            _refuse(f"leave out --{option.replace('_', '-')}, say recipe=NAME or recipe=PATH")
    for word in given.overrides:
        if _OWN_KEY.match(word):
            _refuse(f"{word}: {_NO_HYDRA}")
        if "=" not in word and not word.startswith("~"):
            _refuse(f"{word}: {_wanted(word)}")
    return [*(word for word in words if word not in ("--", *given.overrides)), "--", *given.overrides]


def _refuse(text: str) -> NoReturn:
    raise RecipeError(f"command line: {text}")


def _wanted(word: str) -> str:
    """What a word without a value may have meant."""
    if recipe_file.find(word):
        return f"did you mean {GROUP}={word}?"
    close = get_close_matches(word, _names(), n=1)
    return f"did you mean {GROUP}={close[0]}?" if close else f"KEY=VALUE is wanted, such as {GROUP}=car_on_mars"


@dataclass(frozen=True)
class Composed:
    """What Hydra made of recipe, configuration and command line.

    Attributes:
        config: all keys; paths absolute, interpolations as they were written.
        source: how error lines name the recipe file.
        overridden: dotted keys given on the command line.
        folder: where this run's results go, absolute.
        files: the composed recipe and Hydra's own snapshot, by path within the run folder.
        overrides: the command line's words.
        sweep: the sweep's folder; None where there is no sweep.
    """

    config: dict[str, Any]
    source: str
    overridden: frozenset[str]
    folder: Path
    files: Mapping[str, str]
    overrides: tuple[str, ...]
    sweep: Path | None


def composed(config: DictConfig) -> Composed:
    """Read Hydra's state inside a job. Relative paths of the command line start at the current folder."""
    hydra = HydraConfig.get()
    choice = str(hydra.runtime.choices.get(GROUP))
    path = recipe_file.find(choice)
    overrides = words()
    overridden = frozenset(re.sub(r"^[+~]+", "", word).split("=")[0] for word in overrides)
    plain = _plain(config)
    if path:
        overridden |= _renew_stages(plain.get("stages"), recipe_file.read(path).get("stages"), overridden)
    plain = recipe_file.place_stages(plain, "command line")
    recipe_file.make_paths_absolute(plain, Path.cwd())
    recipe_file.read_prompt_files(plain)
    return Composed(
        config=plain,
        source=recipe_file.label(path) if path else choice,
        overridden=overridden,
        folder=output_folder(),
        files={
            "recipe.yaml": recipe_file.dump({key: plain[key] for key in recipe_file.KEYS if key in plain}),
            ".hydra/config.yaml": recipe_file.dump(plain),
            ".hydra/hydra.yaml": OmegaConf.to_yaml(OmegaConf.create({"hydra": hydra})),
            ".hydra/overrides.yaml": recipe_file.dump(list(overrides)),
        },
        overrides=overrides,
        sweep=sweep_folder(),
    )


def _renew_stages(stages: Any, written: Any, overridden: frozenset[str]) -> frozenset[str]:
    """Let a stage whose op the command line changes keep nothing of the recipe's but its place, as with `base:`.

    Returns their dotted keys.
    """
    if not isinstance(stages, dict) or not isinstance(written, Mapping):
        return frozenset()
    renewed = set()
    for name, stage in stages.items():
        old, where = written.get(name), f"stages.{name}"
        if isinstance(stage, Mapping) and isinstance(old, Mapping) and stage.get("op") != old.get("op"):
            new = {key: value for key, value in stage.items() if _is_new(key, value, old, where, overridden)}
            stages[name] = recipe_file.with_defaults(name, new)
            renewed.add(where)
    return frozenset(renewed)


def _is_new(key: str, value: Any, old: Mapping[str, Any], stage: str, overridden: frozenset[str]) -> bool:
    return key not in old or value != old[key] or f"{stage}.{key}" in overridden


def output_folder() -> Path:
    """The folder that Hydra has made for the job at hand."""
    return Path(HydraConfig.get().runtime.output_dir)


def words() -> tuple[str, ...]:
    """The command line's words for the job at hand, each with one value, `${item.x}` as it was written."""
    return tuple(OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False))


def sweep_folder() -> Path | None:
    """The folder of the sweep that the job at hand is one of; None where it is none."""
    return output_folder().parent if HydraConfig.get().mode == RunMode.MULTIRUN else None


def tidy() -> None:
    """Remove the folder of a sweep in which nothing ran: it holds no more than Hydra's own `multirun.yaml`."""
    for folder in _sweeps:
        with suppress(OSError):
            if [path.name for path in folder.iterdir()] == ["multirun.yaml"]:
                (folder / "multirun.yaml").unlink()
                folder.rmdir()
                folder.parent.rmdir()  # only if it was made for this sweep


def explain(error: BaseException, words: list[str]) -> RecipeError:
    """An error that came before any job had begun, for people who know neither Hydra nor OmegaConf.

    Args:
        error: what came out of `hydra.main`.
        words: the command line.
    """
    ours = next((each for each in _causes(error) if isinstance(each, RecipeError)), None)
    if ours is not None:
        return ours
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        return RecipeError(_missing(error.missing_cfg_file, error.options or []))
    key = re.search(r"Could not override '([^']+)'", str(error))
    if key:
        try:
            return RecipeError(_unknown_key(key[1], words))
        except RecipeError as bad:  # a sweep's recipes are read here for the first time
            return bad
    null = next((word for word in words if word.endswith("=null") and word[:-5] in (GROUP, *settings.GROUPS)), None)
    if null:  # the only way to leave out what must be chosen that Hydra tells without its name
        return RecipeError(_which() if null == f"{GROUP}=null" else f"command line: {null}: takes a name, such as auto")
    text = str(error).split("\nSee https:")[0].splitlines() or [type(error).__name__]
    if isinstance(error, OverrideParseException) and _SYNTAX.search(text[0] + text[-1]):
        return RecipeError(f"command line: {error.override}: cannot be read: {_quoted(error.override)}")
    if several := re.match(r"Ambiguous value for argument '(.*)'$", text[0]):
        told = f"several values: add -m to make a run of each, or put [ ] around them for a list; {_quoted(several[1])}"
        return RecipeError(f"command line: {several[1]}: {told}")
    cause = f": {str(error.__cause__).splitlines()[0]}" if str(error.__cause__ or "") else ""
    return RecipeError(f"command line: {' '.join(text[:2])}{cause}")


def _quoted(word: str) -> str:
    """How to write a word whose value is a text."""
    key, _, value = word.partition("=")
    escaped = "a car, (red)" if value[:1] in ("[", "{", "'", '"') else value.replace('"', r"\"").replace("'", r"'\''")
    return f"quote twice a text that holds commas or special signs: '{key}=\"{escaped}\"'"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _missing(file: str, options: list[str]) -> str:
    if file.startswith(f"{GROUP}/"):
        return _not_found(_name(file))
    group, _, name = file.rpartition("/")
    return f"command line: {group}={name}: {suggest(name, options)}"


def _unknown_key(key: str, words: list[str]) -> str:
    recipes = _recipes(words)
    if not recipes:
        return _which()
    lost = next((name for name in recipes if recipe_file.find(name) is None and "(" not in name), None)
    if lost:
        return _not_found(lost)
    for part, valid in (_siblings(key, recipe) for recipe in recipes):
        if part not in valid:
            return f"command line: {key}: unknown key, {_within(key, recipes) or suggest(part, valid)}"
    # All have it; but Hydra sets what is not swept before it has put any of the recipes in.
    return f"command line: {key}: in a sweep over recipes, write {key}=choice(VALUE)"


def _within(key: str, recipes: Sequence[str]) -> str:
    """The end of an error line about a key whose first parts were left out; empty where it is none."""
    written = [recipe_file.read(path).get("stages") for path in map(recipe_file.find, recipes) if path]
    stages = {f"stages.{name}": stage for each in written if isinstance(each, Mapping) for name, stage in each.items()}
    sections = {name: keys for name, keys in {**stages, **settings.known_keys()}.items() if isinstance(keys, Mapping)}
    full = (f"{section}.{each}" for section, keys in sections.items() for each in keys)
    found = [each for each in full if each.endswith(f".{key}")]
    return f"did you mean {' or '.join(found)}?" if found else ""


def _recipes(words: list[str]) -> list[str]:
    """The recipes that the command line names: several in a sweep."""
    given = next((word.partition("=")[2] for word in words if word.startswith(f"{GROUP}=")), "")
    names = [name.strip().strip("'\"") for name in ([given] if given[:1] in ("'", '"') else given.split(","))]
    return [name for name in names if name not in ("", "null")]


def _siblings(key: str, recipe: str) -> tuple[str, list[str]]:
    """The first part of a dotted key that does not exist, and the names that would have been valid in its place."""
    path = recipe_file.find(recipe)
    written = recipe_file.read(path) if path else {}
    node: Any = settings.known_keys() | {"stages": written.get("stages")}
    *parents, last = key.split(".")
    for parent in parents:
        if not isinstance(node.get(parent), Mapping):
            return parent, list(node)
        node = node[parent]
    return last, list(node)


def _plain(config: DictConfig) -> dict[str, Any]:
    plain = OmegaConf.to_container(config, resolve=False)
    assert isinstance(plain, dict)
    return plain


def _name(config_path: str) -> str:
    return config_path.removeprefix(f"{GROUP}/")


def _file(config_path: str) -> Path | None:
    return recipe_file.find(_name(config_path)) if config_path.startswith(f"{GROUP}/") else None


def _not_found(name: str) -> str:
    close = suggest(name, _names())
    rest = "" if close.startswith("valid") else f" (recipes: {', '.join(_names())})"
    return f"recipe '{name}' not found, {close}{rest}; the path of a YAML file will do too"


def _names() -> list[str]:
    return [name for name, _ in recipe_file.available()]


def _which() -> str:
    return f"say which recipe, recipe=NAME, {suggest('', _names())}"


def _run_folder(stamp: str, *, _root_: DictConfig) -> str:
    return f"{_outputs(_root_)}/{stamp}_{_checked_name(_root_=_root_)}"


def _sweep_folder(stamp: str, *, _root_: DictConfig) -> str:
    folder = f"{_outputs(_root_)}/{stamp}_sweep"
    _sweeps.add(Path(folder))
    return folder


def _outputs(config: DictConfig) -> str:
    outputs = config.get("outputs")
    if isinstance(outputs, str | int) and str(outputs).strip():
        return str(recipe_file.home(str(outputs)))
    raise RecipeError("command line: outputs: the folder for run folders, such as outputs=results")


def _checked_name(*, _root_: DictConfig) -> str:
    """The recipe's name, as a part of a folder's."""
    if _root_.hydra.runtime.choices.get(GROUP) in (None, "null"):
        raise RecipeError(_which())
    name = str(_root_.get("name") or "")
    if not recipe_file.is_name(name):
        raise RecipeError(f"command line: name: {recipe_file.NAME_FORM}")
    return name


def _stamp() -> str:
    """Local time to the millisecond: names a run folder."""
    return datetime.now().strftime("%Y-%m-%d_%H-%M-%S-%f")[:-3]
