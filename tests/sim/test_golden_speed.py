# SPDX-License-Identifier: Apache-2.0
"""Throughput of the golden model on a graph of YOLOv5n's shape.

``python tests/sim/test_golden_speed.py`` measures the 640x640 frame and prints GMAC/s.
"""

import time

import numpy as np

from quant.graph import QGraph, macs_of
from quant.nodes import Add, Concat, Input, MaxPool, Node, Output, Upsample
from quant.samples import sample_conv, sample_format
from sim.golden import GoldenModel

FORMAT = sample_format(1, 8, zero=30)
# (repeats, filters) of the backbone's stages after the stem; the last one ends in the SPPF.
STAGES = ((1, 32), (2, 64), (3, 128), (1, 256))


class Yolov5n:
    """Builds the network's nodes with random weights: 60 convolutions, SiLU-like tables."""

    def __init__(self, size: int):
        image = Input("image", (3, size, size), sample_format(3, 8))
        self.nodes: list[Node] = [image]
        self.channels = {"image": 3}

    def put(self, node, channels):
        self.nodes.append(node)
        self.channels[node.name] = channels
        return node.name

    def conv(self, source, filters, kernel=1, stride=1, *, pad=None, table=True):
        name = f"conv{len(self.nodes)}"
        channels = self.channels[source]
        node, _ = sample_conv(
            len(self.nodes),
            channels,
            filters,
            kernel,
            stride,
            kernel // 2 if pad is None else pad,
            table=table,
            source=sample_format(3, 8) if source == "image" else FORMAT.with_channels(channels),
            output=FORMAT.with_channels(filters),
            names=(name, source),
        )
        return self.put(node, filters)

    def c3(self, source, filters, repeats, *, shortcut=True):
        half = filters // 2
        left, right = self.conv(source, half), self.conv(source, half)
        for _ in range(repeats):
            inner = self.conv(self.conv(left, half), half, 3)
            if shortcut:
                total = Add(
                    f"add{len(self.nodes)}", (left, inner), (65536, 65536), 16, 0, 255,
                    FORMAT.with_channels(half),
                )  # fmt: skip
                inner = self.put(total, half)
            left = inner
        return self.conv(self.cat(left, right), filters)

    def cat(self, *sources):
        name = f"cat{len(self.nodes)}"
        return self.put(Concat(name, sources), sum(self.channels[s] for s in sources))

    def up(self, source):
        return self.put(Upsample(f"up{len(self.nodes)}", source, 2), self.channels[source])

    def sppf(self, source):
        pooled = [self.conv(source, 128)]
        for _ in range(3):
            name = f"pool{len(self.nodes)}"
            self.put(MaxPool(name, pooled[-1], (5, 5), (1, 1), (2, 2, 2, 2)), 128)
            pooled.append(name)
        return self.conv(self.cat(*pooled), 256)

    def graph(self) -> QGraph:
        last = self.conv("image", 16, 6, 2, pad=2)
        stages = []
        for repeats, filters in STAGES:
            last = self.c3(self.conv(last, filters, 3, 2), filters, repeats)
            stages.append(last)
        top = self.conv(self.sppf(last), 128)
        middle = self.c3(self.cat(self.up(top), stages[2]), 128, 1, shortcut=False)
        side = self.conv(middle, 64)
        p3 = self.c3(self.cat(self.up(side), stages[1]), 64, 1, shortcut=False)
        p4 = self.c3(self.cat(self.conv(p3, 64, 3, 2), side), 128, 1, shortcut=False)
        p5 = self.c3(self.cat(self.conv(p4, 128, 3, 2), top), 256, 1, shortcut=False)
        for index, source in enumerate((p3, p4, p5)):
            head = self.conv(source, 255, table=False)
            self.nodes.append(Output(f"out{index}", head))
        return QGraph("yolov5n-shaped", tuple(self.nodes))


def measure(size: int, rounds: int) -> tuple[float, int]:
    """Return the best seconds per frame and the multiply-accumulates of a frame."""
    graph = Yolov5n(size).graph()
    model = GoldenModel(graph)
    frame = np.random.default_rng(0).integers(0, 256, (1, 3, size, size), dtype=np.uint8)
    best = float("inf")
    for _ in range(rounds):
        begin = time.perf_counter()
        model.run(frame)
        best = min(best, time.perf_counter() - begin)
    return best, sum(macs_of(graph, n.name) for n in graph.convs)


def test_golden_is_fast_on_a_yolov5n_shaped_graph():
    # The requirement is 5 GMAC/s on an idle core; machines that run tests are busy.
    seconds, macs = measure(320, 3)
    assert macs == 558_515_200  # a quarter of YOLOv5n's 2.23 GMAC at 640x640
    assert macs / seconds > 1e9


if __name__ == "__main__":
    seconds, macs = measure(640, 8)
    print(f"{seconds:.4f} s, {macs / 1e9:.3f} GMAC, {macs / seconds / 1e9:.1f} GMAC/s")
