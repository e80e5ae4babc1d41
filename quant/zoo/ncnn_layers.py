# SPDX-License-Identifier: Apache-2.0
"""Makes ncnn layers from torch: every parameter of a node is honoured or refused by node name.

Source: the parameter numbers and defaults of ncnn's operators.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from quant.errors import UnsupportedLayerError
from quant.zoo.ncnn_file import NcnnNode, Value

Weights = dict[str, Tensor]
Layer = Callable[[Sequence[Tensor], Weights], Sequence[Tensor]]

# ncnn writes 1/6 with seven digits.
_SIXTH = 1e-6


def make_layer(node: NcnnNode) -> Layer:
    """Return the function of a node: its inputs [1, C, H, W] and weights to its outputs.

    Raises:
        UnsupportedLayerError: The operator or a parameter is not honoured.
    """
    reader = _Parameters(node)
    match node.op:
        case "Convolution" | "ConvolutionDepthWise":
            layer = _convolution(reader, grouped=node.op == "ConvolutionDepthWise")
        case "HardSwish" | "HardSigmoid":
            layer = _hard_gate(reader, F.hardswish if node.op == "HardSwish" else F.hardsigmoid)
        case "ReLU":
            layer = _rectified(reader)
        case "Sigmoid":
            layer = _single(torch.sigmoid)
        case "Swish":
            layer = _single(F.silu)
        case "Pooling":
            layer = _pooling(reader)
        case "BinaryOp":
            layer = _binary(reader)
        case "Concat":
            reader.only("axis", 0, default=0, built=(0,))
            layer = _single_result(lambda inputs: torch.cat(list(inputs), 1))
        case "Slice":
            layer = _slice(reader)
        case "Split":
            layer = _copies(len(node.outputs))
        case "ShuffleChannel":
            layer = _shuffle(reader)
        case "Interp":
            layer = _upsample(reader)
        case _:
            raise reader.refused(f"is {node.op}, which is not read")
    reader.finish()
    return layer


class _Parameters:
    """Hands out the parameters of a node, and knows which nobody asked for."""

    def __init__(self, node: NcnnNode) -> None:
        self.node = node
        self._left = dict(node.params)

    def whole(self, name: str, number: int, default: int | None, least: int) -> int:
        """Return a whole number of at least ``least``; without a default it must be given."""
        value = self._left.pop(number, default)
        if not isinstance(value, int) or value < least:
            raise self.refused(f"has {name}={value}, which must be a whole number >= {least}")
        return value

    def only(self, name: str, number: int, default: Value, built: tuple[Value, ...]) -> Value:
        """Return a parameter that only a few values of are built."""
        value = self._left.pop(number, default)
        if value not in built:
            raise self.refused(f"has {name}={value}; read is {' or '.join(map(str, built))}")
        return value

    def near(self, name: str, number: int, default: float, built: float) -> None:
        """Take a parameter of which only one value, up to its printed digits, is built."""
        value = self._left.pop(number, default)
        if isinstance(value, tuple) or abs(value - built) > _SIXTH:
            raise self.refused(f"has {name}={value}; read is {built:.7g}")

    def sizes(self, name: str, number: int) -> tuple[int, ...]:
        """Return a list of numbers."""
        value = self._left.pop(number, ())
        if not isinstance(value, tuple):
            raise self.refused(f"has {name}={value}, which must be a list")
        return value

    def skip(self, *numbers: int) -> None:
        """Take parameters that say nothing here."""
        for number in numbers:
            self._left.pop(number, None)

    def finish(self) -> None:
        """Refuse what is left."""
        for number, value in self._left.items():
            raise self.refused(f"has parameter {number}={value}, which is not honoured")

    def refused(self, reason: str) -> UnsupportedLayerError:
        """Return the error that names the node."""
        return UnsupportedLayerError(
            f"'{self.node.name}' ({self.node.op}) {reason}; export the model without it, or give "
            "it as .onnx"
        )


def _convolution(p: _Parameters, *, grouped: bool) -> Layer:
    filters = p.whole("num_output", 0, None, 1)
    width = p.whole("kernel_w", 1, None, 1)
    height = p.whole("kernel_h", 11, width, 1)
    dilation = p.whole("dilation_w", 2, 1, 1)
    dilations = (p.whole("dilation_h", 12, dilation, 1), dilation)
    stride = p.whole("stride_w", 3, 1, 1)
    strides = (p.whole("stride_h", 13, stride, 1), stride)
    left = p.whole("pad_left", 4, 0, 0)
    top = p.whole("pad_top", 14, left, 0)
    p.only("pad_right", 15, left, (left,))
    p.only("pad_bottom", 16, top, (top,))
    p.only("pad_value", 18, 0, (0, 0.0))
    has_bias = bool(p.only("bias_term", 5, 0, (0, 1)))
    p.only("int8_scale_term", 8, 0, (0,))
    p.only("dynamic_weight", 19, 0, (0,))
    count = p.whole("weight_data_size", 6, None, 1)
    groups = p.whole("group", 7, 1, 1) if grouped else 1
    kind = p.only("activation_type", 9, 0, (0, 1, 4))
    name = p.node.name

    def layer(inputs: Sequence[Tensor], weights: Weights) -> Sequence[Tensor]:
        x = inputs[0]
        weight = weights["weight"]
        wanted = (filters, x.shape[1] // groups, height, width)
        if tuple(weight.shape) != wanted or weight.numel() != count:
            raise RuntimeError(f"'{name}' has weights {list(weight.shape)}, needs {list(wanted)}")
        bias = weights["bias"] if has_bias else None
        y = F.conv2d(x, weight, bias, strides, (top, left), dilations, groups)
        if kind == 1:
            y = F.relu(y)
        elif kind == 4:
            y = torch.sigmoid(y)
        return (y,)

    return layer


def _hard_gate(p: _Parameters, function: Callable[[Tensor], Tensor]) -> Layer:
    p.near("alpha", 0, 0.2, 1 / 6)
    p.near("beta", 1, 0.5, 0.5)
    return _single(function)


def _rectified(p: _Parameters) -> Layer:
    slope = p.node.params.get(0, 0.0)
    p.skip(0)
    if isinstance(slope, tuple) or not 0 <= slope < 1:
        raise p.refused(f"has slope={slope}; read is 0 <= slope < 1")
    if slope == 0:
        return _single(F.relu)
    return _single(lambda x: F.leaky_relu(x, float(slope)))


def _pooling(p: _Parameters) -> Layer:
    p.only("pooling_type", 0, 0, (1,))
    p.only("global_pooling", 4, 0, (1,))
    return _single(lambda x: F.adaptive_avg_pool2d(x, 1))


def _binary(p: _Parameters) -> Layer:
    kind = p.only("op_type", 0, 0, (0, 2))
    p.only("with_scalar", 1, 0, (0,))
    if len(p.node.inputs) != 2:
        raise p.refused(f"reads {len(p.node.inputs)} values, not 2")
    return _single_result(
        lambda inputs: inputs[0] + inputs[1] if kind == 0 else inputs[0] * inputs[1]
    )


def _slice(p: _Parameters) -> Layer:
    sizes = p.sizes("slices", 0)
    p.only("axis", 1, 0, (0,))
    if len(sizes) != len(p.node.outputs) or not all(s > 0 for s in sizes):
        raise p.refused(f"has slices={list(sizes)} for {len(p.node.outputs)} outputs")
    return lambda inputs, _weights: torch.split(inputs[0], list(sizes), 1)


def _shuffle(p: _Parameters) -> Layer:
    groups = p.whole("group", 0, 1, 2)
    p.only("reverse", 1, 0, (0,))
    return _single(lambda x: F.channel_shuffle(x, groups))


def _upsample(p: _Parameters) -> Layer:
    p.only("resize_type", 0, 0, (1,))
    p.only("output_height", 3, 0, (0,))
    p.only("output_width", 4, 0, (0,))
    p.only("dynamic_target_size", 5, 0, (0,))
    p.only("align_corner", 6, 0, (0,))
    factors = [p.node.params.get(n, 1.0) for n in (1, 2)]
    p.skip(1, 2)
    factor = factors[0]
    if isinstance(factor, tuple) or factors[1] != factor or factor != int(factor) or factor < 1:
        raise p.refused(f"scales by {factors[0]} and {factors[1]}; read is one whole factor")
    return _single(lambda x: F.interpolate(x, scale_factor=int(factor), mode="nearest"))


def _copies(count: int) -> Layer:
    return lambda inputs, _weights: (inputs[0],) * count


def _single(function: Callable[[Tensor], Tensor]) -> Layer:
    return lambda inputs, _weights: (function(inputs[0]),)


def _single_result(function: Callable[[Sequence[Tensor]], Tensor]) -> Layer:
    return lambda inputs, _weights: (function(inputs),)
