# SPDX-License-Identifier: Apache-2.0
"""A torch module that runs an ncnn graph node by node; its submodules bear the nodes' names."""

from collections.abc import Sequence

from torch import Tensor, nn

from quant.errors import InputFileError
from quant.zoo.ncnn_file import NcnnGraph, NcnnNode
from quant.zoo.ncnn_layers import make_layer
from quant.zoo.operation import Operation

TRAINED = ("weight", "bias")


class NcnnOperation(Operation):
    """One node; ``forward`` takes its inputs and returns its outputs, each [1, C, H, W]."""

    def __init__(self, node: NcnnNode, weights: dict[str, Tensor]) -> None:
        """Make the node's layer.

        Args:
            node: The node.
            weights: Its float32 ``weight`` [F, C/groups, KH, KW] and ``bias`` [F], if any.

        Raises:
            UnsupportedLayerError: The operator or a parameter is not honoured.
        """
        super().__init__(node.op)
        self._layer = make_layer(node)
        for name, value in weights.items():
            self.register_parameter(name, nn.Parameter(value, requires_grad=False))

    def forward(self, *inputs: Tensor) -> Sequence[Tensor]:
        """Run the node."""
        return self._layer(inputs, dict(self.named_parameters()))


class NcnnModule(nn.Module):
    """Runs the nodes in order; maps float32 [1, 3, H, W] to the graph's outputs."""

    def __init__(self, graph: NcnnGraph, tensors: dict[str, Tensor]) -> None:
        """Build one operation per node.

        Args:
            graph: The graph.
            tensors: All its weights, named ``NODE.weight`` and ``NODE.bias``.

        Raises:
            UnsupportedLayerError: A node is not honoured.
            InputFileError: A tensor is missing, or belongs to no node.
        """
        super().__init__()
        self._image = graph.image
        self._outputs = graph.outputs
        left = dict(tensors)
        self._steps: list[tuple[NcnnOperation, NcnnNode]] = []
        for node in graph.nodes:
            weights = {t: left.pop(f"{node.name}.{t}") for t in _needed(node, left, graph)}
            operation = NcnnOperation(node, weights)
            if "." in node.name or hasattr(self, node.name):
                raise InputFileError(
                    f"'{graph.path}': the name '{node.name}' cannot be kept; rename the node"
                )
            self.add_module(node.name, operation)
            self._steps.append((operation, node))
        if left:
            raise InputFileError(
                f"'{graph.path}' has no node for {len(left)} of {len(tensors)} tensors, first "
                f"'{next(iter(left))}'; description and weights are of different models"
            )

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs, each float32 [1, C, h, w]."""
        values = {self._image: image}
        for operation, node in self._steps:
            made = operation(*(values[name] for name in node.inputs))
            values.update(zip(node.outputs, made, strict=True))
        return tuple(values[name] for name in self._outputs)


def _needed(node: NcnnNode, tensors: dict[str, Tensor], graph: NcnnGraph) -> tuple[str, ...]:
    """Return which tensors a node has."""
    if not node.op.startswith("Convolution"):
        return ()
    needed = TRAINED if node.params.get(5) else TRAINED[:1]
    missing = [f"{node.name}.{t}" for t in needed if f"{node.name}.{t}" not in tensors]
    if missing:
        raise InputFileError(
            f"'{graph.path}': the weights lack '{missing[0]}'; description and weights are of "
            "different models"
        )
    return needed
