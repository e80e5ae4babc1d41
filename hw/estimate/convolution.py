# SPDX-License-Identifier: Apache-2.0
"""The work of a convolution cell, and its weight memories."""

from hw.cores import PIXELS, tap_columns
from hw.estimate.packed import add_packed_core, add_pixel_order, packed_core
from hw.estimate.parameters import Parameters, number, pair
from hw.estimate.work import (
    Work,
    add_codebook,
    add_decoder,
    add_fifo,
    add_queue,
    add_requantizer,
    add_rom,
    add_steps,
    add_tree,
    add_window,
    count_bits,
    product_luts,
    table_luts,
)

# Codes of two regions, and address bits beyond which their tables, alike as they are, cost less
# than tables of any contents.
_REGION_BITS, _MANY_TABLES = (4, 5), 3
_LUT_INPUTS = 6


def weight_shape(p: Parameters) -> tuple[int, int]:
    """Return the bits of a word and the words of the weight memory of a convolution."""
    depthwise = bool(p["Depthwise"])
    folds = -(-number(p, "Filters") // number(p, "Pe"))
    channels = 1 if depthwise else number(p, "Channels") // number(p, "Groups") // number(p, "Simd")
    taps = number(p, "KernelH") * number(p, "KernelW") * channels
    if p["Core"] != "plain":
        columns = tap_columns(packed_core(p))
        word = number(p, "Pe") * number(p, "Simd") * columns * number(p, "OperandBits")
        return word, folds * taps // columns
    return number(p, "Pe") * number(p, "Simd") * number(p, "WeightBits"), folds * taps


def weight_memories(p: Parameters) -> int:
    """Return how many memories the words of weights are spread over: one per block of a chain."""
    return 1 if p["Core"] == "plain" else number(p, "Cascade")


def add_conv(w: Work, p: Parameters) -> None:
    """Add ``nf_conv`` without its weight memories."""
    if p["Core"] != "plain":
        _packed_conv(w, p)
        return
    pe, simd = number(p, "Pe"), number(p, "Simd")
    kh, kw = number(p, "KernelH"), number(p, "KernelW")
    depthwise, use_dsp = bool(p["Depthwise"]), bool(p["UseDsp"])
    groups, filters = number(p, "Groups"), number(p, "Filters")
    in_lanes = pe if depthwise else simd
    folds = number(p, "Channels") // in_lanes
    output_folds = filters // pe
    acts, in_bits = number(p, "ActBits"), number(p, "InBits")
    add_window(
        w,
        in_lanes * in_bits,
        folds,
        folds if depthwise else groups,
        1 if depthwise else output_folds // groups,
        (number(p, "Height"), number(p, "Width")),
        (kh, kw),
        pair(p, "Stride"),
        (number(p, "PadTop"), number(p, "PadLeft"), number(p, "PadBottom"), number(p, "PadRight")),
        number(p, "BufferPixels"),
    )
    select = number(p, "SelectBits")
    if select:
        lanes = simd if p["SelectByChannel"] else pe
        add_rom(w, lanes * select, number(p, "SelectDepth"), "auto")
    add_codebook(w, in_lanes, in_bits, acts, used=bool(p["CodebookFile"]))
    factor, accumulator = number(p, "FactorBits"), number(p, "AccBits")
    sums = accumulator
    if factor and p["FactorByChannel"]:
        add_rom(w, simd * factor, number(p, "FactorDepth"), "auto")
        _multiply(w, in_lanes, acts, factor, use_dsp=use_dsp)
        acts += factor
    _multiply_accumulate(w, p, acts, use_dsp=use_dsp)
    if factor and not p["FactorByChannel"]:
        sums = number(p, "PartBits")
        add_rom(w, pe * factor, number(p, "FactorDepth"), "auto")
        taps = number(p, "FactorTaps")
        # One multiplier for the whole layer is a constant.
        constant = depthwise and taps == kh * kw
        _multiply(w, pe, sums, -(-factor // 2) if constant else factor, use_dsp=use_dsp)
        if taps < weight_shape(p)[1] // (filters // pe):
            w.adders += pe * accumulator
        w.sums += pe * accumulator
        w.data += pe * sums
    w.adders += pe * sums
    w.sums += pe * sums
    _finish(w, p, pe, filters)
    depth = number(p, "QueueDepth")
    add_fifo(w, pe * number(p, "OutBits") + 1, depth)
    w.control += depth.bit_length() + 2 * (2 + (simd - 1).bit_length())
    w.counters += depth.bit_length()


def _packed_conv(w: Work, p: Parameters) -> None:
    """Add a convolution with a packed core."""
    core = packed_core(p)
    pe, simd, pixels = number(p, "Pe"), number(p, "Simd"), PIXELS[core]
    rows = tap_columns(core) == 3
    output_folds = -(-number(p, "Filters") // pe)
    (kh, kw), (sh, sw) = pair(p, "Kernel"), pair(p, "Stride")
    groups, in_bits = number(p, "Groups"), number(p, "InBits")
    add_window(
        w,
        simd * in_bits,
        number(p, "Channels") // simd,
        groups,
        output_folds // groups,
        (number(p, "Height"), number(p, "Width")),
        (kh, 1 if rows else kw),
        (sh, pixels * sw),
        (number(p, "PadTop"), number(p, "PadLeft"), number(p, "PadBottom"), number(p, "PadRight")),
        number(p, "BufferPixels"),
        pixels,
        pixels * sw,
    )
    padded = number(p, "Width") + number(p, "PadLeft") + number(p, "PadRight")
    columns = padded if rows else (padded - kw) // sw + 1
    # Folds of a window, windows of a row.
    places = count_bits(output_folds) + count_bits(-(-columns // pixels))
    w.counters += places
    w.control += places
    acts = number(p, "ActBits")
    add_codebook(w, pixels * simd, in_bits, acts, used=bool(p["CodebookFile"]))
    add_packed_core(w, p, pixels, output_folds // groups)
    _finish(w, p, pe * pixels, output_folds * pe, pixels)
    add_queue(w, pe * pixels * number(p, "OutBits") + 1, number(p, "QueueDepth"))
    add_pixel_order(w, p, pixels)


def _finish(w: Work, p: Parameters, results: int, filters: int, pixels: int = 1) -> None:
    """Add ``nf_conv_finish`` for ``results`` accumulators of a fold."""
    requant, accumulator = number(p, "RequantLanes"), number(p, "AccBits")
    shifts = (number(p, "ShiftLow"), number(p, "ShiftHigh"))
    pre, out = number(p, "PreBits"), number(p, "OutBits")
    shift_bits = max(1, (shifts[1] - shifts[0]).bit_length())
    add_steps(w, results, requant, accumulator, out)
    sets = max(1, requant // pixels)
    add_rom(w, sets * (accumulator + 17 + shift_bits + pre + 1), filters // sets, "auto")
    steps = results > requant
    add_requantizer(w, requant, accumulator, pre, shifts, constant=False, steps=steps)
    if p["TableFile"]:
        add_decoder(w, requant, pre, out, table=True)


def _multiply(w: Work, lanes: int, left: int, right: int, *, use_dsp: bool) -> None:
    """Add products of ``left`` by ``right`` bits with a register behind them."""
    if use_dsp:
        w.dsp += lanes
    else:
        w.products += lanes * product_luts(left, right)
    w.product_registers += lanes * (left + right)


def _multiply_accumulate(w: Work, p: Parameters, acts: int, *, use_dsp: bool) -> None:
    """Add ``nf_mac_plain`` but for its accumulators."""
    pe, simd = number(p, "Pe"), number(p, "Simd")
    count, operand = pe * simd, number(p, "OperandBits")
    _add_decoding(w, p)
    if use_dsp:
        w.block_operands += count * operand
    else:
        w.operands += count * operand
    _multiply(w, count, acts, operand if use_dsp else operand - 1, use_dsp=use_dsp)
    if not use_dsp:
        # The row of the sign is subtracted.
        w.products += count * (acts + 1)
        w.product_registers += count
    add_tree(w, pe, simd, acts + operand)
    levels = (simd - 1).bit_length()
    w.control += 2 + levels
    # Flags beside the data, first and last of a fold: constant where every tap is one.
    parts = number(p, "FactorBits") and not p["FactorByChannel"]
    w.lutram_luts += 0 if parts and number(p, "FactorTaps") == 1 else 2


def _add_decoding(w: Work, p: Parameters) -> None:
    """Add what decodes stored weights: adders of zero points, or tables."""
    count, operand = number(p, "Pe") * number(p, "Simd"), number(p, "OperandBits")
    select, weight = number(p, "SelectBits"), number(p, "WeightBits")
    if p["AffineSelect"]:
        w.decodes += count * operand
    elif select == 0 and operand <= weight + 1:
        # One table of even steps: a constant is taken from the code.
        w.decodes += count * operand * (operand - weight)
    elif weight in _REGION_BITS and select >= _MANY_TABLES:
        w.regions += count * operand * table_luts(select + weight)
    else:
        # Yosys finds no more than half of what large tables could share.
        large = 2 if select + weight > _LUT_INPUTS else 1
        w.decodes += count * operand * large * table_luts(select + weight)
