# SPDX-License-Identifier: Apache-2.0
"""Memories by shape: the counts of ``hw.estimate.memory`` beside those of Yosys."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, assert_never

from hw.cell import Parameter
from hw.conv import rtl_sources
from hw.estimate.memory import MemoryKind, MemoryRole, memory_resources
from hw.estimate.primitives import Resources
from hw.packed_sources import dsp_ports
from reports.batch import INPUT, OUTPUT, Dut, Port, synthesise_batch
from reports.bench.record import Row
from reports.yosys import XILINX, read_sources


class Shape(NamedTuple):
    """One memory, as the arguments of ``memory_resources``."""

    bits: int
    depth: int
    kind: MemoryKind
    role: MemoryRole


SHAPES = (
    # Weights and parameters: read over and over.
    Shape(32, 512, "block", "rom"),
    Shape(36, 1024, "block", "rom"),
    Shape(9, 2048, "block", "rom"),
    Shape(10, 2048, "block", "rom"),
    Shape(128, 2304, "block", "rom"),
    Shape(64, 288, "block", "rom"),
    Shape(128, 144, "block", "rom"),
    Shape(20, 3000, "block", "rom"),
    Shape(72, 700, "block", "rom"),
    Shape(40, 200, "auto", "rom"),
    Shape(40, 210, "auto", "rom"),
    Shape(64, 140, "auto", "rom"),
    # Line buffers: no style asked for.
    Shape(8, 2, "auto", "ram"),
    Shape(4, 3, "auto", "ram"),
    Shape(16, 16, "auto", "ram"),
    Shape(32, 33, "auto", "ram"),
    Shape(32, 64, "auto", "ram"),
    Shape(32, 120, "auto", "ram"),
    Shape(16, 200, "auto", "ram"),
    Shape(32, 200, "auto", "ram"),
    Shape(64, 70, "auto", "ram"),
    Shape(4, 700, "auto", "ram"),
    Shape(12, 1300, "auto", "ram"),
    Shape(40, 600, "auto", "ram"),
    # FIFOs of blocks, and weights that are loaded.
    Shape(16, 500, "block", "ram"),
    Shape(40, 1100, "block", "ram"),
    Shape(100, 513, "block", "ram"),
    Shape(8, 2500, "block", "ram"),
    Shape(72, 5000, "ultra", "ram"),
    Shape(80, 8192, "ultra", "ram"),
    Shape(144, 4096, "ultra", "ram"),
    Shape(128, 2304, "ultra", "ram"),
    # Queues of logic memory.
    Shape(17, 2, "distributed", "queue"),
    Shape(20, 3, "distributed", "queue"),
    Shape(28, 32, "distributed", "queue"),
    Shape(33, 33, "distributed", "queue"),
    Shape(15, 64, "distributed", "queue"),
    Shape(20, 70, "distributed", "queue"),
    Shape(5, 140, "distributed", "queue"),
)


def memory_rows(folder: Path, shapes: Sequence[Shape] = SHAPES) -> list[Row]:
    """Return one row per shape: estimated and counted blocks.

    Args:
        folder: Scratch folder.
        shapes: What to compare.

    Raises:
        ToolError: Yosys fails.
    """
    sources = read_sources([*rtl_sources(), dsp_ports()])
    duts = [_dut(shape, k) for k, shape in enumerate(shapes)]
    # Up to the memories: what addresses and registers become is not counted here.
    flow = [f"{XILINX} -noiopad -top batch -run begin:map_ffram"]
    counted = synthesise_batch(folder, sources, duts, flow, timeout_seconds=3600)
    return [
        _row(shape, memory_resources(*shape), found)
        for shape, found in zip(shapes, counted, strict=True)
    ]


def _row(shape: Shape, estimated: Resources, counted: Resources) -> Row:
    row: Row = {**shape._asdict()}
    for name in ("bram18", "uram", "lutram_luts"):
        row[name] = getattr(estimated, name)
        row[f"{name}_counted"] = getattr(counted, name)
    return row


def _dut(shape: Shape, k: int) -> Dut:
    """Return the cells' own memory of a shape."""
    bits, depth, kind, role = shape
    address = max(1, (depth - 1).bit_length())
    clock = (INPUT, "clk_i", 1)
    ports: tuple[Port, ...]
    match role:
        case "rom":
            # All bits of a word are equal, so that most blocks have equal contents: Yosys makes a
            # module of each other contents, which takes a while.
            word = f"{(1 << bits) - 1:x}"
            file = f"shape_{k}.mem"
            text = "".join(f"{word if i * 7 % 5 < 2 else '0'}\n" for i in range(depth))
            ports = (clock, (INPUT, "rst_ni", 1), (INPUT, "next_i", 1), (OUTPUT, "data_o", bits))
            values: dict[str, Parameter] = {
                "Bits": bits,
                "Depth": depth,
                "File": file,
                "Style": str(kind),
            }
            return Dut("nf_rom_cycle", values, ports, {file: text})
        case "ram":
            banks = kind == "auto"
            ports = (
                clock,
                (INPUT, "write_i", 1),
                (INPUT, "write_addr_i", address),
                (INPUT, "write_data_i" if banks else "data_i", bits),
                (INPUT, "read_i", 1),
                (INPUT, "read_addr_i", address),
                (OUTPUT, "data_o", bits),
            )
            if banks:
                # The line buffer of windows of one pixel: one bank, no style asked for.
                ports += tuple((INPUT, n, 1) for n in ("write_bank_i", "read_bank_i", "inside_i"))
                return Dut("nf_window_banks", {"CodeBits": bits, "Depth": depth}, ports)
            return Dut("nf_ram", {"Bits": bits, "Words": depth, "Style": str(kind)}, ports)
        case "queue":
            ports = (
                clock,
                (INPUT, "rst_ni", 1),
                (INPUT, "push_i", 1),
                (INPUT, "data_i", bits),
                (OUTPUT, "valid_o", 1),
                (OUTPUT, "data_o", bits),
                (INPUT, "ready_i", 1),
            )
            return Dut("nf_fifo", {"Bits": bits, "Depth": depth}, ports)
        case _:
            assert_never(role)
