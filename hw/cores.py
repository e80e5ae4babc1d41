# SPDX-License-Identifier: Apache-2.0
"""What multiply-accumulate cores are made of: pixels and columns of a tap, blocks, cycles."""

from collections.abc import Iterable

from quant.schedule import Core

PLAIN_CORES: tuple[Core, ...] = ("plain_lut", "plain_dsp")
PACKED_CORES: tuple[Core, ...] = ("outer4", "pack6", "pack12", "w4a8")
ROW_CORES = PACKED_CORES[1:]
"""Cores that take a whole kernel row of three columns in one tap."""

PIXELS: dict[Core, int] = {
    "plain_lut": 1,
    "plain_dsp": 1,
    "outer4": 2,
    "pack6": 2,
    "pack12": 4,
    "w4a8": 2,
}
"""Pixels of a tap."""

MACS_PER_BLOCK: dict[Core, int] = {
    "plain_lut": 0,
    "plain_dsp": 1,
    "outer4": 4,
    "pack6": 6,
    "pack12": 12,
    "w4a8": 3,
}
"""Products of one DSP block and cycle; 0: products in logic."""


def densest_macs(cores: Iterable[Core]) -> int:
    """Return the products of one DSP block and cycle with the densest of ``cores``, at least 1."""
    return max([1, *(MACS_PER_BLOCK[core] for core in cores)])


def tap_columns(core: Core) -> int:
    """Return the kernel columns of a tap."""
    return 3 if core in ROW_CORES else 1


def tap_macs(core: Core, pe: int, simd: int) -> int:
    """Return the multiply-accumulates of one tap, that is of one cycle."""
    return pe * simd * PIXELS[core] * tap_columns(core)


def core_blocks(core: Core, pe: int, simd: int) -> int:
    """Return the DSP blocks of a core; those of the requantizers are not among them."""
    per_block = MACS_PER_BLOCK[core]
    return tap_macs(core, pe, simd) // per_block if per_block else 0


def core_latency(core: Core, simd: int, cascade: int) -> int:
    """Return the cycles from a fold's last tap at the core to its sums.

    Args:
        core: The core.
        simd: Channels of a tap.
        cascade: Blocks of a chain; 1 for cores without chains.
    """
    match core:
        case "plain_lut" | "plain_dsp":
            return 3 + (simd - 1).bit_length()
        case "pack12":
            return 7 + (simd - 1).bit_length()
        case "outer4" | "pack6" | "w4a8":
            return 4 + cascade + (simd // cascade - 1).bit_length() + int(core == "w4a8")
