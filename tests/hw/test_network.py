# SPDX-License-Identifier: Apache-2.0
"""Network: cells, forks, FIFOs and converters where the schedule and the lanes ask for them."""

import dataclasses

import pytest

from hw.network import build_network, node_stems
from hw.plan_network import plan_network
from quant.errors import PlanError
from quant.graph import QGraph
from quant.nodes import Add, Concat, Input, Lookup, Output
from quant.samples import sample_codes, sample_format, sample_graph
from quant.schedule import Folding, Schedule

GRAPH = sample_graph(1)


def planned(**changes) -> Schedule:
    return dataclasses.replace(plan_network(GRAPH, target_interval_cycles=3000), **changes)


def lookups(*names: str, source: str = "image") -> QGraph:
    """Return a chain of lookups with the given names behind a 4x2x3 image."""
    plain = sample_format(4, 8)
    nodes = [Input(source, (4, 2, 3), plain)]
    for name in names:
        nodes.append(Lookup(name, nodes[-1].name, sample_codes(1, (256,), 8), plain))
    return QGraph("chain", (*nodes, Output("end", nodes[-1].name)))


def test_every_node_is_a_cell_and_every_source_an_edge():
    network = build_network(GRAPH, planned())
    inner = [n.name for n in GRAPH.nodes if not isinstance(n, Input | Output)]
    assert list(network.cells) == inner
    assert list(network.streams) == ["image", *inner]
    assert list(network.outputs) == ["boxes", "scores"]
    assert [(e.producer, e.port) for e in network.sources("cat")] == [
        ("up", 0),
        ("pool", 1),
        ("sum", 2),
    ]
    assert [(e.consumer, e.branch) for e in network.readers("sum")] == [
        ("grouped", 0),
        ("pool", 1),
        ("cat", 2),
    ]
    assert network.input == network.streams["image"]
    for name, cell in network.cells.items():
        assert cell.output.shape == GRAPH.shapes[name]
        assert cell.output.bits == GRAPH.formats[name].bits
        for edge in network.sources(name):
            last = edge.width.output if edge.width else edge.stream
            assert last == cell.inputs[edge.port]


def test_fifo_stands_before_the_converter_in_lanes_of_the_producer():
    folding = dict(planned().folding) | {"sum": Folding(4, 4), "pool": Folding(2, 2)}
    network = build_network(GRAPH, planned(folding=folding, fifo_depth={("sum", "pool"): 37}))
    (edge,) = network.sources("pool")
    assert (edge.depth, edge.stream.lanes) == (37, 4)
    assert edge.fifo.parameters["Depth"] == 37
    assert edge.fifo.output.lanes == edge.width.inputs[0].lanes == 4
    assert edge.width.output.lanes == 2
    plain = build_network(GRAPH, planned(folding=folding)).sources("pool")[0]
    assert (plain.depth, plain.fifo) == (0, None)
    assert plain.width is not None


def test_memory_styles_reach_the_cells():
    styles = {"stem.weights": "ultra", "long.weights": "block", "sum->cat": "distributed"}
    schedule = planned(memory=styles, fifo_depth={("sum", "cat"): 9})
    network = build_network(GRAPH, schedule)
    assert network.cells["stem"].load is not None
    assert network.cells["long"].parameters["WeightStyle"] == "block"
    assert network.cells["head"].parameters["WeightStyle"] == "auto"
    assert network.sources("cat")[2].fifo.parameters["Style"] == "distributed"
    filled = build_network(GRAPH, schedule, ultra_initial_contents=True)
    assert filled.cells["stem"].load is None
    assert filled.cells["stem"].parameters["WeightStyle"] == "ultra"


def test_one_tensor_may_enter_a_node_twice():
    plain = sample_format(4, 8)
    image = Input("image", (4, 2, 3), plain)
    double = Concat("double", ("image", "image"))
    graph = QGraph("twice", (image, double, Output("out", "double")))
    schedule = Schedule(graph.digest, 1, {"image": Folding(2, 2), "double": Folding(2, 2)})
    edges = build_network(graph, schedule).sources("double")
    assert [(e.port, e.branch) for e in edges] == [(0, 0), (1, 1)]


def test_stems_are_identifiers_that_nothing_else_in_the_top_has():
    stems = node_stems(lookups("a.b", "a/b", "u_x", "n_u_x", "load", "1", "wire"))
    assert stems["a.b"] == "a_b"
    assert stems["1"] == "n_1"
    assert len({stem.lower() for stem in stems.values()}) == len(stems)
    for stem in stems.values():
        assert stem.isidentifier()
        assert not stem.startswith(("u_", "load", "s_axis_", "unused"))


def refused(graph: QGraph, schedule: Schedule) -> str:
    with pytest.raises(PlanError) as caught:
        build_network(graph, schedule)
    return str(caught.value)


def test_refuses_schedules_that_do_not_fit():
    folding = dict(planned().folding)
    other = planned(graph_digest="ab" * 32)
    assert refused(GRAPH, other) == (
        f"the schedule belongs to graph abababababab, this is {GRAPH.digest[:12]}; plan again"
    )
    lacking = {name: f for name, f in folding.items() if name != "pool"}
    assert refused(GRAPH, planned(folding=lacking)) == (
        "the schedule has no folding for 'pool'; a network needs one for every node but the "
        "outputs; plan it with hw.plan_network"
    )
    assert refused(GRAPH, planned(folding=folding | {"ghost": Folding(1, 1)})) == (
        "the schedule folds 'ghost', which graph 'sample-1' does not have; plan again"
    )
    assert refused(GRAPH, planned(memory={"pool.bias": "block"})) == (
        "the schedule styles 'pool.bias', which graph 'sample-1' does not have; plan again"
    )
    assert refused(GRAPH, planned(fifo_depth={("stem", "pool"): 3})) == (
        "the schedule has a FIFO from 'stem' to 'pool', between which graph 'sample-1' has no "
        "edge; plan again"
    )
    assert refused(GRAPH, planned(fifo_depth={("sum", "pool"): -1})) == (
        "the FIFO from 'sum' to 'pool' has depth -1; 0 is a wire"
    )
    assert refused(GRAPH, planned(folding=folding | {"image": Folding(2, 2)})) == (
        "'image' has 3 channels, not a multiple of PE=2; divisors near 2: 1, 3"
    )


def test_two_scales_are_added():
    """Ports follow the order of the sources, whatever the order in the graph."""
    add = GRAPH.node("sum")
    assert isinstance(add, Add)
    assert [e.producer for e in build_network(GRAPH, planned()).sources("sum")] == [*add.sources]
