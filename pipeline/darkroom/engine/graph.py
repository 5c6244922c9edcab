"""The steps of a photo for all consumers, merged into one graph: work that they share is one node."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from darkroom.dataset import Photo
from darkroom.engine.step_result import StepResult
from darkroom.errors import PhotoError
from darkroom.imaging.codec import DecodedPhoto
from darkroom.imaging.png_rows import CompressedRows
from darkroom.planning.cache_keys import output_key
from darkroom.planning.plan import GateCheck, Step, paths
from darkroom.stages import Stage
from darkroom.store import Result


@dataclass(eq=False, kw_only=True)
class _NodeState:
    """The state of a node. Only the thread of the runner changes it.

    Attributes:
        place: in the plan: number of the photo, then of the child at each step.
        key: content key of the result; empty if it has none, because the photo or an input file cannot be read.
        result: None before it is there, or if there is an error.
        error: why there is no result, or why a gate stops the photo here.
        flag: why a gate flagged the photo.
        unverified: the result is from a run folder that is being resumed, or was computed from such a result.
        children: the next steps, by content key, name in the recipe and gate.
    """

    place: tuple[int, ...] = ()
    key: str = ""
    result: Result | None = None
    error: PhotoError | None = None
    flag: str | None = None
    unverified: bool = False
    children: dict[tuple[str, str, GateCheck | None], StepNode] = field(default_factory=dict)

    @cached_property
    def leads_to(self) -> frozenset[type[Stage]]:
        """The stages of all steps after this one. Ask once the graph of the photo is complete."""
        children = self.children.values()
        return frozenset(type(child.step.stage) for child in children).union(*(child.leads_to for child in children))


@dataclass(eq=False)
class PhotoNode(_NodeState):
    """A photo as decoded.

    Attributes:
        photo: the photo.
        digest: SHA-256 of its file; empty if it cannot be read.
        batch_size: of the models, when the keys were made.
        unfinished: the number of its nodes that can be computed and have no result yet.
        lock: for whatever is decoded once for all steps of the photo.
        rows: its pixels as compressed for the store, whose rows results share; None if they were there already.
    """

    photo: Photo
    digest: str = ""
    batch_size: int = 1
    unfinished: int = 0
    lock: threading.RLock = field(default_factory=threading.RLock)
    rows: CompressedRows | None = None
    _decoded: DecodedPhoto | None = None

    @property
    def root(self) -> PhotoNode:
        """The photo itself."""
        return self

    @property
    def output_key(self) -> str:
        """The key that the next step starts from."""
        return self.key

    def output_keys(self) -> dict[str, str]:
        """`output_key` of this and all earlier steps, by name in the recipe."""
        return {}

    def steps(self) -> list[Step]:
        """The steps up to here."""
        return []

    def load(self) -> DecodedPhoto:
        """Decode the photo, at the first call. Raises `PhotoError`, also if the file has changed since `digest`."""
        with self.lock:
            if self._decoded is None:
                picture = self.photo.load()
                if picture.digest != self.digest:
                    raise PhotoError("the file changed during the run")
                self._decoded = picture
            return self._decoded

    def close(self) -> None:
        """Free the pixels: nodes refer to each other, so they live until the garbage collector runs."""
        self._decoded = self.rows = None


@dataclass(eq=False)
class StepNode(_NodeState):
    """A step of a photo.

    Attributes:
        step: the step, as planned by the first consumer that needs it.
        parent: the photo or the step before.
    """

    step: Step
    parent: Node

    @property
    def root(self) -> PhotoNode:
        """The photo."""
        return self.parent.root

    @property
    def output_key(self) -> str:
        """The key that the next step starts from."""
        return output_key(self.step.stage, self.key, self.parent.output_key)

    def output_keys(self) -> dict[str, str]:
        """`output_key` of this and all earlier steps, by name in the recipe."""
        return {**self.parent.output_keys(), self.step.name: self.output_key}

    def steps(self) -> list[Step]:
        """The steps up to here."""
        return [*self.parent.steps(), self.step]


Node = PhotoNode | StepNode
FindKey = Callable[[Step, Node], str | PhotoError]
"""Finds the content key of a step, given the node before it."""


class StepPath(NamedTuple):
    """The path from a photo to a picture.

    Attributes:
        steps: as planned by the consumer.
        nodes: of the photo and of each step. If a step cannot be planned, they end with the node that has the error.
    """

    steps: Sequence[Step]
    nodes: Sequence[Node]

    def results(self) -> list[StepResult | PhotoError] | None:
        """The results of all nodes, up to the first error; None if a node has neither yet.

        They have the consumer's own steps: a node that another consumer added first may have another variant name.
        """
        found: list[StepResult | PhotoError] = []
        for step, node in zip((None, *self.steps), self.nodes, strict=False):  # there may be fewer nodes: see above
            if node.result:
                found.append(StepResult(step, node.key, node.result, node.flag))
            if node.error:
                return [*found, node.error]
            if node.result is None:
                return None
        return found


def merge(root: PhotoNode, tree: Sequence[Step] | PhotoError, find_key: FindKey) -> list[StepPath]:
    """Add a consumer's steps to the graph of a photo.

    Consumers that name a stage differently share its results, but no node, because `combine` refers to masks by name.

    Args:
        root: the photo.
        tree: the first steps; empty if nothing is needed; an error if the steps cannot be planned.
        find_key: see `FindKey`.

    Returns:
        the paths to the consumer's pictures, in the order of the tree.
    """
    if isinstance(tree, PhotoError):
        return [StepPath((), [PhotoNode(root.photo, error=tree)])]
    if root.error:
        return [StepPath(steps, [root]) for steps in paths(tree)]
    return list(_paths(tree, (), (root,), find_key))


def _paths(
    tree: Sequence[Step], steps: tuple[Step, ...], nodes: tuple[Node, ...], find_key: FindKey
) -> Iterator[StepPath]:
    for step in tree:
        node = _child(nodes[-1], step, find_key)
        if node.error:
            yield from (StepPath(rest, (*nodes, node)) for rest in paths([step], steps))
        elif step.children:
            yield from _paths(step.children, (*steps, step), (*nodes, node), find_key)
        else:
            yield StepPath((*steps, step), (*nodes, node))


def _child(parent: Node, step: Step, find_key: FindKey) -> StepNode:
    """The node of a step; the existing one if a consumer has added it before."""
    key = find_key(step, parent)
    if isinstance(key, PhotoError):
        return StepNode(step, parent, error=key)
    place = (*parent.place, len(parent.children))
    return parent.children.setdefault((key, step.name, step.gate), StepNode(step, parent, key=key, place=place))
