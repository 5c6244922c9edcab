"""The one place that reads recipe text: finds it, refuses what is not plain data, inherits, fills in defaults.

A recipe comes from strangers. It is data: no YAML tags, anchors or duplicate keys, no `_target_`, no Hydra keys, no
interpolation but `${item.COLUMN}`. What this module returns is a plain mapping that shows every parameter of every
stage; `recipe.py` checks it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import yaml
from pydantic_core import PydanticUndefined

from darkroom.errors import RecipeError, suggest
from darkroom.resources import RECIPES, ROOT
from darkroom.stages import STAGES
from darkroom.system.files import Folder

KEYS = ("name", "dataset", "stages", "on_empty")
MISSING = "???"  # how OmegaConf writes "required, not given"; shows in `--cfg job`
SECTIONS = {"dataset": "such as {images: photos/}", "stages": "each stage on a line with a colon, such as `invert:`"}
PATHS = (("dataset", "images"), ("dataset", "manifest"))
STAGE_PATHS = ("folder", "prompts_file")  # of every stage

NAME_FORM = "1 to 80 letters, digits, - or _, of at most 120 bytes in UTF-8"  # of a recipe and of a stage
MAX_STAGES = 100

_SIDES = ("before", "after")  # of another stage: where a recipe with a base puts one of its own
_NO_BASE = "goes with a `base:`; without one, stages run in the order in which they stand"
_NAME = re.compile(r"[\w-]{1,80}")
_NAME_BYTES = 120  # both become parts of file names, of which file systems take 255
_MAX_BYTES = 1_000_000
_MAX_BASES = 10
_MAX_DEPTH = 20  # of lists and mappings in one another; recipes need five
_MAX_NODES = 12_000  # keys and values; a list of 10,000 prompts fits
_MAX_KEYS = 100  # of a mapping
_MAX_KEY = 80  # letters
_MAX_DIGITS = 308  # of a number: 1.8e308 is the largest that a float can hold
_INTERPOLATION = re.compile(r"\$\{([^}]*)\}?")
_ITEM = re.compile(r"item\.\w+")


class _Place(NamedTuple):
    """Where a stage wants to stand: on which side of which other one."""

    side: str
    other: str


def available() -> list[tuple[str, str]]:
    """(name, first comment line) of every recipe in `recipes/`, by name."""
    found = sorted(RECIPES.rglob("*.yaml"))
    return [(path.relative_to(RECIPES).with_suffix("").as_posix(), _first_comment(path)) for path in found]


def find(name: str, beside: Path | None = None) -> Path | None:
    """The file of a recipe given by its name in `recipes/`, or by a path, relative to `beside` or the current folder.

    Returns None where there is none.
    """
    path = home(name)
    candidates = [RECIPES / f"{name}.yaml", (beside or Path.cwd()) / path, (beside or Path.cwd()) / f"{name}.yaml"]
    if path.is_absolute():
        candidates = [path, Path(f"{path}.yaml")]
    return next((candidate.resolve() for candidate in candidates if _is_file(candidate)), None)


def home(text: str) -> Path:
    """A path with `~` put in; where there is no such user, as it is written."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)


def read(path: Path) -> dict[str, Any]:
    """Read a recipe file with all that it inherits; every parameter present; paths absolute.

    Relative paths in a recipe start at its own folder; in those of `recipes/`, at the project's.

    Raises:
        RecipeError: not YAML, not plain data, an unknown base, or bases that go round in a circle.
    """
    config = _inherit(path, ())
    config.pop("base", None)
    if config.get("name") is None:
        stem = re.sub(r"[^\w-]+", "_", path.stem)[:80]
        config["name"] = stem.encode()[:_NAME_BYTES].decode(errors="ignore")
    if not is_name(str(config["name"])):  # here, since Hydra makes the run folder before the recipe is checked
        raise RecipeError(f"{label(path)}: name: {NAME_FORM}")
    if problems := list(find_malformed(config)):  # bases may have come together to what none of them is
        raise RecipeError([f"{label(path)}: {key}: {text}" for key, text in problems])
    if isinstance(config.get("stages"), Mapping):
        config["stages"] = {name: with_defaults(name, given) for name, given in config["stages"].items()}
    return config


def is_name(text: str) -> bool:
    """Whether a recipe or a stage can be called so: see `NAME_FORM`."""
    return _NAME.fullmatch(text) is not None and len(text.encode(errors="replace")) <= _NAME_BYTES


