# SPDX-License-Identifier: Apache-2.0
"""Shapes of cells that the estimates are fitted to and tested with, drawn by seed."""

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from hw.add import add_cell
from hw.avgpool import avgpool_cell
from hw.cell import Cell, Parameter, Stream
from hw.concat import concat_cell
from hw.conv_cell import conv_cell
from hw.cores import PIXELS
from hw.divisors import divisors
from hw.edges import FifoStyle, fifo_cell, width_cell
from hw.lookup import lookup_cell
from hw.maxpool import maxpool_cell
from hw.memories import lanes_text
from hw.requantize import requantize_cell
from hw.split import split_cell
from hw.upsample import upsample_cell
from quant.errors import PlanError
from quant.nodes import (
    Add,
    AvgPool,
    Concat,
    Lookup,
    MaxPool,
    Requantize,
    Requantizer,
    Split,
    Upsample,
)
from quant.samples import sample_codes, sample_conv, sample_format
from quant.schedule import Core, Folding
from quant.weights import Granularity, Scheme

FIT_SEED, HELD_OUT_SEED = 11, 12
"""Fixed before the first fit."""

PACKED_ACT_BITS: dict[Core, tuple[int, ...]] = {
    "outer4": (4, 4, 4, 5, 6),
    "pack6": (4,),
    "pack12": (4, 4, 4, 5),
    "w4a8": (8, 8, 6, 5),
}
"""Bits of input codes that are drawn for a packed core."""

PACKED_LANES: dict[Core, int] = {"outer4": 8, "pack6": 6, "pack12": 3, "w4a8": 4}
"""Largest PE and SIMD that are drawn for it."""

T = TypeVar("T")
Draw = Callable[[np.random.Generator, str], Cell]


class Chooser:
    """Draws from lists, one generator for all."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def of(self, *choices: T) -> T:
        """Return one of the choices."""
        return choices[int(self._rng.integers(len(choices)))]

    def divisor(self, number: int, limit: int) -> int:
        """Return a divisor of ``number`` of at most ``limit``."""
        return self.of(*(d for d in divisors(number) if d <= limit))

    def between(self, low: int, high: int) -> int:
        """Return an integer from ``low`` to ``high``."""
        return int(self._rng.integers(low, high + 1))


def drawn_cell(kind: str, seed: int, index: int) -> Cell:
    """Return the cell of a kind with a number; equal arguments give equal cells."""
    return KINDS[kind](np.random.default_rng([seed, index]), f"{kind}_{seed}_{index}_")


def _conv(rng: np.random.Generator, prefix: str, core: Core, *, depthwise: bool) -> Cell:
    pick = Chooser(rng)
    channels = pick.of(8, 12, 16, 24, 32)
    filters = channels if depthwise else pick.of(8, 12, 16, 24, 32)
    kernel = pick.of(1, 3, 3, 3, 5) if not depthwise else pick.of(3, 3, 5)
    stride = pick.of(1, 1, 1, 2)
    size = pick.between(kernel + 1, 40)
    granularity = pick.of(*[Granularity.FILTER] * 3, *Granularity)
    scheme: Scheme = pick.of("affine", "affine", "symmetric", "pwlq", "codebook")
    node, source = sample_conv(
        pick.between(0, 1 << 20),
        channels,
        filters,
        kernel,
        stride,
        kernel // 2,
        channels if depthwise else 1,
        pick.of(4, 4, 4, 5) if scheme == "pwlq" else pick.of(4, 4, 4, 2, 6, 8),
        pick.of(4, 4, 4, 5, 6, 8),
        pick.of(False, False, True),
        granularity,
        scheme,
        codebook=pick.of(False, False, False, True),
    )
    pe = pick.divisor(channels, 12) if depthwise else pick.divisor(filters, 6)
    simd = 1 if depthwise else pick.divisor(channels, 6)
    folding = Folding(pe, simd, core=core)
    return conv_cell(node, (channels, size, size), source, folding, prefix, "block")


def _packed(rng: np.random.Generator, prefix: str, core: Core) -> Cell:
    """Draw until the core's proof holds for the weights."""
    pick = Chooser(rng)
    while True:
        try:
            return _packed_cell(pick, prefix, core)
        except PlanError:
            continue


