# SPDX-License-Identifier: Apache-2.0
"""Rows of the bench of schemes and granularities, with a synthesis that counts nothing."""

import json

import pytest

import reports.bench.groupcost as groupcost
from quant.weights import Granularity


@pytest.fixture
def asked(monkeypatch):
    calls = []

    def synthesise(_folder, files, top, flow):
        dsp = "-nodsp" not in flow
        calls.append((sorted(files), top, dsp))
        return {"LUT6": 10 + dsp, "RAM32M16": 2, "FDRE": 20 + dsp, "DSP48E2": 3 * dsp}

    monkeypatch.setattr(groupcost, "synthesise", synthesise)
    return calls


def test_row_of_a_pair(asked):
    row = groupcost.pair_row("affine", Granularity.C_SHAPE)
    groups = 64 * 9
    # Codes, multipliers of 6 bits and selectors of 4, tables of 16 entries of 5 bits, at least.
    least = 4 + (groups * 10) / (groups * 64)
    assert least < row["stored_bits_per_weight"] < least + 0.05
    assert (row["multiplier_bits"], row["cores_a4"], row["cores_a8"]) == (6, "outer4", "")
    assert (row["lut_without_dsp"], row["ff_without_dsp"]) == (10, 20)
    assert (row["lut"], row["ff"], row["dsp"], row["lutram"]) == (11, 21, 3, 2)
    # 4 output folds of 9 kernel positions times 2 channel folds; 11 + 2 + 2 + 3 steps.
    assert (row["cycles_per_pixel"], row["latency_cycles"]) == (72, 18)
    assert [(top, dsp) for _, top, dsp in asked] == [("dut", False), ("dut", True)]
    assert {"dut.sv", "nf_part_sum.sv", "factor.mem"} <= set(asked[0][0])


def test_every_pair_has_a_row(asked, tmp_path):
    file = tmp_path / "pairs.json"
    assert groupcost.main(["--json", str(file)]) == 0
    rows = json.loads(file.read_text())["pairs"]
    assert [(r["scheme"], r["granularity"]) for r in rows] == [
        (s, g) for s in ("affine", "symmetric", "pwlq") for g in Granularity
    ]
    assert all(set(r) == set(rows[0]) for r in rows)
