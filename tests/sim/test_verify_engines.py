# SPDX-License-Identifier: Apache-2.0
"""Both hardware engines on one case, and a fault planted in each: it is named, with its replay."""

import dataclasses

import numpy as np
import pytest

import sim.verify.hls_engine as hls_engine
import sim.verify.rtl_engine as rtl_engine
from quant.graph import QGraph
from quant.nodes import Input, Output
from quant.samples import sample_conv
from quant.schedule import Folding
from sim.golden import run_conv
from sim.verify import make_cases

FAULTY_FILTER = 5
FOLDING = Folding(2, 3)


@pytest.fixture(scope="module")
def case():
    node, source = sample_conv(7, 3, 6, 3, table=True)
    graph = QGraph("one", (Input("x", (3, 12, 12), source), node, Output("y", "conv")))
    codes = np.random.default_rng(3).integers(0, 256, (2, 3, 12, 12), dtype=np.uint8)
    (case,) = make_cases(graph, graph.convs, codes, full=(), seed=1)
    return case


@pytest.fixture(scope="module")
def benches(tmp_path_factory):
    """Compiled benches: one serves all tests, as only data differ."""
    return tmp_path_factory.mktemp("benches")


def faulty(node):
    """Return the node with another bias in one filter."""
    bias = node.bias.copy()
    bias[FAULTY_FILTER] += 4096
    return dataclasses.replace(node, bias=bias)


def plant(monkeypatch, engine, name):
    """Make ``engine`` generate its hardware from the faulty node."""
    real = getattr(engine, name)

    def emit(node, *rest, **more):
        return real(faulty(node), *rest, **more)

    monkeypatch.setattr(engine, name, emit)


def expect_named(verdict, case, engine):
    """Check that the verdict is exactly what the faulty hardware deserves."""
    repeats = verdict.values // case.expected.size
    wrong, _ = run_conv(faulty(case.node), case.source, case.frames)
    count = int((wrong != case.expected).sum()) * repeats
    places = np.nonzero((wrong != case.expected).transpose(0, 2, 3, 1))
    frame, row, column, channel = (int(i[0]) for i in places)
    place = (frame, channel, row, column)
    assert channel == FAULTY_FILTER
    assert not verdict.ok
    assert verdict.mismatches == count > 0
    assert str(verdict.first).startswith(
        f"'conv'[{frame}, {channel}, {row}, {column}]: {engine} {wrong[place]}, golden "
        f"{case.expected[place]}, accumulator {case.accumulators[place]} ({count:,} of "
        f"{verdict.values:,} differ"
    )
    assert str(verdict.first).endswith("; replay: again")


@pytest.mark.hls
def test_fault_in_hls(case, tmp_path, monkeypatch):
    plant(monkeypatch, hls_engine, "emit_conv_hls")
    verdict = hls_engine.run_hls(case, FOLDING, tmp_path / "hls", "again")
    expect_named(verdict, case, "hls")
    # Its own bench must have counted the same differences.
    assert verdict.failure is None
    assert (tmp_path / "hls" / "project").is_dir()  # kept for a look


@pytest.mark.rtl
def test_fault_in_rtl(case, benches, tmp_path, monkeypatch):
    plant(monkeypatch, rtl_engine, "emit_conv")
    verdict = rtl_engine.run_rtl(case, FOLDING, tmp_path / "rtl", benches, 1, "again", False)
    expect_named(verdict, case, "rtl")
    assert "; at cycle " in str(verdict.first)
    assert verdict.failure is None
    assert (tmp_path / "rtl").is_dir()


@pytest.mark.rtl
def test_wrong_plan_is_a_failure(case, benches, tmp_path, monkeypatch):
    real = rtl_engine.conv_cycles

    def hopeful(*arguments):
        plan = real(*arguments)
        return dataclasses.replace(plan, interval_cycles=plan.interval_cycles - 1)

    monkeypatch.setattr(rtl_engine, "conv_cycles", hopeful)
    verdict = rtl_engine.run_rtl(case, FOLDING, tmp_path / "rtl", benches, 1, "again", False)
    assert verdict.mismatches == 0
    counted = verdict.counted_interval
    assert verdict.failure == f"interval counted {counted} cycles, planned {counted - 1}"
    assert not verdict.ok
