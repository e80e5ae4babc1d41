# SPDX-License-Identifier: Apache-2.0
import itertools
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import matplotlib
import numpy as np
import pytest

from quant.errors import GraphError, PlanError
from quant.record import BreakpointRecord
from quant.samples import sample_weights
from quant.weights import Granularity
from reports.figures import render, short_name
from reports.histograms import (
    breakpoint_steps,
    chosen_layers,
    histogram_plot,
    layer_weights,
    level_counts,
    steps_of,
)
from reports.plots import cycles_plot, memory_plot, sqnr_plot

PLOTS = {"memory": memory_plot, "sqnr": sqnr_plot, "cycles": cycles_plot}


@pytest.fixture(scope="module")
def long_summary(summary):
    """Sixty layers with long names."""
    rows = [x for x in summary.layers if x.cycles is not None]
    layers = tuple(
        replace(row, name=f"backbone.stage{i}.bottleneck.branch.conv{i}")
        for i, row in enumerate(itertools.islice(itertools.cycle(rows), 60))
    )
    return replace(summary, layers=layers)


@pytest.mark.parametrize("name", PLOTS)
def test_rows_of_sixty_layers_do_not_overlap(name, long_summary):
    figure = PLOTS[name](long_summary)
    axes = figure.axes[0]
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in axes.get_yticklabels()]
    assert len(boxes) == 60
    assert all(low.y1 <= high.y0 for high, low in itertools.pairwise(boxes))
    edge = figure.get_window_extent()
    assert all(box.x0 >= edge.x0 and box.x1 <= axes.get_window_extent().x0 for box in boxes)
    for text in axes.texts:
        box = text.get_window_extent()
        assert edge.x0 <= box.x0
        assert box.x1 <= edge.x1


@pytest.mark.parametrize("image_format", ["png", "svg"])
def test_same_summary_same_bytes(image_format, summary, bundle, float_graph):
    names = chosen_layers(summary)

    def draw():
        return histogram_plot(bundle.graph, float_graph, names[:2])

    first = render(draw, image_format)
    before = matplotlib.rcParams["font.size"]
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red"}):
        second = render(draw, image_format)
        assert matplotlib.rcParams["font.size"] == 30
    assert first == second
    assert matplotlib.rcParams["font.size"] == before


def test_files_are_what_their_names_say(summary):
    png = render(lambda: memory_plot(summary), "png")
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    svg = render(lambda: sqnr_plot(summary), "svg")
    assert ElementTree.fromstring(svg.decode()).tag.endswith("svg")
    assert b"dc:date" not in svg


def test_memory_bars_hold_every_bit(summary):
    axes = memory_plot(summary).axes[0]
    drawn = sum(bar.get_width() for bar in axes.patches) * 8 * 1024
    assert round(drawn) == summary.memory.bits
    ends: dict[int, float] = {}
    for bar in axes.patches:
        row = round(bar.get_y() + bar.get_height() / 2)
        assert bar.get_x() == ends.get(row, 0.0)
        ends[row] = bar.get_x() + bar.get_width()
    layers = [x for x in summary.layers if x.weights]
    assert [round(ends[i] * 8192) for i in range(len(layers))] == [x.stored_bits for x in layers]


def test_sqnr_leaves_the_exact_input_out(summary):
    labels = [t.get_text() for t in sqnr_plot(summary).axes[0].get_yticklabels()]
    assert "image" not in labels
    assert labels == [x.name for x in summary.layers[1:]]


def test_the_lowest_outputs_are_marked(summary):
    marked = next(
        line for line in sqnr_plot(summary).axes[0].lines if line.get_label() == "output, lowest"
    )
    assert sorted(marked.get_xdata()) == [x.sqnr_db for x in summary.worst_layers()]


def test_cycles_without_a_plan_are_refused(summary):
    with pytest.raises(PlanError, match="has no planned cycles; summarise it with a schedule"):
        cycles_plot(replace(summary, cycles=None))


