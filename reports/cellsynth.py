# SPDX-License-Identifier: Apache-2.0
"""Cells synthesised with Yosys for UltraScale+.

Weight memories, and queues of weights from outside, stay black boxes: they are counted by shape
(``hw.estimate.memory``), which spares Yosys megabits of contents. Multipliers become DSP blocks or
logic as the cell asks: Yosys does not read the attribute that says so to Vivado.
"""

from collections.abc import Sequence
from pathlib import Path

from hw.cell import Cell
from hw.conv import rtl_sources
from hw.estimate.primitives import Resources
from hw.packed_sources import dsp_ports
from reports.batch import INPUT, OUTPUT, Dut, synthesise_batch
from reports.yosys import XILINX, read_sources

FLOW_VERSION = 1
"""Changed with everything that lets a cell of the same sources come out differently."""

SOFT_PRODUCT = "$__soft_mul"
"""Type of a product that Yosys puts into logic."""

# Modules whose products ask for DSP blocks or for logic with the parameter UseDsp.
_MULTIPLIERS = ("nf_mac_plain", "nf_scale_acts", "nf_part_sum")
_DSP_MAP = (
    "techmap -map +/mul2dsp.v -map +/xilinx/xcu_dsp_map.v -D DSP_A_MAXWIDTH=27 "
    "-D DSP_B_MAXWIDTH=18 -D DSP_A_MINWIDTH=2 -D DSP_B_MINWIDTH=2 -D DSP_NAME=$__MUL27X18"
)


def synthesise_cells(
    folder: Path, cells: Sequence[Cell], *, timeout_seconds: int = 7200
) -> list[Resources]:
    """Return what each cell takes, its weight memory left out.

    Args:
        folder: Scratch folder.
        cells: Cells; no two may have a memory file of the same name and other contents.
        timeout_seconds: Wall time of the run.

    Raises:
        ToolError: Yosys fails or drops logic, or two cells share the name of a memory file.
    """
    base = f"{XILINX} -noiopad -top batch"
    flow = [
        *(["blackbox *.u_weights"] if any(cell.module == "nf_conv" for cell in cells) else []),
        f"{base} -run begin:map_dsp",
        *(_multipliers(cell, k) for k, cell in enumerate(cells) if "UseDsp" in cell.parameters),
        f"{base} -run map_dsp:",
    ]
    sources = read_sources([*rtl_sources(), dsp_ports()])
    duts = [_dut(cell) for cell in cells]
    return synthesise_batch(folder, sources, duts, flow, timeout_seconds=timeout_seconds)


def products_of(modules: str) -> str:
    """Return the selection of the products of convolutions.

    Args:
        modules: Pattern of the modules that are meant.
    """
    sources = " ".join(f"a:src=*{name}.sv*" for name in _MULTIPLIERS)
    return f"{modules}/t:$mul {sources} %u %u %i"


def _multipliers(cell: Cell, k: int) -> str:
    """Return the command that maps the products of one cell as its parameter says."""
    selection = products_of(f"dut_{k}$*")
    if cell.parameters["UseDsp"]:
        return f"{_DSP_MAP} {selection}"
    return f"chtype -set {SOFT_PRODUCT} {selection}"


def _dut(cell: Cell) -> Dut:
    if cell.module == "nf_rom_cycle":
        read = (INPUT, "next_i", 1)
        data = (OUTPUT, "data_o", cell.output.beat_bits)
        clocked = ((INPUT, "clk_i", 1), (INPUT, "rst_ni", 1))
        return Dut(cell.module, cell.parameters, (*clocked, read, data), cell.files)
    inputs = len(cell.inputs)
    branches = int(cell.parameters["Branches"]) if cell.module == "nf_fork" else 1
    ports = (
        (INPUT, "clk_i", 1),
        (INPUT, "rst_ni", 1),
        (INPUT, "s_data_i", sum(stream.beat_bits for stream in cell.inputs)),
        (INPUT, "s_valid_i", inputs),
        (OUTPUT, "s_ready_o", inputs),
        (OUTPUT, "m_data_o", cell.output.beat_bits),
        (OUTPUT, "m_valid_o", branches),
        (INPUT, "m_ready_i", branches),
    )
    if cell.module != "nf_conv":
        return Dut(cell.module, cell.parameters, ports, cell.files)
    if cell.streamed is None:
        return Dut(cell.module, cell.parameters, ports, cell.files, ("m_end_o", "w_ready_o"))
    words = (
        (INPUT, "w_data_i", cell.streamed.bits),
        (INPUT, "w_valid_i", 1),
        (OUTPUT, "w_ready_o", 1),
    )
    return Dut(cell.module, cell.parameters, (*ports, *words), cell.files, ("m_end_o",))
