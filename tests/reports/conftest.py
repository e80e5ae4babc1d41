# SPDX-License-Identifier: Apache-2.0
"""A small bundle with the float network that it could have come from, and a folding."""

from dataclasses import replace

import numpy as np
import pytest

from quant.bundle import Bundle
from quant.floatgraph import FloatConv, FloatGraph, FloatInput, FloatLinear
from quant.graph import QGraph
from quant.hostspec import HostSpec
from quant.nodes import Conv, Linear
from quant.record import BreakpointRecord, LayerRecord, QuantRecord
from quant.samples import sample_graph
from quant.schedule import Folding, Schedule

HOST = HostSpec(
    height=16,
    width=20,
    place="center",
    pad_value=114,
    channel_order="rgb",
    mean=(0.0, 0.0, 0.0),
    std=(255.0, 255.0, 255.0),
    decode="none",
    strides=(),
    anchors=(),
    outputs=(),
    class_names=(),
)


def bundle_of(graph: QGraph, layers: tuple[LayerRecord, ...] = ()) -> Bundle:
    record = QuantRecord("integer", "sample", 1200, 1100, {"weight_bits": 4}, ("a note",), layers)
    return Bundle(graph, HOST, record)


def float_graph_of(graph: QGraph) -> FloatGraph:
    """Float weights that lie a little beside the levels of their codes."""
    rng = np.random.default_rng(5)
    ops = [FloatInput(graph.input.name, graph.input.shape)]
    for node in graph.nodes:
        if not isinstance(node, Conv | Linear):
            continue
        scale = node.weights.scale.reshape(-1, 1, 1, 1)
        real = node.weights.integers() + rng.normal(0, 0.2, node.weights.shape)
        weight = (real * scale).astype(np.float32)
        bias = np.zeros(len(weight), np.float32)
        if isinstance(node, Conv):
            ops.append(
                FloatConv(
                    node.name, node.source, weight, bias, node.stride, node.padding, node.groups
                )
            )
        else:
            ops.append(FloatLinear(node.name, node.source, weight.reshape(len(weight), -1), bias))
    shapes = {op.name: graph.shapes[op.name] for op in ops}
    return FloatGraph(graph.name, tuple(ops), (ops[-1].name,), shapes, 1200)