def dump(content: Any) -> str:
    """Plain data as YAML that `read` understands as it was meant, and readers of YAML 1.1 too."""
    return yaml.dump(content, Dumper=_PlainDumper, allow_unicode=True, sort_keys=False, default_flow_style=False)


def with_defaults(name: str, given: Any) -> Any:
    """A stage as written, with the default of every parameter that its op has and the recipe leaves out.

    `name:` alone (null) means that op with its defaults; what is no mapping or names no op is returned as it is.
    """
    if given is None and name in STAGES:
        given = {}
    if not isinstance(given, Mapping):
        return given
    defaults = {key: _plain_default(field) for key, field in _fields(name, given).items()}
    return {"op": given.get("op", name), **defaults, **{key: value for key, value in given.items() if key != "op"}}


def read_prompt_files(config: Mapping[str, Any]) -> None:
    """Put the prompts in for every `prompts_file` of a composed recipe, so that its snapshot needs no other file.

    A prompts file, NAME.txt, is UTF-8 text with a prompt in each line; blank lines and those that begin with # are
    left out.

    Args:
        config: paths are absolute; `prompt` becomes the list of prompts, and `prompts_file` null.

    Raises:
        RecipeError: with every file that cannot be read, is no such text or holds no prompt, or that is given
            beside a `prompt`.
    """
    stages = config.get("stages")
    problems: list[str] = []
    for name, stage in stages.items() if isinstance(stages, Mapping) else ():
        if _names_prompts_file(name, stage):
            try:
                stage |= {"prompt": _prompts(name, stage), "prompts_file": None}
            except RecipeError as error:
                problems += [f"stages.{name}.prompts_file: {text}" for text in error.problems]
    if problems:
        raise RecipeError(problems)


def _names_prompts_file(name: str, stage: Any) -> bool:
    given = isinstance(stage, dict) and stage.get("prompts_file") is not None
    return given and "prompts_file" in _fields(name, stage)  # else it is an unknown key, for the check to tell


def _prompts(name: str, stage: Mapping[str, Any]) -> list[str]:
    """What stands in a stage's prompts file; the problems that it raises leave out the key."""
    given = stage["prompts_file"]
    if stage.get("prompt") not in (None, MISSING):
        raise RecipeError(f"`prompt` is given too; set one of them to null, as in stages.{name}.prompt=null")
    if not isinstance(given, str) or not given:
        raise RecipeError(f"the path of a text file with a prompt in each line; got {given!r:.60}")
    if "${" in given:
        raise RecipeError(f"{given}: one file serves all photos; ${{...}} has no place in its path")
    return _prompt_lines(Path(given))


def _confine_prompts_files(config: Mapping[str, Any], start: Path, source: str) -> None:
    """Refuse prompts files that a recipe names outside its own folder, or behind a link.

    Their lines end up in the metadata of pictures: a stranger's recipe must not carry private texts into them.
    """
    stages, problems = config.get("stages"), []
    for name, stage in stages.items() if isinstance(stages, Mapping) else ():
        given = stage.get("prompts_file") if isinstance(stage, Mapping) else None
        if isinstance(given, str) and given:
            try:
                Folder(start).open(home(given).as_posix()).close()
            except FileNotFoundError:
                continue  # it is looked for again, at the same place, when its prompts are read
            except OSError as error:
                text = "a recipe may name one in its own folder; give any other on the command line"
                problems.append(f"{source}: stages.{name}.prompts_file: {given}: {error.strerror}; {text}")
    if problems:
        raise RecipeError(problems)


def _prompt_lines(path: Path) -> list[str]:
    if path.suffix.lower() != ".txt":
        raise RecipeError(f"{label(path)}: the name of a file of prompts ends in .txt")
    if not _is_file(path):
        raise RecipeError(f"{label(path)}: no such file")
    lines = [line.strip() for line in re.split(r"\r\n?|\n", _text(path))]
    prompts = {number: line for number, line in enumerate(lines, 1) if line and not line.startswith("#")}
    number = next((number for number, line in prompts.items() if "${" in line), None)
    if number:
        raise RecipeError(f"{label(path)}: line {number}: ${{...}} is not supported in a file of prompts")
    if not prompts:
        raise RecipeError(f"{label(path)}: holds no prompt; it takes one in each line")
    return list(prompts.values())


