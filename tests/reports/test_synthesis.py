# SPDX-License-Identifier: Apache-2.0
"""Synthesis of a network cell by cell, with a Yosys that answers twice the estimate."""

from dataclasses import astuple

import pytest

import reports.keptruns as keptruns
from hw.cell import Stream
from hw.edges import fifo_cell
from hw.estimate import Resources, resources, total
from hw.network import build_network
from hw.plan_network import plan_network
from quant.errors import InputFileError, PlanError, ToolError
from quant.samples import sample_graph
from reports.ecp5 import check_fit
from reports.keptruns import cell_digest, kept_resources, measure_cells
from reports.synthesis import carried_on, network_totals, synthesise_network


def doubled(found):
    return Resources(*(2 * value for value in astuple(found)))


@pytest.fixture
def asked(monkeypatch):
    """Return the batches of cells that were synthesised."""
    batches = []

    def synthesise_cells(_folder, cells):
        batches.append(list(cells))
        return [doubled(resources(cell, weights=False)) for cell in cells]

    monkeypatch.setattr(keptruns, "synthesise_cells", synthesise_cells)
    return batches


@pytest.fixture(scope="module")
def network():
    graph = sample_graph(4, act_bits=4)
    return build_network(graph, plan_network(graph, max_macs_per_cycle=400))


def test_each_distinct_cell_is_run_once(asked, network, tmp_path):
    told = []
    rows = synthesise_network(
        network, tmp_path / "kept", tmp_path, largest_macs=1000, begin=lambda n: told.append
    )
    runs = [cell for batch in asked for cell in batch]
    assert len({cell_digest(run) for run in runs}) == len(runs) == len(rows) == sum(told)
    owners = [owner for row in rows for owner in row.owners]
    assert set(network.cells) <= set(owners)
    edges = [e for e in network.edges for piece in (e.fifo, e.width) if piece is not None]
    forks = [name for name in network.streams if len(network.readers(name)) > 1]
    assert len(owners) == len(network.cells) + len(edges) + len(forks)
    for row in rows:
        assert row.basis == "synthesised"
        assert row.counted == doubled(row.estimated)
    weights = total(row.weights for row in rows for _ in row.owners)
    estimated, counted = network_totals(rows)
    assert counted.ff - weights.ff == 2 * (estimated.ff - weights.ff)
    layer = next(row for row in rows if row.owners[0] == "stem")
    assert layer.weights.all_luts + layer.weights.bram18 > 0
    assert layer.to_json()["counted"]["lut"] == layer.counted.lut


def test_a_second_run_finds_what_is_kept(asked, network, tmp_path):
    first = synthesise_network(network, tmp_path / "kept", tmp_path, largest_macs=1000)
    asked.clear()
    assert synthesise_network(network, tmp_path / "kept", tmp_path, largest_macs=1000) == first
    assert asked == []


def test_an_interrupted_run_goes_on(monkeypatch, tmp_path):
    cells = [fifo_cell(Stream((8, 4, 4), 8, 1), depth) for depth in range(2, 9)]
    done = []

    def synthesise_cells(_folder, some):
        if len(done) == 2:
            raise ToolError("the machine was switched off")
        done.append(len(some))
        return [resources(cell) for cell in some]

    monkeypatch.setattr(keptruns, "synthesise_cells", synthesise_cells)
    with pytest.raises(ToolError, match=r"^the machine was switched off$"):
        measure_cells(cells, tmp_path, tmp_path, batch=3)
    done.clear()
    told = []
    found = measure_cells(cells, tmp_path, tmp_path, batch=3, progress=told.append)
    assert (told, done) == ([6, 1], [1])
    assert found == [resources(cell) for cell in cells]


def test_large_cells_are_carried_on(asked, network, tmp_path):
    large = max(
        int(c.parameters["Pe"]) * int(c.parameters["Simd"])
        for c in network.cells.values()
        if c.module == "nf_conv" and int(c.parameters["Pe"]) > 2
    )
    rows = synthesise_network(network, tmp_path / "kept", tmp_path, largest_macs=large - 1)
    carried = [row for row in rows if row.basis != "synthesised"]
    assert carried
    for row in carried:
        assert row.basis.startswith("carried on from PE=1 and ")
        cell = network.cells[row.owners[0]]
        assert int(cell.parameters["Pe"]) * int(cell.parameters["Simd"]) >= large
        # Yosys answers twice the estimate, so its slope is twice the estimate's.
        assert row.counted == doubled(row.estimated)


def test_slope_of_two_foldings():
    known = [Resources(lut=100, ff=50, dsp=1), Resources(lut=180, ff=50, dsp=1)]
    counted = [Resources(lut=110, ff=55, dsp=1), Resources(lut=230, ff=60, dsp=1)]
    found = carried_on(known, counted, Resources(lut=340, ff=80, dsp=3))
    # 230 + 160 * 120 / 80; where the estimates are equal, 60 + 30 * 60 / 50.
    assert found == Resources(lut=470, ff=96, dsp=3)


def test_what_a_digest_depends_on(network):
    stem = network.cells["stem"]
    digest = cell_digest(stem)
    assert digest != cell_digest(network.cells["depthwise"])
    renamed = type(stem)(
        stem.module,
        {
            k: v.replace("stem", "other") if isinstance(v, str) else v
            for k, v in stem.parameters.items()
        },
        stem.inputs,
        stem.output,
        stem.stages,
        {
            name.replace("stem", "other"): "0\n" if "weights" in name else text
            for name, text in stem.files.items()
        },
    )
    # Neither names nor the contents of the weight memory.
    assert cell_digest(renamed) == digest
    changed = dict(stem.files)
    changed["stem_table.mem"] = changed["stem_table.mem"].replace("e", "f")
    assert (
        cell_digest(type(stem)(stem.module, stem.parameters, stem.inputs, stem.output, (), changed))
        != digest
    )


def test_a_damaged_result(tmp_path):
    cell = fifo_cell(Stream((8, 4, 4), 8, 1), 4)
    path = tmp_path / f"{cell_digest(cell)}.json"
    path.write_text("{")
    with pytest.raises(InputFileError) as caught:
        kept_resources(tmp_path, cell)
    assert str(caught.value) == (
        f"{path} cannot be read (Expecting property name enclosed in double quotes: line 1 "
        "column 2 (char 1)); remove it"
    )


def test_designs_that_ecp5_does_not_hold():
    fifo = fifo_cell(Stream((72, 40, 40), 72, 1), 5000, "ultra")
    with pytest.raises(PlanError) as caught:
        check_fit("long", [fifo], resources(fifo), 100)
    assert str(caught.value) == (
        "'long' has a memory in ultra RAM; LFE5U-85F, speed grade 6 has none; plan with "
        "--board ulx3s"
    )
    with pytest.raises(PlanError) as caught:
        check_fit("wide", [], Resources(lut=60_000), 100)
    assert str(caught.value) == (
        "'wide' needs about 120,000 lookup tables; LFE5U-85F, speed grade 6 has 83,640; fold it "
        "for fewer multiply-accumulates (--max-macs), or name small cells with --nodes"
    )
    for asked_for, pins, what in (
        (Resources(dsp=157), 10, "157 multipliers"),
        (Resources(bram18=209), 10, "209 memory blocks"),
        (Resources(), 366, "366 pins"),
    ):
        with pytest.raises(PlanError, match=rf"^'x' needs about {what}; LFE5U-85F, speed"):
            check_fit("x", [], asked_for, pins)
    check_fit("small", [fifo_cell(Stream((8, 4, 4), 8, 1), 4)], Resources(lut=1000), 60)
