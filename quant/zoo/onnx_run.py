# SPDX-License-Identifier: Apache-2.0
"""One ONNX node as a module: torch calls that the importer knows, else ONNX's own reference.

Nothing is refused here. What torch has no equal call for is run by the reference implementation
as one opaque call, whose kind names what is in the way; the importer then says whether that lies
behind the head (left to the host) or in the middle of the network (refused by name).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn
from torch.overrides import handle_torch_function, has_torch_function

from quant.zoo import onnx_layers, onnx_moves
from quant.zoo.onnx_file import OnnxNode
from quant.zoo.onnx_layers import NotHonouredError, Tensors
from quant.zoo.operation import Operation

Result = Tensor | tuple[Tensor, ...]

# A constant of this many elements is no part of a network that fits any device.
ELEMENT_LIMIT = 1 << 27

RUNNERS: dict[str, Callable[[OnnxNode, Tensors], Result]] = {
    "Add": onnx_moves.add,
    "AveragePool": onnx_layers.average_pool,
    "BatchNormalization": onnx_layers.batch_norm,
    "Cast": onnx_moves.cast,
    "Clip": onnx_layers.clip,
    "Concat": onnx_moves.concat,
    "Conv": onnx_layers.conv,
    "Dropout": onnx_moves.same,
    "Flatten": onnx_moves.flatten,
    "Gemm": onnx_layers.gemm,
    "GlobalAveragePool": onnx_layers.global_average_pool,
    "HardSigmoid": onnx_layers.activation,
    "HardSwish": onnx_layers.activation,
    "Identity": onnx_moves.same,
    "LeakyRelu": onnx_layers.activation,
    "MatMul": onnx_layers.matmul,
    "MaxPool": onnx_layers.max_pool,
    "Mul": onnx_moves.multiply,
    "ReduceMean": onnx_layers.reduce_mean,
    "Relu": onnx_layers.activation,
    "Reshape": onnx_moves.reshape,
    "Resize": onnx_moves.resize,
    "Shape": onnx_moves.shape_of,
    "Sigmoid": onnx_layers.activation,
    "Slice": onnx_moves.take_slice,
    "Split": onnx_moves.split,
    "Squeeze": onnx_moves.squeeze,
    "Transpose": onnx_moves.transpose,
    "Unsqueeze": onnx_moves.squeeze,
    "Upsample": onnx_moves.resize,
}
# Operators that make a tensor as large as their inputs' values say.
_GROWING = ("ConstantOfShape", "Expand", "Range", "Tile", "Resize", "Upsample", "Pad")


class NodeOperation(Operation):
    """One node; ``forward`` takes its inputs (``None`` for absent ones) and returns its outputs."""

    def __init__(self, node: OnnxNode, opset: int, parameters: dict[str, nn.Parameter]) -> None:
        """Keep the node.

        Args:
            node: The node.
            opset: Version of the operators.
            parameters: Trained tensors that belong to it, by readable name.
        """
        super().__init__(node.op)
        self.node = node
        self._opset = opset
        for name, parameter in parameters.items():
            self.register_parameter(name, parameter)

    def forward(self, *tensors: Tensor | None) -> tuple[Tensor, ...]:
        """Run the node.

        Raises:
            RuntimeError: Neither torch nor the reference can run it.
        """
        runner = RUNNERS.get(self.node.op)
        self.kind = self.node.op
        if runner is not None:
            try:
                made = runner(self.node, tensors)
                return made if isinstance(made, tuple) else (made,)
            except NotHonouredError as reason:
                self.kind = f"{self.node.op} with {reason}"
        return run_reference(self.node.proto, self._opset, *tensors)


def run_reference(proto: onnx.NodeProto, opset: int, *tensors: Tensor | None) -> tuple[Tensor, ...]:
    """Run one node with ONNX's reference implementation, as one call that a trace sees.

    Args:
        proto: The node.
        opset: Version of the operators.
        *tensors: Its inputs; ``None`` for absent ones.

    Raises:
        RuntimeError: The reference cannot run the node.
    """
    given = tuple(t for t in tensors if t is not None)
    if given and has_torch_function(given):
        made: tuple[Tensor, ...] = handle_torch_function(
            run_reference, given, proto, opset, *tensors
        )
        return made
    _check_growth(proto, given)
    feeds = {
        name: tensor.detach().numpy()
        for name, tensor in zip(proto.input, tensors, strict=True)
        if name and tensor is not None
    }
    try:
        results = _evaluator(proto, opset).run(None, feeds)
    except Exception as error:  # the reference raises anything
        raise RuntimeError(f"{proto.op_type} cannot be run: {error}") from error
    return tuple(torch.from_numpy(np.array(r)) for r in results)


def _evaluator(proto: onnx.NodeProto, opset: int) -> Any:  # noqa: ANN401 - untyped package
    from onnx.reference import ReferenceEvaluator  # takes half a second, rarely needed

    def value(name: str) -> onnx.ValueInfoProto:
        return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.UNDEFINED, None)

    # ONNX writes an absent trailing output as an empty name.
    inputs = list(dict.fromkeys(n for n in proto.input if n))
    graph = onnx.helper.make_graph(
        [proto], "node", [value(n) for n in inputs], [value(n) for n in proto.output if n]
    )
    opsets = [onnx.helper.make_opsetid("", opset)]
    return ReferenceEvaluator(onnx.helper.make_model(graph, opset_imports=opsets))


def _check_growth(proto: onnx.NodeProto, given: tuple[Tensor, ...]) -> None:
    if proto.op_type not in _GROWING:
        return
    asked = 1.0
    for tensor in given:
        if not tensor.is_floating_point() and tensor.numel() <= 8:
            asked *= float(np.prod(np.maximum(tensor.abs().double().numpy(), 1)))
    if asked > ELEMENT_LIMIT:
        raise RuntimeError(
            f"{proto.op_type} asks for {asked:.3g} elements, limit {ELEMENT_LIMIT}; "
            "simplify the model"
        )
