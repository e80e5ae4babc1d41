# SPDX-License-Identifier: Apache-2.0
"""``python -m reports.bench.rtlspeed BUILD --interval CYCLES --json FILE``: time an RTL run.

The network is folded for ``CYCLES`` per frame, compiled anew with a probe on every node, and runs
the frames that ``quantize`` kept at full speed in one process, without another simulation beside
it. Every node is compared with the golden model. Seconds are given as wall time and as processor
time, which a busy machine does not stretch.
"""

import argparse
import json
import resource
import sys
import tempfile
from pathlib import Path
from time import perf_counter

from hw.planning import plan
from quant.bundle import load_bundle
from quant.errors import NibbleflowError, ToolError
from quant.graph import macs_of
from quant.nodes import Conv, Linear
from reports.bench.goldenspeed import kept_frames
from reports.bench.record import Row
from sim.golden import GoldenModel
from sim.verify.network_run import NetworkBench, build_network_bench
from sim.verify.tensors import compare_stream

FRAMES = 3
# Nothing stands still here; a network that does is another benchmark's.
WATCHDOG_CYCLES = 1 << 30


def main(arguments: list[str] | None = None) -> int:
    """Measure and write the figures; return the exit code."""
    parser = argparse.ArgumentParser(description="Time the RTL simulation of a build's network.")
    parser.add_argument("build", type=Path, help="build folder")
    parser.add_argument("--interval", type=int, required=True, help="cycles per frame to fold for")
    parser.add_argument("--frames", type=int, default=FRAMES, help="frames to run, at least 2")
    parser.add_argument("--quick", action="store_true", help="compile with -O1, as for short runs")
    parser.add_argument("--json", type=Path, required=True, help="file to write")
    given = parser.parse_args(arguments)
    if given.frames < 2:
        parser.error(f"--frames {given.frames} must be at least 2")
    try:
        figures = measure(given.build, given.interval, given.frames, optimise=not given.quick)
    except NibbleflowError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    given.json.write_text(json.dumps(figures, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return 0


def measure(build: Path, interval_cycles: int, frames: int, *, optimise: bool) -> Row:
    """Return folding, cycles and seconds of one simulation.

    Args:
        build: Build folder.
        interval_cycles: Cycles per frame that no node may exceed.
        frames: Frames to run, at least 2.
        optimise: Compile as for long runs, else as for short ones.

    Raises:
        NibbleflowError: The build cannot be read, the plan cannot be made, the simulation failed or
            a code is wrong.
    """
    bundle = load_bundle(build / "bundle")
    graph = bundle.graph
    kept = kept_frames(build / "float" / "frames.npy", bundle)
    codes = [kept[index % len(kept)] for index in range(frames)]
    schedule = plan(graph, target_interval_cycles=interval_cycles)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        begin, spent = perf_counter(), _children_seconds()
        bench = build_network_bench(
            graph, schedule, work / "rtl", work / "benches", optimise=optimise
        )
        build_seconds, build_cpu = perf_counter() - begin, _children_seconds() - spent
        spent = _children_seconds()
        run = bench.run(work / "run", codes, watchdog_cycles=WATCHDOG_CYCLES)
        cpu = _children_seconds() - spent
        if run.stalled is not None or run.violation is not None or run.interval_cycles is None:
            raise ToolError(
                f"the simulation of '{graph.name}' failed: {run.stalled or run.violation}; run "
                "nibbleflow verify --rtl"
            )
        golden = GoldenModel(graph).run(kept[:frames], keep=bench.probed).tensors
        values = 0
        for name, log in zip(bench.probed, run.probes, strict=False):
            expected = [golden[name][index % len(kept)] for index in range(frames)]
            found = compare_stream(log.data, bench.network.streams[name], expected)
            values += found.values
            if found.mismatches:
                raise ToolError(
                    f"'{name}' has {found.mismatches:,} wrong codes of {found.values:,}; run "
                    "nibbleflow verify --rtl"
                )
    macs = sum(macs_of(graph, node.name) for node in graph.nodes)
    return {
        "nodes": len(bench.probed),
        "compiler": "-O3 -march=native" if optimise else "-O1",
        "multipliers": _multipliers(bench),
        "interval_cycles": run.interval_cycles,
        "macs_per_cycle": round(macs / run.interval_cycles, 1),
        "frames": frames,
        "cycles": run.cycles,
        "values": values,
        "mismatches": 0,
        "build_seconds": round(build_seconds, 1),
        "build_cpu_seconds": round(build_cpu, 1),
        "simulation_seconds": round(run.seconds, 1),
        "simulation_cpu_seconds": round(cpu, 1),
        "cycles_per_second": round(run.cycles / run.seconds),
        "cycles_per_cpu_second": round(run.cycles / cpu),
        # Of the whole run, filling and draining of the network included.
        "million_macs_per_second": round(macs * frames / run.seconds / 1e6, 1),
        "million_macs_per_cpu_second": round(macs * frames / cpu / 1e6, 1),
        # Were the network full all the time at the same cycles per second.
        "million_macs_per_cpu_second_when_full": round(
            macs / run.interval_cycles * run.cycles / cpu / 1e6, 1
        ),
    }


def _children_seconds() -> float:
    """Return the processor time of all finished child processes."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _multipliers(bench: NetworkBench) -> int:
    graph, folding = bench.network.graph, bench.network.schedule.folding
    layers = [node.name for node in graph.nodes if isinstance(node, Conv | Linear)]
    return sum(folding[name].pe * folding[name].simd for name in layers)


if __name__ == "__main__":
    sys.exit(main())
