# SPDX-License-Identifier: Apache-2.0
"""Runs ONNX operators that combine, move or measure tensors, with torch."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor
from torch.nn import functional

from quant.zoo.onnx_file import OnnxNode, type_name
from quant.zoo.onnx_layers import NotHonouredError, Tensors, attributes, need, optional

_FLOATS = (
    onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE,
    onnx.TensorProto.BFLOAT16,
)  # fmt: skip
_INTEGERS = {onnx.TensorProto.INT64: torch.int64, onnx.TensorProto.INT32: torch.int32}


def add(node: OnnxNode, tensors: Tensors) -> Tensor:
    """Run Add."""
    attributes(node)
    return torch.add(need(tensors, 0), need(tensors, 1))


def multiply(node: OnnxNode, tensors: Tensors) -> Tensor:
    """Run Mul."""
    attributes(node)
    return torch.mul(need(tensors, 0), need(tensors, 1))


def concat(node: OnnxNode, tensors: Tensors) -> Tensor:
    """Run Concat."""
    axis = attributes(node, axis=1)["axis"]
    return torch.cat([need(tensors, i) for i in range(len(tensors))], axis)


def split(node: OnnxNode, tensors: Tensors) -> tuple[Tensor, ...]:
    """Run Split; its sizes are an attribute, from opset 13 on an input, or equal."""
    a = attributes(node, axis=0, split=None, num_outputs=None)
    x, given = need(tensors, 0), optional(tensors, 1)
    sizes = _integers(given) if given is not None else a["split"]
    if sizes is None:
        part = math.ceil(x.shape[a["axis"]] / len(node.outputs))
        rest = x.shape[a["axis"]] - part * (len(node.outputs) - 1)
        sizes = (*(part,) * (len(node.outputs) - 1), rest)
    return tuple(torch.split(x, list(sizes), a["axis"]))


def take_slice(node: OnnxNode, tensors: Tensors) -> Tensor:
    """Run Slice; its ranges are attributes before opset 10, inputs since."""
    a = attributes(node, starts=None, ends=None, axes=None)
    x = need(tensors, 0)
    if a["starts"] is None:
        given = [None if (t := optional(tensors, i)) is None else _integers(t) for i in range(1, 5)]
    else:
        given = [a["starts"], a["ends"], a["axes"], None]
    starts, ends = given[0], given[1]
    if starts is None or ends is None:
        raise NotHonouredError("no starts or ends")
    axes = given[2] or range(len(starts))
    steps = given[3] or (1,) * len(starts)
    if any(step < 1 for step in steps):
        raise NotHonouredError(f"steps={tuple(steps)}")
    index = [slice(None)] * x.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        index[axis] = slice(start, end if end < x.shape[axis] else None, step)
    return x[tuple(index)]


def resize(node: OnnxNode, tensors: Tensors) -> Tensor:
    """Run Resize (and Upsample) where it repeats every pixel; any other one is not honoured.

    Which input pixel each output pixel copies is worked out as ONNX defines it, so that the many
    coordinate modes need no list of those that happen to agree.
    """
    a = attributes(
        node, antialias=0, axes=None, coordinate_transformation_mode=_coordinates(node),
        cubic_coeff_a=-0.75, exclude_outside=0, extrapolation_value=0.0,
        keep_aspect_ratio_policy="stretch", mode="nearest", nearest_mode=_nearest(node),
        scales=None,
    )  # fmt: skip
    x = need(tensors, 0)
    if a["mode"] != "nearest":
        raise NotHonouredError(f"mode {a['mode']}")
    if x.ndim != 4 or a["axes"] is not None or a["keep_aspect_ratio_policy"] != "stretch":
        raise NotHonouredError(f"axes={a['axes']}, policy {a['keep_aspect_ratio_policy']}")
    sizes, scales = _target(node, a["scales"], x, tensors)
    if sizes[:2] != tuple(x.shape[:2]):
        raise NotHonouredError(f"output shape {list(sizes)} of {list(x.shape)}")
    factor = sizes[2] // x.shape[2]
    wanted = [np.arange(size) // max(factor, 1) for size in sizes[2:]]
    copied = [_source_pixels(x.shape[i], sizes[i], scales[i], a) for i in (2, 3)]
    if not all(map(np.array_equal, wanted, copied)) or factor * x.shape[3] != sizes[3]:
        raise NotHonouredError(
            f"{x.shape[2]}x{x.shape[3]} to {sizes[2]}x{sizes[3]} by "
            f"{a['coordinate_transformation_mode']}"
        )
    return functional.interpolate(x, scale_factor=float(factor), mode="nearest")


def _coordinates(node: OnnxNode) -> str:
    return "half_pixel" if node.op == "Resize" and len(node.inputs) > 2 else "asymmetric"


def _nearest(node: OnnxNode) -> str:
    return "round_prefer_floor" if node.op == "Resize" and len(node.inputs) > 2 else "floor"


def _target(
    node: OnnxNode, stored: Sequence[float] | None, x: Tensor, tensors: Tensors
) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Return output shape and scale per axis; inputs are (x, scales) or (x, roi, scales, sizes)."""
    sizes = optional(tensors, 3)
    if sizes is not None and sizes.numel():
        shape = _integers(sizes)
        return shape, tuple(n / o for n, o in zip(shape, x.shape, strict=True))
    scales = optional(tensors, 2 if len(tensors) > 2 else 1)
    given = stored if scales is None else [float(s) for s in scales]
    if given is None or len(given) != x.ndim:
        raise NotHonouredError(f"scales {given}")
    shape = tuple(math.floor(o * s) for o, s in zip(x.shape, given, strict=True))
    return shape, tuple(given)


