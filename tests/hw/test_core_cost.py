# SPDX-License-Identifier: Apache-2.0
"""Costs of cores: the measured figures, and what they count."""

import json
from importlib.resources import files

import pytest

from hw.core_cost import LUT_PER_MAC, core_cost, core_luts
from hw.cores import MACS_PER_BLOCK, core_blocks, tap_macs


def test_figures_are_those_that_were_measured():
    text = (files("reports") / "results" / "packed.json").read_text(encoding="utf-8")
    measured = {row["name"]: row for row in json.loads(text)["cores"]}
    assert measured.keys() == LUT_PER_MAC.keys()
    for name, row in measured.items():
        assert LUT_PER_MAC[name] == row["lut_per_mac"]
        assert (MACS_PER_BLOCK[name] or None) == row["mac_per_dsp"]


@pytest.mark.parametrize(
    ("core", "macs", "blocks"),
    [
        ("plain_lut", 32, 0),
        ("plain_dsp", 32, 32),
        ("outer4", 64, 16),
        ("pack6", 192, 32),
        ("pack12", 384, 32),
        ("w4a8", 192, 64),
    ],
)
def test_products_and_blocks(core, macs, blocks):
    assert tap_macs(core, 4, 8) == macs
    assert core_blocks(core, 4, 8) == blocks
    luts = core_luts(core, 4, 8, 16)
    assert luts == LUT_PER_MAC[core] * macs
    assert core_cost(core, 4, 8, 16, 50) == round(luts + 50 * blocks)


def test_products_in_logic_grow_with_their_bits():
    assert core_luts("plain_lut", 4, 8, 32) == 2 * core_luts("plain_lut", 4, 8, 16)
    assert core_luts("pack6", 4, 8, 32) == core_luts("pack6", 4, 8, 16)
