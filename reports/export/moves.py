# SPDX-License-Identifier: Apache-2.0
"""Operators that only move or choose values; the same in float and in integer models."""

from collections.abc import Sequence

import numpy as np

from quant.floatgraph import FloatMaxPool
from quant.nodes import MaxPool
from reports.export.builder import ModelBuilder, Shape, Tensor


def concat(b: ModelBuilder, name: str, sources: Sequence[Tensor], shape: Shape) -> Tensor:
    """Join channels."""
    return b.node(name, "Concat", sources, shape, last=True, axis=1)


def slice_channels(b: ModelBuilder, name: str, source: Tensor, begin: int, end: int) -> Tensor:
    """Take channels ``begin`` to ``end``, exclusive."""
    limits = [
        b.constant(name, what, np.array([value], np.int64))
        for what, value in (("begin", begin), ("end", end), ("axis", 1))
    ]
    shape = (source.shape[0], end - begin, *source.shape[2:])
    return b.node(name, "Slice", [source, *limits], shape, last=True)


def max_pool(b: ModelBuilder, source: Tensor, op: FloatMaxPool | MaxPool, shape: Shape) -> Tensor:
    """Take the largest of every window."""
    return b.node(
        *(op.name, "MaxPool", [source], shape),
        last=True,
        kernel_shape=op.kernel,
        strides=op.stride,
        pads=op.padding,
    )


def upsample(b: ModelBuilder, name: str, source: Tensor, factor: int) -> Tensor:
    """Repeat every pixel ``factor`` times both ways."""
    n, c, h, w = source.shape
    region = b.constant(name, "region", np.zeros(0, np.float32))
    scales = b.constant(name, "scales", np.array([1, 1, factor, factor], np.float32))
    return b.node(
        *(name, "Resize", [source, region, scales], (n, c, h * factor, w * factor)),
        last=True,
        mode="nearest",
        nearest_mode="floor",
        coordinate_transformation_mode="asymmetric",
    )
