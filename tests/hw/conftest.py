# SPDX-License-Identifier: Apache-2.0
"""What the tests of single cells share: a bench around a cell, and the cycles that it must count.

``times_of`` is a literal reading of the recurrences in ``hw.process``, event by event, written
apart from the engine that the product uses; it is the oracle for small shapes.
"""

import sys

import numpy as np
import pytest

from hw.axis_top import axis_top
from hw.conv import rtl_sources
from hw.timing import Times, simulate
from hw.tokens.network import cell_graph
from sim.rtl import ALWAYS, Pattern, build_bench
from sim.stream import beat_bytes, pack_beats, unpack_beats

NEVER = 1 << 60  # cycles


class Chain:
    """Event times of processes in series: source always valid, sink always or never ready."""

    def __init__(self, stages, *, blocked=False):
        self.stages = stages
        self.blocked = blocked
        self.emitters = [np.flatnonzero(stage.emits).tolist() for stage in stages]
        self.before = [np.cumsum(stage.emits) - stage.emits for stage in stages]
        self.known = {}

    def memo(self, key, compute):
        if key not in self.known:
            self.known[key] = None
            self.known[key] = compute()
        assert self.known[key] is not None, f"deadlock: {key} waits for itself"
        return self.known[key]

    def start(self, i, s):
        """Return the cycle in which step ``s`` (through all frames) of stage ``i`` starts."""
        return self.memo(("start", i, s), lambda: self.find_start(i, s))

    def find_start(self, i, s):
        stage = self.stages[i]
        frame, step = divmod(s, stage.steps)
        bounds = [0]
        if s:
            bounds.append(self.start(i, s - 1) + stage.cycles)
        for k, port in enumerate(stage.ports):
            n = frame * port.beats + int(port.needed[step])
            if port.capacity and n:
                bounds.append(self.taken(i, k, n - 1) + 1)
            if not port.capacity and self.takes(port, step):
                bounds.append(self.offered_to(i, k, n - 1))
        if stage.emits[step]:
            e = frame * stage.out_beats + int(self.before[i][step])
            if e >= stage.queue:
                bounds.append(self.given(i, e - stage.queue) + 1)
        return max(bounds)

    def takes(self, port, step):
        before = int(port.needed[step - 1]) if step else 0
        return int(port.needed[step]) > before

    def offered_to(self, i, k, n):
        """Return the first cycle in which beat ``n`` of port ``k`` is offered to stage ``i``."""
        if i:
            return self.offered(i - 1, n)
        return self.taken(i, k, n - 1) + 1 if n else 0

    def taken(self, i, k, n):
        """Return the cycle in which beat ``n`` of port ``k`` moves into stage ``i``."""
        return self.memo(("taken", i, k, n), lambda: self.find_taken(i, k, n))

    def find_taken(self, i, k, n):
        stage = self.stages[i]
        port = stage.ports[k]
        if not port.capacity:
            frame, beat = divmod(n, port.beats)
            step = int(np.argmax(port.needed > beat))
            return self.start(i, frame * stage.steps + step)
        bounds = [self.offered_to(i, k, n)]
        if n:
            bounds.append(self.taken(i, k, n - 1) + 1)
        if n >= port.capacity:
            # The first step after which more than n - capacity beats have been freed.
            frame, beat = divmod(n - port.capacity, port.beats)
            step = int(np.argmax(port.freed > beat))
            bounds.append(self.start(i, frame * stage.steps + step) + stage.cycles)
        return max(bounds)

    def offered(self, i, e):
        """Return the first cycle in which stage ``i`` offers its beat ``e``."""
        return self.memo(("offered", i, e), lambda: self.find_offered(i, e))

    def find_offered(self, i, e):
        stage = self.stages[i]
        frame, beat = divmod(e, stage.out_beats)
        step = frame * stage.steps + self.emitters[i][beat]
        offer = self.start(i, step) + stage.cycles - 1 + stage.latency
        return max(offer, self.given(i, e - 1) + 1) if e else offer

    def given(self, i, e):
        """Return the cycle in which beat ``e`` leaves stage ``i``."""
        if i + 1 < len(self.stages):
            return self.taken(i + 1, 0, e)
        return NEVER if self.blocked else self.offered(i, e)


