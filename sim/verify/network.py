# SPDX-License-Identifier: Apache-2.0
"""Verify a whole network in RTL: every code of every node, planned cycles, who waits at a stall.

Two simulations run side by side: one at full speed, whose cycles must be the planned ones, and one
with an idle source and back-pressure that begins with the other frame. Neither resets between
frames. Only the first node that differs counts, in topological order: the rest follows from it.
"""

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hw.network import build_network
from hw.timing import Times, simulate
from hw.tokens import Deadlock, token_graph
from quant.errors import PlanError
from quant.graph import QGraph, macs_of
from quant.schedule import Schedule
from sim.golden import GoldenModel
from sim.rtl import ALWAYS, AxisRun, Pattern
from sim.verify.network_run import NetworkBench, build_network_bench
from sim.verify.stall import culprit, stall_report
from sim.verify.tensors import (
    Comparison,
    Place,
    compare_stream,
    golden_accumulator,
    saturated_codes,
)
from sim.verify.verdict import Difference, Verdict

Codes = npt.NDArray[np.integer]

ENGINE = "rtl"
CASE = "whole network"
FULL_SPEED = "full speed"
STALLED = "random idle and back-pressure"
IDLE = Pattern.bursts(60, 10)
BACK_PRESSURE = Pattern.bursts(40, 15)

# Frames of the run at full speed: the interval between the last two has settled.
SPEED_FRAMES = 3
# Ports may be quiet for as long as a frame is under way.
WATCHDOG_LATENCIES = 4
WATCHDOG_LEAST = 20_000
WAVES_BEFORE, WAVES_AFTER = 200, 20
# Cycles times cells of a run from which on the slower, better compilation pays for itself.
LONG_RUN = 10_000_000_000


@dataclass(frozen=True)
class RunFacts:
    """One simulation.

    Attributes:
        name: What was random in it.
        frames: Frames fed.
        cycles: Clock cycles.
        seconds: Wall time.
        values: Codes compared.
        mismatches: Wrong ones.
        failure: Stall, breach of the stream protocol or cycles off the plan; ``None`` if none.
        stall: Where it stands still, one line per edge; empty when it does not.
        culprit: When it stands still, the node that has all it needs and gives nothing.
    """

    name: str
    frames: int
    cycles: int
    seconds: float
    values: int
    mismatches: int
    failure: str | None
    stall: tuple[str, ...]
    culprit: str | None


