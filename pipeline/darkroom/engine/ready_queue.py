"""The nodes that can be computed now, and which of them are computed next."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable

from darkroom.engine.graph import Node, PhotoNode


class ReadyQueue:
    """Makes batches of the nodes of one op, across photos. What comes first in the plan comes first here.

    Args:
        batch_size: how many nodes like this one are best computed together.
    """

    def __init__(self, batch_size: Callable[[Node], int]) -> None:
        self._batch_size = batch_size
        self._nodes: dict[type, list[tuple[tuple[int, ...], Node]]] = {}  # a heap for each op, by place

    def add(self, node: Node) -> None:
        """Add a node whose parent has a result."""
        heapq.heappush(self._nodes.setdefault(_op(node), []), (node.place, node))

    def full_batch(self) -> list[Node]:
        """Take the first full batch; empty if there is none."""
        return self._take(op for op, nodes in self._nodes.items() if len(nodes) >= self._batch_size(nodes[0][1]))

    def partial_batch(self, given: Iterable[Node]) -> list[Node]:
        """Take the first batch that will not become full.

        Args:
            given: the nodes that are being computed. What follows them may still fill a batch.
        """
        awaited: frozenset[type] = frozenset().union(*(node.leads_to for node in given))
        return self._take(op for op in self._nodes if op not in awaited)

    def _take(self, ops: Iterable[type]) -> list[Node]:
        op = min(ops, key=lambda op: self._nodes[op][0][0], default=None)
        if op is None:
            return []
        nodes = self._nodes[op]
        batch = [heapq.heappop(nodes)[1] for _ in range(min(len(nodes), self._batch_size(nodes[0][1])))]
        if not nodes:
            del self._nodes[op]
        return batch


def _op(node: Node) -> type:
    return PhotoNode if isinstance(node, PhotoNode) else type(node.step.stage)