def schedule_of(graph: QGraph, clock_hz: int = 100_000_000) -> Schedule:
    folding = {node.name: Folding(node.weights.shape[0] // 4, 1) for node in graph.convs}
    return Schedule(graph.digest, clock_hz, folding)


@pytest.fixture(scope="session")
def bundle() -> Bundle:
    """A graph of every node kind, its SQNR made up: lower towards the end."""
    graph = sample_graph(3)
    layers = tuple(
        LayerRecord(
            node.name,
            type(node).__name__.lower(),
            0,
            8,
            "",
            "",
            18.5 + i if isinstance(node, Conv | Linear) else None,
            40.0 - i,
            2 if node.name == "point" else 0,
        )
        for i, node in enumerate(graph.nodes[:-2])
    )
    return bundle_of(graph, layers)


@pytest.fixture(scope="session")
def float_graph(bundle: Bundle) -> FloatGraph:
    return float_graph_of(bundle.graph)


@pytest.fixture(scope="session")
def schedule(bundle: Bundle) -> Schedule:
    return schedule_of(bundle.graph)


@pytest.fixture(scope="session")
def summary(bundle, schedule):
    from reports.summary import summarise

    return summarise(bundle, schedule)


# What a node of an untrusted model may be called.
HOSTILE = "<script>window.hacked = 1</script>"


COUNTS = {"lut": 80, "ff": 40, "dsp": 2, "bram18": 1, "uram": 0, "lutram_luts": 20}


def renamed(graph: QGraph, old: str, new: str) -> QGraph:
    """The graph with one node called otherwise."""

    def changed(node):
        values = {"name": new} if node.name == old else {}
        if getattr(node, "source", None) == old:
            values["source"] = new
        if old in getattr(node, "sources", ()):
            values["sources"] = tuple(new if s == old else s for s in node.sources)
        return replace(node, **values) if values else node

    return QGraph(graph.name, tuple(changed(node) for node in graph.nodes))


@pytest.fixture(scope="session")
def page_input():
    """Everything a page shows, of a network whose names and texts are all hostile."""
    from hw.network_cycles import network_cycles
    from hw.plan_network import plan_network
    from hw.planning import complete_schedule
    from reports.hardware import network_estimate
    from reports.network import NetworkSummary
    from reports.page import Hardware, PageInput, RunFile
    from reports.summary import summarise
    from reports.write import report_files

    graph = renamed(sample_graph(1), "stem", HOSTILE)
    plan = complete_schedule(graph, plan_network(graph, target_interval_cycles=3000))
    network = NetworkSummary(plan.fifos, network_cycles(graph, plan.schedule))
    layers = tuple(
        LayerRecord(n.name, "conv", 0, 8, "", "", None, 40.0 - i, 0)
        for i, n in enumerate(graph.nodes[:-2])
    )
    bundle = bundle_of(graph, layers)
    pwlq = next(n for n in graph.convs if n.name != HOSTILE)
    ends = tuple(int(v) for v in pwlq.weights.multipliers.reshape(-1))
    record = BreakpointRecord(
        pwlq.name, 1, (0.25,) * len(ends), (1.0,) * len(ends), ends, tuple(4 * e for e in ends)
    )
    told = replace(
        bundle.record, model=HOSTILE, notes=(HOSTILE,), settings={HOSTILE: HOSTILE},
        breakpoints=(record,),
    )  # fmt: skip
    bundle = replace(bundle, record=told)
    pictures = {}
    report_files(
        summarise(bundle, plan.schedule), bundle, float_graph_of(graph), ("png",), network,
        lambda svgs: pictures.update(svgs) or "",
    )  # fmt: skip
    node = {"name": HOSTILE, "engine": "rtl", "values": 900, "mismatches": 0, "first": None}
    return PageInput(
        summary=summarise(bundle, plan.schedule),
        breakpoints=told.breakpoints,
        hardware=Hardware(network, network_estimate(graph, plan.schedule), 200_000_000, None),
        pictures=pictures,
        verification={
            "engines": ["golden", "rtl"], "digest": graph.digest, "nodes": [node], "values": 900,
            "mismatches": 0, "failures": 0, "cycles": 5, "seconds": 2.0, "macs_per_second": 7e6,
            "interval_planned": 3000, "interval_counted": 3000, "latency_planned": 4000,
            "latency_counted": None,
            "runs": [{"name": "full speed", "frames": 2, "cycles": 5, "values": 900,
                      "mismatches": 0, "failure": HOSTILE}],
        },
        synthesis={
            "digest": graph.digest, "basis": "counted by Yosys", "counted": COUNTS,
            "estimated": COUNTS,
            "cells": [{"owners": [HOSTILE, "b"], "module": "nf_conv", "basis": "synthesised",
                       "counted": COUNTS, "estimated": {**COUNTS, "lut": 90, "ff": 0},
                       "weights": {**COUNTS, "bram18": 9}}],
        },
        explored_plan={
            "digest": graph.digest, "board": HOSTILE, "objective": "the shortest interval",
            "optimal": True, "seconds": 1.0, "bound": {"fps": 900.0, "cost": 0.5},
            "plans": [{"fps": 880.0}], "kept_back": {"lut": 0, "bram18": 1042},
        },
        explored_front={
            "digest": graph.digest, "board": HOSTILE, "objective": "cost",
            "optimal": True, "seconds": 3.0, "bound": None,
            "plans": [
                {"build": "b", "fps": fps, "interval_cycles": 9, "bits": bits, "scheme": HOSTILE,
                 "optimal": fps > 50, "sqnr_db": sqnr, "lut": 100 * place + 7, "ff": 5,
                 "dsp": place, "bram18": 0, "uram": 0}
                for place, (fps, bits, sqnr) in enumerate(
                    [(90.0, "W4A8", 20.0), (40.0, "W4A8", 20.0), (30.0, "W8A8", None)]
                )
            ],
        },
        runs=(RunFile("quantize.run.toml", f'model = "{HOSTILE}"\n'),),
        versions=(("nibbleflow", "0.1.0"),),
    )  # fmt: skip


@pytest.fixture(scope="session")
def page_text(page_input) -> str:
    from reports.page import page_html, report_page

    return page_html(report_page(page_input))
