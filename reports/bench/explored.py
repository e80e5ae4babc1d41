# SPDX-License-Identifier: Apache-2.0
"""``python -m reports.bench.explored BUILD --board NAME --json FILE``: explore a build and time it.

A program of its own, so that its time is that of this one network. Where nothing fits, the reasons
and what is nearest stand in the figures, and what fits by the tables with weights from the memory
on the board; where a plan was found on the chip, its exact FIFOs and cycles too.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from hw.device import Device
from hw.devices import find_device
from hw.explore import (
    Budget,
    Network,
    NoPlan,
    Uses,
    fastest_plan,
    nearest,
    network_tables,
    shortages,
)
from hw.explore.variants import with_image
from quant.bundle import load_bundle
from quant.errors import NibbleflowError
from quant.graph import QGraph
from reports.exactplan import ExactPlan, settled_plan

# Figures of a plan; null where there is none.
_FIGURES = (
    "interval_cycles",
    "fps",
    "interval_bound_cycles",
    "cheapest_proved",
    "cost",
    "cost_bound",
    *Uses._fields,
)
_EXACT_FIGURES = (
    "fifo_estimate_bits",
    "fifo_bits",
    "edges_above_estimate",
    "exact_interval_cycles",
    "exact_rounds",
    *(f"exact_{key}" for key in Uses._fields),
    *(f"kept_back_{key}" for key in Uses._fields),
)
_STREAMED_FIGURES = (
    "streamed_fps",
    "streamed_interval_cycles",
    "streamed_interval_bound_cycles",
    "streamed_layers",
    "streamed_kib_per_frame",
    "streamed_solve_seconds",
    "streamed_solve_cpu_seconds",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Explore, measure and write the figures; return the exit code."""
    parser = argparse.ArgumentParser(description="Explore a build for a board and time it.")
    parser.add_argument("build", type=Path, help="build folder")
    parser.add_argument("--board", required=True, help="board")
    parser.add_argument("--pixels", type=int, help="side of the images; else that of the build")
    parser.add_argument("--json", type=Path, required=True, help="file to write")
    given = parser.parse_args(arguments)
    try:
        graph = load_bundle(given.build / "bundle").graph
        if given.pixels is not None:
            graph = with_image(graph, given.pixels, given.pixels)
        figures = measure(graph, given.board)
    except NibbleflowError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    given.json.write_text(json.dumps(figures, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return 0


def measure(graph: QGraph, board: str) -> dict[str, Any]:
    """Return the fastest plan on a board, its bound and seconds; or why there is none.

    Args:
        graph: The integer graph.
        board: Name of the board.

    Raises:
        NibbleflowError: The board is unknown, or OR-tools is missing.
    """
    device = find_device(board)
    begin, begin_cpu = perf_counter(), process_time()
    network = network_tables(graph, Budget(device))
    found = fastest_plan(network)
    times = {
        "solve_seconds": round(perf_counter() - begin, 2),
        "solve_cpu_seconds": round(process_time() - begin_cpu, 2),
    }
    if isinstance(found, NoPlan):
        lacks = "; ".join(str(s) for s in shortages(network, found.interval))
        instead = "; ".join(str(n) for n in nearest(network, device.clock_hz, None))
        nothing = dict.fromkeys((*_FIGURES, *_EXACT_FIGURES))
        reasons = {"fastest_proved": found.proved, "lacks": lacks, "nearest": instead}
        return {"fits": False, **nothing, **reasons, **times, **_streamed(network, device)}
    exact = settled_plan(network, found, None, device.clock_hz, _tell)
    found = exact.exploration
    selection = found.selection
    return {
        "fits": True,
        "interval_cycles": selection.interval,
        "fps": round(device.clock_hz / selection.interval, 2),
        "interval_bound_cycles": found.interval_bound,
        "fastest_proved": found.fastest_proved,
        "cheapest_proved": found.cheapest_proved,
        "cost": round(selection.cost / 1e9, 4),
        "cost_bound": round(found.cost_bound / 1e9, 4),
        **dict(zip(Uses._fields, selection.uses, strict=True)),
        **_exact(network, exact),
        "lacks": None,
        "nearest": None,
        **times,
        **dict.fromkeys(_STREAMED_FIGURES),
    }


def _streamed(network: Network, device: Device) -> dict[str, Any]:
    """Return the fastest plan by the tables that takes weights from the board's memory too."""
    begin, begin_cpu = perf_counter(), process_time()
    beside = network.streaming
    found = None if beside is None else fastest_plan(beside)
    if beside is None or found is None or isinstance(found, NoPlan):
        return dict.fromkeys(_STREAMED_FIGURES)
    selection = found.selection
    layers = sum(option.style == "external" for option in selection.nodes.values())
    values = (
        round(device.clock_hz / selection.interval, 2),
        selection.interval,
        found.interval_bound,
        layers,
        selection.uses.external_kib,
        round(perf_counter() - begin, 2),
        round(process_time() - begin_cpu, 2),
    )
    return dict(zip(_STREAMED_FIGURES, values, strict=True))


def _tell(line: str) -> None:
    print(line, file=sys.stderr)


def _exact(network: Network, exact: ExactPlan) -> dict[str, Any]:
    """Return what the plan takes with the real FIFO depths, and its exact cycles."""
    real = {row.key: row.throughput * row.beat_bits for row in exact.fifos.rows}
    return {
        "fifo_estimate_bits": sum(network.fifo_bits.values()),
        "fifo_bits": exact.fifos.throughput_bits,
        "edges_above_estimate": sum(
            bits > network.fifo_bits.get(key, 0) for key, bits in real.items()
        ),
        "exact_interval_cycles": exact.cycles.interval_cycles,
        "exact_rounds": exact.rounds,
        **{f"exact_{key}": count for key, count in zip(Uses._fields, exact.uses, strict=True)},
        **{
            f"kept_back_{key}": kept for key, kept in zip(Uses._fields, exact.reserved, strict=True)
        },
    }


if __name__ == "__main__":
    sys.exit(main())
