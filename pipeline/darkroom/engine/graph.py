"""The trees of all jobs that want a photo, merged: what they have in common is one node."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from darkroom.dataset import Photo
from darkroom.engine.step_result import StepResult
from darkroom.errors import PhotoError
from darkroom.imaging.codec import DecodedPhoto
from darkroom.planning.cache_keys import handed_on
from darkroom.planning.plan import GateCheck, Step, paths
from darkroom.store import Result

StepPath = tuple[Sequence[Step], Sequence["Node"]]
"""The way to a picture: its steps as planned, and the nodes of photo and steps.

Where a step cannot be planned, the nodes end earlier than the steps, with the one that has the error.
"""

FindKey = Callable[[Step, str, Mapping[str, str], Photo], str | PhotoError]
"""A step's key, by the key of its parent and those of the earlier steps by name."""


@dataclass(eq=False)
class Subject:
    """A photo that is being worked on.

    Attributes:
        photo: which.
        digest: SHA-256 of its file; None where it cannot be read.
    """

    photo: Photo
    digest: str | None = None
    _picture: DecodedPhoto | None = None

    def load(self) -> DecodedPhoto:
        """The photo, decoded once. Raises `PhotoError`, also where the file is no longer the one that was planned."""
        if self._picture is None:
            picture = self.photo.load()
            if picture.digest != self.digest:
                raise PhotoError("the file was changed while it was worked on")
            self._picture = picture
        return self._picture

    def close(self) -> None:
        """Let go of the pixels: nodes and photos refer to each other, and would wait with them for the collector."""
        self._picture = None


@dataclass(eq=False)
class Node:
    """A photo as decoded, or a step of it, for all jobs that ask for it.

    Attributes:
        key: content key; empty where it cannot be known, since the photo or a file cannot be read.
        step: None for the photo itself.
        parent: what it works on; None for the photo itself.
        subject: the photo it belongs to.
        result: what was made; `error`: why not, or why a gate lets nothing through; neither before its turn.
        flag: what a gate marks the photo with.
        lent: its result comes out of a run folder that is being resumed, or was made from such a one.
        children: the steps that work on it, by key, name in the recipe and what judges them.
    """

    key: str
    step: Step | None
    parent: Node | None
    subject: Subject
    result: Result | None = None
    error: PhotoError | None = None
    flag: str | None = None
    lent: bool = False
    children: dict[tuple[str, str, GateCheck | None], Node] = field(default_factory=dict)

    @property
    def root(self) -> Node:
        """The photo itself."""
        return self.parent.root if self.parent else self

    @property
    def content(self) -> str:
        """The key of what it hands on."""
        return handed_on(self.step.stage, self.key, self.parent.content) if self.parent and self.step else self.key

    def above(self) -> dict[str, str]:
        """Keys of what the earlier steps handed on, by their names."""
        parent = self.parent
        return {**parent.above(), parent.step.name: parent.content} if parent and parent.step else {}

    def steps(self) -> list[Step]:
        """From the first to this one."""
        return [*self.parent.steps(), self.step] if self.parent and self.step else []


def merge(root: Node, tree: Sequence[Step] | PhotoError, find_key: FindKey) -> list[StepPath]:
    """Put a job's tree below a photo and collect the ways to its pictures, in the order of the tree.

    Jobs whose stages have other names share results, but no nodes: `combine` refers to masks by name.

    Args:
        root: the photo.
        tree: its first steps; none where nothing is wanted; an error where it cannot be planned.
        find_key: gives keys.
    """
    if isinstance(tree, PhotoError):
        return [((), [Node("", None, None, root.subject, error=tree)])]
    if root.error:
        return [(way, [root]) for way in paths(tree)]
    return list(_ways(tree, (), (root,), {}, find_key))


def below(nodes: Sequence[Node]) -> list[Node]:
    """What can be made once these are there, steps of one op side by side."""
    found = [child for node in nodes if node.result and not node.error for child in node.children.values()]
    ops = list(dict.fromkeys(type(node.step.stage) for node in found))
    return sorted(found, key=lambda node: ops.index(type(node.step.stage)))


def outcomes(way: StepPath) -> list[StepResult | PhotoError] | None:
    """What came of each node up to the first error; None where one still has its turn to come.

    It goes by the job's own steps: a node may have been another job's first, which calls this variant another name.
    """
    steps, nodes = way
    found: list[StepResult | PhotoError] = []
    for step, node in zip((None, *steps), nodes, strict=False):  # a way that cannot be gone on ends early
        if node.result:
            found.append(StepResult(step, node.key, node.result, node.flag))
        if node.error:
            return [*found, node.error]
        if node.result is None:
            return None
    return found


def _ways(
    tree: Sequence[Step],
    steps: tuple[Step, ...],
    nodes: tuple[Node, ...],
    above: Mapping[str, str],
    find_key: FindKey,
) -> Iterator[StepPath]:
    for step in tree:
        node = _child(nodes[-1], step, above, find_key)
        if node.error:
            yield from ((way, (*nodes, node)) for way in paths([step], steps))
        elif step.children:
            here = {**above, step.name: node.content}
            yield from _ways(step.children, (*steps, step), (*nodes, node), here, find_key)
        else:
            yield (*steps, step), (*nodes, node)


def _child(parent: Node, step: Step, above: Mapping[str, str], find_key: FindKey) -> Node:
    """The node of a step, new or another job's."""
    key = find_key(step, parent.content, above, parent.subject.photo)
    if isinstance(key, PhotoError):
        return Node("", step, parent, parent.subject, error=key)
    return parent.children.setdefault((key, step.name, step.gate), Node(key, step, parent, parent.subject))
