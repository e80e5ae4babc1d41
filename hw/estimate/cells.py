# SPDX-License-Identifier: Apache-2.0
"""The work of every hand-written cell, from the parameters of its instance."""

from collections.abc import Callable

from hw.estimate.convolution import add_conv
from hw.estimate.memory import MemoryKind, memory_parts
from hw.estimate.packed import packed_core
from hw.estimate.parameters import Parameters, number, pair
from hw.estimate.work import (
    Work,
    add_codebook,
    add_decoder,
    add_memory,
    add_queue,
    add_requantizer,
    add_rom,
    add_steps,
    add_window,
    count_bits,
    select_luts,
)
from quant.errors import PlanError

_KINDS: tuple[MemoryKind, ...] = ("auto", "distributed", "block", "ultra")

# A shift register of one bit takes a lookup table up to so many places; Yosys makes none of fewer
# than three.
_SHIFT_PLACES, _SHORTEST_SHIFT = 32, 3


def cell_kind(module: str, p: Parameters) -> str:
    """Return which model prices a cell: its module, a convolution's by its core.

    Raises:
        PlanError: There is no such cell.
    """
    if module == "nf_conv":
        if p["Core"] != "plain":
            return f"conv_{packed_core(p)}"
        core = "dsp" if p["UseDsp"] else "lut"
        return f"conv_depthwise_{core}" if p["Depthwise"] else f"conv_{core}"
    if module == "nf_stream_fifo":
        return "fifo_shift" if p["Style"] == "shift" else "fifo_memory"
    _filler(module)
    return module.removeprefix("nf_")


def price_kind(kind: str) -> str:
    """Return under which name a kind's prices stand: convolutions of every core share theirs."""
    return "conv" if kind.startswith("conv_") else kind


def cell_work(module: str, p: Parameters) -> Work:
    """Return what a cell is made of; a convolution without its weight memory.

    Args:
        module: Name of the module, as ``Cell.module``.
        p: Parameters of the instance, as ``Cell.parameters``; only whether a file is named counts.

    Raises:
        PlanError: There is no such cell.
    """
    work = Work()
    _filler(module)(work, p)
    return work


def _filler(module: str) -> Callable[[Work, Parameters], None]:
    found = _WORK.get(module)
    if found is None:
        raise PlanError(
            f"there is no estimate for module '{module}'; estimated: {', '.join(sorted(_WORK))}"
        )
    return found


def _maxpool(w: Work, p: Parameters) -> None:
    (kh, kw), (sh, sw) = pair(p, "Kernel"), pair(p, "Stride")
    has_columns = (kh, sh) != (1, 1)
    has_rows = (kw, sw) != (1, 1) or not has_columns
    height, width = number(p, "Height"), number(p, "Width")
    left, right = number(p, "PadLeft"), number(p, "PadRight")
    top, bottom = number(p, "PadTop"), number(p, "PadBottom")
    if has_rows:
        padding = (0, left, 0, right)
        _maxpool_pass(w, p, (height, width), (1, kw), (1, sw), padding, number(p, "RowPixels"))
    if has_columns:
        out_width = (width + left + right - kw) // sw + 1
        padding = (top, 0, bottom, 0)
        pixels = number(p, "ColumnPixels")
        _maxpool_pass(w, p, (height, out_width), (kh, 1), (sh, 1), padding, pixels)
    w.cells = has_rows + has_columns


