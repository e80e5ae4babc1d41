# SPDX-License-Identifier: Apache-2.0
"""``nibbleflow verify``: every engine on real weights and activations, equal to the last bit."""

import functools
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from nibbleflow.folders import BuildFolder, write_whole
from nibbleflow.foldings import Aim, plan_schedule
from nibbleflow.nodes import choose_convs, choose_nodes
from nibbleflow.pictures import load_frames
from nibbleflow.plans import NetworkPlan, network_plan
from nibbleflow.progress import progress_bar
from nibbleflow.result import Result
from nibbleflow.verbs.quantize import KEPT_FRAMES
from nibbleflow.verification import verification_result
from quant.bundle import load_bundle
from quant.errors import InputFileError, ToolError
from quant.graph import QGraph
from quant.hostspec import HostSpec
from quant.nodes import Conv
from quant.ptq.lowered import run_lowered
from sim.golden import GoldenModel
from sim.host import input_codes
from sim.tools import require_tools
from sim.verify import (
    NetworkVerdict,
    Verdict,
    different_frames,
    full_size_nodes,
    make_cases,
    replay_node,
    verify_cases,
    verify_whole,
)
from sim.verify.case import Case
from sim.verify.hls_network import ENGINES as HLS_ENGINES
from sim.verify.hls_network import verify_hls_network
from sim.verify.verdict import judge

HardwareEngine = Literal["rtl", "hls"]


def verify(
    build: str | Path,
    *,
    rtl: bool = False,
    hls: bool = False,
    nodes: str | None = None,
    full: int = 3,
    frames: int = 2,
    frame: int | None = None,
    seed: int = 1,
    waves: bool = False,
    fps: float | None = None,
    board: str | None = None,
    clock_mhz: float | None = None,
    max_macs: int | None = None,
    core: str | None = None,
    stream_weights: str | None = None,
) -> Result:
    """Compare every engine with the golden model, bit for bit.

    Without ``nodes`` whole frames run through the RTL of the whole network, and every code of
    every node is compared; planned cycles must be the counted ones. So do they through the HLS C++
    of the whole network, with ``ap_int`` types and with native integers. With ``nodes`` each
    convolution runs on its real weights and a real sub-map of its input activations (two different
    frames, no reset between, idle sources and back-pressure), a few also at full size. Torch on the
    lowered integers runs the whole network.

    Args:
        build: A build folder.
        rtl: Only the RTL in Verilator.
        hls: Only the HLS C++ with g++ (neither: every engine that can run here).
        nodes: ``all-convs``, or names joined by commas; the whole network when absent.
        full: Number of layers that also run at full size, of those that run one by one.
        frames: Number of different frames, 2 to 4 (as many as ``quantize`` kept).
        frame: Replay this frame, 0 to ``frames`` - 1, of ``nodes`` at full size through their RTL
            cells alone.
        seed: Of the sub-maps and the stalls.
        waves: Record the stretch around the first difference as a VCD file.
        fps: Frames per second that the RTL is folded for.
        board: Board whose clock and ultra RAM the RTL is planned with.
        clock_mhz: Planned clock.
        max_macs: Multiply-accumulates per cycle that the RTL is folded for.
        core: What multiplies: a core's name, or ``auto``; ``plain_lut`` when left out.
        stream_weights: Layers, joined by commas, whose weights come from outside in the RTL of the
            network, and of a replayed node.

    Returns:
        ``values`` has ``engines``, ``nodes`` (one row per node, engine and case) and the sums
        ``values``, ``mismatches``, ``cycles``, ``seconds``; with the whole network in RTL also its
        planned and counted cycles and its speed. Not ``ok`` at any difference.

    Raises:
        NibbleflowError: The build or a name is wrong, or a named engine cannot run here.
    """
    if full < 0:
        raise InputFileError(f"--full {full} must not be negative")
    if not 2 <= frames <= KEPT_FRAMES:
        raise InputFileError(f"--frames {frames} must be 2 to {KEPT_FRAMES}")
    started = time.perf_counter()
    aim = Aim(fps, board, clock_mhz, max_macs, core, stream_weights)
    folder = BuildFolder.existing(build)
    bundle = load_bundle(folder.bundle)
    graph = bundle.graph
    codes = _codes(folder, bundle.host, graph, frames)

    if nodes is not None and frame is None and stream_weights is not None:
        raise InputFileError(
            "--stream-weights is for the whole network, or for --frame; leave it or --nodes out"
        )
    # A convolution that runs one by one has its weights in its cell.
    single_aim = replace(aim, stream_weights=None)

    def replay(engine: str, name: str, number: int | None = None) -> str:
        flags = f"--nodes {name} --{engine}" if engine in ("rtl", "hls") else f"--nodes {name}"
        place = "" if number is None else f" --frame {number}"
        options = single_aim.options if number is None else aim.options
        return f"nibbleflow verify {build} {flags}{place} --frames {frames} --seed {seed}{options}"

    if frame is not None:
        verdicts = _replays(graph, nodes, frame, codes, folder, aim, replay, seed, hls, waves)
        return _finish(folder, verdicts, None, started, graph)
    chosen = choose_convs(graph, nodes or "all-convs")
    engines = _engines(rtl, hls)
    # Named nodes run one by one, else the whole network.
    single = engines if nodes is not None else ()
    verdicts = []
    if rtl == hls:
        verdicts += _torch_verdicts(graph, chosen, codes, replay)
    if single:
        cases = make_cases(
            graph, chosen, codes, full=full_size_nodes(graph, chosen)[:full], seed=seed
        )
        with progress_bar("verifying layers", len(cases) * len(single)) as advance:
            verdicts += verify_cases(
                cases,
                single,
                plan_schedule(graph, aim).folding,
                folder.sim,
                seed=seed,
                replay=lambda name, engine: replay(engine, name),
                waves=waves,
                progress=lambda _: advance(1),
            )

    @functools.cache
    def plan() -> NetworkPlan:
        return network_plan(folder, graph, aim)

    network = None
    if "rtl" in engines and nodes is None:
        network = verify_whole(
            graph,
            plan().schedule,
            codes,
            folder.sim,
            ultra_initial_contents=plan().ultra_filled,
            seed=seed,
            replay=lambda name, number: replay("rtl", name, number),
            waves=waves,
        )
        verdicts += network.nodes
    if "hls" in engines and nodes is None:
        with progress_bar("verifying the network in HLS", len(HLS_ENGINES)) as advance:
            verdicts += verify_hls_network(
                graph,
                plan().schedule,
                codes,
                folder.sim,
                replay=lambda *_: (
                    f"nibbleflow verify {build} --hls --frames {frames} --seed {seed}{aim.options}"
                ),
                progress=lambda: advance(1),
            )
    return _finish(folder, verdicts, network, started, graph)


