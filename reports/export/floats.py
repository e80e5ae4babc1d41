# SPDX-License-Identifier: Apache-2.0
"""The fused float network in standard operators, for viewers: what stands where, with figures."""

from collections.abc import Mapping
from typing import assert_never

import numpy as np
import onnx

from quant.floatgraph import (
    FloatActivation,
    FloatAdd,
    FloatAvgPool,
    FloatConcat,
    FloatConv,
    FloatGraph,
    FloatInput,
    FloatLinear,
    FloatMaxPool,
    FloatMultiply,
    FloatOp,
    FloatShuffle,
    FloatSplit,
    FloatUpsample,
    float_sources_of,
)
from reports.export.builder import FLOAT, ModelBuilder, Shape, Tensor
from reports.export.moves import concat, max_pool, slice_channels, upsample


def float_model(
    graph: FloatGraph, figures: Mapping[str, Mapping[str, str]], model: Mapping[str, str]
) -> onnx.ModelProto:
    """Return the float network as an ONNX model of standard operators.

    Args:
        graph: The fused float network.
        figures: Texts for the metadata of nodes, by their names.
        model: Texts for the metadata of the model.

    Returns:
        A checked model; the input is float32 [1, C, H, W], normalised.
    """
    builder = ModelBuilder((op.name for op in graph.ops), figures)
    tensors: dict[str, Tensor] = {}
    for op in graph.ops:
        shape = (1, *graph.shapes[op.name])
        sources = [tensors[name] for name in float_sources_of(op)]
        tensors[op.name] = _operation(builder, op, sources, shape)
    outputs = [tensors[name] for name in graph.outputs]
    return builder.model(graph.name, tensors[graph.input.name], outputs, model)


def _operation(b: ModelBuilder, op: FloatOp, sources: list[Tensor], shape: Shape) -> Tensor:
    name = op.name
    match op:
        case FloatInput():
            return Tensor(name, shape, FLOAT)
        case FloatConv():
            inputs = [sources[0], b.constant(name, "weight", op.weight)]
            inputs.append(b.constant(name, "bias", op.bias))
            return b.node(
                *(name, "Conv", inputs, shape),
                last=True,
                kernel_shape=op.weight.shape[2:],
                strides=op.stride,
                pads=op.padding,
                group=op.groups,
            )
        case FloatLinear():
            flat = b.node(name, "Flatten", sources, (1, op.weight.shape[1]))
            inputs = [flat, b.constant(name, "weight", op.weight)]
            inputs.append(b.constant(name, "bias", op.bias))
            made = b.node(name, "Gemm", inputs, (1, len(op.bias)), transB=1)
            return _reshape(b, name, made, shape, last=True)
        case FloatActivation():
            return _activation(b, op, sources[0])
        case FloatMaxPool():
            return max_pool(b, sources[0], op, shape)
        case FloatAvgPool():
            return b.node(
                *(name, "AveragePool", sources, shape),
                last=True,
                kernel_shape=op.kernel,
                strides=op.stride,
            )
        case FloatAdd():
            return b.node(name, "Add", sources, shape, last=True)
        case FloatMultiply():
            return b.node(name, "Mul", sources, shape, last=True)
        case FloatConcat():
            return concat(b, name, sources, shape)
        case FloatSplit():
            return slice_channels(b, name, sources[0], op.begin, op.end)
        case FloatUpsample():
            return upsample(b, name, sources[0], op.factor)
        case FloatShuffle():
            _, c, h, w = shape
            apart = _reshape(b, name, sources[0], (1, op.groups, c // op.groups, h, w))
            swapped = (1, c // op.groups, op.groups, h, w)
            turned = b.node(name, "Transpose", [apart], swapped, perm=[0, 2, 1, 3, 4])
            return _reshape(b, name, turned, shape, last=True)
        case _:
            assert_never(op)


def _activation(b: ModelBuilder, op: FloatActivation, source: Tensor) -> Tensor:
    name, shape = op.name, source.shape
    match op.kind:
        case "relu":
            return b.node(name, "Relu", [source], shape, last=True)
        case "relu6":
            limits = [
                b.constant(name, what, np.array(value, np.float32))
                for what, value in (("low", 0), ("high", 6))
            ]
            return b.node(name, "Clip", [source, *limits], shape, last=True)
        case "leaky_relu":
            return b.node(name, "LeakyRelu", [source], shape, last=True, alpha=op.slope)
        case "silu":
            gate = b.node(name, "Sigmoid", [source], shape)
            return b.node(name, "Mul", [source, gate], shape, last=True)
        case "hardswish":
            return b.node(name, "HardSwish", [source], shape, last=True)
        case "hardsigmoid":
            return b.node(*(name, "HardSigmoid", [source], shape), last=True, alpha=1 / 6, beta=0.5)
        case "sigmoid":
            return b.node(name, "Sigmoid", [source], shape, last=True)
        case _:
            assert_never(op.kind)


def _reshape(
    b: ModelBuilder, name: str, source: Tensor, shape: Shape, *, last: bool = False
) -> Tensor:
    wanted = b.constant(name, "shape", np.array(shape, np.int64))
    return b.node(name, "Reshape", [source, wanted], shape, last=last)