def _packed_cell(pick: Chooser, prefix: str, core: Core) -> Cell:
    """Return a packed cell.

    Raises:
        PlanError: The core does not compute what was drawn.
    """
    channels, filters = pick.of(8, 12, 16, 24, 32), pick.of(8, 12, 16, 24, 32)
    kernel = pick.of(1, 1, 3, 3, 5) if core == "outer4" else 3
    stride = pick.of(1, 1, 2) if core == "outer4" else 1
    size = pick.between(kernel + 1, 40)
    scheme: Scheme = pick.of("affine", "affine", "symmetric", "codebook")
    node, source = sample_conv(
        pick.between(0, 1 << 20),
        channels,
        filters,
        kernel,
        stride,
        kernel // 2,
        weight_bits=pick.of(4, 4, 4, 3),
        act_bits=pick.of(*PACKED_ACT_BITS[core]),
        table=pick.of(False, False, True),
        granularity=pick.of(Granularity.FILTER, Granularity.LAYER),
        scheme=scheme,
        codebook=pick.of(False, False, False, True),
    )
    widest = PACKED_LANES[core]
    folding = Folding(
        pick.of(2, 4, 6, 8) if core == "outer4" else pick.between(1, widest),
        pick.divisor(channels, widest),
        pixels_per_beat=PIXELS[core],
        core=core,
    )
    return conv_cell(node, (channels, size, size), source, folding, prefix, "block")


