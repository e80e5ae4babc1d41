# SPDX-License-Identifier: Apache-2.0
"""Random networks, and their event times by a literal reading of the process docstring."""

import sys

import numpy as np
import pytest

from hw.beatwise import beatwise_process
from hw.process import Port, Process
from hw.tokens import Reader, Sink, Source, TokenEdge, TokenGraph, Unit


class CircularWaitError(Exception):
    pass


class NetworkOracle:
    Deadlock = CircularWaitError

    """Event times of a TokenGraph by the recurrences of ``hw.process``, event by event.

    A FIFO is the process that its cell has; an event that waits for itself is a deadlock.
    """

    def __init__(self, tokens, depths, pace_cycles=0):
        self.pace_cycles = pace_cycles
        self.behaviour = [unit.behaviour for unit in tokens.units]
        self.readers = [[(r.unit, r.port) for r in unit.readers] for unit in tokens.units]
        for branches, unit in zip(list(self.readers), tokens.units, strict=True):
            for k, reader in enumerate(unit.readers):
                edge = None if reader.edge is None else tokens.edges[reader.edge]
                depth = 0 if edge is None else depths.get(edge.key, 0)
                if depth:
                    latency = edge.latency(depth)
                    branches[k] = (len(self.behaviour), 0)
                    self.behaviour.append(beatwise_process(edge.beats, 1, latency, depth))
                    self.readers.append([(reader.unit, reader.port)])
        self.producer = {
            reader: u for u, branches in enumerate(self.readers) for reader in branches
        }
        self.known = {}

    def memo(self, *key):
        if key not in self.known:
            self.known[key] = None
            self.known[key] = getattr(self, key[0])(*key[1:])
        if self.known[key] is None:
            raise CircularWaitError(f"{key} waits for itself")
        return self.known[key]

    def start(self, u, s):
        process = self.behaviour[u]
        frame, step = divmod(s, process.steps)
        bounds = [0]
        if s:
            bounds.append(self.memo("start", u, s - 1) + process.cycles)
        for k, port in enumerate(process.ports):
            needed = [0, *port.needed.tolist()]
            n = frame * port.beats + needed[step + 1]
            if port.capacity and n:
                bounds.append(self.memo("taken", u, k, n - 1) + 1)
            if not port.capacity and needed[step + 1] > needed[step]:
                bounds.append(self.memo("offered_to", u, k, n - 1))
        if process.emits[step]:
            e = frame * process.out_beats + int(process.emits[:step].sum())
            if e >= process.queue:
                bounds.append(self.memo("given", u, e - process.queue) + 1)
        return max(bounds)

    def taken(self, u, k, n):
        if isinstance(self.behaviour[u], Sink):
            return self.memo("offered_to", u, k, n)
        process = self.behaviour[u]
        port = process.ports[k]
        if not port.capacity:
            frame, beat = divmod(n, port.beats)
            return self.memo("start", u, frame * process.steps + int(np.argmax(port.needed > beat)))
        bounds = [self.memo("offered_to", u, k, n)]
        if n:
            bounds.append(self.memo("taken", u, k, n - 1) + 1)
        if n >= port.capacity:
            frame, beat = divmod(n - port.capacity, port.beats)
            step = frame * process.steps + int(np.argmax(port.freed > beat))
            bounds.append(self.memo("start", u, step) + process.cycles)
        return max(bounds)

    def offered_to(self, u, k, n):
        """Return when the fork before port ``k`` offers beat ``n`` to it."""
        return self.memo("offered", self.producer[(u, k)], n)

    def offered(self, u, e):
        free = self.memo("given", u, e - 1) + 1 if e else 0
        behaviour = self.behaviour[u]
        if isinstance(behaviour, Source):
            return max(free, e * self.pace_cycles // behaviour.beats)
        frame, beat = divmod(e, behaviour.out_beats)
        step = frame * behaviour.steps + int(np.flatnonzero(behaviour.emits)[beat])
        return max(free, self.memo("start", u, step) + behaviour.cycles - 1 + behaviour.latency)

    def given(self, u, e):
        """Return when the last branch of the fork behind ``u`` takes beat ``e``."""
        return max(self.memo("taken", *reader, e) for reader in self.readers[u])


def random_process(rng, in_beats):
    """Return a process that reads streams of ``in_beats`` beats in random order and number."""
    direct = [bool(rng.integers(2)) for _ in in_beats]
    steps = max(
        int(rng.integers(1, 9)), *(b for b, d in zip(in_beats, direct, strict=True) if d), 1
    )
    ports = []
    for beats, is_direct in zip(in_beats, direct, strict=True):
        if is_direct:
            takes = np.zeros(steps, np.int64)
            takes[rng.choice(steps, beats, replace=False)] = 1
            ports.append(Port(beats, 0, np.cumsum(takes)))
            continue
        needed = np.sort(rng.integers(0, beats + 1, steps))
        freed = np.sort(rng.integers(0, beats + 1, steps))
        freed[-1] = beats
        least = int((needed - np.concatenate(([0], freed[:-1]))).max())
        ports.append(Port(beats, max(least, 1) + int(rng.integers(3)), needed, freed))
    emits = rng.random(steps) < 0.7
    emits[rng.integers(steps)] = True
    cycles, latency, queue = (int(rng.integers(1, high)) for high in (4, 5, 4))
    return Process(cycles, tuple(ports), emits, latency, queue)


def random_tokens(seed):
    """Return a random network: forks, joins, cells of several stages, outputs of any number."""
    rng = np.random.default_rng(seed)
    units = [["in", Source(int(rng.integers(1, 9)))]]
    readers, edges, last, ends = [[]], [], {"in": 0}, {"in": (0, 0)}

    def add(node, behaviour, sources):
        units.append([node, behaviour])
        readers.append([])
        for port, source in enumerate(sources):
            edges.append(
                TokenEdge((source, node), port, beats(source), 4, lambda depth: 1 + depth // 3)
            )
            readers[last[source]].append(Reader(len(units) - 1, port, len(edges) - 1))
        ends[node] = (len(units) - 1,) * 2
        last[node] = len(units) - 1

    def beats(node):
        behaviour = units[last[node]][1]
        return behaviour.beats if isinstance(behaviour, Source) else behaviour.out_beats

    for number in range(int(rng.integers(2, 7))):
        node = f"n{number}"
        count = int(rng.integers(1, 4))
        sources = [str(name) for name in rng.choice(list(last), min(count, len(last)), False)]
        add(node, random_process(rng, [beats(s) for s in sources]), sources)
        if rng.random() < 0.3:
            before = last[node]
            units.append([node, random_process(rng, [beats(node)])])
            readers.append([])
            readers[before].append(Reader(len(units) - 1, 0, None))
            ends[node] = (before, len(units) - 1)
            last[node] = len(units) - 1
    for number, node in enumerate([n for n in last if not readers[last[n]]]):
        add(f"out{number}", Sink(beats(node)), [node])
    whole = [
        Unit(node, f"{node}.{k}", behaviour, tuple(found))
        for k, ((node, behaviour), found) in enumerate(zip(units, readers, strict=True))
    ]
    return TokenGraph(tuple(whole), tuple(edges), ends, {})


@pytest.fixture(scope="session")
def oracle():
    """Return the class of literal event times."""
    sys.setrecursionlimit(100_000)  # one event waits for the one before it, and so on
    return NetworkOracle


@pytest.fixture(scope="session")
def random_network():
    """Return the function from a seed to a random network."""
    return random_tokens