def test_level_counts_against_literal_loops():
    weights = sample_weights(4, (6, 3, 3, 3), granularity=Granularity.C_SHAPE, scheme="pwlq")
    expected = {int(entry): 0 for table in weights.tables for entry in table}
    for f, c, y, x in itertools.product(range(6), range(3), range(3), range(3)):
        table = weights.tables[weights.selectors[f, 0, y, x]]
        expected[int(table[weights.codes[f, c, y, x]])] += 1
    found = level_counts(weights)
    assert found == expected
    assert list(found) == sorted(expected)
    assert sum(found.values()) == 6 * 27


def test_exact_weights_lie_on_their_levels():
    weights = sample_weights(4, (6, 3, 3, 3), granularity=Granularity.F_SHAPE)
    exact = weights.integers() * weights.scale.astype(np.float64)
    rows = np.broadcast_to(weights.selectors, weights.codes.shape)
    # The scale is a power of two here: the quotient has no rounding.
    assert np.array_equal(steps_of(weights, exact), weights.tables[rows, weights.codes])


def test_histograms_show_levels_and_all_float_weights(summary, bundle, float_graph):
    figure = histogram_plot(bundle.graph, float_graph, ("stem",))
    axes = figure.axes[0]
    weights, _ = layer_weights(bundle.graph, float_graph, "stem")
    (rug,) = [line for line in axes.lines if line.get_label() == "levels"]
    assert set(rug.get_xdata()) <= {int(v) for v in np.unique(weights.tables)}
    assert {level for level, n in level_counts(weights).items() if n} <= set(rug.get_xdata())
    (area,) = [p for p in axes.patches if p.get_label() == "float weights"]
    values, edges, _ = area.get_data()
    assert (values * np.diff(edges)).sum() == weights.codes.size


def test_chosen_layers_are_first_last_and_largest(summary):
    names = chosen_layers(summary, 3)
    weighty = [x for x in summary.layers if x.weights]
    largest = max(weighty, key=lambda x: x.weights)
    assert len(names) == 3
    assert {weighty[0].name, weighty[-1].name, largest.name} <= set(names)
    assert len(chosen_layers(summary)) == 6


def test_a_float_network_of_another_build_is_refused(bundle, float_graph):
    other = replace(float_graph, ops=float_graph.ops[:2])
    with pytest.raises(GraphError, match="has no layer 'head' with weights of shape"):
        histogram_plot(bundle.graph, other, ("head",))
    with pytest.raises(GraphError, match="'pool' is MaxPool, which has no weights to draw"):
        histogram_plot(bundle.graph, float_graph, ("pool",))


def test_long_names_lose_their_middle():
    assert short_name("model.0.conv") == "model.0.conv"
    assert short_name("abcdefghij", 7) == "abc…hij"
    assert len(short_name("x" * 99)) == 34


def test_breakpoints_are_marked_in_steps_of_their_group(bundle, float_graph):
    weights, _ = layer_weights(bundle.graph, float_graph, "stem")
    # In steps of their groups the breakpoints lie at 3, 4, 5, ...
    steps = np.arange(weights.groups) + 3
    places = tuple(int(v) for v in steps * weights.multipliers.reshape(-1))
    ones = (1.0,) * weights.groups
    record = BreakpointRecord("stem", 1, ones, ones, places, places)
    assert breakpoint_steps(weights, record).tolist() == steps.tolist()
    figure = histogram_plot(bundle.graph, float_graph, ("stem", "head"), (record,))
    lines = [
        [line.get_xdata()[0] for line in axes.lines if line.get_label() == "PWLQ breakpoint"]
        for axes in figure.axes
    ]
    assert lines == [[-np.median(steps), np.median(steps)], []]
    (legend,) = figure.legends
    assert [t.get_text() for t in legend.get_texts()].count("PWLQ breakpoint") == 1
    with pytest.raises(GraphError) as caught:
        breakpoint_steps(weights, replace(record, integers=(1,) * 99))
    assert str(caught.value) == (
        f"'stem' has {weights.groups} groups but 99 breakpoints on record; they belong to another "
        "build, quantize again"
    )
