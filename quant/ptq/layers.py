# SPDX-License-Identifier: Apache-2.0
"""Translates recorded calls of layers: convolution, linear, norm, activation and pooling.

Every attribute of a call is honoured or refused; none is ignored.
"""

import numpy as np

from quant.floatgraph import (
    ActivationKind,
    FloatActivation,
    FloatAvgPool,
    FloatMaxPool,
    Padding,
    Pair,
)
from quant.ptq.draft import DraftConv, DraftLinear, DraftNorm, RefusedError
from quant.ptq.scope import Binding, Scope, arguments, constant, pair
from quant.ptq.trace import Call


def convolution(call: Call, scope: Scope) -> DraftConv:
    """Translate ``conv2d`` (zero padding, dilation 1, any groups)."""
    a = arguments(call, "input", "weight", bias=None, stride=1, padding=0, dilation=1, groups=1)
    if pair(a["dilation"]) != (1, 1):
        raise RefusedError(
            f"has dilation {pair(a['dilation'])}; nibbleflow builds convolutions with dilation 1"
        )
    weight = constant(a["weight"], "weight")
    kernel = (weight.shape[2], weight.shape[3])
    bias = np.zeros(len(weight)) if a["bias"] is None else constant(a["bias"], "bias")
    return DraftConv(
        call.name,
        scope.image(a["input"]),
        weight,
        bias,
        pair(a["stride"]),
        _conv_padding(a["padding"], kernel),
        int(a["groups"]),
    )


def _conv_padding(padding: object, kernel: Pair) -> Padding:
    if padding == "valid":
        return 0, 0, 0, 0
    if padding == "same":
        total = (kernel[0] - 1, kernel[1] - 1)
        top, left = total[0] // 2, total[1] // 2
        return top, left, total[0] - top, total[1] - left
    vertical, horizontal = pair(padding)
    return vertical, horizontal, vertical, horizontal


def linear(call: Call, scope: Scope) -> DraftLinear:
    """Translate ``linear`` over a flattened tensor."""
    a = arguments(call, "input", "weight", bias=None)
    shape = scope.full_shape(a["input"])
    if len(shape) != 2 or shape[0] != 1:
        raise RefusedError(
            f"is a linear layer over a tensor of shape {list(shape)}; nibbleflow builds it over a "
            "flattened tensor"
        )
    weight = constant(a["weight"], "weight")
    bias = np.zeros(len(weight)) if a["bias"] is None else constant(a["bias"], "bias")
    return DraftLinear(call.name, scope.binding(a["input"]).name, weight, bias)


def batch_norm(call: Call, scope: Scope) -> DraftNorm:
    """Translate ``batch_norm`` in eval mode to a gain and an offset per channel."""
    a = arguments(
        call,
        "input",
        "running_mean",
        "running_var",
        weight=None,
        bias=None,
        training=False,
        momentum=0.1,
        eps=1e-5,
    )
    if a["training"] or a["running_mean"] is None or a["running_var"] is None:
        raise RefusedError(
            "normalises with the statistics of the batch; nibbleflow folds running statistics",
            "use a batch normalisation with track_running_stats=True in eval mode",
        )
    binding = scope.binding(a["input"])
    if binding.flat:
        raise RefusedError("normalises a flattened tensor; nibbleflow normalises [1, C, H, W]")
    mean = constant(a["running_mean"], "running mean")
    deviation = np.sqrt(constant(a["running_var"], "running variance") + float(a["eps"]))
    weight = np.ones_like(mean) if a["weight"] is None else constant(a["weight"], "weight")
    bias = np.zeros_like(mean) if a["bias"] is None else constant(a["bias"], "bias")
    gain = weight / deviation
    return DraftNorm(call.name, binding.name, gain, bias - mean * gain)


def activation(call: Call, scope: Scope) -> FloatActivation:
    """Translate the pointwise activations."""
    kinds: dict[str, ActivationKind] = {
        "relu": "relu",
        "relu6": "relu6",
        "silu": "silu",
        "hardswish": "hardswish",
        "hardsigmoid": "hardsigmoid",
        "sigmoid": "sigmoid",
    }
    function = call.function.rstrip("_")
    slope = 0.0
    kind: ActivationKind
    if function == "leaky_relu":
        a = arguments(call, "input", negative_slope=0.01, inplace=False)
        kind, slope = "leaky_relu", float(a["negative_slope"])
        if not 0 <= slope < 1:
            raise RefusedError(f"has negative_slope {slope}; nibbleflow builds 0 <= slope < 1")
    elif function == "hardtanh":
        a = arguments(call, "input", min_val=-1.0, max_val=1.0, inplace=False)
        limits = (float(a["min_val"]), float(a["max_val"]))
        if limits != (0.0, 6.0):
            raise RefusedError(f"clips to {limits}; nibbleflow builds ReLU6, which clips to (0, 6)")
        kind = "relu6"
    else:
        a = arguments(call, "input", inplace=False)
        kind = kinds[function]
    return FloatActivation(call.name, scope.binding(a["input"]).name, kind, slope)


