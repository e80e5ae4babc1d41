# SPDX-License-Identifier: Apache-2.0
"""Rows of the bench of schemes and granularities, with a synthesis that counts nothing."""

import json

import numpy as np
import pytest

import reports.bench.groupcost as groupcost
from hw.estimate.primitives import Resources
from quant.weights import Granularity
from reports.bench import granularity
from reports.bench.granularity import SCHEMES
from reports.bench.runner import Runner


@pytest.fixture
def asked(monkeypatch):
    calls = []

    def synthesise_cells(_folder, cells):
        calls.append(cells)
        # Products in logic, products in blocks, no decoding, no group multipliers.
        counts = [(900, 90, 1), (500, 80, 11), (440, 70, 11), (410, 50, 9)]
        return [Resources(lut=lut, ff=ff, dsp=dsp, lutram_luts=2) for lut, ff, dsp in counts]

    monkeypatch.setattr(groupcost, "synthesise_cells", synthesise_cells)
    return calls


def test_row_of_a_pair(asked):
    row = groupcost.pair_row("affine", Granularity.C_SHAPE)
    groups = 64 * 9
    # Codes, multipliers of 6 bits and selectors of 4, tables of 16 entries of 5 bits, at least.
    least = 4 + (groups * 10) / (groups * 64)
    assert least < row["stored_bits_per_weight"] < least + 0.05
    assert (row["multiplier_bits"], row["operand_bits"]) == (6, 5)
    assert (row["cores_a4"], row["mac_per_dsp_a4"]) == ("outer4", 4)
    assert (row["cores_a8"], row["mac_per_dsp_a8"]) == ("", 1)
    assert (row["lut_without_dsp"], row["ff_without_dsp"]) == (900, 90)
    assert (row["lut"], row["ff"], row["dsp"], row["lutram"]) == (500, 80, 11, 2)
    assert (row["decode_lut"], row["decode_ff"]) == (60, 10)
    assert (row["factor_lut"], row["factor_ff"], row["factor_dsp"]) == (30, 20, 2)
    # 4 output folds of 9 kernel positions times 2 channel folds.
    assert row["cycles_per_pixel"] == 72
    cells = asked[0]
    assert [cell.parameters["UseDsp"] for cell in cells] == [0, 1, 1, 1]
    assert [cell.parameters["SelectBits"] > 0 for cell in cells] == [True, True, False, False]
    assert [cell.parameters["FactorBits"] for cell in cells] == [6, 6, 6, 0]
    # All of them multiply the same operands.
    assert {cell.parameters["OperandBits"] for cell in cells} == {5}


@pytest.mark.parametrize("scheme", list(SCHEMES))
@pytest.mark.parametrize("group", list(Granularity))
def test_decoded_weights_are_the_same_integers(scheme, group):
    weights = groupcost.quantized(scheme, group, 8)
    plain = groupcost.decoded(weights)
    assert np.array_equal(plain.integers(), weights.integers())
    assert plain.table_bits == weights.table_bits
    assert plain.tables.shape[0] == 1
    assert np.diff(plain.tables).tolist() == [[1] * ((1 << plain.bits) - 1)]


def test_one_pair_is_written(asked, tmp_path):
    file = tmp_path / "pair.json"
    arguments = ["--scheme", "pwlq", "--granularity", "f-shape", "--json", str(file)]
    assert groupcost.main(arguments) == 0
    row = json.loads(file.read_text())
    assert (row["scheme"], row["granularity"]) == ("pwlq", "f-shape")
    assert len(asked) == 1


def test_every_pair_has_a_row_and_is_measured_once(tmp_path, monkeypatch):
    calls = []

    def module(_self, name, *arguments, one_core):
        calls.append(arguments)
        assert (name, one_core) == ("reports.bench.groupcost", True)
        return {"scheme": arguments[1], "granularity": arguments[3]}

    monkeypatch.setattr(Runner, "module", module)
    runner = Runner(tmp_path, tmp_path, say=print)
    rows = granularity.run(runner)
    assert [(r["scheme"], r["granularity"]) for r in rows] == [
        (s, g) for s in ("affine", "symmetric", "pwlq") for g in Granularity
    ]
    assert granularity.run(runner) == rows
    assert len(calls) == 15
