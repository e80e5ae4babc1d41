# SPDX-License-Identifier: Apache-2.0
"""FIFO depths and cycles of a network as records, tables and plots."""

import json

from hw.network_cycles import network_cycles
from hw.plan_network import plan_network
from hw.planning import complete_schedule
from quant.samples import sample_graph
from reports.figures import render
from reports.network import NetworkSummary, cycle_plot, cycle_table, fifo_plot, fifo_table
from reports.tables import text_of


def sample_summary():
    graph = sample_graph(1)
    plan = complete_schedule(graph, plan_network(graph, target_interval_cycles=3000))
    return NetworkSummary(plan.fifos, network_cycles(graph, plan.schedule))


def test_record_tables_and_plots():
    summary = sample_summary()
    value = json.loads(json.dumps(summary.to_json(), allow_nan=False))
    assert value["interval_cycles"] == value["target_cycles"]
    assert value["out_of_reach"] is None
    assert value["proof"]["left_beats"] == 0
    assert value["minimal_bits"] == sum(f["minimal"] * f["beat_bits"] for f in value["fifos"])
    assert value["tensor_bits"] == sum(f["frame_beats"] * f["beat_bits"] for f in value["fifos"])
    assert all((f["stall"] is None) == (f["minimal"] == 0) for f in value["fifos"])
    assert [n["name"] for n in value["nodes"]] == list(summary.cycles.nodes)
    text = " ".join(text_of((fifo_table(summary), cycle_table(summary))).split())
    assert "every output is drained independently of the others" in text
    assert f"interval {value['interval_cycles']:,}, latency {value['latency_cycles']:,}" in text
    for draw in (fifo_plot, cycle_plot):
        assert render(lambda draw=draw: draw(summary), "svg").startswith(b"<?xml")