def label(path: Path) -> str:
    """How error lines name a recipe file: relative to the project or the current folder where it lies below."""
    for start in (ROOT, Path.cwd()):
        if path.is_relative_to(start):
            return path.relative_to(start).as_posix()
    return str(path)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # such as a name of more than 255 letters
        return False


def _fields(name: str, stage: Mapping[str, Any]) -> Mapping[str, Any]:
    """The parameters of a stage's op; none where there is no such op."""
    op = stage.get("op", name)
    return getattr(STAGES.get(op), "__pydantic_fields__", {}) if isinstance(op, str) else {}


def _plain_default(field: Any) -> Any:
    default = field.get_default(call_default_factory=True)
    if default is PydanticUndefined:
        return MISSING
    return list(default) if isinstance(default, tuple) else default


def _inherit(path: Path, children: tuple[Path, ...]) -> dict[str, Any]:
    if path in children:
        circle = " -> ".join(label(each) for each in (*children, path))
        raise RecipeError(f"{label(children[0])}: base: these recipes inherit from each other: {circle}")
    if len(children) > _MAX_BASES:
        raise RecipeError(f"{label(children[0])}: base: more than {_MAX_BASES} recipes stand behind this one")
    config = _load(path)
    _check_form(config, label(path))
    start = ROOT if path.is_relative_to(RECIPES) else path.parent
    _confine_prompts_files(config, start, label(path))
    make_paths_absolute(config, start)
    where = label(path)
    places = _take_places(config, where)
    if "base" not in config:
        if places:
            raise RecipeError([f"{where}: stages.{name}.{each.side}: {_NO_BASE}" for name, each in places.items()])
        return config
    base = find(str(config["base"]), beside=path.parent)
    if base is None:
        names = [name for name, _ in available()]
        raise RecipeError(f"{label(path)}: base: no recipe '{config['base']}', {suggest(str(config['base']), names)}")
    return _placed(_merge(_inherit(base, (*children, path)), config), places, where)


def _merge(base: dict[str, Any], child: Mapping[str, Any]) -> dict[str, Any]:
    """Child over base, key by key; a stage whose op changes is the child's alone."""
    merged = dict(base)
    for key, value in child.items():
        old = merged.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        same_op = both and value.get("op") in (None, old.get("op", key))
        merged[key] = _merge(dict(old), value) if same_op else value
    return merged


def place_stages(config: dict[str, Any], source: str) -> dict[str, Any]:
    """A recipe with its stages moved to where their keys `after` and `before` say; the keys are removed.

    Args:
        config: its stages are changed in place.
        source: names the recipe in error lines.

    Raises:
        RecipeError: with every place that is not there, or given twice, or goes round in a circle.
    """
    return _placed(config, _take_places(config, source), source)


def _take_places(config: Mapping[str, Any], source: str) -> dict[str, _Place]:
    """Where stages want to stand, by their names; the keys are taken out of the stages."""
    stages = config.get("stages")
    places, problems = {}, []
    for name, stage in stages.items() if isinstance(stages, Mapping) else ():
        given = {side: stage.pop(side) for side in _SIDES if side in stage} if isinstance(stage, dict) else {}
        if len(given) > 1:
            problems.append(f"{source}: stages.{name}: `after` and `before` are both given; one says where it stands")
        for side, other in given.items():
            places[name] = _Place(side, other)
            if other == name or not isinstance(other, str):
                problems.append(f"{source}: stages.{name}.{side}: the name of another stage; got {other!r:.60}")
    if problems:
        raise RecipeError(problems)
    return places


def _placed(config: dict[str, Any], places: Mapping[str, _Place], source: str) -> dict[str, Any]:
    """The same with the stages in their places; of several at one place the order stays."""
    if not places:
        return config
    stages = config["stages"]
    problems = [
        f"{source}: stages.{name}.{each.side}: no stage is called '{each.other}', "
        + suggest(each.other, [other for other in stages if other != name])
        for name, each in places.items()
        if each.other not in stages
    ]
    if problems:
        raise RecipeError(problems)
    order = _in_order([name for name in stages if name not in places], places)
    placed = set(order)
    if lost := [name for name in places if name not in placed]:
        circle = ", ".join(f"{name} {places[name].side} {places[name].other}" for name in lost)
        raise RecipeError(f"{source}: stages: these wait for each other's place: {circle}")
    return config | {"stages": {name: stages[name] for name in order}}


