# SPDX-License-Identifier: Apache-2.0
"""Replay one node: its golden inputs through its cell alone, folded as in the network."""

import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hw.axis_top import WEIGHT_PORT, axis_top
from hw.cell import Cell
from hw.conv import rtl_sources
from hw.network import build_network
from hw.timing import simulate
from hw.tokens import Deadlock, cell_graph
from quant.errors import InputFileError, NibbleflowError
from quant.graph import QGraph
from quant.nodes import Input, Output, sources_of
from quant.schedule import Schedule
from sim.golden import GoldenModel
from sim.rtl import ALWAYS, NEVER, AxisRun, Bench, Pattern, Ports, build_bench
from sim.stream import beat_bytes, pack_beats
from sim.verify.tensors import compare_stream, golden_accumulator, saturated_codes
from sim.verify.verdict import Difference, Verdict

Codes = npt.NDArray[np.integer]

ENGINE = "rtl"
TOP = "dut"
# Three frames at full speed settle the interval; two more come with pauses.
SPEED_FRAMES = 3
PAUSED_FRAMES = 2
IDLE = Pattern.random(0.2)
STALL = Pattern.bursts(30, 10)
WATCHDOG_CYCLES = 2_000_000
WAVES_BEFORE, WAVES_AFTER = 200, 20


def replay_node(
    graph: QGraph,
    schedule: Schedule,
    name: str,
    codes: Codes,
    work: Path,
    cache: Path,
    *,
    frame: int,
    seed: int,
    replay: str,
    waves: bool = False,
) -> Verdict:
    """Run one frame of a node through its cell alone, several times, and compare.

    Args:
        graph: The integer graph.
        schedule: Folding of the network.
        name: Node; any but the input and the outputs.
        codes: Input codes [C, H, W] of the graph for that frame.
        work: Scratch folder; removed when everything is equal and no waveform was wanted.
        cache: Folder of compiled benches.
        frame: Its number, for the report.
        seed: Of the pauses and of unset registers.
        replay: Command that repeats this.
        waves: Record ``dump.vcd`` around the first difference, or of the first cycles without one.

    Raises:
        InputFileError: The node has no cell.
    """
    started = time.perf_counter()
    node = graph.node(name)
    if isinstance(node, Input | Output):
        raise InputFileError(
            f"'{name}' is an {type(node).__name__.lower()}, which computes nothing; replay a node "
            "between input and outputs"
        )
    sources = sources_of(node)
    tensors = GoldenModel(graph).run(codes[None], keep=(*dict.fromkeys(sources), name)).tensors
    golden = tensors[name][0]
    cell = build_network(graph, _filled(schedule)).cells[name]
    frames = SPEED_FRAMES + PAUSED_FRAMES
    failure: str | None = None
    cycles = counted = planned = None
    comparison = compare_stream(
        np.zeros((0, beat_bytes(cell.output.bits, cell.output.lanes)), np.uint8),
        cell.output,
        [golden] * frames,
    )
    first = None
    try:
        times = simulate(cell_graph(name, cell), SPEED_FRAMES)
        if isinstance(times, Deadlock):
            raise InputFileError(f"the model of '{name}' alone stands still: {times}")
        planned = times.interval_cycles
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        (work / f"{TOP}.sv").write_text(axis_top(cell, TOP), encoding="utf-8")
        bench = build_bench(
            [*rtl_sources(), work / f"{TOP}.sv"],
            TOP,
            [
                *(beat_bytes(s.bits, s.lanes) for s in cell.inputs),
                *([] if cell.streamed is None else [cell.streamed.words.shape[1]]),
            ],
            beat_bytes(cell.output.bits, cell.output.lanes),
            cache,
            waves=waves,
            ports=Ports(
                tuple(f"s_axis_{k}" for k in range(len(cell.inputs))),
                repeats=() if cell.streamed is None else (WEIGHT_PORT,),
            ),
        )
        beats = [
            [pack_beats(tensors[source][0], stream.bits, stream.lanes)] * frames
            for source, stream in zip(sources, cell.inputs, strict=True)
        ]

        def simulate_rtl(folder: str, stretch: tuple[int, int] | None) -> AxisRun:
            return _run(bench, work / folder, beats, cell, seed, stretch)

        run = simulate_rtl("run", None)
        cycles = run.cycles
        failure = run.violation or run.stalled
        given = np.concatenate(run.frames) if run.frames else np.zeros((0, 1), np.uint8)
        comparison = compare_stream(given, cell.output, [golden] * frames)
        cycle = 0
        if comparison.first is not None:
            place = comparison.first
            cycle = int(run.output_cycles[0][place.frame][place.beat])
            first = Difference(
                name,
                ENGINE,
                frame,
                place.channel,
                place.row,
                place.column,
                place.expected,
                place.got,
                golden_accumulator(graph, name, codes, place),
                comparison.mismatches,
                comparison.values,
                cycle,
                replay,
            )
        elif failure is None:
            ends = run.last_output_cycles
            counted = ends[SPEED_FRAMES - 1] - ends[SPEED_FRAMES - 2]
            if counted != planned:
                failure = f"interval counted {counted} cycles, planned {planned}"
            elif run.latency_cycles != times.latency_cycles:
                failure = (
                    f"latency counted {run.latency_cycles} cycles, planned {times.latency_cycles}"
                )
        if waves:
            simulate_rtl("waves", (max(0, cycle - WAVES_BEFORE), cycle + WAVES_AFTER))
    except NibbleflowError as error:
        failure = str(error)
    verdict = Verdict(
        name=name,
        engine=ENGINE,
        case="cell alone, full size",
        values=comparison.values,
        mismatches=comparison.mismatches,
        distinct=len(np.unique(golden)),
        saturated=saturated_codes(node, golden, graph.formats[name].bits),
        cycles=cycles,
        planned_interval=planned,
        counted_interval=counted,
        seconds=time.perf_counter() - started,
        failure=failure,
        first=first,
    )
    if verdict.ok and not waves:
        shutil.rmtree(work, ignore_errors=True)
    return verdict


def _filled(schedule: Schedule) -> Schedule:
    """Return a schedule without memories that a load stream fills: a cell alone has none.

    Block RAM is read in the same cycles as ultra RAM.
    """
    memory = {key: "block" if style == "ultra" else style for key, style in schedule.memory.items()}
    return replace(schedule, memory=memory)


def _run(
    bench: Bench,
    folder: Path,
    beats: list[list[npt.NDArray[np.uint8]]],
    cell: Cell,
    seed: int,
    stretch: tuple[int, int] | None,
) -> AxisRun:
    frames = len(beats[0])
    return bench.run(
        folder,
        beats,
        [cell.output.beats],
        repeats=[] if cell.streamed is None else [(cell.streamed.words, cell.streamed.repeats)],
        idle=[ALWAYS] * SPEED_FRAMES + [IDLE] * (frames - SPEED_FRAMES),
        stall=[ALWAYS] * SPEED_FRAMES + [STALL] * (frames - SPEED_FRAMES),
        seed=seed,
        files=cell.files,
        watchdog_cycles=WATCHDOG_CYCLES,
        max_cycles=NEVER if stretch is None else stretch[1],
        waves_from=None if stretch is None else stretch[0],
    )
