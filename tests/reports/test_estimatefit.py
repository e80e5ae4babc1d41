# SPDX-License-Identifier: Apache-2.0
"""The fit of the estimates, its data, and how far the estimates are from cells held out."""

import json
from dataclasses import replace

import numpy as np
import pytest

import reports.bench.estimateruns as estimateruns
from hw.estimate import Resources, coefficients_version, resources
from hw.estimate.cells import cell_kind, price_kind
from quant.errors import InputFileError
from reports.bench import estimatefit
from reports.bench.estimatefit import fit, fitted_prices
from reports.bench.estimategrid import FIT_SEED, HELD_OUT_SEED, KINDS, drawn_cell
from reports.bench.estimateruns import RUNS, Run, measured_runs, read_runs, write_runs
from reports.bench.residuals import residual_rows
from reports.keptruns import cell_digest


def test_prices_that_made_the_counts_are_found(monkeypatch):
    monkeypatch.setattr(estimatefit, "_TRUST", 1e-9)
    rng = np.random.default_rng(1)
    features = rng.integers(1, 200, (40, 4)).astype(float)
    prices = np.array([1.5, 0.0, 0.25, 3.0])
    found = fit(features, features @ prices, np.ones(4))
    assert np.abs(found - prices).max() < 0.05
    assert found.min() >= 0


def test_what_no_cell_has_costs_nothing_and_what_is_not_known_stays_rough(monkeypatch):
    monkeypatch.setattr(estimatefit, "_TRUST", 1e-3)
    features = np.zeros((5, 3))
    features[:, 0] = 100
    features[0, 1] = 1
    found = fit(features, np.full(5, 200.0), np.array([1.0, 7.0, 4.0]))
    assert abs(found[0] - 2) < 0.02
    assert found[2] == 0


@pytest.mark.parametrize("kind", KINDS)
def test_drawn_cells_are_of_their_kind(kind):
    cells = [drawn_cell(kind, FIT_SEED, k) for k in range(3)]
    assert {cell_kind(cell.module, cell.parameters) for cell in cells} == {kind}
    again = [drawn_cell(kind, FIT_SEED, k) for k in range(3)]
    assert [cell_digest(cell) for cell in again] == [cell_digest(cell) for cell in cells]
    other = drawn_cell(kind, HELD_OUT_SEED, 0)
    assert cell_digest(other) not in {cell_digest(cell) for cell in cells} or kind == "fork"


@pytest.fixture
def counted(monkeypatch):
    """Yosys that counts what is estimated and ten flip-flops more."""

    def measure_cells(cells, _kept, _scratch, *, batch, progress):
        progress(len(cells))
        found = [resources(cell, weights=False) for cell in cells]
        return [replace(one, ff=one.ff + 10) for one in found]

    monkeypatch.setattr(estimateruns, "measure_cells", measure_cells)


def test_runs_to_fit_to_and_runs_held_out(counted, tmp_path):
    done = []
    runs = measured_runs(tmp_path, tmp_path, ["lookup", "fork"], done.append)
    assert sum(run.seed == FIT_SEED for run in runs) == 10 + 6
    held = [run for run in runs if run.seed == HELD_OUT_SEED]
    assert len(held) == 20 == len({run.index for run in held})
    assert {run.kind for run in held} == {"lookup"}
    assert min(run.counted.all_luts for run in held) >= 50
    path = tmp_path / "runs.json"
    write_runs(runs, path)
    assert read_runs(path) == runs
    prices = fitted_prices(runs)
    assert {kind: found["cells"] for kind, found in prices.items() if found["cells"]} == {
        "lookup": 10, "fork": 6,
    }  # fmt: skip
    assert prices["add"]["lut"] == {k: v for k, v in estimatefit.ROUGH_LUT.items() if v}
    (row,) = residual_rows(runs)
    assert (row["kind"], row["cells"], row["dsp_wrong"]) == ("lookup", 20, 0)
    assert (row["lut_median_percent"], row["lut_worst_percent"]) == (0, 0)
    ff = [run.counted.ff for run in held]
    assert row["ff_worst_percent"] == round(100 * 10 / min(ff), 2)


def test_main_writes_the_next_version(counted, tmp_path, monkeypatch):
    runs = measured_runs(tmp_path, tmp_path, ["fork"], lambda _: None)
    monkeypatch.setattr(estimatefit, "read_runs", lambda: runs)
    package = tmp_path / "estimate"
    package.mkdir()
    monkeypatch.setattr(estimatefit.hw.estimate, "__file__", str(package / "__init__.py"))
    assert estimatefit.main([]) == 0
    found = json.loads((package / "coefficients.json").read_text())
    assert found["version"] == coefficients_version() + 1
    assert found["kinds"]["fork"]["cells"] == 6
    assert {price_kind(kind) for kind in KINDS} < set(found["kinds"])


def test_data_that_is_not_there(tmp_path):
    path = tmp_path / "runs.json"
    with pytest.raises(InputFileError) as caught:
        read_runs(path)
    assert str(caught.value).endswith("; make it with python -m reports.bench.estimatefit")


def test_data_of_an_estimate_that_is_wrong():
    cell = drawn_cell("add", HELD_OUT_SEED, 0)
    found = resources(cell, weights=False)
    run = Run("add", HELD_OUT_SEED, 0, found + Resources(dsp=1, uram=2))
    (row,) = residual_rows([run])
    assert (row["dsp_wrong"], row["uram_wrong"], row["bram18_wrong"]) == (1, 1, 0)


def test_kept_data_and_the_goal():
    if not RUNS.is_file():
        pytest.skip(f"{RUNS.name} is absent; python -m reports.bench.estimatefit FOLDER writes it")
    rows = residual_rows(read_runs())
    for row in rows:
        assert row["cells"] == 20, row
        assert row["lut_smallest"] >= 50, row
        assert row["lut_median_percent"] <= 10, row
        assert row["lut_worst_percent"] <= 25, row
        assert row["ff_median_percent"] <= 10, row
        assert row["ff_worst_percent"] <= 25, row
        assert row["dsp_wrong"] == row["bram18_wrong"] == row["uram_wrong"] == 0, row
    lacking = set(KINDS) - {"fork"} - {row["kind"] for row in rows}
    if lacking:
        pytest.skip(
            f"{RUNS.name} lacks held-out cells of {', '.join(sorted(lacking))}; "
            "python -m reports.bench.estimatefit FOLDER adds them"
        )
