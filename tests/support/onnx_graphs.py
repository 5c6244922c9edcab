"""Writes small ONNX graphs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper, save

Shape = Sequence[int | str]


def node(op: str, inputs: Sequence[str], output: str, **attributes: object) -> NodeProto:
    """A node with one output."""
    return helper.make_node(op, list(inputs), [output], **attributes)


def write_graph(
    file: Path,
    nodes: Sequence[NodeProto],
    inputs: Mapping[str, Shape],
    output: Shape,
    constants: Mapping[str, np.ndarray] | None = None,
    kind: int = TensorProto.FLOAT,
) -> Path:
    """Write a graph whose output is called `answer`.

    Args:
        file: to write; its folder is made.
        nodes: in order.
        inputs: name and shape of each; a text leaves a dimension open.
        output: its shape.
        constants: tensors that the nodes use.
        kind: the type of inputs and output.
    """
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info(name, kind, list(shape)) for name, shape in inputs.items()],
        [helper.make_tensor_value_info("answer", kind, list(output))],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()],
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(file))
    return file


def colour_graph(file: Path, channel: int, name: str = "picture", side: int | str = 8) -> Path:
    """A network that answers a fifth of one channel plus one half, and has a column of 0 and one of 1 beside it.

    These two columns keep the answer as it is when it is stretched. (1, 3, 8, 8) becomes (1, 1, 8, 10).
    """
    nodes = [
        node("Slice", [name, "from", "to", "axis"], "one"),
        node("Mul", ["one", "fifth"], "scaled"),
        node("Add", ["scaled", "half"], "moved"),
        node("Slice", ["moved", "zero", "first", "last_axis"], "column"),
        node("Mul", ["column", "nothing"], "dark"),
        node("Add", ["dark", "whole"], "bright"),
        node("Concat", ["moved", "dark", "bright"], "answer", axis=3),
    ]
    constants = {
        "from": np.array([channel]),
        "to": np.array([channel + 1]),
        "axis": np.array([1]),
        "zero": np.array([0]),
        "first": np.array([1]),
        "last_axis": np.array([3]),
        "fifth": np.float32(0.2),
        "half": np.float32(0.5),
        "nothing": np.float32(0),
        "whole": np.float32(1),
    }
    return write_graph(file, nodes, {name: (1, 3, side, side)}, (1, 1, "rows", "columns"), constants)


def size_graph(file: Path, height: int | str, width: int | str) -> Path:
    """A network that answers its input's height and width, each as a share of 2048, then 0 and 1: (1, 1, 1, 4)."""
    nodes = [
        node("Shape", ["x"], "sizes", start=2),
        node("Cast", ["sizes"], "numbers", to=TensorProto.FLOAT),
        node("Div", ["numbers", "most"], "shares"),
        node("Concat", ["shares", "ends"], "all", axis=0),
        node("Reshape", ["all", "row"], "answer"),
    ]
    constants = {"most": np.float32(2048), "ends": np.float32([0, 1]), "row": np.array([1, 1, 1, 4])}
    return write_graph(file, nodes, {"x": (1, 3, height, width)}, (1, 1, 1, 4), constants)
