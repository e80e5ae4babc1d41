# SPDX-License-Identifier: Apache-2.0
"""Configuration members of a requantizer with one entry."""

from quant.nodes import Requantizer


def requantizer_constants(requant: Requantizer) -> dict[str, int]:
    """Return the configuration members that ``nf::requantizer`` and its callers read."""
    return {
        "requant_bits": requant.bits,
        "low": requant.low,
        "high": requant.high,
        "multiplier": int(requant.multiplier[0]),
        "shift": int(requant.shift[0]),
        "out_zero": int(requant.zero_point[0]),
    }
