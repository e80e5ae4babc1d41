# SPDX-License-Identifier: Apache-2.0
"""Real multipliers to fixed point, and activation functions to tables (arithmetic contract)."""

import math

import numpy as np
import numpy.typing as npt

from quant.errors import QuantizationError
from quant.floatgraph import FloatActivation
from quant.formats import TensorFormat
from quant.nodes import MAX_SHIFT, MULTIPLIER_HIGH, MULTIPLIER_LOW, Requantizer
from quant.ptq.observers import RealRange, uniform_grid

Floats = npt.NDArray[np.float64]

# A pre-activation code has this many bits more than the largest decoded output.
TABLE_EXTRA_BITS = 2
# Resolution of the search for where an activation's output code stops changing.
SEARCH_POINTS = 1 << 15
# Reach beyond the values seen before an activation, as a share of their range.
REACH = 0.25


def fixed_point(real: Floats, name: str) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint8]]:
    """Return multiplier in [2**16, 2**17) and shift so that ``real ~ multiplier * 2**-shift``.

    Args:
        real: float64 [F], >= 0. Values below 2**-31 (about) become multiplier 0, shift 1.
        name: Node name for the error.

    Raises:
        QuantizationError: A multiplier is too large for a shift of at least 1.
    """
    mantissa, exponent = np.frexp(real)  # real = mantissa * 2**exponent, mantissa in [0.5, 1)
    multiplier = np.floor(mantissa * MULTIPLIER_HIGH + 0.5).astype(np.int64)
    shift = 17 - exponent.astype(np.int64)
    rounded_up = multiplier == MULTIPLIER_HIGH
    multiplier[rounded_up] = MULTIPLIER_LOW
    shift[rounded_up] -= 1
    tiny = (shift > MAX_SHIFT) | (real <= 0.0)
    multiplier[tiny], shift[tiny] = 0, 1
    if int(shift.min()) < 1:
        raise QuantizationError(
            f"'{name}' needs a requantize multiplier of {real.max():.3g}; limit {1 << 16}; "
            "its output range is far below its step: give the layer more weight bits"
        )
    return multiplier.astype(np.uint32), shift.astype(np.uint8)


def clip_bounds(activation: FloatActivation | None, output: TensorFormat) -> tuple[int, int]:
    """Return (low, high) codes of a linear output, ReLU or ReLU6."""
    top = (1 << output.bits) - 1
    if activation is None:
        return 0, top
    zero = output.zero_point
    if activation.kind == "relu6":
        return zero, min(top, math.floor(6.0 / output.scale + 0.5) + zero)
    return zero, top


def linear_requantizer(
    real: Floats, name: str, activation: FloatActivation | None, output: TensorFormat
) -> Requantizer:
    """Return the requantizer of a node whose activation is none or a clip.

    Args:
        real: float64 [F]; scale of the accumulator over scale of the output.
        name: Node name for errors.
        activation: ``None``, relu or relu6.
        output: Output format; may have row ranges when there is no activation.
    """
    multiplier, shift = fixed_point(real, name)
    low, high = clip_bounds(activation, output)
    zero = output.zero_point_per_row if len(real) == output.channels else output.zero_point
    return Requantizer(
        multiplier,
        shift,
        np.broadcast_to(np.asarray(zero, np.int64), multiplier.shape),
        low,
        high,
        output.bits,
    )


def table_requantizer(
    accumulator_scale: Floats,
    name: str,
    activation: FloatActivation,
    seen: RealRange,
    output: TensorFormat,
) -> tuple[Requantizer, npt.NDArray[np.uint16]]:
    """Return requantizer to pre-activation codes and the table from them to output codes.

    The pre-activation range is the stretch where the output code still changes, inside the values
    seen at calibration plus a margin.

    Args:
        accumulator_scale: float64 [F]; real value of one accumulator step.
        name: Node name for errors.
        activation: The function.
        seen: Range of the values before it, from calibration.
        output: Output format.
    """
    bits = min(16, output.decoded_bits + TABLE_EXTRA_BITS)
    scale, zero = uniform_grid(_changing_range(activation, seen, output), bits)
    codes = np.arange(1 << bits, dtype=np.float64)
    table = output_codes(apply_activation(activation, scale * (codes - zero)), output)
    multiplier, shift = fixed_point(accumulator_scale / scale, name)
    requant = Requantizer(
        multiplier, shift, np.full(multiplier.shape, zero), 0, (1 << bits) - 1, bits
    )
    return requant, table.astype(np.uint16)


def output_codes(real: Floats, output: TensorFormat) -> npt.NDArray[np.int64]:
    """Return the codes of real values: nearest decoded value, half up, clipped."""
    exact = real / output.scale + output.zero_point
    if output.codebook is None:
        return np.clip(np.floor(exact + 0.5), 0, (1 << output.bits) - 1).astype(np.int64)
    book = np.asarray(output.codebook, np.float64)
    return np.searchsorted((book[1:] + book[:-1]) / 2.0, exact, side="right").astype(np.int64)


def apply_activation(activation: FloatActivation, x: Floats) -> Floats:
    """Return the activation function of float64 values."""
    match activation.kind:
        case "relu":
            return np.maximum(x, 0.0)
        case "relu6":
            return np.clip(x, 0.0, 6.0)
        case "leaky_relu":
            return np.where(x >= 0.0, x, activation.slope * x)
        case "silu":
            return x * _sigmoid(x)
        case "sigmoid":
            return _sigmoid(x)
        case "hardsigmoid":
            return np.clip(x / 6.0 + 0.5, 0.0, 1.0)
        case "hardswish":
            return x * np.clip(x / 6.0 + 0.5, 0.0, 1.0)


def _sigmoid(x: Floats) -> Floats:
    small = np.exp(-np.abs(x))
    return np.where(x >= 0.0, 1.0, small) / (1.0 + small)


def _changing_range(
    activation: FloatActivation, seen: RealRange, output: TensorFormat
) -> RealRange:
    margin = REACH * max(seen.width, 1e-6)
    points = np.linspace(seen.low - margin, seen.high + margin, SEARCH_POINTS)
    codes = output_codes(apply_activation(activation, points), output)
    changes = np.flatnonzero(np.diff(codes))
    if len(changes) == 0:
        return seen
    low, high = points[changes[0]], points[changes[-1] + 1]
    return RealRange(min(float(low), 0.0), max(float(high), 0.0))
