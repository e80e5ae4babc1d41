# SPDX-License-Identifier: Apache-2.0
"""What the headers of the cells say is true: golden functions exist, latencies are the models'."""

import importlib
import re

import pytest

from hw import add, avgpool, concat, edges, geometry, lookup, maxpool, requantize, split, upsample
from hw.conv import rtl_sources
from hw.cores import core_latency

HEADERS = {path.stem: path.read_text().split("`default_nettype none")[0] for path in rtl_sources()}
MODULES = sorted(name for name, text in HEADERS.items() if "// Golden:" in text)
LATENCIES = {
    "nf_add": f"{add.LATENCY} cycles.",
    "nf_avgpool": (
        "from the last tap of a window's beat to its output beat "
        f"{avgpool.WINDOW_LATENCY} + Lanes/RequantLanes cycles."
    ),
    # A step takes Lanes/RequantLanes cycles; the model counts from the last of them.
    "nf_globalpool": (
        f"{avgpool.SUM_LATENCY} cycles from a beat of the last pixel to its sum, "
        f"{avgpool.MEAN_LATENCY - 1} + Lanes/RequantLanes cycles from there to the output beat."
    ),
    "nf_concat": f"{concat.LATENCY} cycle.",
    "nf_conv": (
        "from the last tap of a fold to its codes "
        f"{geometry.FIXED_LATENCY + core_latency('plain_lut', 1, 1)} "
        "+ $clog2(Simd) + Pe/RequantLanes + (1 with a table)"
    ),
    "nf_lookup": f"{lookup.LATENCY} cycles.",
    "nf_maxpool": f"{maxpool.PASS_LATENCY} cycles per pass",
    "nf_maxpool_pass": f"{maxpool.PASS_LATENCY} cycles from the last tap",
    "nf_requantize": f"{requantize.LATENCY} cycles.",
    "nf_split": f"{split.LATENCY} cycle.",
    "nf_stream_fifo": (
        'from a beat taken to the same beat offered, when empty: "shift" and "distributed" '
        f'1 cycle; "block" and "ultra" {edges.BLOCK_LATENCY} cycles'
    ),
    "nf_upsample": f"{upsample.LATENCY} cycles from the step",
}


def field(name, key):
    """Return the text of one field of a module's header, its lines joined."""
    text = re.sub(r"\n// +", " ", HEADERS[name])
    found = re.search(rf" {key}: +(.*?)(?= [A-Z][a-z-]+: |$)", text, re.DOTALL)
    assert found is not None, f"{name} has no field {key}"
    return found[1].strip()


@pytest.mark.parametrize("name", MODULES)
def test_golden_functions_exist(name):
    golden = field(name, "Golden")
    if golden.startswith("none; "):
        return
    paths = re.findall(r"sim\.[\w.]*\w", golden)
    assert paths
    for path in paths:
        parts = path.split(".")
        try:
            importlib.import_module(path)
        except ModuleNotFoundError:
            assert callable(getattr(importlib.import_module(".".join(parts[:-1])), parts[-1]))


@pytest.mark.parametrize("name", LATENCIES)
def test_latencies_are_those_of_the_models(name):
    assert field(name, "Latency").startswith(LATENCIES[name])
