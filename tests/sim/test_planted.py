# SPDX-License-Identifier: Apache-2.0
"""Planted faults: every module has one, in its code, and nothing else changes."""

from dataclasses import replace

import pytest

from hw.conv import rtl_sources
from hw.cores import PACKED_CORES
from hw.geometry import conv_geometry
from quant.errors import ToolError
from sim.verify.planted import FAULTS, faulty_sources
from sim.verify.small_graphs import small_graph

# The face of a convolution that is verified alone; networks do not have it.
OUTSIDE = {"nf_conv_axis"}


def test_every_module_has_a_fault():
    assert {f.cell for f in FAULTS} == {s.stem for s in rtl_sources()} - OUTSIDE
    assert len({f.cell for f in FAULTS}) == len(FAULTS)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.cell)
def test_one_line_of_code_changes(fault, tmp_path):
    copies = faulty_sources(fault, rtl_sources(), tmp_path)
    assert [c.name for c in copies] == [s.name for s in rtl_sources()]
    changed = []
    for source, copy in zip(rtl_sources(), copies, strict=True):
        pairs = zip(source.read_text().splitlines(), copy.read_text().splitlines(), strict=True)
        changed += [(source.stem, old, new) for old, new in pairs if old != new]
    ((cell, old, new),) = changed
    assert cell == fault.cell
    assert not old.lstrip().startswith("//")
    assert new == old.replace(fault.right, fault.wrong, 1)


def test_the_packed_graph_reaches_every_part_of_the_packed_cores():
    graph, schedule = small_graph("packed")
    cells = [
        conv_geometry(
            conv,
            graph.shapes[conv.source],
            schedule.folding[conv.name],
            graph.formats[conv.source],
        )
        for conv in graph.convs
    ]
    assert {cell.core for cell in cells} == set(PACKED_CORES)
    # Several chains meet in an adder tree; offsets need window sums.
    assert any(cell.by_rows and cell.simd > cell.cascade > 1 for cell in cells)
    assert any(cell.has_offset for cell in cells)


def test_a_fault_that_does_not_fit_any_more(tmp_path):
    fault = FAULTS[0]
    with pytest.raises(ToolError, match=r"^nf_adder_tree.sv has no 'gone' to break; renew the"):
        faulty_sources(replace(fault, right="gone"), rtl_sources(), tmp_path)
    with pytest.raises(
        ToolError, match=r"^there is no module 'nf_gone' to break; renew the fault$"
    ):
        faulty_sources(replace(fault, cell="nf_gone"), rtl_sources(), tmp_path)
