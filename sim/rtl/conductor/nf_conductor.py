# SPDX-License-Identifier: Apache-2.0
"""cocotb's part of a run: reset, wait for the end, read the counters.

It runs inside the simulator, in a folder of its own so that importing it loads nothing else of this
project. No Python runs per cycle: sources and sinks are SystemVerilog, ``nf_main.cpp`` makes the
clock, and after the reset the next thing that is seen here is ``finished``.
"""

import json
from pathlib import Path
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

RESET_CYCLES = 8


@cocotb.test()  # type: ignore[untyped-decorator, unused-ignore]
async def conduct(dut: Any) -> None:  # noqa: ANN401 - cocotb handles have no static type
    """Run the bench to its end and write ``nf_result.json`` into the current folder."""
    dut.rst_n.value = 0
    await ClockCycles(dut.clk, RESET_CYCLES)
    dut.rst_n.value = 1
    if not int(dut.finished.value):
        await RisingEdge(dut.finished)
    names = ("reason", "cycle", "violation", "violation_port", "violation_cycle")
    result = {name: int(getattr(dut, name).value) for name in (*names, "in_count", "out_count")}
    Path("nf_result.json").write_text(json.dumps(result), encoding="ascii")
