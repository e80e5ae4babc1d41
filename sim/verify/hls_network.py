# SPDX-License-Identifier: Apache-2.0
"""Verify a whole network in HLS C++: every code of every node, with both families of types."""

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from hls import HlsNetwork, NetworkRun, compile_csim, emit_network, run_network, write_network
from quant.errors import NibbleflowError
from quant.graph import QGraph
from quant.nodes import Input, Node, Output
from quant.schedule import Schedule
from sim.golden import GoldenModel
from sim.verify.tensors import Place, golden_accumulator, saturated_codes
from sim.verify.verdict import Difference, Verdict

Codes = npt.NDArray[np.integer]
HlsEngine = Literal["hls", "hls-plain"]

ENGINES: tuple[HlsEngine, ...] = ("hls", "hls-plain")
"""``ap_int`` types, as Vitis sees them, and native integers."""
CASE = "whole network"


def verify_hls_network(
    graph: QGraph,
    schedule: Schedule,
    codes: Codes,
    work: Path,
    *,
    replay: Callable[[str, str], str],
    engines: Sequence[HlsEngine] = ENGINES,
    progress: Callable[[], None] | None = None,
) -> list[Verdict]:
    """Write the project once; compile, run and compare it with each family of types.

    Args:
        graph: The integer graph.
        schedule: Folding, FIFO depths, memory styles.
        codes: Input codes [N, C, H, W].
        work: Scratch folder; what it had of this is removed.
        replay: Engine and node name to the command that repeats the run.
        engines: Of ``hls`` (``ap_int``) and ``hls-plain``.
        progress: Called after each engine.

    Returns:
        One verdict per engine and node (but inputs and outputs), in topological order; with the
        failure in each of an engine that does not run.
    """
    folder = work / "hls-network"
    shutil.rmtree(folder, ignore_errors=True)
    nodes = [n for n in graph.nodes if not isinstance(n, Input | Output)]
    golden = GoldenModel(graph).run(codes, keep="all").tensors
    expected = {n.name: golden[n.name] for n in graph.outputs}
    verdicts: list[Verdict] = []
    network: HlsNetwork | None = None
    for engine in engines:
        started = time.perf_counter()
        run, failure = None, None
        try:
            if network is None:
                network = emit_network(graph, schedule)
                write_network(network, folder / "project", backends=("Vitis",))
            program = compile_csim(folder / "project" / "vitis", plain=engine == "hls-plain")
            run = run_network(network, program, codes, expected, folder / engine, trace=True)
        except NibbleflowError as error:
            failure = str(error)
        seconds = (time.perf_counter() - started) / len(nodes)
        for node in nodes:
            answer = golden[node.name]
            verdicts.append(
                _verdict(graph, node, engine, codes, answer, run, failure, seconds, replay)
            )
        if progress is not None:
            progress()
    if all(v.ok for v in verdicts):
        shutil.rmtree(folder, ignore_errors=True)
    return verdicts


def _verdict(
    graph: QGraph,
    node: Node,
    engine: str,
    codes: Codes,
    expected: Codes,
    run: NetworkRun | None,
    failure: str | None,
    seconds: float,
    replay: Callable[[str, str], str],
) -> Verdict:
    mismatches, first = int(expected.size), None
    got = None if run is None else run.tensors[node.name]
    if got is not None and got.shape == expected.shape:
        wrong = got != expected
        mismatches = int(wrong.sum())
        if mismatches:
            # Stream order: frame, row, column, then channel.
            n, row, column, channel = (int(i[0]) for i in np.nonzero(wrong.transpose(0, 2, 3, 1)))
            at = (n, channel, row, column)
            place = Place(n, channel, row, column, int(expected[at]), int(got[at]), 0)
            first = Difference(
                node.name,
                engine,
                n,
                channel,
                row,
                column,
                place.expected,
                place.got,
                golden_accumulator(graph, node.name, codes[n], place),
                mismatches,
                int(expected.size),
                None,
                replay(engine, node.name),
            )
    elif got is not None:
        failure = f"gave codes of shape {got.shape}, expected {expected.shape}"
    return Verdict(
        name=node.name,
        engine=engine,
        case=CASE,
        values=int(expected.size),
        mismatches=mismatches,
        distinct=len(np.unique(expected)),
        saturated=saturated_codes(node, expected, graph.formats[node.name].bits),
        cycles=None,
        planned_interval=None,
        counted_interval=None,
        seconds=seconds,
        failure=failure,
        first=first,
    )
