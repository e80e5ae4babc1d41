# SPDX-License-Identifier: Apache-2.0
"""Runs ONNX layers with torch: convolution, norm, linear, activations and pooling.

Every attribute is honoured or the node is not run here (``NotHonouredError``); none is ignored.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from quant.zoo.onnx_file import OnnxNode

Tensors = Sequence[Tensor | None]


class NotHonouredError(Exception):
    """Internal: torch has no equal call for this node; the text says what is in the way."""


def attributes(node: OnnxNode, **defaults: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return the attributes of a node with ONNX's defaults.

    Raises:
        NotHonouredError: The node has an attribute that is not among the defaults.
    """
    for key, value in node.attributes.items():
        if key not in defaults:
            raise NotHonouredError(f"{key}={value}")
    return {**defaults, **node.attributes}


def need(tensors: Tensors, index: int) -> Tensor:
    """Return an input that the node must have.

    Raises:
        NotHonouredError: The input is absent.
    """
    found = tensors[index] if index < len(tensors) else None
    if found is None:
        raise NotHonouredError(f"no input {index}")
    return found


def optional(tensors: Tensors, index: int) -> Tensor | None:
    """Return an input, or ``None`` where the node leaves it out."""
    return tensors[index] if index < len(tensors) else None


def conv(node: OnnxNode, tensors: Tensors) -> Tensor:
    """Run Conv over two axes."""
    a = attributes(
        node, auto_pad="NOTSET", dilations=(1, 1), group=1, kernel_shape=None, pads=None,
        strides=(1, 1),
    )  # fmt: skip
    x, weight = need(tensors, 0), need(tensors, 1)
    _need_image(x, weight.ndim)
    kernel = tuple(weight.shape[2:])
    if a["kernel_shape"] not in (None, kernel):
        raise NotHonouredError(f"kernel_shape={a['kernel_shape']} for weights of {kernel}")
    x, padding = _padded(x, a, kernel, a["strides"], 0.0)
    return functional.conv2d(
        x, weight, optional(tensors, 2), a["strides"], padding, a["dilations"], a["group"]
    )


def batch_norm(node: OnnxNode, tensors: Tensors) -> Tensor:
    """Run BatchNormalization with its stored statistics."""
    a = attributes(node, epsilon=1e-5, momentum=0.9, training_mode=0, spatial=1)
    if a["training_mode"] or not a["spatial"]:
        raise NotHonouredError("training_mode=1" if a["training_mode"] else "spatial=0")
    x, scale, bias, mean, variance = (need(tensors, i) for i in range(5))
    return functional.batch_norm(x, mean, variance, scale, bias, False, 0.1, a["epsilon"])


def gemm(node: OnnxNode, tensors: Tensors) -> Tensor:
    """Run Gemm as a linear layer."""
    a = attributes(node, alpha=1.0, beta=1.0, transA=0, transB=0)
    if a["transA"]:
        raise NotHonouredError("transA=1")
    x, weight, bias = need(tensors, 0), need(tensors, 1), optional(tensors, 2)
    weight = weight if a["transB"] else weight.t()
    weight = weight if a["alpha"] == 1 else weight * a["alpha"]
    if bias is not None:
        if bias.numel() not in (1, len(weight)):
            raise NotHonouredError(f"a bias of shape {list(bias.shape)}")
        bias = bias.reshape(-1).expand(len(weight))
        bias = bias if a["beta"] == 1 else bias * a["beta"]
    return functional.linear(x, weight, bias)


def matmul(node: OnnxNode, tensors: Tensors) -> Tensor:
    """Run MatMul; of a matrix and constant weights it is a linear layer."""
    attributes(node)
    x, weight = need(tensors, 0), need(tensors, 1)
    if x.ndim == 2 and isinstance(weight, torch.nn.Parameter) and weight.ndim == 2:
        return functional.linear(x, weight.t())
    return torch.matmul(x, weight)


def activation(node: OnnxNode, tensors: Tensors) -> Tensor:
    """Run Relu, Sigmoid, HardSwish, LeakyRelu and HardSigmoid."""
    x = need(tensors, 0)
    if node.op == "LeakyRelu":
        return functional.leaky_relu(x, attributes(node, alpha=0.01)["alpha"])
    if node.op == "HardSigmoid":
        a = attributes(node, alpha=0.2, beta=0.5)
        if abs(a["alpha"] - 1 / 6) > 1e-6 or a["beta"] != 0.5:
            raise NotHonouredError(f"alpha={a['alpha']:.4g}, beta={a['beta']:.4g}")
        return functional.hardsigmoid(x)
    attributes(node)
    if node.op == "Relu":
        return functional.relu(x)
    return functional.hardswish(x) if node.op == "HardSwish" else torch.sigmoid(x)


