# SPDX-License-Identifier: Apache-2.0
"""The processes and streams of an HLS network as a TokenGraph: the RTL planner's engines judge it.

``hls.streamdepths`` works out depths from times; here the same walks run through the engines of
``hw.tokens``, which know nothing of that: one frame without time (it passes, or who waits for
whom), or several with it (their interval). Stricter than C++: what a step reads and writes moves at
once or not at all, as in a pipeline that stalls as a whole.
"""

from collections.abc import Iterator

import numpy as np

from hls import HlsNetwork, Walk, kernel_walks
from hw.process import Port, Process
from hw.tokens import EdgeKey, Reader, Sink, Source, TokenEdge, TokenGraph, Unit
from hw.tokens.steps import Behaviour


def hls_tokens(network: HlsNetwork, *, timed: bool = False) -> TokenGraph:
    """Return the token graph of a network; an edge is (stream, layer that reads it).

    A process keeps the beat that it writes until there is a place, so a stream of n places is a
    FIFO of n - 1; with time it keeps two, for the engine lets it write every cycle only then. A
    fork hands a beat to each reader on its own, at most one ahead of the others: with a place less
    that is no more than a fork to all at once can do.

    Args:
        network: The network.
        timed: Whether iterations without a read or a write count too; they take memory.
    """
    reading = {
        stream: (layer.name, port)
        for layer in network.layers
        for port, stream in enumerate(layer.inputs)
    }
    chains = dict(_chains(network, timed))
    first: dict[str, int] = {}
    count = 0
    for name, (_, chain, _) in chains.items():
        first[name] = count
        count += len(chain)
    planned = {
        stream: (depth, layer.kernel.outputs[0])
        for layer in network.layers
        for stream, depth in zip(layer.outputs, layer.depths, strict=True)
    }
    units: list[Unit] = []
    edges: list[TokenEdge] = []
    for name, (node, chain, written) in chains.items():
        for behaviour in chain[:-1]:
            units.append(Unit(node, name, behaviour, (Reader(len(units) + 1, 0, None),)))
        readers = []
        for stream in written:
            reader, port = reading[stream]
            edge = None
            if stream in planned:
                edge, beat = len(edges), planned[stream][1]
                key = (stream, reader)
                edges.append(TokenEdge(key, port, beat.beats, beat.lanes * beat.bits, _latency))
            readers.append(Reader(first[reader], port, edge))
        units.append(Unit(node, name, chain[-1], tuple(readers)))
    own = _own_places(timed)
    depths: dict[EdgeKey, int] = {edge.key: planned[edge.key[0]][0] - own for edge in edges}
    ends = {name: (first[name], first[name] + len(x[1]) - 1) for name, x in chains.items()}
    return TokenGraph(tuple(units), tuple(edges), ends, depths)


def _chains(
    network: HlsNetwork, timed: bool
) -> Iterator[tuple[str, tuple[str, tuple[Behaviour, ...], tuple[str, ...]]]]:
    """Yield per layer its name, node, units in series, and the streams that the last one writes."""
    name = network.input_name
    yield name, (network.graph.input.name, (Source(network.input.beats),), (name,))
    ports = {layer.name for layer in network.outputs.values()}
    for layer in network.layers:
        if layer.name in ports:
            yield layer.name, (layer.node, (Sink(layer.kernel.inputs[0].beats),), ())
            continue
        walks = kernel_walks(layer.kernel)
        inner = layer.kernel.constants.get("narrowed_depth", 1)
        places = [inner] * (len(walks) - 1) + [_own_places(timed)]
        chain = tuple(_process(w, n, timed) for w, n in zip(walks, places, strict=True))
        yield layer.name, (layer.node, chain, layer.outputs)


def _own_places(timed: bool) -> int:
    """Return how many of a stream's places stand in the process that writes it."""
    return 2 if timed else 1


def _process(walk: Walk, places: int, timed: bool) -> Process:
    reads, writes = walk.reads, walk.writes
    if timed:
        reads = np.zeros((len(walk.reads), walk.iterations), bool)
        writes = np.zeros(walk.iterations, bool)
        reads[:, walk.at] = walk.reads
        writes[walk.at] = walk.writes
    ports = tuple(Port(int(r.sum()), 0, np.cumsum(r, dtype=np.int64)) for r in reads)
    return Process(1, ports, writes, latency=1, queue=places)


def _latency(_depth: int) -> int:
    return 1
