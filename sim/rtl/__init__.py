# SPDX-License-Identifier: Apache-2.0
"""Simulate RTL with Verilator and cocotb: random stalls, cycle counts, protocol checks.

::

    bench = build_bench([*packages, cell], "conv3x3", in_bytes=8, out_bytes=4, cache=cache)
    run = bench.run(
        work_dir,
        [[frame0, frame1]],              # per input port, per frame: uint8 [beats, in_bytes]
        [out_beats],                     # per output port: beats of one frame
        idle=Pattern.random(0.3),        # one pattern, or one per frame
        stall=[ALWAYS, Pattern.bursts(20, 10)],
        seed=7,
        files={"weights.mem": text},     # what the device's $readmemh reads, by plain name
    )
    run.frames[0]                        # uint8 [out_beats, out_bytes], first output port
    run.latency_cycles, run.interval_cycles, run.stalled, run.violation

The device has the ports ``ap_clk``, ``ap_rst_n`` (synchronous, active low), ``s_axis_<k>_tdata``,
``_tvalid``, ``_tready``, ``_tlast`` and ``m_axis_<k>_*``; ``Ports`` names others. Beats are made
and read by ``sim.stream``. Unset registers start random, so a missing reset shows.
"""

from sim.rtl.axisrun import AxisRun
from sim.rtl.bench import NEVER, Bench, build_bench
from sim.rtl.pattern import ALWAYS, Pattern
from sim.rtl.probe import Probe, ProbeLog
from sim.rtl.verilator import Verilator, find_verilator
from sim.rtl.wrapper import Ports

__all__ = [
    "ALWAYS",
    "NEVER",
    "AxisRun",
    "Bench",
    "Pattern",
    "Ports",
    "Probe",
    "ProbeLog",
    "Verilator",
    "build_bench",
    "find_verilator",
]
