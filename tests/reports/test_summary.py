# SPDX-License-Identifier: Apache-2.0
import json
import math
from dataclasses import replace

import pytest

from hw.cycles import conv_cycles
from quant.bundle import Bundle
from quant.errors import PlanError
from quant.graph import QGraph
from quant.memory import honest_bits
from quant.nodes import Conv, Input, Linear, Output
from quant.record import LayerRecord, QuantRecord
from quant.samples import sample_conv
from quant.schedule import Folding, Schedule
from quant.weights import Granularity
from reports.summary import summarise


def one_conv(host, scheme="affine", layers=()):
    """2 channels of 5x6, 4 filters 3x3, 4-bit weights, 8-bit codes, one table for the layer."""
    node, source = sample_conv(1, 2, 4, granularity=Granularity.LAYER, scheme=scheme)
    graph = QGraph("one", (Input("x", (2, 5, 6), source), node, Output("y", "conv")))
    return Bundle(graph, host, QuantRecord("integer", "m", 90, 76, {}, (), tuple(layers)))


def test_every_bit_of_one_convolution_counted_by_hand(bundle):
    made = one_conv(bundle.host)
    value = summarise(made).to_json()
    tables = 16 * made.graph.convs[0].weights.table_bits
    # 4 filters of 2x3x3 weights; 17-bit multiplier and 6-bit shift each; the zero points of the
    # input and of the output, 8 bits each.
    by_hand = {
        "weight_codes": 4 * 18 * 4,
        "decode_tables": tables,
        "zero_points": 8 + 8,
        "requantize_multipliers_and_shifts": 4 * (17 + 6),
        "biases": 4 * 32,
    }
    memory = value["memory"]
    assert memory["bits"] == by_hand
    assert memory["honest_bits"] == sum(by_hand.values())
    assert memory["fp16_bits"] == 16 * (4 * 18 + 4)
    assert memory["honest_ratio"] == memory["fp16_bits"] / memory["honest_bits"]
    # The paper: 4 bits a weight, scale and zero point once (20 bits), 4 biases in FP16.
    assert memory["published_bits"] == 4 * 72 + 20 + 16 * 4
    assert memory["published_ratio"] == 16 * 76 / (4 * 72 + 20 + 16 * 4)
    assert value["macs"] == 4 * 5 * 6 * 18
    assert value["parameters"] == {"source": 90, "fused": 76}
    assert value["weights_by_bits"] == {"4": 72}
    assert value["tensors_by_act_bits"] == {"8": 2}
    assert value["cycles"] is None


def test_published_ratio_is_null_for_free_codebooks(bundle):
    made = summarise(one_conv(bundle.host, "codebook"))
    assert made.to_json()["memory"]["published_ratio"] is None
    assert "the published accounting has no figure for an encoding in this graph" in made.notes


def test_rows_follow_the_graph(bundle, summary):
    graph = bundle.graph
    nodes = [n for n in graph.nodes if not isinstance(n, Output)]
    assert [x.name for x in summary.layers] == [n.name for n in nodes]
    for node, row in zip(nodes, summary.layers, strict=True):
        assert row.shape == graph.shapes[node.name]
        assert row.act_bits == graph.formats[node.name].bits
        assert row.decoded_bits == graph.formats[node.name].decoded_bits
        weighty = isinstance(node, Conv | Linear)
        assert (row.weights > 0, row.macs > 0, row.accumulator_bits is not None) == (weighty,) * 3
        assert row.stored_bits == sum(x.bits for x in honest_bits(graph) if x.node == node.name)
    assert sum(row.stored_bits for row in summary.layers) == summary.memory.bits
    assert sum(row.weights for row in summary.layers) == sum(summary.weight_bits.values())
    assert sum(summary.bits_by_kind().values()) == summary.memory.bits


def test_json_has_the_promised_keys_and_no_nan(summary):
    value = json.loads(json.dumps(summary.to_json(), allow_nan=False))
    assert {"honest_ratio", "published_ratio", "bits"} <= set(value["memory"])
    assert value["macs"] == sum(layer["macs"] for layer in value["layers"])
    first = value["layers"][1]
    assert first["name"] == "stem"
    assert first["memory_bits"]["weight_codes"] == 8 * 3 * 9 * 4
    assert set(first) == {
        "name", "kind", "shape", "macs", "weights", "weight_bits", "act_bits", "decoded_bits",
        "scheme",
        "granularity", "weight_sqnr_db", "sqnr_db", "dead_filters", "memory_bits",
        "accumulator_bits", "pe", "simd", "core",
            "planned_interval_cycles", "planned_latency_cycles",
    }  # fmt: skip


def test_an_infinite_ratio_becomes_null(bundle):
    record = LayerRecord("conv", "conv", 4, 8, "affine", "layer", math.inf, math.nan, 0)
    row = summarise(one_conv(bundle.host, layers=[record])).layers[1]
    assert (row.weight_sqnr_db, row.sqnr_db) == (None, None)


def test_worst_layers_are_the_last_of_falling_ratios(bundle, summary):
    names = [n.name for n in bundle.graph.nodes if not isinstance(n, Output)]
    assert [x.name for x in summary.worst_layers()] == names[:-6:-1]


def test_dead_filters_are_named(summary):
    assert summary.dead_filters == 2
    assert "filters whose weights all became zero: point (2)" in summary.notes


def test_cycles_are_the_plan_and_called_so(bundle, schedule, summary):
    graph = bundle.graph
    planned = {
        n.name: conv_cycles(n, graph.shapes[n.source], schedule.folding[n.name])
        for n in graph.convs
    }
    for row in summary.layers:
        value = row.to_json()
        expected = planned.get(row.name)
        assert value["planned_interval_cycles"] == (expected and expected.interval_cycles)
        assert value["planned_latency_cycles"] == (expected and expected.latency_cycles)
    slowest = max(c.interval_cycles for c in planned.values())
    value = summary.to_json()["cycles"]
    assert value["planned_interval_cycles"] == slowest
    assert planned[value["bottleneck"]].interval_cycles == slowest
    assert value["estimated_fps"] == 100_000_000 / slowest
    assert value["basis"] == "planned, not measured"


def test_a_schedule_of_another_graph_is_refused(bundle, schedule):
    with pytest.raises(PlanError) as error:
        summarise(one_conv(bundle.host), schedule)
    assert str(error.value).startswith(
        f"the schedule belongs to graph {schedule.graph_digest[:12]}, not to 'one' "
    )


def test_a_schedule_without_a_convolution_is_refused(bundle):
    made = one_conv(bundle.host)
    schedule = Schedule(made.graph.digest, 100, {"other": Folding(1, 1)})
    with pytest.raises(PlanError, match="no folding for 'conv'"):
        summarise(made, schedule)


def test_nothing_is_said_about_unrecorded_nodes(bundle):
    bare = summarise(Bundle(bundle.graph, bundle.host, replace(bundle.record, layers=())))
    assert bare.worst_layers() == ()
    assert bare.dead_filters == 0
    assert bare.notes == ("a note", *bare.notes[1:])
