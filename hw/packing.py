# SPDX-License-Identifier: Apache-2.0
"""Proofs that a packed core is exact for a layer: intervals of every lane, from its own weights.

A packed product is exact while each lane stays inside its bits. The interval of a lane over all
activations 0 .. A is known from the weights that meet in it; the proof takes the extremes over all
filters, kernel rows and chains. Weights below the corner of their format allow longer chains.
"""

from dataclasses import dataclass

import numpy as np

from hw.cores import PACKED_CORES, ROW_CORES
from hw.divisors import divisors, divisors_near
from quant.errors import PlanError
from quant.formats import IntArray, TensorFormat
from quant.nodes import Conv
from quant.remember import remembered
from quant.schedule import Core
from quant.weights import signed_bits

LANE_LIMIT = 1023
"""A lane of 11 bits, the borrow of the lane below included, holds sums of this magnitude."""

SPILL_LOW, SPILL_HIGH = -4, 3
"""What three bits say of the carry between lanes of ``pack12``."""

PACKED_WORD = -(1 << 17), (1 << 17) - 1
"""The 18-bit factor of a DSP block."""

TOP_LANE = -(1 << 7), (1 << 7) - 1
"""What the top lane of ``pack12`` keeps."""

OPERAND_BITS: dict[Core, int] = {"outer4": 5, "pack6": 5, "pack12": 4, "w4a8": 5}
ACT_BITS: dict[Core, tuple[int, int]] = {
    "outer4": (1, 6),
    "pack6": (1, 4),
    "pack12": (3, 5),
    "w4a8": (5, 8),
}
STEP = 7
"""Bits from lane to lane of ``pack12``."""


@dataclass(frozen=True)
class LaneProof:
    """What was proved for one layer and core.

    Attributes:
        core: The core.
        cascade: Blocks of a chain; 1 for ``pack12``.
        low: Smallest sum of any lane over a chain; for ``pack12`` the smallest carry between lanes.
        high: Largest one.
        operand_bits: Signed bits of the weights that the core multiplies.
    """

    core: Core
    cascade: int
    low: int
    high: int
    operand_bits: int


@remembered
def packed_operands(node: Conv) -> tuple[IntArray, IntArray]:
    """Return the weights that a packed core multiplies, and what it adds per window sum.

    ``w_int = operand + offset[f]``: affine tables differ by their zero point only, so the core
    multiplies ``code - 2**(bits-1)``, and the offset times the sum of the window's activations is
    added once. Any other table goes into the operand as it is.

    Args:
        node: The convolution.

    Returns:
        int64 [F, C/groups, KH, KW] and int64 [F].
    """
    weights = node.weights
    integers = weights.integers().astype(np.int64)
    codes = weights.codes.astype(np.int64) - (1 << (weights.bits - 1))
    offsets = (integers - codes).reshape(weights.shape[0], -1)
    if np.array_equal(offsets, np.broadcast_to(offsets[:, :1], offsets.shape)):
        found = codes, offsets[:, 0]
    else:
        found = integers, np.zeros(weights.shape[0], np.int64)
    for array in found:
        array.setflags(write=False)  # the next caller gets the same ones
    return found


def prove_core(node: Conv, source: TensorFormat, core: Core, simd: int) -> LaneProof:
    """Return the proof that ``core`` computes ``node`` exactly, with the longest chain.

    Args:
        node: The convolution.
        source: Format of its input codes.
        core: A packed core.
        simd: Channels of a tap; divides the channels of a group.

    Returns:
        The proof; its ``cascade`` divides ``simd``.

    Raises:
        PlanError: The core does not build this layer, or no chain keeps its lanes.
    """
    name = node.name
    _, channels, kh, kw = node.weights.shape
    if core not in PACKED_CORES:
        raise PlanError(f"'{name}': core '{core}' is not packed; use {', '.join(PACKED_CORES)}")
    if channels % simd:
        near = ", ".join(str(d) for d in divisors_near(channels, simd))
        raise PlanError(
            f"'{name}' has {channels} channels per filter, not a multiple of SIMD={simd}; "
            f"divisors near {simd}: {near}"
        )
    if node.groups > 1 and channels == 1 and node.weights.shape[0] == node.groups:
        raise PlanError(
            f"'{name}' is depthwise; core '{core}' shares activations between filters; use "
            "plain_lut or plain_dsp"
        )
    if core in ROW_CORES and (kw != 3 or node.stride[1] != 1):
        raise PlanError(
            f"'{name}' has a {kh}x{kw} kernel with horizontal stride {node.stride[1]}; core "
            f"'{core}' takes rows of 3 with stride 1; use outer4"
        )
    least, most = ACT_BITS[core]
    if not least <= source.decoded_bits <= most:
        raise PlanError(
            f"'{name}' reads activations of {source.decoded_bits} bits; core '{core}' takes "
            f"{least} to {most}; choose another core"
        )
    smallest, greatest = _operand_range(node)
    bits = signed_bits(smallest, greatest)
    if bits > OPERAND_BITS[core]:
        raise PlanError(
            f"'{name}' has weights {smallest}..{greatest}, {bits} bits; core '{core}' "
            f"takes {OPERAND_BITS[core]}; use plain_lut or plain_dsp"
        )
    if core == "pack12":
        return _prove_spills(node, source.max_decoded, bits)
    # Nibbles of a wide activation are at most 15 each.
    largest = 15 if core == "w4a8" else source.max_decoded
    longest = LaneProof(core, 0, 0, 0, bits)
    too_long: list[int] = []
    for cascade in divisors(simd):
        # A chain holds the sums of the chains that it consists of.
        if any(cascade % n == 0 for n in too_long):
            continue
        low, high = _chain_interval(node, core, cascade, largest)
        if low >= -LANE_LIMIT and high <= LANE_LIMIT:
            longest = LaneProof(core, cascade, low, high, bits)
        elif cascade == 1:
            raise PlanError(
                f"'{name}': a lane of core '{core}' reaches {low}..{high} with one block; limit "
                f"-{LANE_LIMIT}..{LANE_LIMIT}; use plain_lut or plain_dsp"
            )
        else:
            too_long.append(cascade)
    return longest


