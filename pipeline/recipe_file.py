"""The one place that reads recipe text: finds it, refuses what is not plain data, inherits, fills in defaults.

A recipe comes from strangers. It is data: no YAML tags, anchors or duplicate keys, no `_target_`, no Hydra keys, no
interpolation but `${item.COLUMN}`. What this module returns is a plain mapping that shows every parameter of every
stage; `recipe.py` checks it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic_core import PydanticUndefined

from pipeline.errors import RecipeError, nearest
from pipeline.stages import STAGES

ROOT = Path(__file__).resolve().parent.parent
RECIPES = ROOT / "recipes"
KEYS = ("name", "dataset", "stages", "on_empty")
MISSING = "???"  # how OmegaConf writes "required, not given"; shows in `--cfg job`
PATHS = (("dataset", "images"), ("dataset", "manifest"))  # and `folder` of every stage

NAME = re.compile(r"[\w-]{1,80}")  # of a recipe and of a stage: both become parts of file names

_MAX_BYTES = 1_000_000
_MAX_BASES = 10
_INTERPOLATION = re.compile(r"\$\{([^}]*)\}?")
_ITEM = re.compile(r"item\.\w+")


def available() -> list[tuple[str, str]]:
    """(name, first comment line) of every recipe in `recipes/`, by name."""
    found = sorted(RECIPES.rglob("*.yaml"))
    return [(path.relative_to(RECIPES).with_suffix("").as_posix(), _first_comment(path)) for path in found]


def find(name: str, beside: Path | None = None) -> Path | None:
    """The file of a recipe given by its name in `recipes/`, or by a path, relative to `beside` or the current folder.

    Returns None where there is none.
    """
    path = Path(name).expanduser()
    candidates = [RECIPES / f"{name}.yaml", (beside or Path.cwd()) / path, (beside or Path.cwd()) / f"{name}.yaml"]
    if path.is_absolute():
        candidates = [path, Path(f"{path}.yaml")]
    return next((candidate.resolve() for candidate in candidates if candidate.is_file()), None)


def read(path: Path) -> dict[str, Any]:
    """Read a recipe file with all that it inherits; every parameter present; paths absolute.

    Relative paths in a recipe start at its own folder; in those of `recipes/`, at the project's.

    Raises:
        RecipeError: not YAML, not plain data, an unknown base, or bases that go round in a circle.
    """
    config = _inherit(path, ())
    config.pop("base", None)
    config.setdefault("name", re.sub(r"[^\w-]+", "_", path.stem)[:80])
    if not NAME.fullmatch(str(config["name"])):  # here, since Hydra makes the run folder before the recipe is checked
        raise RecipeError(f"{label(path)}: name: 1 to 80 letters, digits, - or _")
    if isinstance(config.get("stages"), Mapping):
        config["stages"] = {name: with_defaults(name, given) for name, given in config["stages"].items()}
    return config


def with_defaults(name: str, given: Any) -> Any:
    """A stage as written, with the default of every parameter that its op has and the recipe leaves out.

    `name:` alone (null) means that op with its defaults; what is no mapping or names no op is returned as it is.
    """
    if given is None and name in STAGES:
        given = {}
    if not isinstance(given, Mapping):
        return given
    op = given.get("op", name)
    fields = getattr(STAGES.get(op), "__pydantic_fields__", {}) if isinstance(op, str) else {}
    defaults = {key: _plain_default(field) for key, field in fields.items()}
    return {"op": op, **defaults, **{key: value for key, value in given.items() if key != "op"}}


def label(path: Path) -> str:
    """How error lines name a recipe file: relative to the project or the current folder where it lies below."""
    for start in (ROOT, Path.cwd()):
        if path.is_relative_to(start):
            return path.relative_to(start).as_posix()
    return str(path)


def _plain_default(field: Any) -> Any:
    default = field.get_default(call_default_factory=True)
    if default is PydanticUndefined:
        return MISSING
    return list(default) if isinstance(default, tuple) else default


def _inherit(path: Path, children: tuple[Path, ...]) -> dict[str, Any]:
    if path in children or len(children) > _MAX_BASES:
        circle = " -> ".join(label(each) for each in (*children, path))
        raise RecipeError(f"{label(children[0])}: base: these recipes inherit from each other: {circle}")
    config = _load(path)
    _refuse_code(config, label(path))
    make_paths_absolute(config, ROOT if path.is_relative_to(RECIPES) else path.parent)
    if "base" not in config:
        return config
    base = find(str(config["base"]), beside=path.parent)
    if base is None:
        names = [name for name, _ in available()]
        raise RecipeError(f"{label(path)}: base: no recipe '{config['base']}', {nearest(str(config['base']), names)}")
    return _merge(_inherit(base, (*children, path)), config)


def _merge(base: dict[str, Any], child: Mapping[str, Any]) -> dict[str, Any]:
    """Child over base, key by key; a stage whose op changes is the child's alone."""
    merged = dict(base)
    for key, value in child.items():
        old = merged.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        same_op = both and value.get("op") in (None, old.get("op", key))
        merged[key] = _merge(dict(old), value) if same_op else value
    return merged


