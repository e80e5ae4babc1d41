# SPDX-License-Identifier: Apache-2.0
"""QuantRecord and Schedule: plain facts, JSON and back, read-only."""

import json
import re
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from quant.bundle import Bundle
from quant.errors import BundleError, PlanError
from quant.record import QuantRecord
from quant.schedule import Folding, Schedule


def test_record_to_json_and_back(sample_bundle: Bundle) -> None:
    record = sample_bundle.record
    assert QuantRecord.from_json(json.loads(json.dumps(record.to_json()))) == record


@pytest.mark.parametrize(
    "spoil",
    [
        lambda v: v.pop("notes"),
        lambda v: v.update(extra=1),
        lambda v: v["layers"][0].update(extra=1),
        lambda v: v["layers"][0].pop("name"),
    ],
)
def test_malformed_record(sample_bundle: Bundle, spoil: Any) -> None:
    value = json.loads(json.dumps(sample_bundle.record.to_json()))
    spoil(value)
    with pytest.raises(BundleError, match=r"^quantization record is malformed: [^\n]+$"):
        QuantRecord.from_json(value)


def test_records_are_frozen(sample_bundle: Bundle) -> None:
    with pytest.raises(FrozenInstanceError):
        sample_bundle.record.model = "x"  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        sample_bundle.record.layers[0].sqnr_db = 1.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("folding", "text"),
    [
        ((0, 1, 1), "folding PE=0 SIMD=1 pixels=1 must be >= 1"),
        ((1, -2, 1), "folding PE=1 SIMD=-2 pixels=1 must be >= 1"),
        ((1, 1, 0), "folding PE=1 SIMD=1 pixels=0 must be >= 1"),
    ],
)
def test_impossible_folding(folding: tuple[int, int, int], text: str) -> None:
    with pytest.raises(PlanError, match=f"^{re.escape(text)}$"):
        Folding(*folding)


def test_schedules_keep_their_own_read_only_mappings() -> None:
    folding = {"conv": Folding(4, 2)}
    schedule = Schedule("d" * 64, 200_000_000, folding, {("a", "b"): 16}, {"conv.weights": "block"})
    folding.clear()
    assert schedule.folding["conv"] == Folding(4, 2, 1, "plain_lut")
    assert schedule.fifo_depth["a", "b"] == 16
    for mapping in (schedule.folding, schedule.fifo_depth, schedule.memory):
        with pytest.raises(TypeError):
            mapping["x"] = 1  # type: ignore[index]