def _codes(
    folder: BuildFolder, host: HostSpec, graph: QGraph, frames: int
) -> npt.NDArray[np.uint8]:
    """Return the input codes of the first frames that ``quantize`` kept, [N, C, H, W]."""
    fmt = graph.input.output
    kept = load_frames(folder.frames)
    if frames > max(2, len(kept)):
        raise InputFileError(
            f"--frames {frames}: {folder.frames} keeps {len(kept)}; quantize with more images or "
            "ask for fewer"
        )
    codes = np.stack([input_codes(c, host, fmt.scale, fmt.zero_point) for c in kept[:frames]])
    return different_frames(codes)


def _replays(
    graph: QGraph,
    nodes: str | None,
    frame: int,
    codes: npt.NDArray[np.uint8],
    folder: BuildFolder,
    aim: Aim,
    replay: Callable[[str, str, int], str],
    seed: int,
    hls: bool,
    waves: bool,
) -> list[Verdict]:
    """Run one frame of the named nodes through their RTL cells alone."""
    if nodes is None or hls:
        raise InputFileError("--frame replays nodes in RTL; name them with --nodes, without --hls")
    if not 0 <= frame < len(codes):
        raise InputFileError(f"--frame {frame} must be 0 to {len(codes) - 1}")
    require_tools("rtl")
    schedule = plan_schedule(graph, aim)
    chosen = choose_nodes(graph, nodes)
    with progress_bar("replaying nodes", len(chosen)) as advance:
        verdicts = []
        for index, node in enumerate(chosen):
            verdicts.append(
                replay_node(
                    graph,
                    schedule,
                    node.name,
                    codes[frame],
                    folder.sim / f"replay-{index}",
                    folder.sim / "benches",
                    frame=frame,
                    seed=seed,
                    replay=replay("rtl", node.name, frame),
                    waves=waves,
                )
            )
            advance(1)
    return verdicts


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
    graph: QGraph,
    nodes: tuple[Conv, ...],
    codes: npt.NDArray[np.uint8],
    replay: Callable[[str, str], str],
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
        command = replay("torch", node.name)
        verdicts.append(judge(case, "torch", tensors[node.name], replay=command, seconds=seconds))
    return verdicts


def _finish(
    folder: BuildFolder,
    verdicts: list[Verdict],
    network: NetworkVerdict | None,
    started: float,
    graph: QGraph,
) -> Result:
    result = verification_result(verdicts, network, time.perf_counter() - started, graph.digest)
    write_whole(folder.verification, result.to_json())
    return result
