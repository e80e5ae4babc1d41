# SPDX-License-Identifier: Apache-2.0
"""What a convolution is verified on: real sub-maps, two different frames, the same every time."""

import itertools

import numpy as np
import pytest

from quant.formats import TensorFormat
from quant.graph import QGraph
from quant.nodes import Input, Output
from quant.samples import sample_conv, sample_graph
from sim.golden import GoldenModel, run_conv
from sim.verify import Case, full_size_nodes, make_cases

KERNELS = [(1, 1), (3, 3), (6, 6), (3, 1), (1, 5)]


def conv_graph(*convs):
    """A graph of convolutions that all read the input, 24x28."""
    nodes, outputs = [], []
    for index, (node, _) in enumerate(convs):
        nodes.append(node)
        outputs.append(Output(f"y{index}", node.name))
    source = convs[0][1]
    return QGraph("convs", (Input("x", (4, 24, 28), source), *nodes, *outputs))


def many_kernels():
    source = TensorFormat.plain(8, 1 / 64, 9, 4)
    return conv_graph(
        *(
            sample_conv(i, 4, 5, kernel, padding=0, source=source, names=(f"conv{i}", "x"))
            for i, kernel in enumerate(KERNELS)
        )
    )


@pytest.fixture(scope="module")
def graph():
    return many_kernels()


@pytest.fixture(scope="module")
def codes():
    rng = np.random.default_rng(4)
    return rng.integers(0, 256, (2, 4, 24, 28), dtype=np.uint8)


def cases_of(graph, codes, full=(), seed=1):
    return make_cases(graph, graph.convs, codes, full=full, seed=seed)


def test_sub_maps_are_windows_of_real_activations(graph, codes):
    for case, kernel in zip(cases_of(graph, codes), KERNELS, strict=True):
        n, c, h, w = case.frames.shape
        assert (n, c) == (2, 4)
        assert h >= 2 * kernel[0] + 1
        assert w >= 2 * kernel[1] + 1
        assert h < 24
        assert w < 28
        assert case.label == f"{h}x{w} sub-map"
        assert case.in_shape == (c, h, w)
        found = [
            (y, x)
            for y in range(24 - h + 1)
            for x in range(28 - w + 1)
            if np.array_equal(codes[:, :, y : y + h, x : x + w], case.frames)
        ]
        assert len(found) == 1  # the same window of both images


def test_frames_differ(graph, codes):
    same = np.repeat(codes[:1], 3, axis=0)
    for images in (codes[:1], same, codes):
        for case in cases_of(graph, images, full=("conv1",)):
            assert len(case.frames) == max(2, len(images))
            for before, frame in itertools.pairwise(case.frames):
                assert not np.array_equal(before, frame)
    assert np.array_equal(same, np.repeat(codes[:1], 3, axis=0))  # the caller's stay


def test_frames_whose_window_is_the_same_differ(graph):
    """Two images that differ in one corner only: most windows are equal in both."""
    codes = np.tile(np.arange(28, dtype=np.uint8), (2, 4, 24, 1))
    codes[1, 0, 0, 0] = 200
    for case in cases_of(graph, codes):
        assert not np.array_equal(case.frames[0], case.frames[1])


def test_node_alone_sees_what_it_saw_among_all(graph, codes):
    """So that the replay command of a difference shows it again."""
    for case in cases_of(graph, codes):
        (alone,) = make_cases(graph, [case.node], codes, full=(), seed=1)
        assert np.array_equal(alone.frames, case.frames)


def test_answer_is_the_golden_model_on_the_window_as_its_own_frame(graph, codes):
    for case in cases_of(graph, codes):
        outputs, sums = run_conv(case.node, case.source, case.frames)
        assert np.array_equal(case.expected, outputs)
        assert np.array_equal(case.accumulators, sums)
        # The window again as the frame of a graph of one convolution.
        small = QGraph(
            "one",
            (Input("x", case.in_shape, case.source), case.node, Output("y", case.node.name)),
        )
        run = GoldenModel(small).run(case.frames, keep=[case.node.name])
        assert np.array_equal(run.tensors[case.node.name], case.expected)


def test_deterministic_and_seeded(graph, codes):
    first, again = cases_of(graph, codes), cases_of(graph, codes)
    other = cases_of(graph, codes, seed=2)
    assert all(np.array_equal(a.frames, b.frames) for a, b in zip(first, again, strict=True))
    assert any(not np.array_equal(a.frames, b.frames) for a, b in zip(first, other, strict=True))


def test_liveliest_of_several_places(graph):
    """A frame that is flat but for one corner is not sampled where it is flat, if it can be."""
    rng = np.random.default_rng(7)
    codes = np.full((2, 4, 24, 28), 9, np.uint8)
    codes[:, :, :12] = rng.integers(0, 256, (2, 4, 12, 28))
    for case in cases_of(graph, codes):
        assert len(np.unique(case.frames)) > 20


def test_whole_map_when_it_is_small(codes):
    node, source = sample_conv(1, 4, 6, 3)
    graph = QGraph("one", (Input("x", (4, 4, 5), source), node, Output("y", "conv")))
    (case,) = make_cases(graph, graph.convs, codes[:, :, :4, :5], full=(), seed=1)
    assert case.frames.shape == (2, 4, 4, 5)
    assert np.array_equal(case.frames, codes[:, :, :4, :5])


def test_full_size_besides(graph, codes):
    cases = cases_of(graph, codes, full=("conv1", "conv3"))
    assert [(c.node.name, c.label == "full size") for c in cases] == [
        ("conv0", False),
        ("conv1", False),
        ("conv1", True),
        ("conv2", False),
        ("conv3", False),
        ("conv3", True),
        ("conv4", False),
    ]
    whole = cases[2]
    assert np.array_equal(whole.frames, codes)


def test_which_nodes_run_at_full_size():
    graph = sample_graph(2)
    chosen = full_size_nodes(graph, graph.convs)
    assert len(chosen) == len(set(chosen)) == min(3, len(graph.convs))
    assert chosen[0] == graph.convs[0].name
    kernels = {graph.node(name).weights.shape[2:] for name in chosen}
    assert {(3, 3), (1, 1)} <= kernels
    assert full_size_nodes(graph, ()) == ()
    assert full_size_nodes(graph, graph.convs[1:2]) == (graph.convs[1].name,)


@pytest.mark.parametrize("table", [False, True])
def test_saturated_values_are_counted(table):
    node, source = sample_conv(3, 4, 6, 3, table=table)
    frames = np.random.default_rng(1).integers(0, 256, (2, 4, 8, 8), dtype=np.uint8)
    expected, sums = run_conv(node, source, frames)
    case = Case(node, source, "8x8 sub-map", frames, expected, sums)
    low, high = node.requant.low, node.requant.high
    if table:
        low, high = int(node.table.min()), int(node.table.max())
    count = sum(int(v) in (low, high) for v in expected.ravel())
    assert case.saturated == count > 0