@dataclass(frozen=True)
class NetworkVerdict:
    """A whole network against the golden model.

    Attributes:
        nodes: One verdict per node, in topological order.
        runs: The simulations.
        first: First wrong code of the first node that differs, or ``None``.
        following: Nodes behind it that differ too.
        planned: Event times of the token-level model for as many frames as the run at full speed.
        counted_interval: Cycles between the last output beats of the last two frames.
        counted_latency: Cycles from the first input beat taken to the last output beat of a frame.
        words_loaded: Words that the load stream brought into ultra RAM before the first frame.
        macs: Multiply-accumulates of one frame.
        build_seconds: Wall time of emitting and compiling.
        sim_seconds: Wall time of the simulations, side by side.
        waves: Waveform of the stretch around the first difference, or ``None``.
    """

    nodes: tuple[Verdict, ...]
    runs: tuple[RunFacts, ...]
    first: Difference | None
    following: tuple[str, ...]
    planned: Times
    counted_interval: int | None
    counted_latency: int | None
    words_loaded: int
    macs: int
    build_seconds: float
    sim_seconds: float
    waves: Path | None

    @property
    def ok(self) -> bool:
        """Whether every code is equal and nothing failed."""
        return all(v.ok for v in self.nodes) and all(r.failure is None for r in self.runs)

    @property
    def named(self) -> str | None:
        """The node that a fault is in: of the first wrong code, else the one that stands still."""
        if self.first is not None:
            return self.first.node
        return next((run.culprit for run in self.runs if run.culprit is not None), None)

    @property
    def cycles(self) -> int:
        """Cycles of all simulations."""
        return sum(run.cycles for run in self.runs)

    @property
    def macs_per_second(self) -> float:
        """Multiply-accumulates that one simulation does in a second of wall time, the best run."""
        return max(self.macs * run.frames / run.seconds for run in self.runs)

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON values; nodes are listed by the caller."""
        return {
            "runs": [asdict(run) for run in self.runs],
            "interval_planned": self.planned.interval_cycles,
            "interval_counted": self.counted_interval,
            "latency_planned": self.planned.latency_cycles,
            "latency_counted": self.counted_latency,
            "words_loaded": self.words_loaded,
            "macs": self.macs,
            "macs_per_second": round(self.macs_per_second),
            "build_seconds": round(self.build_seconds, 2),
            "sim_seconds": round(self.sim_seconds, 2),
            "first": None if self.first is None else asdict(self.first),
            "following": list(self.following),
            "waves": None if self.waves is None else str(self.waves),
        }


@dataclass(frozen=True)
class _Job:
    """What one simulation is fed."""

    name: str
    order: tuple[int, ...]
    idle: Pattern
    stall: Pattern


def verify_whole(
    graph: QGraph,
    schedule: Schedule,
    codes: Codes,
    work: Path,
    *,
    ultra_initial_contents: bool = False,
    seed: int,
    replay: Callable[[str, int], str],
    waves: bool = False,
    sources: Sequence[Path] | None = None,
) -> NetworkVerdict:
    """Emit, compile, simulate and compare a whole network.

    Args:
        graph: The integer graph.
        schedule: Folding, FIFO depths, memory styles.
        codes: Input codes [N, C, H, W], N >= 2, all different.
        work: Scratch folder; compiled benches stay in its ``benches``.
        ultra_initial_contents: Whether ultra RAM needs no loading at start.
        seed: Of pauses and of unset registers.
        replay: Node name and frame to the command that repeats only that.
        waves: Record the stretch around the first difference.
        sources: The hand-written modules; those of ``hw`` when absent.

    Raises:
        PlanError: The token-level model of the network stands still at these depths.
    """
    folder = work / "network"
    network = build_network(graph, schedule, ultra_initial_contents=ultra_initial_contents)
    frames = max(SPEED_FRAMES, len(codes))
    planned = simulate(token_graph(network), frames)
    if isinstance(planned, Deadlock):
        raise PlanError(f"the planned network stands still; {planned}")
    cycles = planned.latency_cycles + (frames - 1) * planned.interval_cycles

    def build(waves: bool) -> NetworkBench:
        return build_network_bench(
            graph,
            schedule,
            folder / "rtl",
            work / "benches",
            ultra_initial_contents=ultra_initial_contents,
            waves=waves,
            optimise=not waves and cycles * len(network.cells) >= LONG_RUN,
            sources=sources,
        )

    bench = build(waves=False)
    return verify_network(
        bench,
        planned,
        codes,
        folder,
        seed=seed,
        replay=replay,
        wave_bench=(lambda: build(waves=True)) if waves else None,
    )


def verify_network(
    bench: NetworkBench,
    planned: Times,
    codes: Codes,
    work: Path,
    *,
    seed: int,
    replay: Callable[[str, int], str],
    wave_bench: Callable[[], NetworkBench] | None = None,
) -> NetworkVerdict:
    """Run frames through a network twice and compare every node.

    Args:
        bench: The compiled network.
        planned: Its planned times of ``SPEED_FRAMES`` frames, or of as many as there are codes.
        codes: Input codes [N, C, H, W], N >= 2, all different.
        work: Scratch folder; removed when everything is equal.
        seed: Of pauses and of unset registers.
        replay: Node name and frame to the command that repeats only that.
        wave_bench: Makes a bench that records waveforms, for the stretch around a difference.
    """
    shutil.rmtree(work, ignore_errors=True)
    count = len(codes)
    jobs = (
        _Job(FULL_SPEED, tuple(i % count for i in range(max(SPEED_FRAMES, count))), ALWAYS, ALWAYS),
        _Job(STALLED, tuple(reversed(range(count))), IDLE, BACK_PRESSURE),
    )
    watchdog = WATCHDOG_LATENCIES * planned.latency_cycles + WATCHDOG_LEAST

    def simulate(job: _Job) -> AxisRun:
        return bench.run(
            work / job.name.split()[0],
            [codes[i] for i in job.order],
            idle=job.idle,
            stall=job.stall,
            seed=seed,
            watchdog_cycles=watchdog,
        )

    started = time.perf_counter()
    with ThreadPoolExecutor(len(jobs)) as pool:
        runs = list(pool.map(simulate, jobs))
    sim_seconds = time.perf_counter() - started
    graph = bench.network.graph
    golden = GoldenModel(graph).run(codes, keep=bench.probed).tensors
    compared = [_compare(bench, job, run, golden) for job, run in zip(jobs, runs, strict=True)]
    fast = runs[0]
    facts = tuple(
        _facts(bench, job, run, found, planned if run is fast else None)
        for job, run, found in zip(jobs, runs, compared, strict=True)
    )
    # Behind the first wrong code everything may differ; before it, back-pressure at the most.
    wrong = [name for name in bench.probed if any(found[name].first for found in compared)]
    first, waves = None, None
    for job, run, found in zip(jobs, runs, compared, strict=True):
        place = found[wrong[0]].first if wrong else None
        if place is None:
            continue
        frame = job.order[place.frame]
        cycle = _cycle_of(bench, run, wrong[0], place)
        first = Difference(
            wrong[0],
            ENGINE,
            frame,
            place.channel,
            place.row,
            place.column,
            place.expected,
            place.got,
            golden_accumulator(graph, wrong[0], codes[frame], place),
            sum(f[wrong[0]].mismatches for f in compared),
            sum(f[wrong[0]].values for f in compared),
            cycle,
            replay(wrong[0], frame),
        )
        if wave_bench is not None:
            folder = work / "waves"
            wave_bench().run(
                folder,
                [codes[i] for i in job.order],
                idle=job.idle,
                stall=job.stall,
                seed=seed,
                watchdog_cycles=watchdog,
                waves=(max(0, cycle - WAVES_BEFORE), cycle + WAVES_AFTER),
            )
            waves = folder / "dump.vcd"
        break
    seconds = (bench.build_seconds + sim_seconds) / len(bench.probed)
    verdict = NetworkVerdict(
        nodes=tuple(
            _verdict(bench, name, compared, golden[name], seconds, first, fast, planned)
            for name in bench.probed
        ),
        runs=facts,
        first=first,
        following=tuple(wrong[1:]),
        planned=planned,
        counted_interval=fast.interval_cycles,
        counted_latency=fast.latency_cycles,
        words_loaded=bench.project.load_words.size,
        macs=sum(macs_of(graph, node.name) for node in graph.nodes),
        build_seconds=bench.build_seconds,
        sim_seconds=sim_seconds,
        waves=waves,
    )
    if verdict.ok:
        shutil.rmtree(work, ignore_errors=True)
    return verdict


def _compare(
    bench: NetworkBench, job: _Job, run: AxisRun, golden: Mapping[str, Codes]
) -> dict[str, Comparison]:
    """Compare every probe of a run."""
    return {
        name: compare_stream(
            log.data, bench.network.streams[name], [golden[name][i] for i in job.order]
        )
        for name, log in zip(bench.probed, run.probes, strict=False)
    }


def _facts(
    bench: NetworkBench,
    job: _Job,
    run: AxisRun,
    found: Mapping[str, Comparison],
    planned: Times | None,
) -> RunFacts:
    stall: tuple[str, ...] = ()
    failure = run.violation or run.stalled
    if run.stalled is not None:
        stall = stall_report(bench, run)
    elif failure is None and planned is not None:
        failure = _off_plan("latency", run.latency_cycles, planned.latency_cycles) or _off_plan(
            "interval", run.interval_cycles, planned.interval_cycles
        )
    return RunFacts(
        name=job.name,
        frames=len(job.order),
        cycles=run.cycles,
        seconds=round(run.seconds, 3),
        values=sum(c.values for c in found.values()),
        mismatches=sum(c.mismatches for c in found.values()),
        failure=failure,
        stall=stall,
        culprit=None if run.stalled is None else culprit(bench, run),
    )


def _off_plan(what: str, counted: int | None, planned: int) -> str | None:
    return None if counted == planned else f"{what} counted {counted} cycles, planned {planned}"


def _cycle_of(bench: NetworkBench, run: AxisRun, name: str, place: Place) -> int:
    beat = place.frame * bench.network.streams[name].beats + place.beat
    return int(run.probes[bench.probed.index(name)].cycles[beat])


def _verdict(
    bench: NetworkBench,
    name: str,
    compared: Sequence[Mapping[str, Comparison]],
    golden: Codes,
    seconds: float,
    first: Difference | None,
    fast: AxisRun,
    planned: Times,
) -> Verdict:
    graph = bench.network.graph
    found = [c[name] for c in compared]
    odd = [
        (f"{c.missing:,} beats never came" if c.missing else f"{c.surplus:,} beats too many")
        for c in found
        if c.missing or c.surplus
    ]
    counted = None
    if fast.stalled is None and fast.violation is None and not odd:
        counted = _interval_of(bench, fast, name)
        fault = _off_plan("interval", counted, planned.node_interval(name))
        odd += [fault] if fault else []
    return Verdict(
        name=name,
        engine=ENGINE,
        case=CASE,
        values=sum(c.values for c in found),
        mismatches=sum(c.mismatches for c in found),
        distinct=len(np.unique(golden)),
        saturated=saturated_codes(graph.node(name), golden, graph.formats[name].bits),
        cycles=None,
        planned_interval=planned.node_interval(name),
        counted_interval=counted,
        seconds=seconds,
        failure=odd[0] if odd else None,
        first=first if first is not None and first.node == name else None,
    )


def _interval_of(bench: NetworkBench, run: AxisRun, name: str) -> int:
    """Return the cycles between the last beats of ``name`` in the last two frames of a run."""
    cycles = run.probes[bench.probed.index(name)].cycles
    return int(cycles[-1]) - int(cycles[-1 - bench.network.streams[name].beats])
