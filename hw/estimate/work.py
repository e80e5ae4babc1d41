# SPDX-License-Identifier: Apache-2.0
"""Work: what a cell is made of, counted from its parameters; the model prices it.

Each function adds one hand-written module of ``hw/rtl`` to a ``Work``: bits of adders, counters,
multiplexers and registers. Nothing here is a resource of a device except memories and DSP blocks,
whose numbers follow from their shapes alone.
"""

from dataclasses import dataclass

from hw.estimate.memory import MemoryKind, MemoryRole, memory_parts

LUT_FEATURES = (
    "cells", "counters", "pixels", "addresses", "corners", "gates", "products", "decodes",
    "regions", "curves", "adders", "biases", "shifts", "clips", "muxes", "tables", "remainders",
)  # fmt: skip
"""Fields of ``Work`` that lookup tables are priced by."""

FF_FEATURES = (
    "cells", "control", "data", "operands", "block_operands", "product_registers", "sums",
    "codes",
)  # fmt: skip
"""Fields of ``Work`` that flip-flops are priced by."""

# Widest signed factors of a DSP block, and the address bits of one lookup table.
_DSP_BITS = 27
_LUT_INPUTS = 6
# Words of constants up to which a bit of them is one lookup table.
_ONE_LUT_WORDS = 32


@dataclass(slots=True)
class Work:
    """Counted parts of one cell; bits unless said otherwise.

    Attributes:
        cells: 1.
        counters: Of counters that compare with their last value.
        pixels: Of pixel counts of windows.
        addresses: Of addresses of line buffers.
        corners: Of coordinates of windows and taps.
        gates: Of beats that a window replaces by the zero code.
        products: Lookup tables of multipliers in logic.
        decodes: Lookup tables of decode tables and codebooks.
        regions: Lookup tables of many decode tables that are alike: codes of two regions.
        curves: Lookup tables of activation tables.
        adders: Of adders of sums and accumulators.
        biases: Of adders of requantizers.
        shifts: Of two-way multiplexers of shifters.
        clips: Of comparisons with clip limits.
        muxes: Of other two-way multiplexers.
        tables: Lookup tables of constant memories in logic.
        remainders: Blocks of ``pack12``, whose lanes are also computed modulo 8.
        control: Registers of counters and flags.
        data: Registers that carry beats.
        operands: Registers of decoded weights.
        block_operands: The same in front of DSP blocks, which may take them in.
        product_registers: Registers of products.
        sums: Registers of adder trees and accumulators.
        codes: Registers of requantizers.
        dsp: DSP blocks.
        bram18: Block RAMs of 18 Kibit.
        uram: Ultra RAMs.
        lutram_luts: Lookup tables as memories and shift registers.
    """

    cells: float = 1
    counters: float = 0
    pixels: float = 0
    addresses: float = 0
    corners: float = 0
    gates: float = 0
    products: float = 0
    decodes: float = 0
    regions: float = 0
    curves: float = 0
    adders: float = 0
    biases: float = 0
    shifts: float = 0
    clips: float = 0
    muxes: float = 0
    tables: float = 0
    remainders: float = 0
    control: float = 0
    data: float = 0
    operands: float = 0
    block_operands: float = 0
    product_registers: float = 0
    sums: float = 0
    codes: float = 0
    dsp: int = 0
    bram18: int = 0
    uram: int = 0
    lutram_luts: int = 0


def count_bits(values: int) -> int:
    """Return the bits of a counter of so many values; 0 for a single one, which is constant."""
    return (values - 1).bit_length()


def add_memory(w: Work, bits: int, depth: int, kind: MemoryKind, role: MemoryRole) -> None:
    """Add a memory without its addresses."""
    parts = memory_parts(bits, depth, kind, role)
    uses = parts.primitives
    w.bram18 += uses.bram18
    w.uram += uses.uram
    w.lutram_luts += uses.lutram_luts
    w.muxes += parts.mux_bits
    w.data += parts.register_bits + parts.read_bits
    if parts.table_bits:
        w.tables += bits * rom_luts(depth)


def table_luts(address_bits: int) -> float:
    """Return the lookup tables of one bit of a constant memory with so many address bits."""
    if address_bits <= 2:
        return address_bits / 4
    if address_bits <= _LUT_INPUTS:
        return 1
    return float(1 << (address_bits - _LUT_INPUTS))


def rom_luts(depth: int) -> float:
    """Return the lookup tables of one bit of a memory of constants in logic.

    Beyond 32 words Yosys' trees of multiplexers grow faster than the words.
    """
    if depth <= _ONE_LUT_WORDS:
        return table_luts(count_bits(depth))
    return float(depth**1.25 / 46)


def product_luts(left: int, right: int) -> float:
    """Return the lookup tables of a product of so many by so many bits.

    Full adders of two tables each, which form the partial products too, take all rows but two;
    an adder takes those.
    """
    rows, row = sorted((left, right))
    return row if rows == 1 else 2 * (rows - 2) * row + left + right


def select_luts(choices: int) -> int:
    """Return the lookup tables of one bit that comes from one of several places."""
    return 0 if choices == 1 else max(1, choices - 3)


def add_rom(w: Work, bits: int, depth: int, kind: MemoryKind) -> None:
    """Add ``nf_rom_cycle``: a memory of constants and the counter that reads it over and over."""
    add_memory(w, bits, depth, kind, "rom")
    w.counters += count_bits(depth)
    w.control += count_bits(depth)


def add_fifo(w: Work, bits: int, depth: int) -> None:
    """Add ``nf_fifo``."""
    add_memory(w, bits, depth, "distributed", "queue")
    control = 2 * count_bits(depth) + depth.bit_length()
    w.counters += control
    w.control += control