def max_pool(call: Call, scope: Scope) -> FloatMaxPool:
    """Translate ``max_pool2d``."""
    a = arguments(
        call,
        "input",
        "kernel_size",
        stride=None,
        padding=0,
        dilation=1,
        ceil_mode=False,
        return_indices=False,
    )
    if a["return_indices"] or call.function == "max_pool2d_with_indices":
        raise RefusedError("has return_indices=True; nibbleflow pools values only")
    if a["ceil_mode"]:
        raise RefusedError(
            "has ceil_mode=True; nibbleflow builds pooling with ceil_mode=False",
        )
    if pair(a["dilation"]) != (1, 1):
        raise RefusedError(
            f"has dilation {pair(a['dilation'])}; nibbleflow builds pooling with dilation 1"
        )
    kernel, stride = _window(a["kernel_size"], a["stride"])
    vertical, horizontal = pair(a["padding"])
    padding = (vertical, horizontal, vertical, horizontal)
    return FloatMaxPool(call.name, scope.image(a["input"]), kernel, stride, padding)


def avg_pool(call: Call, scope: Scope) -> FloatAvgPool:
    """Translate ``avg_pool2d`` without padding."""
    a = arguments(
        call,
        "input",
        "kernel_size",
        stride=None,
        padding=0,
        ceil_mode=False,
        count_include_pad=True,
        divisor_override=None,
    )
    kernel, stride = _window(a["kernel_size"], a["stride"])
    if pair(a["padding"]) != (0, 0):
        raise RefusedError(
            f"has padding {pair(a['padding'])}; nibbleflow builds average pooling without padding"
        )
    if a["ceil_mode"]:
        raise RefusedError("has ceil_mode=True; nibbleflow builds pooling with ceil_mode=False")
    area = kernel[0] * kernel[1]
    if a["divisor_override"] not in (None, area):
        raise RefusedError(
            f"has divisor_override {a['divisor_override']}; nibbleflow divides by the window's "
            f"{area} values"
        )
    return FloatAvgPool(call.name, scope.image(a["input"]), kernel, stride)


def adaptive_pool(call: Call, scope: Scope) -> FloatAvgPool:
    """Translate ``adaptive_avg_pool2d`` to one value per channel."""
    a = arguments(call, "input", "output_size")
    size = a["output_size"]
    if size != 1 and tuple(size if isinstance(size, tuple) else (size,)) not in ((1,), (1, 1)):
        raise RefusedError(
            f"has output_size {size}; nibbleflow builds adaptive average pooling to 1x1"
        )
    return _global_pool(call, scope, a["input"])


def mean(call: Call, scope: Scope) -> FloatAvgPool:
    """Translate ``mean`` over both spatial axes."""
    a = arguments(call, "input", dim=None, keepdim=False, dtype=None)
    shape = scope.full_shape(a["input"])
    dims = a["dim"] if isinstance(a["dim"], tuple) else (a["dim"],)
    axes = sorted(d % len(shape) for d in dims if isinstance(d, int))
    if len(shape) != 4 or axes != [2, 3] or a["dtype"] is not None:
        raise RefusedError(
            f"takes the mean of {list(shape)} over axes {a['dim']}; nibbleflow builds the mean "
            "over height and width"
        )
    return _global_pool(call, scope, a["input"])


def _global_pool(call: Call, scope: Scope, source: object) -> FloatAvgPool:
    name = scope.image(source)
    height, width = scope.full_shape(source)[2:]
    return FloatAvgPool(call.name, name, (height, width), (height, width))


def pad(call: Call, scope: Scope) -> Binding:
    """Translate ``pad`` by nothing; real padding belongs to a convolution or a pool."""
    a = arguments(call, "input", "pad", mode="constant", value=None)
    sizes = tuple(int(p) for p in a["pad"])
    if any(sizes):
        raise RefusedError(
            f"pads {sizes} with mode '{a['mode']}'; nibbleflow pads inside convolution and "
            "pooling, with zeros"
        )
    return scope.binding(a["input"])


def _window(kernel_size: object, stride: object) -> tuple[Pair, Pair]:
    kernel = pair(kernel_size)
    # torch takes an absent or empty stride as "the kernel".
    return kernel, kernel if stride in (None, ()) else pair(stride)
