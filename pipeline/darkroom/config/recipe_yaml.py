"""The YAML that recipes are written in: a strict loader, and a dumper for what it reads.

Recipes come from strangers, so only plain data is read: YAML 1.2, core schema, without tags, anchors or repeated keys,
and limited in size and depth.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import Any, ClassVar

import yaml

_MAX_DEPTH = 20  # of nested lists and mappings; recipes need five
_MAX_NODES = 12_000  # keys and values; a list of 10,000 prompts fits
_MAX_KEYS = 100  # of a mapping
_MAX_KEY = 80  # characters
_MAX_DIGITS = 308  # of a number: 1.8e308 is the largest that a float can hold


@lru_cache(maxsize=20)  # one command line reads its recipe several times
def load(text: str) -> tuple[Any, str]:
    """The content of a YAML text, and an empty text; or None, and one line on why it is refused.

    The content is shared between calls: copy it before changing it.
    """
    try:
        return yaml.load(text, Loader=PlainLoader), ""
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        return None, line + (getattr(error, "problem", None) or str(error).splitlines()[0])


def dump(content: Any) -> str:
    """Plain data as YAML. `load` and readers of YAML 1.1 both read it back unchanged."""
    return str(yaml.dump(content, Dumper=PlainDumper, allow_unicode=True, sort_keys=False, default_flow_style=False))


class PlainLoader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML ships no types
    """YAML 1.2, core schema. Refuses what recipes do not need: tags, anchors (a few bytes can expand to gigabytes),
    repeated keys, keys that are not short scalars, unlimited size and depth.
    """

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}  # filled in below, without those of YAML 1.1

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
        """As in PyYAML, but each key is checked before the next one is read."""
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
        self.refuse(not isinstance(key, yaml.ScalarNode), key, "a key must be text")
        self.refuse(len(key.value) > _MAX_KEY, key, f"a key has at most {_MAX_KEY} characters: {key.value[:30]}...")
        self.refuse("\n" in key.value, key, f"a key must be on one line: {key.value}")
        self.refuse(key.value in seen, key, f"'{key.value}' is given twice")
        self.refuse(len(seen) == _MAX_KEYS, key, f"more than {_MAX_KEYS} keys in one mapping")

    def refuse(self, wrong: bool, place: Any, reason: str) -> None:
        """Raise an error with the line of a node or an event if `wrong`."""
        if wrong:
            raise yaml.MarkedYAMLError(problem=reason, problem_mark=place.start_mark)


def _integer(loader: PlainLoader, node: Any) -> int:
    text = node.value
    loader.refuse(len(text) > _MAX_DIGITS, node, f"a number has at most {_MAX_DIGITS} digits")
    octal = len(text.lstrip("+-")) > 1 and text.lstrip("+-").startswith("0") and text.lstrip("+-").isdecimal()
    right = f"write {int(text) if octal else 0}, or '{text}' for a text"
    loader.refuse(octal, node, f"{text}: a number must not begin with 0: {right}")
    return int(text, 0)


def _float(loader: PlainLoader, node: Any) -> float:
    number = math.inf if node.value[-1].isalpha() else float(node.value)  # .inf and .nan
    loader.refuse(math.isinf(number), node, f"{node.value[:20]}: numbers must be finite and at most 1.8e308")
    return number


def inline(content: Any) -> str:
    """Plain data as YAML on one line, such as `{grow: -2, feather: 2}`."""
    text = yaml.dump(
        content, Dumper=PlainDumper, allow_unicode=True, sort_keys=False, default_flow_style=True, width=math.inf
    )
    return str(text).removesuffix("\n").removesuffix("\n...")


class PlainDumper(yaml.SafeDumper):  # type: ignore[misc]
    """Quotes texts that YAML 1.1 or 1.2 would read as something else."""


_SCALARS = {  # YAML 1.2.2, section 10.3.2, with the possible first characters of each
    "null": (r"~|null|Null|NULL|", [*"~nN", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
}
for _kind, (_form, _first) in _SCALARS.items():
    for _class in (PlainLoader, PlainDumper):
        _class.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(rf"(?:{_form})\Z"), list(_first))
PlainLoader.add_constructor("tag:yaml.org,2002:int", _integer)
PlainLoader.add_constructor("tag:yaml.org,2002:float", _float)
