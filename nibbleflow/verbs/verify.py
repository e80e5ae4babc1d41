# SPDX-License-Identifier: Apache-2.0
"""``nibbleflow verify``: every engine on real weights and activations, equal to the last bit."""

import time
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from nibbleflow.folders import BuildFolder, write_whole
from nibbleflow.foldings import default_schedule
from nibbleflow.nodes import choose_convs
from nibbleflow.pictures import load_frames
from nibbleflow.progress import progress_bar
from nibbleflow.result import Result
from nibbleflow.verbs.quantize import KEPT_FRAMES
from quant.bundle import load_bundle
from quant.errors import InputFileError, ToolError
from quant.graph import QGraph
from quant.nodes import Conv
from quant.ptq.lowered import run_lowered
from sim.golden import GoldenModel
from sim.host import input_codes
from sim.tools import require_tools
from sim.verify import Verdict, full_size_nodes, make_cases, verify_cases
from sim.verify.case import Case
from sim.verify.verdict import judge

HardwareEngine = Literal["rtl", "hls"]

REFERENCE = "golden"
SHOWN_DIFFERENCES = 5


def verify(
    build: str | Path,
    *,
    rtl: bool = False,
    hls: bool = False,
    nodes: str = "all-convs",
    full: int = 3,
    frames: int = 2,
    seed: int = 1,
) -> Result:
    """Compare every engine with the golden model, bit for bit.

    Each convolution runs on its real weights and a real sub-map of its input activations (two
    different frames, no reset between, idle sources and back-pressure), a few also at full size;
    torch on the lowered integers runs the whole network.

    Args:
        build: A build folder.
        rtl: Only the RTL in Verilator.
        hls: Only the HLS C++ with g++ (neither: every engine that can run here).
        nodes: ``all-convs``, or names joined by commas.
        full: Number of layers that also run at full size.
        frames: Number of different frames, 2 to 4 (as many as ``quantize`` kept).
        seed: Of the sub-maps and the stalls.

    Returns:
        ``values`` has ``engines``, ``nodes`` (one row per node, engine and case) and the sums
        ``values``, ``mismatches``, ``cycles``, ``seconds``; not ``ok`` at any difference.

    Raises:
        NibbleflowError: The build or a name is wrong, or a named engine cannot run here.
    """
    if full < 0:
        raise InputFileError(f"--full {full} must not be negative")
    if not 2 <= frames <= KEPT_FRAMES:
        raise InputFileError(f"--frames {frames} must be 2 to {KEPT_FRAMES}")
    started = time.perf_counter()
    folder = BuildFolder.existing(build)
    bundle = load_bundle(folder.bundle)
    graph = bundle.graph
    chosen = choose_convs(graph, nodes)
    engines = _engines(rtl, hls)
    fmt = graph.input.output
    kept = load_frames(folder.frames)
    if frames > max(2, len(kept)):
        raise InputFileError(
            f"--frames {frames}: {folder.frames} keeps {len(kept)}; quantize with more images or "
            "ask for fewer"
        )
    codes = np.stack(
        [input_codes(c, bundle.host, fmt.scale, fmt.zero_point) for c in kept[:frames]]
    )
    cases = make_cases(graph, chosen, codes, full=full_size_nodes(graph, chosen)[:full], seed=seed)
    folding = default_schedule(graph).folding
    verdicts: list[Verdict] = []
    if rtl == hls:
        verdicts += _torch_verdicts(graph, chosen, codes, str(build))
    with progress_bar("verifying", len(cases) * len(engines)) as advance:
        verdicts += verify_cases(
            cases,
            engines,
            folding,
            folder.sim,
            seed=seed,
            replay=lambda name, engine: (
                f"nibbleflow verify {build} --nodes {name} --{engine} --frames {frames} "
                f"--seed {seed}"
            ),
            progress=lambda _: advance(1),
        )
    result = _result(verdicts, time.perf_counter() - started, graph)
    write_whole(folder.sim / "verify.json", result.to_json())
    return result


def _engines(rtl: bool, hls: bool) -> tuple[HardwareEngine, ...]:
    """Return the engines to run; a named one that cannot run is an error, else it is left out."""
    if rtl != hls:
        named: HardwareEngine = "rtl" if rtl else "hls"
        require_tools(named)
        return (named,)
    both: tuple[HardwareEngine, ...] = ("hls", "rtl")
    present: list[HardwareEngine] = []
    for engine in both:
        try:
            require_tools(engine)
        except ToolError:
            if rtl and hls:
                raise
            continue
        present.append(engine)
    return tuple(present)


def _torch_verdicts(
    graph: QGraph, nodes: tuple[Conv, ...], codes: npt.NDArray[np.uint8], build: str
) -> list[Verdict]:
    """Compare torch on the lowered integers with the golden model, whole frames."""
    names = [n.name for n in nodes]
    golden = GoldenModel(graph).run(codes, keep=names, accumulators=names)
    started = time.perf_counter()
    tensors = run_lowered(graph, codes)
    seconds = (time.perf_counter() - started) / max(len(nodes), 1)
    verdicts = []
    for node in nodes:
        case = Case(
            node,
            graph.formats[node.source],
            "whole network",
            codes,
            golden.tensors[node.name],
            golden.accumulators[node.name],
        )
        replay = f"nibbleflow verify {build} --nodes {node.name}"
        verdicts.append(judge(case, "torch", tensors[node.name], replay=replay, seconds=seconds))
    return verdicts


def _result(verdicts: list[Verdict], seconds: float, graph: QGraph) -> Result:
    engines = [REFERENCE, *dict.fromkeys(v.engine for v in verdicts)]
    wrong = [v for v in verdicts if not v.ok]
    bad = {v.engine for v in wrong}
    values = {
        "engines": engines,
        "digest": graph.digest,
        "nodes": [v.to_json() for v in verdicts],
        "values": sum(v.values for v in verdicts),
        "mismatches": sum(v.mismatches for v in verdicts),
        "failures": sum(v.failure is not None for v in verdicts),
        "cycles": sum(v.cycles or 0 for v in verdicts),
        "seconds": seconds,
    }
    table = Table(title="every engine against the golden model", box=None)
    for column in ("engine", "nodes", "cases", "values compared", "wrong", "cycles"):
        table.add_column(column)
    for engine in engines[1:]:
        rows = [v for v in verdicts if v.engine == engine]
        table.add_row(
            engine,
            str(len({v.name for v in rows})),
            str(len(rows)),
            f"{sum(v.values for v in rows):,}",
            f"{sum(v.mismatches for v in rows):,}",
            f"{sum(v.cycles or 0 for v in rows):,}",
        )
    parts: list[RenderableType] = [table]
    for verdict in wrong[:SHOWN_DIFFERENCES]:
        text = verdict.failure and f"'{verdict.name}' {verdict.engine}: {verdict.failure}"
        parts.append(Text(str(verdict.first or text), style="red"))
    if len(wrong) > SHOWN_DIFFERENCES:
        parts.append(Text(f"and {len(wrong) - SHOWN_DIFFERENCES} more", style="red"))
    good = len(engines) - len(bad)
    style = "green" if not bad else "red"
    names = " = ".join(e for e in engines if e not in bad)
    parts.append(Text(f"{good}/{len(engines)} engines bit-identical ({names})", style=style))
    return Result("verify", values, tuple(parts), ok=not wrong)