def add_queue(w: Work, bits: int, depth: int) -> None:
    """Add ``nf_output_queue``."""
    add_fifo(w, bits, depth)
    w.counters += depth.bit_length()
    w.control += depth.bit_length()


def add_window(
    w: Work,
    beat_bits: int,
    folds: int,
    groups: int,
    replays: int,
    picture: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int, int, int],
    buffer_pixels: int,
    pixels: int = 1,
    banks: int = 1,
) -> None:
    """Add ``nf_window``.

    Args:
        w: Receives the counts.
        beat_bits: Bits of an input beat.
        folds: Beats of a pixel.
        groups: Channel groups.
        replays: Output folds that read the same group.
        picture: Rows and columns of the input.
        kernel: (KH, KW).
        stride: (vertical, horizontal).
        padding: (top, left, bottom, right).
        buffer_pixels: Pixels that the buffer holds.
        pixels: Pixels of a tap.
        banks: Memories that the buffer consists of.
    """
    (height, width), (kh, kw), (sh, sw) = picture, kernel, stride
    rows, columns = height + padding[0] + padding[2], width + padding[1] + padding[3]
    out_h, out_w = (rows - kh) // sh + 1, (columns - kw) // sw + 1
    depth = buffer_pixels // banks * folds
    address, bank = max(1, count_bits(depth)), count_bits(banks)
    row = (rows + kh + sh).bit_length() + 1
    column = (columns + kw + sw).bit_length() + 1
    pixel = ((rows + kh + sh + 1) * width + buffer_pixels).bit_length() + 2
    counters = (
        count_bits(folds) + count_bits(folds // groups) + count_bits(kw) + count_bits(kh)
        + count_bits(replays) + count_bits(groups) + count_bits(out_w) + count_bits(out_h)
    )  # fmt: skip
    for _ in range(banks):
        add_memory(w, beat_bits, depth, "auto", "ram")
    # Each pixel of a tap picks its bank, each bank one of two addresses.
    w.muxes += beat_bits * pixels * (banks - 1) + address * (banks - 1)
    w.counters += counters
    w.pixels += pixel
    w.addresses += (address + bank) * (2 if banks > 1 else 1)
    w.corners += row + pixels * column
    w.gates += beat_bits * pixels
    places = 5 * (address + bank) + bank
    w.control += counters + 4 * pixel + places + 2 * (row + column) + 1 + pixels


def add_requantizer(
    w: Work,
    lanes: int,
    accumulator_bits: int,
    code_bits: int,
    shifts: tuple[int, int],
    *,
    constant: bool,
    steps: bool,
) -> None:
    """Add ``nf_requant``.

    Args:
        w: Receives the counts.
        lanes: Requantizers.
        accumulator_bits: Signed bits of what comes in.
        code_bits: Bits of a result code.
        shifts: Smallest and largest shift.
        constant: Whether every result has the same parameters.
        steps: Whether results go through it in several steps.
    """
    low, high = shifts
    wide = max(accumulator_bits + 17, low + 1)
    half = wide - (low - 1)
    total = max(half, code_bits + 2) + 1
    levels = (high - low).bit_length()
    blocks = 1 if accumulator_bits <= _DSP_BITS else 2
    w.dsp += lanes * blocks
    # With constants the bias is a table, and only half codes above the result's are added to.
    w.biases += lanes * (half if constant else accumulator_bits + total)
    w.shifts += lanes * half * levels
    w.clips += lanes * (total + code_bits)
    # With constants the blocks take in neither their factor nor their product.
    whole = accumulator_bits + 2 * half
    parameters = whole if constant else 3 * max(1, levels) + 4 * (code_bits + 1)
    w.codes += lanes * (accumulator_bits + parameters + half + total - 1 + code_bits)
    w.control += 7
    # The flag of the last step travels seven stages where there are steps; without constants so
    # does what else is only late.
    w.lutram_luts += int(steps) if constant else 1 + 2 * int(steps)


def add_steps(w: Work, lanes: int, steps_lanes: int, in_bits: int, out_bits: int) -> None:
    """Add ``nf_narrow`` and ``nf_widen`` around requantizers for ``steps_lanes`` of ``lanes``."""
    if steps_lanes == lanes:
        return
    rest = lanes - steps_lanes
    steps = lanes // steps_lanes
    w.data += rest * (in_bits + out_bits)
    # What is left moves down by one step unless a new word comes in.
    w.muxes += rest * in_bits
    w.control += steps
    w.counters += steps


def add_decoder(w: Work, lanes: int, in_bits: int, out_bits: int, *, table: bool) -> None:
    """Add ``nf_decode``, or the registers and tables that stand in its place."""
    w.data += lanes * out_bits
    if table:
        w.curves += lanes * out_bits * table_luts(in_bits)


def add_codebook(w: Work, lanes: int, in_bits: int, out_bits: int, *, used: bool) -> None:
    """Add the decoders of a codebook: two regions of even steps, a table per bit at most."""
    w.data += lanes * out_bits
    if used:
        w.decodes += lanes * out_bits * table_luts(min(in_bits, _LUT_INPUTS))


def add_tree(w: Work, lanes: int, terms: int, bits: int, carries: int = 0) -> None:
    """Add ``nf_adder_tree``, with one carry per sum ``nf_carry_tree``: one register per level."""
    width = bits
    while terms > 1:
        pairs, odd = divmod(terms, 2)
        width += 1
        w.adders += lanes * pairs * width
        w.sums += lanes * (pairs + odd) * (width + carries)
        terms = pairs + odd