@remembered
def _operand_range(node: Conv) -> tuple[int, int]:
    """Return the smallest and the greatest operand."""
    operands, _ = packed_operands(node)
    return int(operands.min()), int(operands.max())


@remembered
def _chain_interval(node: Conv, core: Core, cascade: int, largest: int) -> tuple[int, int]:
    """Return ``lane_interval`` of the operands of ``node``."""
    operands, _ = packed_operands(node)
    return lane_interval(operands, core, cascade, largest)


def lane_interval(operands: IntArray, core: Core, cascade: int, largest: int) -> tuple[int, int]:
    """Return the smallest and largest sum of any lane of 11 bits over a chain.

    Args:
        operands: int64 [F, C, KH, KW]; blocks of a chain are neighbouring channels.
        core: ``outer4``, ``pack6`` or ``w4a8``.
        cascade: Blocks of a chain, divides C.
        largest: Largest activation, or nibble of one.
    """
    # Columns of a kernel row whose products meet in a lane, each with an activation of its own.
    lanes = [(0,)] if core == "outer4" else [(2,), (1, 2), (0, 1), (0,)]
    filters, channels, kh, kw = operands.shape
    # Every kernel position of outer4 is a tap of its own.
    taps = kh * kw if core == "outer4" else kh
    chained = operands.reshape(filters, channels // cascade, cascade, taps, -1)
    # Sums of one column's products; columns meet in a lane after that.
    low = np.minimum(chained, 0).sum(2)
    high = chained.sum(2) - low
    lows = [int(sum(low[..., k] for k in columns).min()) for columns in lanes]
    highs = [int(sum(high[..., k] for k in columns).max()) for columns in lanes]
    return largest * min(lows), largest * max(highs)


@remembered
def _prove_spills(node: Conv, largest: int, bits: int) -> LaneProof:
    """Prove ``pack12``: the weights' word, the carries between lanes and the top lane fit."""
    name = node.name
    operands, _ = packed_operands(node)
    # Weight of the highest position first in the kernel row: the product is a correlation.
    taps = operands[..., ::-1]
    words = taps @ (1 << (STEP * np.arange(3)))
    if words.min() < PACKED_WORD[0] or words.max() > PACKED_WORD[1]:
        raise PlanError(
            f"'{name}': three weights of core 'pack12' make words {words.min()}..{words.max()}; "
            f"limit {PACKED_WORD[0]}..{PACKED_WORD[1]}; quantize it with narrow weights (-7..7) or "
            "use pack6"
        )
    spills = []
    for lane in range(6):
        low, high = np.zeros(words.shape, np.int64), np.zeros(words.shape, np.int64)
        for x in range(4):
            # What activation x is multiplied by in lanes 0 .. lane.
            factor = sum(
                (taps[..., j] << (STEP * (j + x)) for j in range(3) if j + x <= lane),
                np.zeros(words.shape, np.int64),
            )
            low += largest * np.minimum(factor, 0)
            high += largest * np.maximum(factor, 0)
        carry = STEP * (lane + 1)
        if lane < 5:
            spills += [int((low >> carry).min()), int((high >> carry).max())]
        else:
            top = int((low >> 5 * STEP).min()), int((high >> 5 * STEP).max())
    least, most = min(spills), max(spills)
    if least < SPILL_LOW or most > SPILL_HIGH or top[0] < TOP_LANE[0] or top[1] > TOP_LANE[1]:
        raise PlanError(
            f"'{name}': lanes of core 'pack12' carry {least}..{most}, its top one holds "
            f"{top[0]}..{top[1]}; limits {SPILL_LOW}..{SPILL_HIGH} and "
            f"{TOP_LANE[0]}..{TOP_LANE[1]}; use pack6"
        )
    return LaneProof("pack12", 1, least, most, bits)