def make_paths_absolute(config: dict[str, Any], start: Path) -> None:
    """Let every relative path in a recipe start at a folder; `${item.COLUMN}` is left as it is."""

    def absolute(value: Any) -> Any:
        if isinstance(value, list):
            return [absolute(each) for each in value]
        plain = isinstance(value, str) and not value.startswith("${")
        return str(start / Path(value).expanduser()) if plain else value

    for mapping, key in _path_places(config):
        mapping[key] = absolute(mapping[key])


def _path_places(config: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """(mapping, key) of every path in a recipe that is present and not null."""
    stages = config.get("stages")
    stages = stages.values() if isinstance(stages, Mapping) else ()
    holders = [(config.get(section), key) for section, key in PATHS] + [(stage, "folder") for stage in stages]
    for holder, key in holders:
        if isinstance(holder, dict) and holder.get(key) not in (None, MISSING):
            yield holder, key


def _load(path: Path) -> dict[str, Any]:
    try:
        raw = path.read_bytes()
        if len(raw) > _MAX_BYTES:
            raise RecipeError(f"{label(path)}: larger than {_MAX_BYTES} bytes: not a recipe")
        config = yaml.load(raw.decode("utf-8-sig"), Loader=_PlainLoader)
    except UnicodeDecodeError as error:
        raise RecipeError(f"{label(path)}: not UTF-8 text ({error.reason} at byte {error.start})") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        raise RecipeError(f"{label(path)}: {line}{getattr(error, 'problem', None) or error}") from None
    except OSError as error:
        raise RecipeError(f"{label(path)}: cannot be read: {error.strerror}") from None
    if not isinstance(config, dict):
        raise RecipeError(f"{label(path)}: a recipe is a mapping with the keys {', '.join(KEYS)}")
    return config


def _refuse_code(config: Mapping[str, Any], source: str) -> None:
    problems = [f"{source}: {key}: {text}" for key, text in find_code(config)]
    allowed = (*KEYS, "base")
    unknown = [key for key in config if key not in allowed and not _is_code(str(key))]
    problems += [f"{source}: {key}: unknown key, {nearest(str(key), allowed)}" for key in unknown]
    if problems:
        raise RecipeError(problems)


def find_code(node: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """(key, what is wrong) of everything below `node` that is more than data."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            inner = f"{where}.{key}" if where else str(key)
            if _is_code(str(key)):
                yield inner, "recipes are data: this key is refused"
            else:
                yield from find_code(value, inner)
    elif isinstance(node, list | tuple):
        for index, value in enumerate(node):
            yield from find_code(value, f"{where}[{index}]")
    elif isinstance(node, str):
        for inside in _INTERPOLATION.findall(node):
            if not _ITEM.fullmatch(inside):
                yield where, f"'${{{inside}}}' is refused: a recipe may only use ${{item.COLUMN}} of its manifest"


def _is_code(key: str) -> bool:
    return key in ("hydra", "defaults") or (key.startswith("_") and key.endswith("_"))


def _first_comment(path: Path) -> str:
    with path.open(encoding="utf-8", errors="replace") as lines:
        first = lines.readline()
    return first.lstrip("#").strip() if first.startswith("#") else ""


class _PlainLoader(yaml.SafeLoader):
    """YAML without what a recipe has no use for: anchors (a few bytes can unfold to gigabytes) and repeated keys."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.composer.ComposerError(None, None, "YAML anchors are refused: use `base:` to share", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"'{key.value}' stands twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)
