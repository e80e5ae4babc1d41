# SPDX-License-Identifier: Apache-2.0
"""The work of every hand-written cell, from the parameters of its instance."""

from collections.abc import Callable, Mapping

from hw.cell import Parameter
from hw.cores import PIXELS, tap_columns
from hw.estimate.memory import MemoryKind, memory_parts
from hw.estimate.packed import add_packed_core, add_pixel_order, packed_core
from hw.estimate.work import (
    Work,
    add_decoder,
    add_fifo,
    add_memory,
    add_queue,
    add_requantizer,
    add_rom,
    add_steps,
    add_tree,
    add_window,
    count_bits,
    table_luts,
)
from quant.errors import PlanError

Parameters = Mapping[str, Parameter]
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


def weight_shape(p: Parameters) -> tuple[int, int]:
    """Return the bits of a word and the words of the weight memory of a convolution."""
    depthwise = bool(p["Depthwise"])
    folds = -(-_int(p, "Filters") // _int(p, "Pe"))
    channels = 1 if depthwise else _int(p, "Channels") // _int(p, "Groups") // _int(p, "Simd")
    taps = _int(p, "KernelH") * _int(p, "KernelW") * channels
    if p["Core"] != "plain":
        columns = tap_columns(packed_core(p))
        word = _int(p, "Pe") * _int(p, "Simd") * columns * _int(p, "OperandBits")
        return word, folds * taps // columns
    return _int(p, "Pe") * _int(p, "Simd") * _int(p, "WeightBits"), folds * taps


def _filler(module: str) -> Callable[[Work, Parameters], None]:
    found = _WORK.get(module)
    if found is None:
        raise PlanError(
            f"there is no estimate for module '{module}'; estimated: {', '.join(sorted(_WORK))}"
        )
    return found


def _int(p: Parameters, name: str) -> int:
    return int(p[name])


def _pair(p: Parameters, name: str) -> tuple[int, int]:
    return int(p[f"{name}H"]), int(p[f"{name}W"])


def _conv(w: Work, p: Parameters) -> None:
    if p["Core"] != "plain":
        _packed_conv(w, p)
        return
    pe, simd = _int(p, "Pe"), _int(p, "Simd")
    kh, kw = _int(p, "KernelH"), _int(p, "KernelW")
    depthwise, use_dsp = bool(p["Depthwise"]), bool(p["UseDsp"])
    groups, filters = _int(p, "Groups"), _int(p, "Filters")
    in_lanes = pe if depthwise else simd
    folds = _int(p, "Channels") // in_lanes
    output_folds = filters // pe
    acts, in_bits = _int(p, "ActBits"), _int(p, "InBits")
    add_window(
        w,
        in_lanes * in_bits,
        folds,
        folds if depthwise else groups,
        1 if depthwise else output_folds // groups,
        (_int(p, "Height"), _int(p, "Width")),
        (kh, kw),
        _pair(p, "Stride"),
        (_int(p, "PadTop"), _int(p, "PadLeft"), _int(p, "PadBottom"), _int(p, "PadRight")),
        _int(p, "BufferPixels"),
    )
    select = _int(p, "SelectBits")
    if select:
        lanes = simd if p["SelectByChannel"] else pe
        add_rom(w, lanes * select, _int(p, "SelectDepth"), "auto")
    add_decoder(w, in_lanes, in_bits, acts, table=bool(p["CodebookFile"]))
    factor, accumulator = _int(p, "FactorBits"), _int(p, "AccBits")
    sums = accumulator
    if factor and p["FactorByChannel"]:
        add_rom(w, simd * factor, _int(p, "FactorDepth"), "auto")
        _multiply(w, in_lanes, acts, factor, use_dsp=use_dsp)
        acts += factor
    _multiply_accumulate(w, p, acts, use_dsp=use_dsp)
    if factor and not p["FactorByChannel"]:
        sums = _int(p, "PartBits")
        add_rom(w, pe * factor, _int(p, "FactorDepth"), "auto")
        _multiply(w, pe, sums, factor, use_dsp=use_dsp)
        w.adders += pe * accumulator
        w.sums += pe * accumulator
        w.data += pe * sums
    w.adders += pe * sums
    w.sums += pe * sums
    _finish(w, p, pe, filters)
    depth = _int(p, "QueueDepth")
    add_fifo(w, pe * _int(p, "OutBits") + 1, depth)
    w.control += depth.bit_length() + 2 * (2 + (simd - 1).bit_length())
    w.counters += depth.bit_length()


def _packed_conv(w: Work, p: Parameters) -> None:
    """Add a convolution with a packed core."""
    core = packed_core(p)
    pe, simd, pixels = _int(p, "Pe"), _int(p, "Simd"), PIXELS[core]
    rows = tap_columns(core) == 3
    output_folds = -(-_int(p, "Filters") // pe)
    (kh, kw), (sh, sw) = _pair(p, "Kernel"), _pair(p, "Stride")
    groups, in_bits = _int(p, "Groups"), _int(p, "InBits")
    add_window(
        w,
        simd * in_bits,
        _int(p, "Channels") // simd,
        groups,
        output_folds // groups,
        (_int(p, "Height"), _int(p, "Width")),
        (kh, 1 if rows else kw),
        (sh, pixels * sw),
        (_int(p, "PadTop"), _int(p, "PadLeft"), _int(p, "PadBottom"), _int(p, "PadRight")),
        _int(p, "BufferPixels"),
        pixels,
        pixels * sw,
    )
    acts = _int(p, "ActBits")
    add_decoder(w, pixels * simd, in_bits, acts, table=bool(p["CodebookFile"]))
    add_packed_core(w, p, pixels, output_folds // groups)
    _finish(w, p, pe * pixels, output_folds * pe, pixels)
    add_queue(w, pe * pixels * _int(p, "OutBits") + 1, _int(p, "QueueDepth"))
    add_pixel_order(w, p, pixels)


def _finish(w: Work, p: Parameters, results: int, filters: int, pixels: int = 1) -> None:
    """Add ``nf_conv_finish`` for ``results`` accumulators of a fold."""
    requant, accumulator = _int(p, "RequantLanes"), _int(p, "AccBits")
    shifts = (_int(p, "ShiftLow"), _int(p, "ShiftHigh"))
    pre, out = _int(p, "PreBits"), _int(p, "OutBits")
    shift_bits = max(1, (shifts[1] - shifts[0]).bit_length())
    add_steps(w, results, requant, accumulator, out)
    sets = max(1, requant // pixels)
    add_rom(w, sets * (accumulator + 17 + shift_bits + pre + 1), filters // sets, "auto")
    add_requantizer(w, requant, accumulator, pre, shifts, constant=False)
    if p["TableFile"]:
        add_decoder(w, requant, pre, out, table=True)


def _multiply(w: Work, lanes: int, left: int, right: int, *, use_dsp: bool) -> None:
    """Add products of ``left`` by ``right`` bits with a register behind them."""
    if use_dsp:
        w.dsp += lanes
    else:
        w.products += lanes * left * right
    w.product_registers += lanes * (left + right)


def _multiply_accumulate(w: Work, p: Parameters, acts: int, *, use_dsp: bool) -> None:
    """Add ``nf_mac_plain`` but for its accumulators."""
    pe, simd = _int(p, "Pe"), _int(p, "Simd")
    count, operand = pe * simd, _int(p, "OperandBits")
    select, weight = _int(p, "SelectBits"), _int(p, "WeightBits")
    if p["AffineSelect"]:
        w.decodes += count * operand
    else:
        w.decodes += count * operand * table_luts(select + weight)
    if use_dsp:
        w.block_operands += count * operand
    else:
        w.operands += count * operand
    _multiply(w, count, acts, operand, use_dsp=use_dsp)
    add_tree(w, pe, simd, acts + operand)
    levels = (simd - 1).bit_length()
    w.control += 2 + levels
    # Flags beside the data: first and last of a fold.
    w.lutram_luts += 2


def _maxpool(w: Work, p: Parameters) -> None:
    (kh, kw), (sh, sw) = _pair(p, "Kernel"), _pair(p, "Stride")
    has_columns = (kh, sh) != (1, 1)
    has_rows = (kw, sw) != (1, 1) or not has_columns
    height, width = _int(p, "Height"), _int(p, "Width")
    left, right = _int(p, "PadLeft"), _int(p, "PadRight")
    top, bottom = _int(p, "PadTop"), _int(p, "PadBottom")
    if has_rows:
        padding = (0, left, 0, right)
        _maxpool_pass(w, p, (height, width), (1, kw), (1, sw), padding, _int(p, "RowPixels"))
    if has_columns:
        out_width = (width + left + right - kw) // sw + 1
        padding = (top, 0, bottom, 0)
        pixels = _int(p, "ColumnPixels")
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
    beat = _int(p, "Lanes") * _int(p, "CodeBits")
    folds = _int(p, "Channels") // _int(p, "Lanes")
    add_window(w, beat, folds, folds, 1, picture, kernel, stride, padding, pixels)
    taps = kernel[0] * kernel[1]
    w.clips += beat
    w.muxes += beat
    w.data += beat
    w.control += 3
    add_queue(w, beat, 1 + -(-3 // taps))


def _avgpool(w: Work, p: Parameters) -> None:
    lanes, taps = _int(p, "Lanes"), _int(p, "KernelH") * _int(p, "KernelW")
    requant = _int(p, "RequantLanes")
    folds = _int(p, "Channels") // lanes
    add_window(
        w,
        lanes * _int(p, "InBits"),
        folds,
        folds,
        1,
        (_int(p, "Height"), _int(p, "Width")),
        _pair(p, "Kernel"),
        _pair(p, "Stride"),
        (0, 0, 0, 0),
        _int(p, "BufferPixels"),
    )
    _sums(w, p)
    _mean(w, p)
    add_queue(w, lanes * _int(p, "OutBits"), 1 + -(-(10 + lanes // requant) // taps))
    w.control += 5


def _globalpool(w: Work, p: Parameters) -> None:
    lanes, requant = _int(p, "Lanes"), _int(p, "RequantLanes")
    folds = _int(p, "Channels") // lanes
    counters = 2 * count_bits(folds) + count_bits(_int(p, "Pixels")) + count_bits(lanes // requant)
    w.counters += counters
    w.control += counters + 3
    _sums(w, p)
    bits = lanes * _int(p, "AccBits")
    # The sums lie in a memory and not in registers.
    w.sums -= bits
    add_memory(w, bits, folds, "distributed", "queue")
    add_queue(w, bits, _int(p, "SumBeats"))
    _mean(w, p)
    add_queue(w, lanes * _int(p, "OutBits"), 1 + -(-8 // (lanes // requant)))


def _sums(w: Work, p: Parameters) -> None:
    """Add decoders and accumulators of a pool."""
    lanes, acc = _int(p, "Lanes"), _int(p, "AccBits")
    table = bool(p["CodebookFile"])
    add_decoder(w, lanes, _int(p, "InBits"), _int(p, "ActBits"), table=table)
    w.adders += lanes * acc
    w.sums += lanes * acc


def _mean(w: Work, p: Parameters) -> None:
    """Add ``nf_mean``."""
    lanes, requant = _int(p, "Lanes"), _int(p, "RequantLanes")
    shift = _int(p, "Shift")
    add_steps(w, lanes, requant, _int(p, "AccBits"), _int(p, "OutBits"))
    add_requantizer(
        w, requant, _int(p, "AccBits"), _int(p, "OutBits"), (shift, shift), constant=True
    )


def _add(w: Work, p: Parameters) -> None:
    lanes, out = _int(p, "Lanes"), _int(p, "OutBits")
    acts = (_int(p, "ActBits0"), _int(p, "ActBits1"))
    for k in (0, 1):
        table = bool(p[f"CodebookFile{k}"])
        add_decoder(w, lanes, _int(p, f"InBits{k}"), acts[k], table=table)
    total = max(acts) + 17 + 2
    shift = _int(p, "Shift")
    half = max(total, shift + 1) - (shift - 1)
    rounded = max(half, out + 2) + 1
    w.dsp += 2 * lanes
    w.adders += 2 * lanes * total
    w.sums += lanes * total
    w.biases += lanes * rounded
    w.clips += lanes * (rounded + out)
    w.codes += lanes * (rounded - 1 + out)
    w.control += 6
    add_queue(w, lanes * out, 8)


def _requantize(w: Work, p: Parameters) -> None:
    lanes, out, shift = _int(p, "Lanes"), _int(p, "OutBits"), _int(p, "Shift")
    table = bool(p["CodebookFile"])
    add_decoder(w, lanes, _int(p, "InBits"), _int(p, "ActBits"), table=table)
    add_requantizer(w, lanes, _int(p, "ActBits") + 1, out, (shift, shift), constant=True)
    add_queue(w, lanes * out, 10)


def _lookup(w: Work, p: Parameters) -> None:
    lanes, out = _int(p, "Lanes"), _int(p, "OutBits")
    add_decoder(w, lanes, _int(p, "InBits"), out, table=True)
    w.control += 1
    add_queue(w, lanes * out, 3)


def _concat(w: Work, p: Parameters) -> None:
    sources, beat = _int(p, "Sources"), _int(p, "BeatBits")
    counters = count_bits(sources) + _int(p, "CountBits")
    w.muxes += (sources - 1) * beat
    w.counters += counters + sources
    w.control += counters
    add_queue(w, beat, 2)


def _split(w: Work, p: Parameters) -> None:
    w.counters += count_bits(_int(p, "Beats"))
    w.control += count_bits(_int(p, "Beats")) + 1
    add_queue(w, _int(p, "BeatBits"), 2)


def _upsample(w: Work, p: Parameters) -> None:
    lanes, factor = _int(p, "Lanes"), _int(p, "Factor")
    beat = lanes * _int(p, "CodeBits")
    folds = _int(p, "Channels") // lanes
    row = _int(p, "Width") * folds
    depth = max(2, row)
    counters = count_bits(folds) + 2 * count_bits(factor) + count_bits(_int(p, "Width"))
    add_memory(w, beat, depth, "auto", "ram")
    w.counters += counters
    w.addresses += 2 * count_bits(depth) + 2 * depth.bit_length()
    w.control += counters + 2 * count_bits(depth) + 2 * depth.bit_length() + 1
    add_queue(w, beat, 3)


def _fork(w: Work, p: Parameters) -> None:
    branches = _int(p, "Branches")
    w.counters += branches
    w.control += branches


def _stream_fifo(w: Work, p: Parameters) -> None:
    bits, depth, style = _int(p, "BeatBits"), _int(p, "Depth"), str(p["Style"])
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
    code, lanes_in, lanes_out = _int(p, "CodeBits"), _int(p, "LanesIn"), _int(p, "LanesOut")
    a, b = lanes_in, lanes_out
    while b:
        a, b = b, a % b
    units_in, units_out = lanes_in // a, lanes_out // a
    word = (lanes_in + lanes_out - a) * code
    if units_in > units_out:
        kept, shown, ways = word - lanes_out * code, word, units_out
    else:
        kept, shown, ways = word - lanes_in * code, lanes_out * code, units_in
    held = count_bits(max(units_in, units_out))
    w.data += kept
    w.muxes += kept + shown * (ways - 1)
    w.counters += 2 * held
    w.control += held + 1
    add_queue(w, lanes_out * code, 2)


def _axis_end(w: Work, p: Parameters) -> None:
    w.counters += count_bits(_int(p, "Beats"))
    w.control += count_bits(_int(p, "Beats"))


def _load_gate(w: Work, p: Parameters) -> None:
    w.counters += _int(p, "Words").bit_length()
    w.control += _int(p, "Words").bit_length() + 1


def _rom_load(w: Work, p: Parameters) -> None:
    bits, depth = _int(p, "Bits"), _int(p, "Depth")
    parts = -(-bits // 32)
    counters = count_bits(parts) + count_bits(depth)
    w.counters += counters
    w.control += counters + count_bits(depth) + 4
    w.data += 32 * parts + 32


def _rom_cycle(w: Work, p: Parameters) -> None:
    bits, depth, kind = _int(p, "Bits"), _int(p, "Depth"), memory_kind(str(p["Style"]))
    if p["Loadable"]:
        add_memory(w, bits, depth, kind, "ram")
        w.counters += count_bits(depth)
        w.control += count_bits(depth)
    else:
        add_rom(w, bits, depth, kind)


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
    "nf_conv": _conv,
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
}