def _maxpool(rng: np.random.Generator, prefix: str) -> Cell:
    pick = Chooser(rng)
    channels = pick.of(8, 16, 24, 32)
    kernel, stride = pick.of((2, 2), (2, 1), (3, 1), (3, 2), (5, 1), (9, 1))
    size = pick.between(kernel + 1, 60)
    lanes = pick.divisor(channels, 16)
    node = MaxPool("pool", "x", (kernel,) * 2, (stride,) * 2, (kernel // 2,) * 4)
    source = sample_format(channels, pick.of(4, 4, 5, 6, 8))
    return maxpool_cell(node, (channels, size, size), source, Folding(lanes, lanes), prefix)


def _avgpool(rng: np.random.Generator, prefix: str, *, whole: bool) -> Cell:
    pick = Chooser(rng)
    channels, bits = pick.of(8, 16, 24, 32), pick.of(4, 4, 5, 6, 8)
    kernel = pick.of(2, 3, 4)
    size = pick.between(2, 8) if whole else kernel * pick.between(2, 12)
    window = size if whole else kernel
    source = sample_format(channels, bits, codebook=pick.of(False, False, True), zero=3)
    output = sample_format(channels, bits, zero=5)
    shift = pick.between(16, 22)
    node = AvgPool("mean", "x", (window,) * 2, (window,) * 2, _single(pick, bits, shift), output)
    lanes = pick.divisor(channels, 16)
    return avgpool_cell(node, (channels, size, size), source, Folding(lanes, lanes), prefix)


def _single(pick: Chooser, bits: int, shift: int) -> Requantizer:
    """Return a requantizer of one row."""
    return Requantizer(
        np.array([pick.between(1 << 16, (1 << 17) - 1)], np.uint32),
        np.array([shift], np.uint8),
        np.array([5], np.int32),
        0,
        (1 << bits) - 1,
        bits,
    )


def _add(rng: np.random.Generator, prefix: str) -> Cell:
    pick = Chooser(rng)
    bits, lanes = pick.of(4, 4, 5, 6, 8), pick.between(1, 12)
    sources = [
        sample_format(lanes, bits, codebook=pick.of(False, False, True), zero=k + 3) for k in (0, 1)
    ]
    multipliers = (pick.between(1 << 16, (1 << 17) - 1), pick.between(1 << 14, (1 << 17) - 1))
    output = sample_format(lanes, bits, zero=7)
    high = (1 << bits) - 1
    node = Add("sum", ("x", "y"), multipliers, pick.between(16, 19), 0, high, output)
    return add_cell(node, [(lanes, 8, 8)] * 2, sources, Folding(lanes, lanes), prefix)


def _requantize(rng: np.random.Generator, prefix: str) -> Cell:
    pick = Chooser(rng)
    bits, lanes = pick.of(4, 4, 5, 6, 8), pick.between(1, 12)
    source = sample_format(lanes, bits, codebook=pick.of(False, False, True), zero=5)
    output = sample_format(lanes, bits, zero=5)
    node = Requantize("again", "x", _single(pick, bits, pick.between(15, 18)), output)
    return requantize_cell(node, (lanes, 8, 8), source, Folding(lanes, lanes), prefix)


def _lookup(rng: np.random.Generator, prefix: str) -> Cell:
    pick = Chooser(rng)
    bits, lanes = pick.of(4, 5, 6, 7, 8), pick.between(2, 24)
    source = sample_format(lanes, bits)
    table = sample_codes(pick.between(0, 1 << 20), (1 << bits,), bits).astype(np.uint16)
    node = Lookup("bend", "x", table, sample_format(lanes, bits))
    return lookup_cell(node, (lanes, 8, 8), source, Folding(lanes, lanes), prefix)


def _concat(rng: np.random.Generator, prefix: str) -> Cell:
    pick = Chooser(rng)
    lanes, bits = pick.of(4, 6, 8, 12, 16, 24), pick.of(4, 4, 5, 6, 8)
    count = pick.between(2, 6)
    shapes = [(lanes * pick.between(1, 6), 8, 8) for _ in range(count)]
    node = Concat("cat", tuple(f"x{k}" for k in range(count)))
    formats = [sample_format(shape[0], bits) for shape in shapes]
    return concat_cell(node, shapes, formats, Folding(lanes, lanes), prefix)


def _split(rng: np.random.Generator, prefix: str) -> Cell:
    pick = Chooser(rng)
    lanes, bits, beats = pick.between(12, 48), pick.of(4, 5, 6, 8), pick.between(2, 12)
    first = pick.between(0, beats - 1)
    end = pick.between(first + 1, beats)
    node = Split("cut", "x", first * lanes, end * lanes)
    shape, source = (lanes * beats, 8, 8), sample_format(lanes * beats, bits)
    return split_cell(node, shape, source, Folding(lanes, lanes), prefix)


def _upsample(rng: np.random.Generator, prefix: str) -> Cell:
    pick = Chooser(rng)
    channels = pick.of(8, 16, 24, 32, 48)
    lanes, width = pick.divisor(channels, 24), pick.between(2, 60)
    node = Upsample("up", "x", pick.of(2, 2, 2, 3, 4))
    source = sample_format(channels, pick.of(4, 4, 5, 6, 8))
    return upsample_cell(node, (channels, 6, width), source, Folding(lanes, lanes), prefix)


def _fifo(rng: np.random.Generator, _: str, *, shift: bool) -> Cell:
    pick = Chooser(rng)
    if shift:
        return fifo_cell(_stream(pick.between(4, 64), 1), pick.between(3, 120), "shift")
    style: FifoStyle = pick.of("distributed", "block", "block", "ultra")
    bits = pick.between(8, 96)
    depth = pick.between(8, 200) if style == "distributed" else pick.between(40, 6000)
    return fifo_cell(_stream(bits, 1), depth, style)


def _width(rng: np.random.Generator, _: str) -> Cell:
    pick = Chooser(rng)
    unit, bits = pick.of(1, 2, 4), pick.of(4, 4, 5, 6, 8)
    a = pick.between(1, 6)
    b = pick.of(*(n for n in range(1, 9) if n != a))
    lanes_in, lanes_out = a * unit * 2, b * unit * 2
    channels = int(np.lcm(lanes_in, lanes_out))
    return width_cell(Stream((channels, 4, 4), lanes_in, bits), lanes_out)


def _fork(rng: np.random.Generator, _: str) -> Cell:
    branches = Chooser(rng).between(2, 6)
    stream = _stream(8, 1)
    return Cell("nf_fork", {"Branches": branches, "BeatBits": 8}, (stream,), stream, ())


def _rom(rng: np.random.Generator, prefix: str) -> Cell:
    """Return a memory of four-bit codes in logic, as weights that are few lie in."""
    pick = Chooser(rng)
    lanes, depth = pick.between(4, 32), pick.between(6, 200)
    file = f"{prefix}codes.mem"
    codes = sample_codes(pick.between(0, 1 << 20), (depth, lanes), 4).astype(np.int64)
    stream = _stream(4 * lanes, 1)
    values: dict[str, Parameter] = {
        "Bits": 4 * lanes,
        "Depth": depth,
        "File": file,
        "Style": "distributed",
        "Loadable": 0,
    }
    return Cell("nf_rom_cycle", values, (), stream, (), {file: lanes_text(codes, 4)})


def _stream(lanes: int, bits: int) -> Stream:
    return Stream((lanes, 8, 8), lanes, bits)


KINDS: dict[str, Draw] = {
    "conv_lut": lambda rng, prefix: _conv(rng, prefix, "plain_lut", depthwise=False),
    "conv_dsp": lambda rng, prefix: _conv(rng, prefix, "plain_dsp", depthwise=False),
    "conv_depthwise_lut": lambda rng, prefix: _conv(rng, prefix, "plain_lut", depthwise=True),
    "conv_depthwise_dsp": lambda rng, prefix: _conv(rng, prefix, "plain_dsp", depthwise=True),
    "conv_outer4": lambda rng, prefix: _packed(rng, prefix, "outer4"),
    "conv_pack6": lambda rng, prefix: _packed(rng, prefix, "pack6"),
    "conv_pack12": lambda rng, prefix: _packed(rng, prefix, "pack12"),
    "conv_w4a8": lambda rng, prefix: _packed(rng, prefix, "w4a8"),
    "maxpool": _maxpool,
    "avgpool": lambda rng, prefix: _avgpool(rng, prefix, whole=False),
    "globalpool": lambda rng, prefix: _avgpool(rng, prefix, whole=True),
    "add": _add,
    "requantize": _requantize,
    "lookup": _lookup,
    "concat": _concat,
    "split": _split,
    "upsample": _upsample,
    "fifo_shift": lambda rng, prefix: _fifo(rng, prefix, shift=True),
    "fifo_memory": lambda rng, prefix: _fifo(rng, prefix, shift=False),
    "width": _width,
    "fork": _fork,
    "rom_cycle": _rom,
}
"""How a cell of each kind is drawn; the kinds of ``hw.estimate.cells.cell_kind``."""
