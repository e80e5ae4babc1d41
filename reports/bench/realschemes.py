# SPDX-License-Identifier: Apache-2.0
"""``python -m reports.bench.realschemes --granularity G --json FILE``: real layers, every scheme.

Four convolutions of real detectors (3x3, 3x3 with stride 2, 1x1, depthwise) are rounded in every
scheme at every granularity, and run in the golden model, as HLS C++ and as RTL. All twelve of one
granularity stand in one network behind one input. Its frames are random ones, and one per
convolution that drives accumulators to the ends of their proven interval.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from quant.floatgraph import FloatConv
from quant.graph import QGraph
from quant.nodes import Conv, Input, Node, Output, Split
from quant.ptq.importer import import_model
from quant.ptq.schemes.setting import Setting, quantize_layer
from quant.ptq.weightquant import Rounding
from quant.samples import sample_codes, sample_conv, sample_format
from quant.schedule import Folding, Schedule
from quant.zoo.resolve import load_model
from reports.bench.builds import YOLOV5N, YOLOX_NANO
from reports.bench.granularity import SCHEMES
from reports.bench.schemes import GRANULARITIES
from sim.golden import run_conv
from sim.verify import Verdict, verify_whole
from sim.verify.hls_network import ENGINES, verify_hls_network

LAYERS = {
    "3x3": (YOLOV5N, "model.2.m.0.cv2.conv"),
    "3x3 stride 2": (YOLOV5N, "model.1.conv"),
    "1x1": (YOLOV5N, "model.2.cv3.conv"),
    "depthwise": (YOLOX_NANO, None),
}
"""Model and layer of each kind; the smallest depthwise one where no name is given."""
PICTURE = 9, 13
# Corners of windows that no other one touches, at strides 1 and 2 alike.
CORNERS = tuple((top, left) for top in (1, 5) for left in (1, 5, 9))
RANDOM_FRAMES = 2
CODES = 8
TOP = (1 << CODES) - 1
ZERO = 77

Codes = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Network:
    """All schemes of one granularity behind one input.

    Attributes:
        graph: The integer graph.
        schedule: Its folding.
        layers: Scheme and kind of each convolution, by name.
    """

    graph: QGraph
    schedule: Schedule
    layers: dict[str, tuple[str, str]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Verify every scheme at one granularity and write a row per scheme."""
    parser = argparse.ArgumentParser(description="Real layers in every scheme.")
    parser.add_argument("--granularity", choices=GRANULARITIES, required=True)
    parser.add_argument("--json", type=Path, required=True)
    given = parser.parse_args(arguments)
    rows = granularity_rows(given.granularity, float_layers())
    given.json.write_text(json.dumps({"pairs": rows}, indent=1) + "\n", encoding="utf-8")
    return 0


def float_layers() -> dict[str, FloatConv]:
    """Return the real convolution of each kind."""
    models = {model for model, _ in LAYERS.values()}
    graphs = {m: import_model(load_model(m), in_float=True).graph for m in models}
    found = {}
    for kind, (model, name) in LAYERS.items():
        convs = [op for op in graphs[model].ops if isinstance(op, FloatConv)]
        if name is None:
            convs = [c for c in convs if c.groups == len(c.weight) > 1 and c.stride == (1, 1)]
            found[kind] = min(convs, key=lambda c: (c.weight.shape[2:] != (3, 3), c.weight.size))
        else:
            found[kind] = next(c for c in convs if c.name == name)
    return found


def network_of(granularity: str, floats: dict[str, FloatConv]) -> Network:
    """Return the network of one granularity, every layer in every scheme.

    Args:
        granularity: One of the five, or ``mixture``.
        floats: The layers by kind.
    """
    channels = {kind: op.groups * op.weight.shape[1] for kind, op in floats.items()}
    widest = max(channels.values())
    image = Input("image", (widest, *PICTURE), sample_format(widest, CODES, zero=ZERO))
    nodes: list[Node] = [image]
    ends: list[Node] = []
    folding = {"image": Folding(4, 4)}
    layers: dict[str, tuple[str, str]] = {}
    for count in sorted(set(channels.values())):
        if count < image.shape[0]:
            nodes.append(Split(f"first {count}", "image", 0, count))
            folding[f"first {count}"] = Folding(4, 4)
    for scheme, bits in SCHEMES.items():
        for kind, op in floats.items():
            name, count = f"{scheme} {kind}", channels[kind]
            source = "image" if count == image.shape[0] else f"first {count}"
            setting = Setting(Rounding(scheme, bits), granularity)
            node, _ = sample_conv(
                len(nodes),
                count,
                len(op.weight),
                op.weight.shape[2:],
                op.stride[0],
                op.padding,
                op.groups,
                table=kind == "1x1",
                source=image.output.with_channels(count),
                weights=quantize_layer(op.weight, setting).weights,
                names=(name, source),
            )
            nodes.append(node)
            ends.append(Output(f"out {name}", name))
            folding[name] = Folding(4, 1 if op.groups > 1 else 4)
            layers[name] = (scheme, kind)
    graph = QGraph(f"real layers {granularity}", (*nodes, *ends))
    return Network(graph, Schedule(graph.digest, 200_000_000, folding), layers)


