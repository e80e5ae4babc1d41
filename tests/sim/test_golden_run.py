# SPDX-License-Identifier: Apache-2.0
"""Whole graphs through the golden model: bookkeeping, batches, messages."""

import ast
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import sim.golden
from quant.errors import GraphError
from quant.nodes import sources_of
from quant.samples import sample_codes, sample_conv, sample_graph
from sim.golden import GoldenModel, golden_node, run_conv, run_golden, zero_code


@pytest.fixture(scope="module")
def graph():
    return sample_graph(3)


@pytest.fixture(scope="module")
def frames():
    return sample_codes(0, (3, 3, 16, 20), 8)


@pytest.mark.parametrize("act_bits", [4, 6, 8])
def test_graph_equals_its_nodes_one_by_one(act_bits, frames):
    graph = sample_graph(act_bits, act_bits=act_bits)
    run = run_golden(graph, frames, keep="all")
    assert list(run.tensors) == [n.name for n in graph.nodes]
    for node in graph.nodes:
        names = sources_of(node)
        inputs = [run.tensors[s] for s in names] or [frames]
        got = golden_node(node, [graph.formats[s] for s in names] or [node.output], inputs)
        assert got.dtype == run.tensors[node.name].dtype
        assert np.array_equal(got, run.tensors[node.name])
        assert got.shape[1:] == graph.shapes[node.name]


def test_sample_graph_contains_every_node_kind_and_keeps_its_information(graph, frames):
    assert len({type(n) for n in graph.nodes}) == 12
    run = run_golden(graph, frames, keep="all")
    for name in ("boxes", "scores"):
        assert len(np.unique(run.tensors[name])) > 20
        assert not np.array_equal(run.tensors[name][0], run.tensors[name][1])


def test_batch_equals_single_frames_and_repeats_itself(graph, frames):
    model = GoldenModel(graph)
    batch = model.run(frames, keep="all", accumulators=("stem", "linear", "mean"))
    for index in range(3):
        single = model.run(
            frames[index : index + 1], keep="all", accumulators=("stem", "linear", "mean")
        )
        for name, codes in single.tensors.items():
            assert np.array_equal(codes[0], batch.tensors[name][index])
        for name, sums in single.accumulators.items():
            assert np.array_equal(sums[0], batch.accumulators[name][index])


def test_outputs_alone_are_kept_by_default(graph, frames):
    run = run_golden(graph, frames)
    assert list(run.tensors) == ["boxes", "scores"]
    assert run.tensors["boxes"].dtype == np.uint8
    assert run.tensors["scores"].dtype == np.uint16
    everything = run_golden(graph, frames, keep="all")
    assert np.array_equal(run.tensors["scores"], everything.tensors["scores"])
    chosen = run_golden(graph, frames, keep=("sum", "boxes"))
    assert sorted(chosen.tensors) == ["boxes", "sum"]
    assert np.array_equal(chosen.tensors["sum"], everything.tensors["sum"])


def test_accumulators_are_those_of_the_single_layer(graph, frames):
    names = ("stem", "depthwise", "head", "linear", "mean")
    run = run_golden(graph, frames, keep="all", accumulators=names)
    for name in names[:4]:
        node = graph.node(name)
        codes, sums = run_conv(node, graph.formats[node.source], run.tensors[node.source])
        assert np.array_equal(sums, run.accumulators[name])
        assert np.array_equal(codes, run.tensors[name])
    source = run.tensors["grouped"].astype(np.int64)
    fmt = graph.formats["grouped"]
    values = np.array(fmt.codebook)[source] - fmt.zero_point
    sums = values.reshape(3, 8, 4, 2, 2, 5).sum(axis=(3, 5))
    assert np.array_equal(run.accumulators["mean"], sums)
    assert run.accumulators["mean"].dtype == np.int32


def test_progress_names_every_node_of_every_frame(graph, frames):
    seen = []
    run_golden(graph, frames[:2], progress=seen.append)
    assert seen == [n.name for n in graph.nodes] * 2


def test_one_changed_weight_changes_the_outputs(graph, frames):
    # Guards the comparisons above: the judge must see a single flipped code.
    node = graph.node("stem")
    codes = node.weights.codes.copy()
    codes[0, 0, 1, 1] ^= 4
    other = replace(node, weights=replace(node.weights, codes=codes))
    changed = replace(graph, nodes=tuple(other if n is node else n for n in graph.nodes))
    before, after = run_golden(graph, frames), run_golden(changed, frames)
    assert not np.array_equal(before.tensors["boxes"], after.tensors["boxes"])


def test_zero_code_is_that_of_the_format(graph):
    for fmt in graph.formats.values():
        if fmt.uniform:
            assert zero_code(fmt) == fmt.zero_code


def test_messages_name_value_and_way_out(graph, frames):
    with pytest.raises(GraphError) as caught:
        run_golden(graph, frames[:, :2])
    assert str(caught.value) == (
        "'image' needs frames (N, ...) of (3, 16, 20); got shape (3, 2, 16, 20)"
    )
    with pytest.raises(GraphError) as caught:
        run_golden(graph, frames.astype(np.float32))
    assert str(caught.value) == "'image' needs integer codes; got float32"
    with pytest.raises(GraphError) as caught:
        run_golden(graph, frames.astype(np.int64) - 1)
    assert str(caught.value) == "'image' needs codes of 8 bits; got -1..254"
    with pytest.raises(GraphError) as caught:
        run_golden(graph, frames, accumulators=("pool",))
    assert str(caught.value) == (
        "'pool' is MaxPool, which has no accumulator; "
        "ask for a convolution, a linear layer or an average pool"
    )
    with pytest.raises(GraphError, match="no node is called 'nothing'; there are: image, stem"):
        run_golden(graph, frames, keep=("nothing",))
    node, fmt = sample_conv(1, 4, 4, padding=0)
    with pytest.raises(GraphError) as caught:
        run_conv(node, fmt, sample_codes(1, (1, 4, 2, 9), 8))
    assert str(caught.value) == (
        "'conv': kernel (3, 3) is larger than the padded input 2x9 with padding (0, 0, 0, 0)"
    )
    with pytest.raises(GraphError) as caught:
        run_conv(node, fmt, sample_codes(1, (1, 5, 4, 9), 8))
    assert str(caught.value) == "'conv' needs 4 channels; got 5"
    with pytest.raises(GraphError) as caught:
        golden_node(node, [fmt, fmt], [frames])
    assert str(caught.value) == "'conv' reads 1 tensors; got 1 and 2 formats"


def test_accumulator_beyond_32_bits_is_refused():
    node, fmt = sample_conv(1, 4, 4)
    node = replace(node, bias=np.full(4, 2**31 - 1))
    with pytest.raises(GraphError, match=r"'conv' has an accumulator up to \d+; limit 2147483647"):
        run_conv(node, fmt, sample_codes(1, (1, 4, 5, 5), 8))


def test_the_judge_imports_only_data_types():
    allowed = {"quant.errors", "quant.formats", "quant.graph", "quant.nodes", "quant.weights"}
    calls = {"integers", "zero_code", "decoded_bits", "max_decoded", "zero_point_per_row"}
    for path in Path(sim.golden.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and not (node.module or "").startswith(
                "sim.golden"
            ):
                room = (node.module or "").split(".")[0]
                assert room not in {"hw", "hls", "reports", "nibbleflow", "sim", "torch"}, path
                assert room != "quant" or node.module in allowed, (path, node.module)
            if isinstance(node, ast.Attribute):
                assert node.attr not in calls, (path, node.attr)
