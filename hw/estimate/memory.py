# SPDX-License-Identifier: Apache-2.0
"""Memories of UltraScale+ by shape: the counts that Yosys' ``synth_xilinx -family xcup`` makes.

Yosys takes one shape of block for a memory. Where a memory is deeper than the block, its parts lie
side by side: a part of the width of the word each, packed without gaps, with multiplexers behind.
So ``count = ceil(parts * word / width)``, and among the shapes the cheapest one is taken: price of
the blocks, half a point per multiplexed bit and two points per port that does not share.

Source: Yosys 0.70, pass ``memory_libmap`` with the descriptions ``lutrams_xcu``, ``brams_xc4v`` and
``urams``; ``reports.bench.estimates`` compares this file's counts with the tool's.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, assert_never

from hw.estimate.primitives import Resources
from quant.errors import PlanError

MemoryRole = Literal["rom", "ram", "queue"]
"""Read-only with a registered read; one write and one registered read port; one write port and one
read port without a register."""

MemoryKind = Literal["auto", "distributed", "block", "ultra"]
"""As the cells ask for it; ``distributed`` of a read-only memory is logic."""


@dataclass(frozen=True)
class _Block:
    """One shape of block.

    Attributes:
        kind: What asks for it.
        width: Bits of a word.
        depth: Words.
        byte: Bits that share a write enable: words of written memories are rounded up to it.
        price: Of one block, or of a block's whole width where only used bits count.
        by_bit: Whether only used bits count.
        uses: What one takes.
    """

    kind: MemoryKind
    width: int
    depth: int
    byte: int
    price: int
    by_bit: bool
    uses: Resources


def _brams() -> list[_Block]:
    found = []
    for address_bits, widths, price, uses in (
        (14, (1, 2, 4, 9, 18, 36), 129, Resources(bram18=1)),
        (15, (1, 2, 4, 9, 18, 36, 72), 257, Resources(bram18=2)),
    ):
        for power, width in enumerate(widths):
            depth = 1 << (address_bits - power)
            found.append(_Block("block", width, depth, min(9, width), price, False, uses))
    return found


_BLOCKS = (
    _Block("distributed", 14, 32, 14, 16, True, Resources(lutram_luts=8)),
    _Block("distributed", 7, 64, 7, 16, True, Resources(lutram_luts=8)),
    *_brams(),
    _Block("ultra", 72, 4096, 8, 1024, False, Resources(uram=1)),
    _Block("ultra", 72, 4096, 9, 1024, False, Resources(uram=1)),
)

# Price of a bit in logic: a register of a written memory, a share of a table of a read-only one.
_REGISTER_PRICE, _TABLE_PRICE = 1.0, 1.0 / 64
# Two points for the read port.
_PORT_PRICE = 2


@dataclass(frozen=True)
class MemoryParts:
    """What a memory becomes.

    Attributes:
        primitives: Blocks, or lookup tables as memory; nothing for a memory in logic.
        mux_bits: Bits of two-way multiplexers behind its parts.
        table_bits: Bits of a read-only memory in logic.
        register_bits: Bits of a written memory in registers.
        read_bits: Registers of the read port outside of a block.
    """

    primitives: Resources
    mux_bits: int = 0
    table_bits: int = 0
    register_bits: int = 0
    read_bits: int = 0


@lru_cache(maxsize=1 << 16)
def memory_parts(bits: int, depth: int, kind: MemoryKind, role: MemoryRole) -> MemoryParts:
    """Return what a memory of ``depth`` words of ``bits`` bits becomes.

    Args:
        bits: Bits of a word, at least 1.
        depth: Words, at least 1.
        kind: What it is to lie in; ``auto``: the cheapest.
        role: Its ports.

    Raises:
        PlanError: The size is not positive, or a queue is to lie in blocks, whose reads have a
            register.
    """
    if bits < 1 or depth < 1:
        raise PlanError(f"a memory of {depth} words of {bits} bits cannot be built; both from 1 up")
    read_bits = 0 if role == "queue" else bits
    logic = MemoryParts(
        Resources(),
        table_bits=bits * depth if role == "rom" else 0,
        register_bits=0 if role == "rom" else bits * depth,
        mux_bits=0 if role == "rom" else bits * (depth - 1),
        read_bits=read_bits,
    )
    match kind:
        case "auto":
            kinds: tuple[MemoryKind, ...] = ("distributed", "block")
            best = int(bits * depth * (_TABLE_PRICE if role == "rom" else _REGISTER_PRICE))
        case "distributed" | "block" | "ultra":
            if role == "rom" and kind == "distributed":
                return logic
            kinds, best = (kind,), 1 << 62
        case _:
            assert_never(kind)
    if role == "queue":
        kinds = tuple(k for k in kinds if k == "distributed")
    if role == "rom":
        kinds = tuple(k for k in kinds if k != "distributed")
    if not kinds:
        raise PlanError(
            f"a queue of {depth} words of {bits} bits reads without a register; a {kind} memory "
            "has one; use distributed"
        )
    found = logic
    for one in kinds:
        price, parts = min(
            (_fit(bits, depth, role, block) for block in _BLOCKS if block.kind == one),
            key=lambda fit: fit[0],
        )
        if price < best:
            found, best = parts, int(price)
    return found


def memory_resources(bits: int, depth: int, kind: MemoryKind, role: MemoryRole) -> Resources:
    """Return the blocks and memory tables of ``memory_parts``."""
    return memory_parts(bits, depth, kind, role).primitives


def _fit(bits: int, depth: int, role: MemoryRole, block: _Block) -> tuple[float, MemoryParts]:
    """Return the price of a memory in blocks of one shape, and its parts."""
    parts = -(-depth // block.depth)
    word = bits if role == "rom" else -(-bits // block.byte) * block.byte
    count = -(-parts * word // block.width)
    muxes = (parts - 1) * bits
    price = block.price * parts * bits / block.width if block.by_bit else block.price * count
    enables = parts if parts > 1 and role != "rom" else 0
    price += muxes / 2 + enables / 2 + _PORT_PRICE
    inside = block.kind != "distributed" or role == "queue"
    uses = block.uses
    total = Resources(
        bram18=uses.bram18 * count, uram=uses.uram * count, lutram_luts=uses.lutram_luts * count
    )
    return price, MemoryParts(total, mux_bits=muxes, read_bits=0 if inside else bits)
