# SPDX-License-Identifier: Apache-2.0
"""Weights to codes: affine and symmetric uniform quantizers per group.

The group of a weight follows from ``Granularity.group_shape``; every reduction runs over the axes
that the group shape has as 1, so one implementation serves every granularity.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from quant.weights import MAX_TABLES, Granularity, Weights

Floats = npt.NDArray[np.float64]

SHRINKS = np.linspace(1.0, 0.4, 31)


@dataclass(frozen=True)
class _Grid:
    """Uniform grid of each group: real = scale * (code - zero); float64, group shape."""

    scale: Floats
    zero: Floats


def quantize_weights(
    weight: npt.NDArray[np.float32],
    bits: int,
    scheme: Literal["affine", "symmetric"],
    granularity: Granularity,
    clip: Literal["minmax", "mse"],
    least_scale: Floats,
) -> Weights:
    """Quantize one layer's weights by rounding to nearest.

    Args:
        weight: float32 [F, C/groups, KH, KW].
        bits: Stored bits, 2 to 8.
        scheme: ``affine`` (range of the group, zero point inside) or ``symmetric``.
        granularity: ``layer`` or ``filter``.
        clip: Full range of each group, or the shrunk one of least squared error.
        least_scale: float64 [F], > 0; a filter's scale is raised to at least this, so that the
            bias fits (vanishing weights then round to zero).

    Returns:
        The stored weights, multipliers all 1.
    """
    exact = weight.astype(np.float64)
    f, c, kh, kw = weight.shape
    axes = tuple(i for i, n in enumerate(granularity.group_shape((f, c, kh, kw))) if n == 1)
    grid = _best_grid(exact, bits, scheme, clip, axes)
    scale = np.broadcast_to(grid.scale, (f, 1, 1, 1)).reshape(f)
    scale = np.maximum(scale, least_scale)
    # The stored scale is float32: codes are made for the value that is stored.
    stored = scale.astype(np.float32)
    codes = _codes(exact, _Grid(stored.astype(np.float64).reshape(f, 1, 1, 1), grid.zero), bits)
    zeros, selectors = np.unique(grid.zero.astype(np.int64), return_inverse=True)
    tables = np.arange(1 << bits)[None, :] - zeros[:, None]
    shape = granularity.group_shape((f, c, kh, kw))
    one_scale = bool(np.all(stored == stored[0]))
    return Weights(
        codes=codes.astype(np.uint8),
        bits=bits,
        tables=tables.astype(np.int16),
        selectors=selectors.reshape(shape).astype(np.uint8),
        multipliers=np.ones(shape, np.uint8),
        scale=stored[:1] if one_scale else stored,
        granularity=granularity,
        scheme=scheme,
    )


def _best_grid(weight: Floats, bits: int, scheme: str, clip: str, axes: tuple[int, ...]) -> _Grid:
    low = np.minimum(weight.min(axis=axes, keepdims=True), 0.0)
    high = np.maximum(weight.max(axis=axes, keepdims=True), 0.0)
    best = _grid(low, high, bits, scheme)
    if clip == "minmax":
        return best
    best_error = _error(weight, best, bits, axes)
    for shrink in SHRINKS[1:]:
        grid = _grid(low * shrink, high * shrink, bits, scheme)
        error = _error(weight, grid, bits, axes)
        better = error < best_error
        best = _Grid(
            np.where(better, grid.scale, best.scale), np.where(better, grid.zero, best.zero)
        )
        best_error = np.where(better, error, best_error)
    return best


def _grid(low: Floats, high: Floats, bits: int, scheme: str) -> _Grid:
    """Return the grid that covers ``low``..``high``; both ends are inside up to half a step."""
    levels = (1 << bits) - 1
    half = 1 << (bits - 1)
    if scheme == "symmetric":
        # Codes -half..half-1: the negative end reaches one step further.
        scale = np.maximum(high / (half - 1), -low / half)
        return _Grid(_positive(scale), np.full_like(scale, half))
    scale = (high - low) / levels
    # At most 16 decode tables per layer, so zero points lie on a grid of 2**bits / 16.
    step = max(1, (1 << bits) // MAX_TABLES)
    zero = np.floor(np.clip(-low / _positive(scale), 0, levels) / step + 0.5) * step
    zero = np.minimum(zero, (1 << bits) - step)
    if step > 1:
        below = np.where(zero > 0, -low / np.maximum(zero, 1), 0.0)
        above = np.where(zero < levels, high / np.maximum(levels - zero, 1), 0.0)
        scale = np.maximum(np.maximum(below, above), scale)
    return _Grid(_positive(scale), zero)


def _positive(scale: Floats) -> Floats:
    return np.where(scale > 0.0, scale, np.finfo(np.float32).tiny)


def _codes(weight: Floats, grid: _Grid, bits: int) -> Floats:
    codes = np.floor(weight / grid.scale + 0.5) + grid.zero
    return np.asarray(np.clip(codes, 0, (1 << bits) - 1))


def _error(weight: Floats, grid: _Grid, bits: int, axes: tuple[int, ...]) -> Floats:
    difference = (_codes(weight, grid, bits) - grid.zero) * grid.scale - weight
    return np.asarray(np.square(difference).sum(axis=axes, keepdims=True))
