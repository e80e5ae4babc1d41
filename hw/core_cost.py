# SPDX-License-Identifier: Apache-2.0
"""What the products of a layer cost on each core, for choosing between cores.

Costs are lookup tables of the core alone, a DSP block priced in lookup tables. The figures per
product are those of ``reports/results/packed.json`` (Yosys, xcup, 4-bit weights, 4-bit activations,
w4a8: 8-bit ones); products in logic grow with the bits of their factors.
"""

from hw.cores import core_blocks, tap_macs
from quant.schedule import Core

LUT_PER_MAC: dict[Core, float] = {
    "plain_lut": 32.352,
    "plain_dsp": 11.289,
    "outer4": 2.395,
    "pack6": 2.995,
    "pack12": 14.896,
    "w4a8": 4.911,
}
"""Lookup tables per product and cycle, as measured."""

MEASURED_BITS = 16
"""Product of the factors' bits at which ``plain_lut`` was measured."""

LUTS_PER_BLOCK = 64
"""Price of a DSP block without a device: UltraScale+ parts have about 128 lookup tables for each of
their blocks, half of which windows, requantizers and FIFOs need."""


def core_luts(core: Core, pe: int, simd: int, product_bits: int) -> float:
    """Return the lookup tables of a core.

    Args:
        core: The core.
        pe: Filters in parallel.
        simd: Channels in parallel.
        product_bits: Bits of a weight times bits of an activation.
    """
    grown = product_bits / MEASURED_BITS if core == "plain_lut" else 1.0
    return LUT_PER_MAC[core] * tap_macs(core, pe, simd) * grown


def core_cost(
    core: Core, pe: int, simd: int, product_bits: int, luts_per_block: int = LUTS_PER_BLOCK
) -> int:
    """Return lookup tables and DSP blocks of a core in lookup tables, rounded."""
    blocks = core_blocks(core, pe, simd)
    return round(core_luts(core, pe, simd, product_bits) + luts_per_block * blocks)