def clip(node: OnnxNode, tensors: Tensors) -> Tensor:
    """Run Clip; from 0 it is ReLU, from 0 to 6 ReLU6."""
    a = attributes(node, min=-math.inf, max=math.inf)
    limits = [optional(tensors, 1), optional(tensors, 2)]
    stored = (a["min"], a["max"])
    low, high = (
        float(stored[i]) if t is None else float(t.reshape(-1)[0]) for i, t in enumerate(limits)
    )
    x = need(tensors, 0)
    # Values that exporters write for "no limit".
    if low == 0 and high > 1e30:
        return functional.relu(x)
    if (low, high) == (0, 6):
        return functional.relu6(x)
    raise NotHonouredError(f"limits {low:.4g} and {high:.4g}")


def max_pool(node: OnnxNode, tensors: Tensors) -> Tensor:
    """Run MaxPool over two axes."""
    a = attributes(
        node, auto_pad="NOTSET", ceil_mode=0, dilations=(1, 1), kernel_shape=None, pads=None,
        storage_order=0, strides=(1, 1),
    )  # fmt: skip
    if len(node.outputs) > 1:
        raise NotHonouredError("indices as a second output")
    x = need(tensors, 0)
    _need_image(x, len(a["kernel_shape"]) + 2)
    x, padding = _padded(x, a, a["kernel_shape"], a["strides"], -math.inf)
    return functional.max_pool2d(
        x, a["kernel_shape"], a["strides"], padding, a["dilations"], bool(a["ceil_mode"])
    )


def average_pool(node: OnnxNode, tensors: Tensors) -> Tensor:
    """Run AveragePool over two axes."""
    a = attributes(
        node, auto_pad="NOTSET", ceil_mode=0, count_include_pad=0, dilations=(1, 1),
        kernel_shape=None, pads=None, strides=(1, 1),
    )  # fmt: skip
    if tuple(a["dilations"]) != (1, 1):
        raise NotHonouredError(f"dilations={a['dilations']}")
    x = need(tensors, 0)
    _need_image(x, len(a["kernel_shape"]) + 2)
    pads = tuple(a["pads"] or (0, 0, 0, 0))
    if a["auto_pad"] not in ("NOTSET", "VALID") or pads[:2] != pads[2:]:
        raise NotHonouredError(f"auto_pad={a['auto_pad']}, pads={pads}")
    return functional.avg_pool2d(
        x, a["kernel_shape"], a["strides"], pads[:2], bool(a["ceil_mode"]),
        bool(a["count_include_pad"]),
    )  # fmt: skip


def global_average_pool(node: OnnxNode, tensors: Tensors) -> Tensor:
    """Run GlobalAveragePool over two axes."""
    attributes(node)
    x = need(tensors, 0)
    _need_image(x, 4)
    return functional.adaptive_avg_pool2d(x, 1)


def reduce_mean(node: OnnxNode, tensors: Tensors) -> Tensor:
    """Run ReduceMean; its axes are an attribute or, from opset 18 on, an input."""
    a = attributes(node, axes=None, keepdims=1, noop_with_empty_axes=0)
    x, given = need(tensors, 0), optional(tensors, 1)
    axes = a["axes"] if given is None else tuple(int(v) for v in given)
    if not axes:
        raise NotHonouredError("no axes")
    return torch.mean(x, tuple(int(v) for v in axes), bool(a["keepdims"]))


def _need_image(x: Tensor, axes: int) -> None:
    if x.ndim != 4 or axes != 4:
        raise NotHonouredError(f"an input of shape {list(x.shape)}")


def _padded(
    x: Tensor, a: dict[str, Any], kernel: Sequence[int], strides: Sequence[int], value: float
) -> tuple[Tensor, tuple[int, int]]:
    """Return the input and the padding that the layer itself adds, equal on both sides.

    Where the two sides differ, the input is padded by a call of its own.
    """
    if a["auto_pad"] in ("SAME_UPPER", "SAME_LOWER"):
        if tuple(a["dilations"]) != (1, 1):
            raise NotHonouredError(f"auto_pad={a['auto_pad']} and dilations={a['dilations']}")
        total = [
            max((math.ceil(n / s) - 1) * s + k - n, 0)
            for n, k, s in zip(x.shape[2:], kernel, strides, strict=True)
        ]
        small, large = [t // 2 for t in total], [t - t // 2 for t in total]
        pads = (*small, *large) if a["auto_pad"] == "SAME_UPPER" else (*large, *small)
    elif a["auto_pad"] == "VALID":
        pads = (0, 0, 0, 0)
    else:
        pads = tuple(a["pads"] or (0, 0, 0, 0))
    top, left, bottom, right = pads
    if (top, left) == (bottom, right):
        return x, (top, left)
    return functional.pad(x, (left, right, top, bottom), value=value), (0, 0)
