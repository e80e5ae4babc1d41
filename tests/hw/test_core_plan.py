# SPDX-License-Identifier: Apache-2.0
"""Which core a plan gives each layer."""

from dataclasses import replace

import pytest

from hw.devices import find_device
from hw.foldings import conv_options
from hw.geometry import conv_geometry
from hw.plan_network import dsp_blocks, plan_network
from quant.errors import PlanError
from quant.graph import QGraph
from quant.nodes import Conv, Input, Output
from quant.samples import sample_conv, sample_format
from quant.schedule import Folding


def network() -> QGraph:
    """Return layers of 8-bit input, 3x3, 3x3 with stride 2, 1x1 and of an odd number of filters."""
    four = sample_format(16, 4, zero=8)
    image = Input("image", (8, 16, 16), sample_format(8, 8))

    def conv(seed, name, source, channels, filters, *sizes, **options):
        node, _ = sample_conv(
            seed, channels, filters, *sizes, source=options.pop("fmt", four),
            output=sample_format(filters, 4, zero=8),
            scheme="symmetric", names=(name, source), **options,
        )  # fmt: skip
        return node

    return QGraph(
        "cores",
        (
            image,
            conv(1, "stem", "image", 8, 16, 3, fmt=image.output),
            conv(2, "rows", "stem", 16, 16, 3),
            conv(3, "half", "rows", 16, 16, 3, 2),
            conv(4, "point", "half", 16, 16, 1, 1, 0),
            conv(5, "alone", "point", 16, 16, 3, 1, 1, 16),
            conv(6, "head", "alone", 16, 15, 1, 1, 0),
            Output("out", "head"),
        ),
    )


GRAPH = network()


def test_every_layer_gets_the_cheapest_core_that_builds_it():
    schedule = plan_network(GRAPH, target_interval_cycles=7000, core="auto")
    cores = {node.name: schedule.folding[node.name].core for node in GRAPH.convs}
    assert cores == {
        "stem": "w4a8",
        "rows": "pack6",
        "half": "outer4",
        "point": "outer4",
        "alone": "plain_lut",
        "head": "outer4",
    }
    head = schedule.folding["head"]
    g = conv_geometry(GRAPH.node("head"), (16, 8, 8), head, GRAPH.formats["alone"])
    assert head.pe % 2 == 0
    assert g.output_folds * head.pe == 15 + g.zero_filters
    assert g.zero_filters > 0
    assert 15 % g.out_lanes == 0


def test_one_core_for_every_layer_or_none():
    with pytest.raises(PlanError) as caught:
        plan_network(GRAPH, target_interval_cycles=2304, core="pack6")
    assert str(caught.value) == (
        "'stem' reads activations of 8 bits; core 'pack6' takes 1 to 4; choose another core"
    )
    plain = plan_network(GRAPH, target_interval_cycles=2304, core="plain_dsp")
    assert {plain.folding[node.name].core for node in GRAPH.convs} == {"plain_dsp"}


def test_without_a_wish_every_core_is_plain():
    left_out = plan_network(GRAPH, target_interval_cycles=2304)
    asked = plan_network(GRAPH, target_interval_cycles=2304, core="plain_lut")
    assert dict(left_out.folding) == dict(asked.folding)
    assert dsp_blocks(GRAPH, left_out.folding) == 0


def test_blocks_become_dearer_until_they_are_enough():
    wide = plan_network(GRAPH, target_interval_cycles=2304, core="auto")
    used = dsp_blocks(GRAPH, wide.folding)
    small = replace(find_device("zcu104"), name="small", dsp=used // 2)
    narrow = plan_network(GRAPH, target_interval_cycles=2304, core="auto", device=small)
    assert dsp_blocks(GRAPH, narrow.folding) <= small.dsp < used


def test_too_few_blocks_are_refused():
    # One pixel per tap is too slow for this interval, so packed cores are the only ones.
    few = replace(find_device("zcu104"), name="few", dsp=297)
    with pytest.raises(PlanError) as caught:
        plan_network(GRAPH, target_interval_cycles=600, core="auto", device=few)
    assert str(caught.value) == (
        "the cores need 512 DSP blocks; 'few' has 297; ask for more cycles per frame, or for core "
        "plain_lut"
    )


def test_other_devices_have_plain_cores_only():
    device = find_device("pynq-z2")
    schedule = plan_network(GRAPH, target_interval_cycles=2304, core="auto", device=device)
    assert {schedule.folding[n.name].core for n in GRAPH.convs} <= {"plain_lut", "plain_dsp"}
    with pytest.raises(PlanError) as caught:
        plan_network(GRAPH, target_interval_cycles=2304, core="outer4", device=device)
    assert str(caught.value) == (
        "core 'outer4' is made of the DSP48E2 blocks of UltraScale+, which the device of "
        f"'{device.name}' does not have; use plain_lut or plain_dsp"
    )


def test_odd_filters_per_group_have_no_pairs():
    node, source = sample_conv(1, 8, 6, 1, 1, 0, 2, act_bits=4, scheme="symmetric")
    assert isinstance(node, Conv)
    with pytest.raises(PlanError) as caught:
        conv_options(node, (8, 4, 4), source, ("outer4",))
    assert str(caught.value) == (
        "'conv' has 3 filters per group; core 'outer4' computes filters in pairs; use plain_lut "
        "or plain_dsp"
    )
    plain = conv_options(node, (8, 4, 4), source, ("outer4", "plain_lut"))
    assert {o.folding.core for o in plain} == {"plain_lut"}


def test_intervals_count_pairs_and_columns():
    node, source = sample_conv(1, 8, 8, act_bits=4, scheme="symmetric")
    g = conv_geometry(node, (8, 6, 7), Folding(4, 4, core="pack6"), source)
    # Columns -1 to 7 in pairs, the first of which ends no window.
    assert (g.window.out_width, g.silent_groups) == (5, 1)
    assert g.compute_cycles == 6 * 5 * 2 * 3 * 2
    assert g.macs_per_cycle == 4 * 4 * 3 * 2
    assert g.interval == max(g.compute_cycles, 6 * 7 * 2)
