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
    product_luts,
)
from quant.errors import PlanError
from quant.schedule import Core

LANE_BITS = 11
"""Bits of a lane of a product; ``pack12`` has lanes of 10 bits with their carry."""

_SHORTEST_SHIFT = 3
# Smaller products of other modules than the core lie in logic.
_SMALLEST_FACTOR, _SMALLEST_PRODUCT = 2, 9


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
        w.remainders += blocks
        # Weights twice, products, sums modulo 8; lanes with their spill; activations modulo 8.
        w.data += blocks * (2 * 9 + 36 + 15 + 5 * (LANE_BITS - 1) + 8) + simd * 12
        add_tree(w, lanes, simd, LANE_BITS - 1)
        add_tree(w, lanes - pe, simd, 3)
        width = LANE_BITS + (simd - 1).bit_length()
        w.adders += (lanes - pe) * width
        w.sums += lanes * width
    else:
        chains = simd // cascade
        nibbles = 2 if core == "w4a8" else 1
        add_tree(w, nibbles * lanes, chains, LANE_BITS, 1)
        if nibbles == 2:
            width = LANE_BITS + (chains - 1).bit_length()
            w.adders += lanes * (width + 1)
            w.sums += lanes * (width + 6)
        for place in range(1, cascade):
            late, bits = place - 1, chains * pixels * acts
            if late >= _SHORTEST_SHIFT:
                w.lutram_luts += bits
            else:
                w.data += late * bits
    w.adders += lanes * accumulator
    w.sums += lanes * accumulator
    if rows:
        # What a fold begins with.
        w.muxes += 2 * pe * accumulator
        if folds > 1:
            add_memory(w, 2 * pe * accumulator, folds, "distributed", "queue")
            w.data += 2 * pe * accumulator
            w.counters += count_bits(folds)
            w.control += count_bits(folds)
    w.control += core_latency(core, simd, cascade) + cascade
    # Flags beside the data: of rows the first group; two more beside the sums of windows.
    w.lutram_luts += int(rows) + (2 if int(p["OffsetBits"]) else 0)
    _add_window_sums(w, p, core, pixels)


def _add_window_sums(w: Work, p: Mapping[str, Parameter], core: Core, pixels: int) -> None:
    """Add ``nf_window_sum`` and ``nf_offset``, where weights are shifted."""
    offset, bits = int(p["OffsetBits"]), int(p["WindowBits"])
    if not offset:
        return
    simd, accumulator = int(p["Simd"]), int(p["AccBits"])
    add_tree(w, pixels, simd, int(p["ActBits"]) + 1)
    if tap_columns(core) == 3:
        # Sums of a tap, of three columns; the two columns before.
        w.adders += 3 * pixels * bits
        w.sums += 2 * pixels * bits + 2 * bits
    else:
        w.adders += pixels * bits
        w.sums += 2 * pixels * bits
    late = core_latency(core, simd, int(p["Cascade"])) - 3 - (simd - 1).bit_length()
    if late >= _SHORTEST_SHIFT:
        w.lutram_luts += pixels * bits
    else:
        w.data += late * pixels * bits
    lanes = int(p["RequantLanes"])
    sets, hold = max(1, lanes // pixels), max(1, pixels // lanes)
    folds = -(-int(p["Filters"]) // int(p["Pe"]))
    add_rom(w, sets * offset, folds * int(p["Pe"]) // sets, "auto")
    # The sums of a window stay until its last step.
    w.data += pixels * bits
    w.muxes += pixels * bits + lanes * bits * (hold - 1)
    w.control += 3 + count_bits(hold)
    product = min(bits + 1 + offset, accumulator)
    if offset >= _SMALLEST_FACTOR and product >= _SMALLEST_PRODUCT:
        # The block keeps its factors and its product.
        w.dsp += lanes
    else:
        w.products += lanes * product_luts(bits, offset)
        w.product_registers += lanes * (bits + offset)
    w.adders += lanes * accumulator
    w.sums += 3 * lanes * accumulator


def add_pixel_order(w: Work, p: Mapping[str, Parameter], pixels: int) -> None:
    """Add ``nf_pixel_order``."""
    core = packed_core(p)
    pe, out, lanes = int(p["Pe"]), int(p["OutBits"]), int(p["OutLanes"])
    places = int(p["OrderPlaces"])
    padding = int(p["PadLeft"]) + int(p["PadRight"])
    columns = int(p["Width"]) + padding
    if tap_columns(core) == 1:
        columns = (columns - int(p["KernelW"])) // int(p["StrideW"]) + 1
    padded = int(p["Height"]) + int(p["PadTop"]) + int(p["PadBottom"])
    rows = (padded - int(p["KernelH"])) // int(p["StrideH"]) + 1
    parts, beats = pe // lanes, int(p["Filters"]) // lanes
    folds = -(-beats // parts)
    add_memory(w, pe * pixels * out, places, "distributed", "queue")
    add_queue(w, lanes * out + 1, 2)
    w.muxes += lanes * out * (pixels * parts - 1)
    counters = (
        count_bits(pixels) + count_bits(parts) + count_bits(folds) + count_bits(beats)
        + count_bits(-(-columns // pixels)) + count_bits(rows)
        + 3 * count_bits(places) + 2 * (places + folds).bit_length()
    )  # fmt: skip
    w.counters += counters
    w.control += counters
