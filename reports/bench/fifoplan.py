# SPDX-License-Identifier: Apache-2.0
"""``python -m reports.bench.fifoplan BUILD --json FILE``: plan the FIFOs of a build and time it.

A program of its own, so that its peak of memory is that of this one network.
"""

import argparse
import json
import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from hw.network_cycles import network_cycles
from hw.plan_network import plan_network
from hw.planning import complete_schedule
from quant.bundle import load_bundle
from quant.errors import NibbleflowError
from quant.graph import QGraph
from quant.samples import sample_graph

MACS_PER_CYCLE = 512


def main(arguments: Sequence[str] | None = None) -> int:
    """Plan, measure and write the figures; return the exit code."""
    parser = argparse.ArgumentParser(description="Plan the FIFOs of a build and time it.")
    parser.add_argument("build", type=Path, help="build folder")
    parser.add_argument("--macs", type=int, default=MACS_PER_CYCLE, help="MACs per cycle")
    parser.add_argument("--json", type=Path, required=True, help="file to write")
    given = parser.parse_args(arguments)
    try:
        figures = measure(load_bundle(given.build / "bundle").graph, given.macs)
    except NibbleflowError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    given.json.write_text(json.dumps(figures, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return 0


def measure(graph: QGraph, macs_per_cycle: int) -> dict[str, Any]:
    """Return depths, proof, cycles, seconds and memory of planning ``graph``.

    Args:
        graph: The integer graph.
        macs_per_cycle: What it is folded for.

    Raises:
        NibbleflowError: It cannot be planned.
    """
    # The compiler loads, and compiles what no earlier run has left behind.
    small = sample_graph(1)
    complete_schedule(small, plan_network(small, target_interval_cycles=3000))
    folded = plan_network(graph, max_macs_per_cycle=macs_per_cycle)
    begin, begin_cpu = perf_counter(), process_time()
    plan = complete_schedule(graph, folded)
    middle, middle_cpu = perf_counter(), process_time()
    cycles = network_cycles(graph, plan.schedule)
    end = perf_counter()
    fifos, proof = plan.fifos, plan.fifos.minimal.proof
    return {
        "edges": len(fifos.rows),
        "minimal_fifos": sum(row.minimal > 0 for row in fifos.rows),
        "throughput_fifos": sum(row.throughput > 0 for row in fifos.rows),
        "minimal_bits": fifos.minimal_bits,
        "throughput_bits": fifos.throughput_bits,
        "tensor_bits": fifos.tensor_bits,
        "bottleneck_interval_cycles": fifos.throughput.target_cycles,
        "network_interval_cycles": cycles.interval_cycles,
        "network_latency_cycles": cycles.latency_cycles,
        "settled": cycles.settled,
        "fifo_seconds": round(middle - begin, 2),
        "fifo_cpu_seconds": round(middle_cpu - begin_cpu, 2),
        "cycle_seconds": round(end - middle, 2),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "proof_input_beats": proof.input_beats,
        "proof_output_beats": proof.output_beats,
        "proof_moved_beats": proof.moved_beats,
        "proof_left_beats": proof.left_beats,
        "proof_assumption": proof.assumption,
    }


if __name__ == "__main__":
    sys.exit(main())
