# SPDX-License-Identifier: Apache-2.0
"""Which float operations become which integer node.

An activation merges into the convolution, linear layer or addition before it when that one has no
other reader; a clip (none, relu, relu6) costs nothing there, any other function becomes the
convolution's table. Everything else maps one to one.
"""

from dataclasses import dataclass

from quant.floatgraph import (
    FloatActivation,
    FloatAdd,
    FloatConv,
    FloatGraph,
    FloatLinear,
    FloatOp,
    float_sources_of,
)

CLIPS = ("relu", "relu6")


@dataclass(frozen=True)
class Step:
    """One integer node to be made.

    Attributes:
        op: The float operation that names the node.
        activation: Activation merged into it, or ``None``.
        result: Name of the float tensor that the node's output stands for.
        is_output: Whether that tensor leaves the graph.
        readers: Number of operations that read the tensor (outputs not counted).
    """

    op: FloatOp
    activation: FloatActivation | None
    result: str
    is_output: bool
    readers: int

    @property
    def name(self) -> str:
        """Name of the integer node."""
        return self.op.name

    @property
    def needs_table(self) -> bool:
        """Whether the merged activation is more than a clip."""
        return self.activation is not None and self.activation.kind not in CLIPS


def plan_steps(graph: FloatGraph) -> tuple[Step, ...]:
    """Return the steps in topological order.

    Args:
        graph: The float network.

    Returns:
        One step per integer node, before any requantize node is inserted.
    """
    readers: dict[str, list[FloatOp]] = {op.name: [] for op in graph.ops}
    for op in graph.ops:
        for source in float_sources_of(op):
            readers[source].append(op)
    outputs = set(graph.outputs)
    merged: dict[str, FloatActivation] = {}
    for op in graph.ops:
        follow = readers[op.name]
        if len(follow) != 1 or op.name in outputs or not isinstance(follow[0], FloatActivation):
            continue
        clip = follow[0].kind in CLIPS
        if isinstance(op, FloatConv | FloatLinear) or (isinstance(op, FloatAdd) and clip):
            merged[op.name] = follow[0]
    taken = {a.name for a in merged.values()}
    steps = []
    for op in graph.ops:
        if op.name in taken:
            continue
        activation = merged.get(op.name)
        result = activation.name if activation else op.name
        steps.append(Step(op, activation, result, result in outputs, len(readers[result])))
    return tuple(steps)