def _source_pixels(before: int, after: int, scale: float, a: dict[str, Any]) -> Any:  # noqa: ANN401
    """Return the input position that each output position of one axis copies."""
    x = np.arange(after, dtype=np.float64)
    mode, nearest = a["coordinate_transformation_mode"], a["nearest_mode"]
    if mode == "half_pixel" or (mode == "pytorch_half_pixel" and after > 1):
        x = (x + 0.5) / scale - 0.5
    elif mode == "align_corners" and after > 1:
        x = x * (before - 1) / (after - 1)
    elif mode == "asymmetric":
        x = x / scale
    elif mode in ("align_corners", "pytorch_half_pixel"):
        x = x * 0
    else:
        raise NotHonouredError(f"coordinate_transformation_mode {mode}")
    rounding: dict[str, Callable[[Any], Any]] = {
        "round_prefer_floor": lambda v: np.ceil(v - 0.5),
        "round_prefer_ceil": lambda v: np.floor(v + 0.5),
        "floor": np.floor,
        "ceil": np.ceil,
    }
    return np.clip(rounding[nearest](x), 0, before - 1).astype(np.int64)


def reshape(node: OnnxNode, tensors: Tensors) -> Tensor:
    """Run Reshape; 0 keeps a size, -1 stands for the rest."""
    a = attributes(node, allowzero=0)
    x = need(tensors, 0)
    shape = list(_integers(need(tensors, 1)))
    if not a["allowzero"]:
        shape = [x.shape[i] if n == 0 else n for i, n in enumerate(shape)]
    return x.reshape(shape)


def flatten(node: OnnxNode, tensors: Tensors) -> Tensor:
    """Run Flatten to a matrix."""
    axis = attributes(node, axis=1)["axis"]
    x = need(tensors, 0)
    if axis == 1:
        return torch.flatten(x, 1)
    return x.reshape(math.prod(x.shape[:axis]), -1)


def transpose(node: OnnxNode, tensors: Tensors) -> Tensor:
    """Run Transpose."""
    x = need(tensors, 0)
    return x.permute(attributes(node, perm=tuple(range(x.ndim))[::-1])["perm"])


def squeeze(node: OnnxNode, tensors: Tensors) -> Tensor:
    """Run Squeeze and Unsqueeze; their axes are an attribute, from opset 13 on an input."""
    a = attributes(node, axes=None)
    x, given = need(tensors, 0), optional(tensors, 1)
    axes = a["axes"] if given is None else _integers(given)
    sizes = list(x.shape)
    if node.op == "Unsqueeze":
        rank = x.ndim + len(axes)
        for axis in sorted(axis % rank for axis in axes):
            sizes.insert(axis, 1)
    else:
        gone = range(x.ndim) if axes is None else [axis % x.ndim for axis in axes]
        sizes = [n for i, n in enumerate(sizes) if not (i in gone and n == 1)]
    return x.reshape(sizes)


def same(node: OnnxNode, tensors: Tensors) -> Tensor:
    """Run Identity and Dropout, which change nothing at inference."""
    attributes(node, **({"ratio": 0.5, "seed": 0} if node.op == "Dropout" else {}))
    training = optional(tensors, 2)
    if len(node.outputs) > 1 or (training is not None and bool(training)):
        raise NotHonouredError("training mode or a mask")
    return need(tensors, 0).clone()


def shape_of(node: OnnxNode, tensors: Tensors) -> Tensor:
    """Run Shape: a constant, since every size is known."""
    a = attributes(node, start=0, end=None)
    return torch.tensor(tuple(need(tensors, 0).shape)[a["start"] : a["end"]], dtype=torch.int64)


def cast(node: OnnxNode, tensors: Tensors) -> Tensor:
    """Run Cast between numbers; every float is float32 here."""
    kind = attributes(node, to=1, saturate=1)["to"]
    x = need(tensors, 0)
    if kind in _FLOATS:
        return x.float()
    if kind not in _INTEGERS:
        raise NotHonouredError(f"type {type_name(kind)}")
    return x.to(_INTEGERS[kind])


def _integers(tensor: Tensor) -> tuple[int, ...]:
    return tuple(int(v) for v in tensor.reshape(-1).tolist())
