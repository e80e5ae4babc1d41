# SPDX-License-Identifier: Apache-2.0
"""Text of nets and ports of a generated top."""

from collections.abc import Sequence

from hw.cell import Stream


def nets(stem: str, bits: int) -> list[str]:
    """Return the declarations of one stream of ``bits`` bits a beat."""
    return [f"  logic [{bits - 1}:0] {stem}_data;", f"  logic {stem}_valid, {stem}_ready;"]


def axis_ports(prefix: str, bits: int, *, master: bool) -> list[str]:
    """Return the four ports of an AXI4-Stream with ``bits`` bits of data."""
    read, made = "input  wire logic", "output logic     "
    forth, back = (made, read) if master else (read, made)
    return [
        f"{forth} {f'[{bits - 1}:0]':<8} {prefix}_tdata",
        f"{forth} {'':<8} {prefix}_tvalid",
        f"{back} {'':<8} {prefix}_tready",
        f"{forth} {'':<8} {prefix}_tlast",
    ]


def port_bits(stream: Stream) -> int:
    """Return the bits of tdata: a beat rounded up to whole bytes."""
    return -(-stream.beat_bits // 8) * 8


def packed(wires: Sequence[str]) -> str:
    """Return expressions side by side, the first one lowest."""
    return wires[0] if len(wires) == 1 else "{" + ", ".join(reversed(wires)) + "}"