def _in_order(settled: Sequence[str], places: Mapping[str, _Place]) -> list[str]:
    """The settled names, each with those around it that want to stand there, and those around these."""
    beside: dict[tuple[str, str], list[str]] = {}
    for name, place in places.items():
        beside.setdefault(place, []).append(name)
    order, waiting = [], [(name, False) for name in reversed(settled)]
    while waiting:
        name, alone = waiting.pop()
        if alone:
            order.append(name)
        else:
            before, after = ([(each, False) for each in beside.get((side, name), ())] for side in _SIDES)
            waiting += reversed([*before, (name, True), *after])
    return order


def make_paths_absolute(config: dict[str, Any], start: Path) -> None:
    """Let every relative path in a recipe start at a folder; `${item.COLUMN}` is left as it is."""

    def absolute(value: Any) -> Any:
        if isinstance(value, list):
            return [absolute(each) for each in value]
        plain = isinstance(value, str) and value and not value.startswith("${")
        return str(start / home(value)) if plain else value

    for mapping, key in _path_places(config):
        mapping[key] = absolute(mapping[key])


def _path_places(config: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """(mapping, key) of every path in a recipe that is present and not null."""
    stages = config.get("stages")
    stages = stages.values() if isinstance(stages, Mapping) else ()
    holders = [(config.get(section), key) for section, key in PATHS] + list(product(stages, STAGE_PATHS))
    for holder, key in holders:
        if isinstance(holder, dict) and holder.get(key) not in (None, MISSING):
            yield holder, key


def _load(path: Path) -> dict[str, Any]:
    config, problem = _parsed(_text(path))
    if problem:
        raise RecipeError(f"{label(path)}: {problem}")
    if not isinstance(config, dict):
        raise RecipeError(f"{label(path)}: a recipe is a mapping with the keys {', '.join(KEYS)}")
    return deepcopy(config)


@lru_cache(maxsize=20)  # a command line asks for its recipe several times
def _parsed(text: str) -> tuple[Any, str]:
    """What a YAML text says, or why it is not read."""
    try:
        return yaml.load(text, Loader=_PlainLoader), ""
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        return None, line + (getattr(error, "problem", None) or str(error).splitlines()[0])


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
        if len(raw) > _MAX_BYTES:
            raise RecipeError(f"{label(path)}: larger than {_MAX_BYTES} bytes")
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecipeError(f"{label(path)}: not UTF-8 text ({error.reason} at byte {error.start})") from None
    except OSError as error:
        raise RecipeError(f"{label(path)}: cannot be read: {error.strerror}") from None


def _check_form(config: Mapping[str, Any], source: str) -> None:
    problems = list(find_malformed(config))
    allowed = (*KEYS, "base")
    for key in config:
        if isinstance(key, str) and key not in allowed and not _is_code(key):
            problems.append((key, f"unknown key, {suggest(key, allowed)}"))
    if problems:
        raise RecipeError([f"{source}: {key}: {text}" for key, text in problems])


def find_malformed(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(key, what is wrong) of everything in a recipe that is more than data, or data of another form."""
    for section in SECTIONS:
        if not isinstance(config.get(section), Mapping | None):
            yield section, f"a mapping, {SECTIONS[section]}; got {config[section]!r:.60}"
    if isinstance(stages := config.get("stages"), Mapping) and len(stages) > MAX_STAGES:
        yield "stages", f"{len(stages)} stages; a recipe has {MAX_STAGES} at most"
        return
    yield from _find_code(config, "")


def _find_code(node: Any, where: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            inner = f"{where}.{key}" if where else str(key)
            if not isinstance(key, str):
                yield inner, f"a key is a text; put it in quotes: '{key}'"
            elif _is_code(key):
                yield inner, "recipes are data: this key is refused"
            else:
                yield from _find_code(value, inner)
    elif isinstance(node, list | tuple):
        for index, value in enumerate(node):
            yield from _find_code(value, f"{where}[{index}]")
    else:
        yield from ((where, text) for text in _scalar_problems(node))


def _scalar_problems(value: Any) -> Iterator[str]:
    if not isinstance(value, str | int | float | bool | None):
        yield f"text, number, true, false or null; put a {type(value).__name__} in quotes: '{value}'"
    elif isinstance(value, str):
        if "\0" in value:  # no file name holds one, and the system calls raise
            yield "holds a null character"
        wrong = (inside for inside in _INTERPOLATION.findall(value) if not _ITEM.fullmatch(inside))
        if (inside := next(wrong, None)) is not None:
            yield f"'${{{inside:.60}}}' is refused: a recipe may only use ${{item.COLUMN}} of its manifest"


def _is_code(key: str) -> bool:
    return key in ("hydra", "defaults") or (key.startswith("_") and key.endswith("_"))


def _first_comment(path: Path) -> str:
    with path.open(encoding="utf-8", errors="replace") as lines:
        first = lines.readline()
    return first.lstrip("#").strip() if first.startswith("#") else ""


class _PlainLoader(yaml.SafeLoader):
    """YAML 1.2, core schema, without what a recipe has no use for: tags, anchors (a few bytes can unfold to gigabytes),
    repeated keys, keys that are no short scalars, and size or depth without end.
    """

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}  # below; none of YAML 1.1

    depth = nodes = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        self.nodes += 1
        self.refuse(isinstance(event, yaml.AliasEvent), event, "YAML anchors are refused: use `base:` to share")
        self.refuse(getattr(event, "tag", None) is not None, event, "YAML tags are refused: recipes are data")
        self.refuse(self.depth > _MAX_DEPTH, event, f"nested more than {_MAX_DEPTH} deep")
        self.refuse(self.nodes > _MAX_NODES, event, f"more than {_MAX_NODES} keys and values")
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def compose_mapping_node(self, anchor: Any) -> Any:
        """As in PyYAML, but a key is looked at before the next one is read."""
        start = self.get_event()
        node = yaml.MappingNode("tag:yaml.org,2002:map", [], start.start_mark, flow_style=start.flow_style)
        seen: set[str] = set()
        while not self.check_event(yaml.MappingEndEvent):
            key = self.compose_node(node, None)
            self._check_key(key, seen)
            seen.add(key.value)
            node.value.append((key, self.compose_node(node, key)))
        node.end_mark = self.get_event().end_mark
        return node

    def _check_key(self, key: Any, seen: set[str]) -> None:
        self.refuse(not isinstance(key, yaml.ScalarNode), key, "a key is a text")
        self.refuse(len(key.value) > _MAX_KEY, key, f"a key has {_MAX_KEY} letters at most: {key.value[:30]}...")
        self.refuse("\n" in key.value, key, f"a key stands on one line: {key.value}")
        self.refuse(key.value in seen, key, f"'{key.value}' stands twice")
        self.refuse(len(seen) == _MAX_KEYS, key, f"more than {_MAX_KEYS} keys in one mapping")

    def refuse(self, wrong: bool, place: Any, reason: str) -> None:
        """Raise an error that names the line of a node or an event, if something is wrong."""
        if wrong:
            raise yaml.MarkedYAMLError(problem=reason, problem_mark=place.start_mark)


def _integer(loader: _PlainLoader, node: Any) -> int:
    text = node.value
    loader.refuse(len(text) > _MAX_DIGITS, node, f"a number has {_MAX_DIGITS} digits at most")
    octal = len(text.lstrip("+-")) > 1 and text.lstrip("+-").startswith("0") and text.lstrip("+-").isdecimal()
    right = f"write {int(text) if octal else 0}, or '{text}' for a text"
    loader.refuse(octal, node, f"{text}: a number does not begin with 0: {right}")
    return int(text, 0)


def _float(loader: _PlainLoader, node: Any) -> float:
    number = math.inf if node.value[-1].isalpha() else float(node.value)  # .inf and .nan
    loader.refuse(math.isinf(number), node, f"{node.value[:20]}: a number is finite, and at most 1.8e308")
    return number


class _PlainDumper(yaml.SafeDumper):
    """Puts into quotes what either version of YAML would take for more than text."""


_SCALARS = {  # YAML 1.2.2, section 10.3.2; to each the signs that it can begin with
    "null": (r"~|null|Null|NULL|", [*"~nN", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
}
for _kind, (_form, _first) in _SCALARS.items():
    for _class in (_PlainLoader, _PlainDumper):
        _class.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(rf"(?:{_form})\Z"), list(_first))
_PlainLoader.add_constructor("tag:yaml.org,2002:int", _integer)
_PlainLoader.add_constructor("tag:yaml.org,2002:float", _float)
