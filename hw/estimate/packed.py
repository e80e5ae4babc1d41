# SPDX-License-Identifier: Apache-2.0
"""The work of a convolution cell with a packed core, but for its window and its finish."""

from collections.abc import Mapping

from hw.cell import Parameter
from hw.cores import PACKED_CORES, core_blocks, core_latency, tap_columns
from hw.estimate.work import (
    Work,
    add_memory,
    add_queue,
    add_rom,
    add_tree,
    count_bits,
)
from quant.errors import PlanError
from quant.schedule import Core

LANE_BITS = 11
"""Bits of a lane of a product; ``pack12`` has lanes of 10 bits with their carry."""

PACK12_BLOCK_LUTS = 120
"""Lookup tables beside each block of ``pack12`` that compute its lanes modulo 8."""

_SHORTEST_SHIFT = 3


def packed_core(p: Mapping[str, Parameter]) -> Core:
    """Return the core of a packed cell.

    Raises:
        PlanError: There is no such core.
    """
    name = str(p["Core"])
    for core in PACKED_CORES:
        if core == name:
            return core
    raise PlanError(f"there is no core '{name}'; packed cores are {', '.join(PACKED_CORES)}")


def add_packed_core(w: Work, p: Mapping[str, Parameter], pixels: int, folds: int) -> None:
    """Add ``nf_conv_packed`` without its weights.

    Args:
        w: Receives the counts.
        p: Parameters of ``nf_conv``.
        pixels: Pixels of a tap.
        folds: Output folds of a window.
    """
    core = packed_core(p)
    pe, simd, cascade = int(p["Pe"]), int(p["Simd"]), int(p["Cascade"])
    acts, accumulator = int(p["ActBits"]), int(p["AccBits"])
    blocks = core_blocks(core, pe, simd)
    w.dsp += blocks
    rows = tap_columns(core) == 3
    lanes = pe * (pixels + 2 if rows else pixels)
    if core == "pack12":
        w.decodes += PACK12_BLOCK_LUTS * blocks
        w.data += blocks * (6 * (LANE_BITS - 1) + 5 * 3 + 12 * 3 + 6 * 3)
        add_tree(w, lanes, simd, LANE_BITS - 1)
        add_tree(w, lanes - pe, simd, 3)
        w.adders += lanes * LANE_BITS
        w.sums += lanes * LANE_BITS
    else:
        chains = simd // cascade
        nibbles = 2 if core == "w4a8" else 1
        add_tree(w, nibbles * lanes, chains, LANE_BITS)
        if nibbles == 2:
            w.adders += lanes * (LANE_BITS + 1)
            w.sums += lanes * (LANE_BITS + 5)
        for place in range(1, cascade):
            late, bits = place - 1, chains * pixels * acts
            if late >= _SHORTEST_SHIFT:
                w.lutram_luts += bits
            else:
                w.data += late * bits
    w.adders += lanes * accumulator
    w.sums += lanes * accumulator
    if rows and folds > 1:
        add_memory(w, 2 * pe * accumulator, folds, "distributed", "queue")
        w.muxes += 2 * pe * accumulator
        w.data += 2 * pe * accumulator
    # One address counter per further memory of weights.
    w.counters += (cascade - 1) * count_bits(folds)
    w.control += core_latency(core, simd, cascade) + cascade
    _add_window_sums(w, p, core, pixels)


def _add_window_sums(w: Work, p: Mapping[str, Parameter], core: Core, pixels: int) -> None:
    """Add ``nf_window_sum`` and ``nf_offset``, where weights are shifted."""
    offset, bits = int(p["OffsetBits"]), int(p["WindowBits"])
    if not offset:
        return
    lanes = int(p["RequantLanes"])
    add_tree(w, pixels, int(p["Simd"]), int(p["ActBits"]) + 1)
    sums = 3 if tap_columns(core) == 3 else 1
    w.adders += sums * pixels * bits
    w.sums += (sums + 1) * pixels * bits
    sets = max(1, lanes // pixels)
    add_rom(w, sets * offset, int(p["Filters"]) // sets, "auto")
    w.products += lanes * bits * offset
    w.product_registers += lanes * (bits + offset)
    w.adders += lanes * int(p["AccBits"])
    w.sums += 3 * lanes * int(p["AccBits"])


def add_pixel_order(w: Work, p: Mapping[str, Parameter], pixels: int) -> None:
    """Add ``nf_pixel_order``."""
    pe, out, places = int(p["Pe"]), int(p["OutBits"]), int(p["OrderPlaces"])
    add_memory(w, pe * pixels * out, places, "distributed", "queue")
    add_queue(w, int(p["OutLanes"]) * out + 1, 2)
    parts = pixels * (pe // int(p["OutLanes"]))
    w.muxes += int(p["OutLanes"]) * out * (parts - 1)
    counters = 3 * count_bits(places) + 2 * (places.bit_length() + 1)
    counters += count_bits(int(p["Height"])) + count_bits(int(p["Width"]))
    w.counters += counters
    w.control += counters