def extreme_frame(node: Conv, shape: tuple[int, int, int]) -> tuple[Codes, int]:
    """Return a frame that drives accumulators to the ends of their interval.

    Args:
        node: The convolution; its input codes are plain.
        shape: (C, h, w) of the frame, with at least the channels that the node reads.

    Returns:
        uint8 [C, h, w], and the number of accumulators in it that are at an end.
    """
    frame = np.full(shape, ZERO, np.uint8)
    integers = node.weights.integers().astype(np.int64)
    filters, inner, kh, kw = integers.shape
    for number, (top, left) in enumerate(CORNERS):
        f = (number // 2) * (filters - 1) // (len(CORNERS) // 2 - 1)
        first = (f // (filters // node.groups)) * inner
        positive = integers[f] > 0 if number % 2 else integers[f] < 0
        frame[first : first + inner, top : top + kh, left : left + kw] = np.where(positive, TOP, 0)
    sums = integers.reshape(filters, -1)
    low = node.bias + TOP * np.minimum(sums, 0).sum(axis=1)
    high = node.bias + TOP * np.maximum(sums, 0).sum(axis=1)
    read = frame[None, : inner * node.groups]
    source = sample_format(inner * node.groups, CODES, zero=ZERO)
    accumulators = run_conv(node, source, read)[1].astype(np.int64)[0]
    at_end = (accumulators == low[:, None, None]) | (accumulators == high[:, None, None])
    return frame, int(at_end.sum())


def granularity_rows(granularity: str, floats: dict[str, FloatConv]) -> list[dict[str, Any]]:
    """Return one row per scheme, after running all engines."""
    network = network_of(granularity, floats)
    graph = network.graph
    convs = [n for n in graph.nodes if isinstance(n, Conv)]
    made = {n.name: extreme_frame(n, graph.input.shape) for n in convs}
    codes = sample_codes(5, (RANDOM_FRAMES, *graph.input.shape), CODES).astype(np.uint8)
    frames = np.concatenate([codes, np.stack([frame for frame, _ in made.values()])])
    with tempfile.TemporaryDirectory(prefix="nibbleflow-schemes-") as folder:
        rtl = verify_whole(
            graph, network.schedule, frames, Path(folder), seed=3, replay=lambda n, k: f"{n} {k}"
        )
        hls = verify_hls_network(
            graph, network.schedule, frames, Path(folder), replay=lambda e, n: f"{e} {n}"
        )
    rows = []
    for scheme, bits in SCHEMES.items():
        names = [n for n, (own, _) in network.layers.items() if own == scheme]
        used = {str(n.weights.granularity) for n in convs if n.name in names}
        own = [v for v in rtl.nodes if v.name in names]
        rows.append(
            {
                "scheme": scheme,
                "stored_bits": bits,
                "granularity": granularity,
                "granularities_used": ", ".join(sorted(used)),
                "layers": len(names),
                "frames": len(frames),
                "accumulators_at_an_end": sum(made[n][1] for n in names),
                **counted("rtl", own),
                "rtl_intervals_as_planned": sum(
                    v.counted_interval == v.planned_interval for v in own
                ),
                **{
                    key: figure
                    for engine in ENGINES
                    for key, figure in counted(
                        engine.replace("-", "_"),
                        [v for v in hls if v.name in names and v.engine == engine],
                    ).items()
                },
            }
        )
    return rows


def counted(engine: str, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Return how many values an engine gave and how many were wrong."""
    failures = [v.failure for v in verdicts if v.failure is not None]
    return {
        f"{engine}_values": sum(v.values for v in verdicts),
        f"{engine}_mismatches": sum(v.mismatches for v in verdicts),
        f"{engine}_failure": failures[0] if failures else None,
    }


if __name__ == "__main__":
    sys.exit(main())
