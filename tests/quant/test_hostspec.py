# SPDX-License-Identifier: Apache-2.0
"""HostSpec: legal values, JSON and back, and every refusal."""

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from quant.bundle import Bundle
from quant.errors import GraphError
from quant.hostspec import HostSpec


def refused(message: str) -> "pytest.RaisesExc[GraphError]":
    return pytest.raises(GraphError, match=f"^{re.escape(message)}$")


@pytest.fixture
def host(sample_bundle: Bundle) -> HostSpec:
    return sample_bundle.host


def test_json_and_back(host: HostSpec) -> None:
    assert HostSpec.from_json(json.loads(json.dumps(host.to_json()))) == host


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"height": 0}, "host input size 0x20 must be at least 1x1"),
        ({"width": -3}, "host input size 16x-3 must be at least 1x1"),
        ({"pad_value": 256}, "host pad_value 256 must be a byte, 0..255"),
        ({"pad_value": -1}, "host pad_value -1 must be a byte, 0..255"),
        (
            {"std": (1.0, 0.0, 1.0)},
            "host std (1.0, 0.0, 1.0) must be positive in every channel",
        ),
        ({"strides": (8, 16)}, "host spec has 2 strides for 1 output scales"),
        (
            {"anchors": ()},
            "host spec has 0 anchor sets for 1 scales; yolov5 needs one per scale",
        ),
    ],
)
def test_refusals(host: HostSpec, change: dict[str, Any], message: str) -> None:
    with refused(message):
        replace(host, **change)


@pytest.mark.parametrize("decode", ["yolox", "classify", "none"])
def test_anchors_are_needed_only_where_they_are_read(host: HostSpec, decode: Any) -> None:
    assert replace(host, decode=decode, anchors=()).anchors == ()


def test_malformed_json(host: HostSpec) -> None:
    value = host.to_json()
    del value["strides"]
    with refused("host spec is malformed: 'strides'; quantize the model again"):
        HostSpec.from_json(value)
    with pytest.raises(GraphError, match=r"^host spec is malformed: .*'zoom'.*; quantize"):
        HostSpec.from_json({**host.to_json(), "zoom": 1})
