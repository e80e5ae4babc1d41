# SPDX-License-Identifier: Apache-2.0
"""``python -m reports.bench.hlsspeed BUILD --json FILE``: compile and run a network in HLS C++.

Every node of one frame is compared with the golden model, at the folding that ``generate`` takes
without options. Speed is processor time inside the top function, one thread, without traces. With
``--bounded`` the frame also runs with streams of their depths and all processes side by side, where
a network that can stand still does.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path
from time import perf_counter

import numpy as np

from hls import compile_csim, emit_network, run_network, write_network
from hw.plan_network import plan_network
from quant.bundle import load_bundle
from quant.errors import NibbleflowError
from quant.graph import macs_of
from sim.golden import GoldenModel
from sim.host import input_codes

MACS_PER_CYCLE = 512
CLOCK_SECONDS = 1e-6  # resolution of processor time
# Family of types: whether it is the plain one, and the names of its figures.
FAMILIES = {
    "plain": (True, "plain_compile_seconds", "plain_gmacs_per_second", "plain_mismatches"),
    "ap_int": (False, "ap_int_compile_seconds", "ap_int_gmacs_per_second", "ap_int_mismatches"),
}


def main(arguments: list[str] | None = None) -> int:
    """Measure and write the figures; return the exit code."""
    parser = argparse.ArgumentParser(description="Compile and run a build's network in HLS C++.")
    parser.add_argument("build", type=Path, help="build folder")
    parser.add_argument("--compile-only", action="store_true", help="compile, do not run")
    parser.add_argument("--bounded", action="store_true", help="run with bounded streams, too")
    parser.add_argument("--json", type=Path, required=True, help="file to write")
    given = parser.parse_args(arguments)
    try:
        figures = measure(given.build, run=not given.compile_only, bounded=given.bounded)
    except NibbleflowError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    given.json.write_text(json.dumps(figures, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return 0


def measure(build: Path, *, run: bool, bounded: bool) -> dict[str, float | int | None]:
    """Return compile times, speeds and differing codes of both families of types, null if not run.

    Args:
        build: Build folder; its ``sim`` is the scratch folder.
        run: Whether to run a frame, too.
        bounded: Whether to run it with bounded streams, too; only with ``run``.

    Raises:
        NibbleflowError: The build cannot be read, or a program does not compile or run.
    """
    bundle = load_bundle(build / "bundle")
    graph, fmt = bundle.graph, bundle.graph.input.output
    network = emit_network(graph, plan_network(graph, max_macs_per_cycle=MACS_PER_CYCLE))
    folder = build / "sim" / "hls-speed"
    shutil.rmtree(folder, ignore_errors=True)
    write_network(network, folder / "project", backends=("Vitis",))
    macs = sum(macs_of(graph, node.name) for node in graph.nodes)
    figures: dict[str, float | int | None] = {
        "nodes": len(graph.nodes),
        "macs_per_frame": macs,
        "streams": sum(len(layer.outputs) for layer in network.layers),
        "stream_kib": round(network.stream_bits / 8192, 1),
        "interval_cycles": network.interval_cycles,
    }
    programs = {}
    for family, (plain, compiling, _, _) in FAMILIES.items():
        begin = perf_counter()
        programs[family] = compile_csim(folder / "project" / "vitis", plain=plain)
        figures[compiling] = round(perf_counter() - begin, 1)
    figures["bounded_mismatches"] = None
    if run:
        canvas = np.load(build / "float" / "frames.npy", allow_pickle=False)[0]
        codes = input_codes(canvas, bundle.host, fmt.scale, fmt.zero_point)[None]
        golden = GoldenModel(graph).run(codes, keep="all").tensors
        expected = {n.name: golden[n.name] for n in graph.outputs}
        for family, (_, _, speed, mismatches) in FAMILIES.items():
            program = programs[family]
            fast = run_network(network, program, codes, expected, folder / family)
            traced = run_network(network, program, codes, expected, folder / family, trace=True)
            wrong = sum(int(np.sum(t != golden[name])) for name, t in traced.tensors.items())
            figures[speed] = round(macs / max(fast.network_seconds, CLOCK_SECONDS) / 1e9, 3)
            figures[mismatches] = wrong
        if bounded:
            program = compile_csim(folder / "project" / "vitis", bounded=True)
            stood = run_network(network, program, codes, expected, folder / "bounded")
            figures["bounded_mismatches"] = stood.mismatches
        figures["values_compared"] = sum(golden[n.name].size for n in graph.nodes[1:])
    else:
        for _, _, speed, mismatches in FAMILIES.values():
            figures[speed] = figures[mismatches] = None
        figures["values_compared"] = None
    shutil.rmtree(folder)
    return figures


if __name__ == "__main__":
    sys.exit(main())
