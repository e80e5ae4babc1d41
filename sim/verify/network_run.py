# SPDX-License-Identifier: Apache-2.0
"""Whole frames through the RTL of a whole network, every node's stream recorded."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hw.cell import Stream, WeightStream
from hw.conv import rtl_sources
from hw.emit_network import emit_rtl
from hw.network import Edge, Network
from hw.rtl_project import RtlProject
from quant.graph import QGraph
from quant.schedule import Schedule
from sim.rtl import ALWAYS, NEVER, AxisRun, Bench, Pattern, Ports, Probe, build_bench
from sim.stream import BeatArray, beat_bytes, pack_beats

Codes = npt.NDArray[np.integer]

# With more cells than this the model is compiled in several files on both cores.
LARGE_CELLS = 8
JOBS = 2
LOAD_BYTES = 4


@dataclass(frozen=True, eq=False)
class NetworkBench:
    """A compiled network with a probe on every node.

    Attributes:
        project: Network and emitted texts.
        bench: The simulation.
        build_seconds: Wall time of emitting and compiling, near 0 when it was in the cache.
    """

    project: RtlProject
    bench: Bench
    build_seconds: float

    @property
    def network(self) -> Network:
        """Cells and edges."""
        return self.project.network

    @property
    def probed(self) -> tuple[str, ...]:
        """Names of the recorded nodes, in topological order: the bench's first probes."""
        return tuple(self.network.cells)

    def run(
        self,
        folder: Path,
        frames: Sequence[Codes],
        *,
        idle: Pattern = ALWAYS,
        stall: Pattern = ALWAYS,
        seed: int = 1,
        watchdog_cycles: int,
        waves: tuple[int, int] | None = None,
    ) -> AxisRun:
        """Simulate frames of input codes from reset to the last output beat, or a stall.

        Args:
            folder: Where to run.
            frames: Codes [C, H, W] per frame; no reset between them.
            idle: Pauses of the source.
            stall: Back-pressure of the sinks.
            seed: Of the pauses and of unset registers.
            watchdog_cycles: Cycles without a beat at any port after which it counts as stalled.
            waves: First and last cycle of a stretch to record as ``dump.vcd``; the run ends there.
        """
        stream = self.network.input
        beats = [pack_beats(codes, stream.bits, stream.lanes) for codes in frames]
        first, last = (None, NEVER) if waves is None else waves
        return self.bench.run(
            folder,
            [beats],
            [out.beats for out in self.network.outputs.values()],
            loads=_loads(self.project),
            repeats=[(words.words, words.repeats) for words in _streamed(self.network)],
            idle=idle,
            stall=stall,
            seed=seed,
            files={n: t for n, t in self.project.files.items() if n.endswith(".mem")},
            watchdog_cycles=watchdog_cycles,
            waves_from=first,
            max_cycles=last,
        )


def build_network_bench(
    graph: QGraph,
    schedule: Schedule,
    folder: Path,
    cache: Path,
    *,
    ultra_initial_contents: bool = False,
    waves: bool = False,
    optimise: bool = False,
    sources: Sequence[Path] | None = None,
) -> NetworkBench:
    """Emit a network and compile it with a probe on every node.

    Args:
        graph: The integer graph.
        schedule: Folding, FIFO depths, memory styles.
        folder: Where the emitted sources are written.
        cache: Folder of compiled benches.
        ultra_initial_contents: Whether ultra RAM needs no loading at start.
        waves: Be able to record waveforms.
        optimise: Compile for long runs.
        sources: The hand-written modules; those of ``hw`` when absent.
    """
    started = time.perf_counter()
    project = emit_rtl(graph, schedule, ultra_initial_contents=ultra_initial_contents)
    network = project.network
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in project.files.items():
        if name.endswith(".sv"):
            (folder / name).write_text(text, encoding="utf-8")
            written.append(folder / name)
    outputs = tuple(network.outputs.values())
    loads = ("s_axis_load",) if project.load_words.size else ()
    bench = build_bench(
        [*(rtl_sources() if sources is None else sources), *written],
        project.top,
        (
            _bytes(network.input),
            *([LOAD_BYTES] * len(loads)),
            *(words.words.shape[1] for words in _streamed(network)),
        ),
        tuple(_bytes(out) for out in outputs),
        cache,
        waves=waves,
        optimise=optimise,
        large=len(network.cells) > LARGE_CELLS,
        ports=Ports(
            ("s_axis_0",),
            tuple(f"m_axis_{k}" for k in range(len(outputs))),
            loads=loads,
            repeats=tuple(network.weight_ports.values()),
        ),
        probes=_probes(project),
        jobs=min(JOBS, os.cpu_count() or 1),
    )
    return NetworkBench(project, bench, time.perf_counter() - started)


def _bytes(stream: Stream) -> int:
    return beat_bytes(stream.bits, stream.lanes)


def _streamed(network: Network) -> list[WeightStream]:
    """Return the words of every stream of weights, in the order of its ports."""
    cells = (network.cells[name] for name in network.weight_ports)
    return [cell.streamed for cell in cells if cell.streamed is not None]


def _loads(project: RtlProject) -> list[BeatArray]:
    """Return the beats of the load stream, if there is one."""
    words = project.load_words
    return [words.astype("<u4").view(np.uint8).reshape(-1, LOAD_BYTES)] if words.size else []


def _probes(project: RtlProject) -> tuple[Probe, ...]:
    """Return a recording probe per node, a counting one at the input and at every port."""
    recorded = [
        _probe(name, project.taps[name].signal, project.taps[name].stream.beat_bits)
        for name in project.network.cells
    ]
    name = project.network.input_node
    entry = _probe(name, project.taps[name].signal, project.network.input.beat_bits)
    arrivals = [
        Probe(arrival_name(edge), nets.data, nets.valid, nets.ready, bits=1, record=False)
        for edge, nets in zip(project.network.edges, project.arrivals, strict=True)
    ]
    return (*recorded, replace(entry, record=False), *arrivals)


def _probe(name: str, signal: str, bits: int) -> Probe:
    return Probe(name, f"{signal}_data", f"{signal}_valid", f"{signal}_ready", bits)


def arrival_name(edge: Edge) -> str:
    """Return the name of the probe at the consumer's end of an edge."""
    return f"{edge.producer} -> {edge.consumer} [{edge.port}]"