def _maxpool_pass(
    w: Work,
    p: Parameters,
    picture: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int, int, int],
    pixels: int,
) -> None:
    beat = number(p, "Lanes") * number(p, "CodeBits")
    folds = number(p, "Channels") // number(p, "Lanes")
    add_window(w, beat, folds, folds, 1, picture, kernel, stride, padding, pixels)
    taps = kernel[0] * kernel[1]
    w.clips += beat
    w.muxes += beat
    w.data += beat
    w.control += 3
    add_queue(w, beat, 1 + -(-3 // taps))


def _avgpool(w: Work, p: Parameters) -> None:
    lanes, taps = number(p, "Lanes"), number(p, "KernelH") * number(p, "KernelW")
    requant = number(p, "RequantLanes")
    folds = number(p, "Channels") // lanes
    add_window(
        w,
        lanes * number(p, "InBits"),
        folds,
        folds,
        1,
        (number(p, "Height"), number(p, "Width")),
        pair(p, "Kernel"),
        pair(p, "Stride"),
        (0, 0, 0, 0),
        number(p, "BufferPixels"),
    )
    _sums(w, p)
    _mean(w, p)
    add_queue(w, lanes * number(p, "OutBits"), 1 + -(-(10 + lanes // requant) // taps))
    w.control += 5


def _globalpool(w: Work, p: Parameters) -> None:
    lanes, requant = number(p, "Lanes"), number(p, "RequantLanes")
    folds = number(p, "Channels") // lanes
    counters = (
        2 * count_bits(folds) + count_bits(number(p, "Pixels")) + count_bits(lanes // requant)
    )
    w.counters += counters
    w.control += counters + 3
    _sums(w, p)
    bits = lanes * number(p, "AccBits")
    # The sums lie in a memory and not in registers.
    w.sums -= bits
    add_memory(w, bits, folds, "distributed", "queue")
    add_queue(w, bits, number(p, "SumBeats"))
    _mean(w, p)
    add_queue(w, lanes * number(p, "OutBits"), 1 + -(-8 // (lanes // requant)))


def _sums(w: Work, p: Parameters) -> None:
    """Add decoders and accumulators of a pool."""
    lanes, acc = number(p, "Lanes"), number(p, "AccBits")
    used = bool(p["CodebookFile"])
    add_codebook(w, lanes, number(p, "InBits"), number(p, "ActBits"), used=used)
    w.adders += lanes * acc
    w.sums += lanes * acc


def _mean(w: Work, p: Parameters) -> None:
    """Add ``nf_mean``."""
    lanes, requant = number(p, "Lanes"), number(p, "RequantLanes")
    shift = number(p, "Shift")
    add_steps(w, lanes, requant, number(p, "AccBits"), number(p, "OutBits"))
    add_requantizer(
        w,
        requant,
        number(p, "AccBits"),
        number(p, "OutBits"),
        (shift, shift),
        constant=True,
        steps=lanes > requant,
    )


def _add(w: Work, p: Parameters) -> None:
    lanes, out = number(p, "Lanes"), number(p, "OutBits")
    acts = (number(p, "ActBits0"), number(p, "ActBits1"))
    for k in (0, 1):
        used = bool(p[f"CodebookFile{k}"])
        add_codebook(w, lanes, number(p, f"InBits{k}"), acts[k], used=used)
    total = max(acts) + 17 + 2
    shift = number(p, "Shift")
    half = max(total, shift + 1) - (shift - 1)
    rounded = max(half, out + 2) + 1
    w.dsp += 2 * lanes
    w.adders += 2 * lanes * total
    w.sums += lanes * (total - (shift - 1))
    # Both products wait a cycle.
    for k in (0, 1):
        product = acts[k] + number(p, f"Multiplier{k}").bit_length()
        w.product_registers += lanes * 2 * product
    w.biases += lanes * rounded
    w.clips += lanes * (rounded + out)
    w.codes += lanes * (rounded - 1 + out)
    w.control += 6
    add_queue(w, lanes * out, 8)


def _requantize(w: Work, p: Parameters) -> None:
    lanes, out, shift = number(p, "Lanes"), number(p, "OutBits"), number(p, "Shift")
    used = bool(p["CodebookFile"])
    add_codebook(w, lanes, number(p, "InBits"), number(p, "ActBits"), used=used)
    bits = number(p, "ActBits") + 1
    add_requantizer(w, lanes, bits, out, (shift, shift), constant=True, steps=False)
    add_queue(w, lanes * out, 10)


def _lookup(w: Work, p: Parameters) -> None:
    lanes, out = number(p, "Lanes"), number(p, "OutBits")
    add_decoder(w, lanes, number(p, "InBits"), out, table=True)
    w.control += 1
    add_queue(w, lanes * out, 3)


def _concat(w: Work, p: Parameters) -> None:
    sources, beat = number(p, "Sources"), number(p, "BeatBits")
    count = number(p, "CountBits")
    # Which source it is lies in a register per source.
    w.muxes += beat * select_luts(sources)
    w.counters += count_bits(sources) + count + sources
    w.control += sources + count
    add_queue(w, beat, 2)


def _split(w: Work, p: Parameters) -> None:
    beats = number(p, "Beats")
    if (number(p, "First"), number(p, "End")) != (0, beats):
        w.counters += count_bits(beats)
        w.control += count_bits(beats) + 1
    add_queue(w, number(p, "BeatBits"), 2)


def _upsample(w: Work, p: Parameters) -> None:
    lanes, factor = number(p, "Lanes"), number(p, "Factor")
    beat = lanes * number(p, "CodeBits")
    folds = number(p, "Channels") // lanes
    row = number(p, "Width") * folds
    depth = max(2, row)
    counters = count_bits(folds) + 2 * count_bits(factor) + count_bits(number(p, "Width"))
    add_memory(w, beat, depth, "auto", "ram")
    w.counters += counters
    w.addresses += 2 * count_bits(depth) + 2 * depth.bit_length()
    w.control += counters + 2 * count_bits(depth) + 2 * depth.bit_length() + 1
    add_queue(w, beat, 3)


def _fork(w: Work, p: Parameters) -> None:
    branches = number(p, "Branches")
    w.counters += branches
    w.control += branches


def _stream_fifo(w: Work, p: Parameters) -> None:
    bits, depth, style = number(p, "BeatBits"), number(p, "Depth"), str(p["Style"])
    count = depth.bit_length()
    w.counters += count
    w.control += count + 1
    if style == "shift":
        w.control += 1 + count_bits(depth)
        w.counters += count_bits(depth)
        if depth < _SHORTEST_SHIFT:
            w.data += bits * depth
            w.muxes += bits * (depth - 1)
        else:
            w.lutram_luts += bits * -(-depth // _SHIFT_PLACES)
    elif style == "distributed":
        add_memory(w, bits, depth, "distributed", "queue")
        w.control += 1 + 2 * count_bits(depth)
        w.counters += 2 * count_bits(depth)
    else:
        words = depth - 3 if depth > 5 else 2
        address = count_bits(words)
        parts = memory_parts(bits, words, memory_kind(style), "ram")
        add_memory(w, bits, words, memory_kind(style), "ram")
        # The second register of the memory.
        w.data += bits + parts.read_bits
        w.control += 2 * address + count + 2
        w.counters += 2 * address + count
        add_queue(w, bits, 4)


def _width(w: Work, p: Parameters) -> None:
    code, lanes_in, lanes_out = number(p, "CodeBits"), number(p, "LanesIn"), number(p, "LanesOut")
    a, b = lanes_in, lanes_out
    while b:
        a, b = b, a % b
    units_in, units_out = lanes_in // a, lanes_out // a
    word = (lanes_in + lanes_out - a) * code
    if units_in > units_out:
        # A bit of the word: one that is held, or the new beat at one of so many places.
        kept, muxes = word - lanes_out * code, word * (2 * units_out + 3) / 8
    else:
        # A bit of the beat at one of so many places, which a sum decides: from four places on that
        # takes more than a table.
        places = units_in / 2 + 1.7 if units_in > 3 else min(1, units_in - 1)
        kept, muxes = word - lanes_in * code, lanes_out * code * places
    held = count_bits(max(units_in, units_out))
    w.data += kept
    w.muxes += muxes
    w.counters += 2 * held
    w.control += held + 1
    add_queue(w, lanes_out * code, 2)


def _axis_end(w: Work, p: Parameters) -> None:
    w.counters += count_bits(number(p, "Beats"))
    w.control += count_bits(number(p, "Beats"))


def _load_gate(w: Work, p: Parameters) -> None:
    w.counters += number(p, "Words").bit_length()
    w.control += number(p, "Words").bit_length() + 1


def _rom_load(w: Work, p: Parameters) -> None:
    bits, depth = number(p, "Bits"), number(p, "Depth")
    parts = -(-bits // 32)
    counters = count_bits(parts) + count_bits(depth)
    w.counters += counters
    w.control += counters + count_bits(depth) + 4
    w.data += 32 * parts + 32


def _rom_cycle(w: Work, p: Parameters) -> None:
    bits, depth, kind = number(p, "Bits"), number(p, "Depth"), memory_kind(str(p["Style"]))
    if p["Loadable"]:
        add_memory(w, bits, depth, kind, "ram")
        w.counters += count_bits(depth)
        w.control += count_bits(depth)
    else:
        add_rom(w, bits, depth, kind)


def _weight_stream(w: Work, p: Parameters) -> None:
    bits, slices = number(p, "Bits"), number(p, "Slices")
    add_queue(w, bits, number(p, "Places"))
    w.data += bits
    for late in range(1, slices):
        if late >= _SHORTEST_SHIFT:
            w.lutram_luts += bits // slices
        else:
            w.data += late * (bits // slices)


def memory_kind(style: str) -> MemoryKind:
    """Return the kind of memory that a style asks for.

    Raises:
        PlanError: There is no such style.
    """
    for kind in _KINDS:
        if kind == style:
            return kind
    raise PlanError(f"memory style '{style}' is not known; use {', '.join(_KINDS)}")


_WORK: dict[str, Callable[[Work, Parameters], None]] = {
    "nf_conv": add_conv,
    "nf_maxpool": _maxpool,
    "nf_avgpool": _avgpool,
    "nf_globalpool": _globalpool,
    "nf_add": _add,
    "nf_requantize": _requantize,
    "nf_lookup": _lookup,
    "nf_concat": _concat,
    "nf_split": _split,
    "nf_upsample": _upsample,
    "nf_fork": _fork,
    "nf_stream_fifo": _stream_fifo,
    "nf_width": _width,
    "nf_axis_end": _axis_end,
    "nf_load_gate": _load_gate,
    "nf_rom_load": _rom_load,
    "nf_rom_cycle": _rom_cycle,
    "nf_weight_stream": _weight_stream,
}
