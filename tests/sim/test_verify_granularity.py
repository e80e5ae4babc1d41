# SPDX-License-Identifier: Apache-2.0
"""Every scheme at every granularity: golden = HLS = RTL on four kinds of convolution."""

import shutil

import numpy as np
import pytest

from quant.graph import QGraph
from quant.nodes import Input, Node, Output
from quant.samples import sample_codes, sample_conv, sample_format
from quant.schedule import Folding, Schedule
from quant.weights import Granularity
from sim.verify import verify_whole
from sim.verify.hls_network import verify_hls_network

SCHEMES = {"affine": 4, "symmetric": 4, "pwlq": 5}  # stored bits
FRAMES = 3
# Arguments of sample_conv after the filters, folding: channels in four, two, one and eight folds.
LAYERS = {
    "dense": ((3, 1, 1), {}, Folding(4, 2)),
    "depthwise": ((3, 1, 1, 8), {}, Folding(4, 1)),
    "point": ((1, 1, 0), {"table": True}, Folding(2, 4)),
    "strided": ((3, 2, 1), {}, Folding(2, 8)),
}


def network(granularity: Granularity) -> tuple[QGraph, Schedule]:
    """Return one branch of four layers per scheme, all from the same input."""
    plain = sample_format(8, 8, zero=128)
    nodes: list[Node] = [Input("image", (8, 5, 6), sample_format(8, 8, zero=77))]
    folding = {"image": Folding(4, 4)}
    ends: list[Node] = []
    for scheme, bits in SCHEMES.items():
        source = "image"
        for kind, (sizes, options, folded) in LAYERS.items():
            name = f"{scheme} {kind}"
            node, _ = sample_conv(
                len(nodes),
                8,
                8,
                *sizes,
                weight_bits=bits,
                granularity=granularity,
                scheme=scheme,
                source=nodes[0].output if source == "image" else plain,
                output=plain,
                names=(name, source),
                **options,
            )
            nodes.append(node)
            folding[name], source = folded, name
        ends.append(Output(f"out {scheme}", source))
    graph = QGraph(f"{granularity}", (*nodes, *ends))
    return graph, Schedule(graph.digest, 200_000_000, folding)


def frames_of(graph: QGraph) -> np.ndarray:
    """Return random frames, the second of smallest and largest codes only."""
    codes = sample_codes(5, (FRAMES, *graph.input.shape), 8)
    codes[1] = np.where(codes[1] < 128, 0, 255)
    return codes


@pytest.mark.rtl
@pytest.mark.parametrize("granularity", Granularity)
def test_rtl_is_equal_and_on_time(granularity, tmp_path):
    """Without pauses every cycle as planned; with pauses and back-pressure the same codes."""
    graph, schedule = network(granularity)
    verdict = verify_whole(
        graph, schedule, frames_of(graph), tmp_path, seed=2, replay=lambda n, k: f"{n} {k}"
    )
    assert [run.failure for run in verdict.runs] == [None, None]
    assert len(verdict.nodes) == 12
    for node in verdict.nodes:
        assert (node.mismatches, node.failure) == (0, None), node.name
        assert node.values == 2 * FRAMES * np.prod(graph.shapes[node.name])
        assert node.counted_interval == node.planned_interval
        assert node.distinct > 10
    assert verdict.counted_interval == verdict.planned.interval_cycles
    assert verdict.counted_latency == verdict.planned.latency_cycles


@pytest.mark.hls
@pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not on PATH")
@pytest.mark.parametrize("granularity", Granularity)
def test_hls_is_equal(granularity, tmp_path):
    pytest.importorskip("hls4ml")
    graph, schedule = network(granularity)
    verdicts = verify_hls_network(
        graph,
        schedule,
        frames_of(graph),
        tmp_path,
        replay=lambda e, n: f"{e} {n}",
        engines=("hls-plain",),
    )
    assert len(verdicts) == 12
    for verdict in verdicts:
        assert (verdict.mismatches, verdict.failure) == (0, None), verdict.name
        assert verdict.values == FRAMES * np.prod(graph.shapes[verdict.name])


@pytest.mark.parametrize("granularity", Granularity)
def test_the_layers_have_what_the_granularity_brings(granularity):
    """Multipliers above 1 and several tables inside a filter, or the tests above prove little."""
    graph, _ = network(granularity)
    for scheme in SCHEMES:
        weights = graph.node(f"{scheme} dense").weights
        assert (weights.multiplier_bits > 1) == (granularity not in ("layer", "filter"))
        several = granularity != "layer" and scheme != "symmetric"
        assert (len(np.unique(weights.selectors)) > 1) == several
