# SPDX-License-Identifier: Apache-2.0
"""Estimated resources for the terminal."""

import io
from dataclasses import asdict

from rich.console import Console

from hw.devices import find_device
from hw.estimate import BASIS
from hw.planning import plan
from quant.samples import sample_graph
from reports.hardware import network_estimate
from reports.resourcetable import resource_tables, resource_values


def shown(table):
    console = Console(file=io.StringIO(), width=120)
    console.print(table)
    return console.file.getvalue()


def test_tables_of_a_network():
    graph = sample_graph(1)
    estimate = network_estimate(graph, plan(graph, max_macs_per_cycle=60))
    nodes, sums = resource_tables(estimate, find_device("zcu104"))
    text = shown(nodes)
    assert BASIS in text
    for name, cell in (("stem", "stem"), ("linear", "linear")):
        line = next(line for line in text.split("\n") if line.startswith(name))
        assert f"{estimate.of_node(cell).ff:,}" in line
    # Columns of the nodes and the rest sum up to the network.
    rows = [line.split() for line in text.strip().split("\n")[2:]]
    found = [sum(int(row[k].replace(",", "")) for row in rows) for k in range(-6, 0)]
    used = estimate.total
    assert found == [used.all_luts, used.lutram_luts, used.ff, used.dsp, used.bram18, used.uram]
    assert f"{100 * used.all_luts / 230_400:.1f} %" in shown(sums)
    assert "624" in shown(sums)
    _, bare = resource_tables(estimate, None)
    assert "%" not in shown(bare)


def test_a_board_without_ultra_ram():
    graph = sample_graph(1)
    estimate = network_estimate(graph, plan(graph, max_macs_per_cycle=60))
    _, sums = resource_tables(estimate, find_device("zcu102"))
    assert shown(sums).rstrip().endswith("-")


def test_values_say_what_they_are_based_on():
    graph = sample_graph(1)
    estimate = network_estimate(graph, plan(graph, max_macs_per_cycle=60))
    assert resource_values(estimate) == {"basis": BASIS, **asdict(estimate.total)}