def times_of(stages, frames):
    """Return the cycles of all beats taken at the first port, and of all given by the last."""
    chain = Chain(stages)
    sys.setrecursionlimit(1_000_000)  # one event waits for the one before it, and so on
    last = len(stages) - 1
    given = [chain.given(last, e) for e in range(frames * stages[last].out_beats)]
    taken = [chain.taken(0, 0, n) for n in range(frames * stages[0].ports[0].beats)]
    return np.array(taken), np.array(given)


def held_of(stages, frames):
    """Return the beats that every port of the first stage takes while no result leaves."""
    chain = Chain(stages, blocked=True)
    sys.setrecursionlimit(1_000_000)
    return [
        sum(chain.taken(0, k, n) < NEVER for n in range(frames * port.beats))
        for k, port in enumerate(stages[0].ports)
    ]


class CellDevice:
    """One cell in a bench of its own."""

    def __init__(self, cell, cache, folder):
        self.cell, self.folder = cell, folder
        top = folder / "dut.sv"
        top.write_text(axis_top(cell, "dut"))
        self.bench = build_bench(
            [*rtl_sources(), top],
            "dut",
            [beat_bytes(s.bits, s.lanes) for s in cell.inputs],
            beat_bytes(cell.output.bits, cell.output.lanes),
            cache,
        )

    def run(self, *inputs, **options):
        """Return the run and the output codes, int64 [N, C, H, W].

        Args:
            inputs: Codes [N, C, H, W] per input stream.
            options: Of ``Bench.run``.
        """
        cell = self.cell
        run = self.simulate(inputs, **options)
        assert run.stalled is None
        assert run.violation is None
        out = cell.output
        return run, np.stack([unpack_beats(b, out.shape, out.bits, out.lanes) for b in run.frames])

    def simulate(self, inputs, **options):
        """Return the run alone."""
        cell = self.cell
        beats = [
            [pack_beats(frame, stream.bits, stream.lanes) for frame in frames]
            for stream, frames in zip(cell.inputs, inputs, strict=True)
        ]
        return self.bench.run(
            self.folder / "run", beats, [cell.output.beats], files=dict(cell.files), **options
        )

    def check_cycles(self, run, frames):
        """Compare every output beat of a run without stalls with the process model.

        The engine that plans networks must come to the same ends of frames.
        """
        taken, given = times_of(self.cell.stages, frames)
        cycles = np.concatenate(run.output_cycles[0]) - run.first_input_cycle
        assert np.array_equal(cycles, given - taken[0])
        times = simulate(cell_graph("dut", self.cell), frames)
        assert isinstance(times, Times), str(times)
        ends = np.array(run.last_output_cycles) - run.first_input_cycle
        assert np.array_equal(ends, times.frame_ends)

    def check_places(self, *inputs):
        """Compare the beats that the cell takes while no result leaves with the process model."""
        streams = self.cell.inputs
        frames = len(inputs[0])
        while True:
            held = held_of(self.cell.stages, frames)
            if all(n < frames * s.beats for n, s in zip(held, streams, strict=True)):
                break
            frames *= 2
        again = [np.resize(codes, (frames, *codes.shape[1:])) for codes in inputs]
        run = self.simulate(again, stall=Pattern(1.0, 2**-16), watchdog_cycles=200)
        assert run.stalled is not None
        assert list(run.input_beats) == held

    def check(self, expected, *inputs):
        """Compare codes at full speed and under three patterns, and the cycles at full speed.

        Args:
            expected: Codes [N, C, H, W].
            inputs: Codes [N, C, H, W] per input stream.
        """
        run, codes = self.run(*inputs)
        assert np.array_equal(codes, expected)
        self.check_cycles(run, len(expected))
        for seed, idle, stall in (
            (1, Pattern.random(0.4), ALWAYS),
            (2, Pattern.random(0.2), Pattern.random(0.5)),
            (3, Pattern.bursts(9, 15), Pattern.bursts(4, 30)),
        ):
            _, codes = self.run(*inputs, idle=idle, stall=stall, seed=seed)
            assert np.array_equal(codes, expected), f"pattern {seed}"


@pytest.fixture(scope="session")
def builds(tmp_path_factory):
    """Return the folder of compiled benches."""
    return tmp_path_factory.mktemp("builds")


@pytest.fixture
def cell_device(builds, tmp_path):
    """Return the function that builds a bench around a cell."""
    return lambda cell: CellDevice(cell, builds, tmp_path)


@pytest.fixture(scope="session")
def process_times():
    """Return ``times_of(stages, frames)``."""
    return times_of
