# SPDX-License-Identifier: Apache-2.0
"""Convolution cells with packed cores: every code and the cycle of every beat."""

import dataclasses

import numpy as np
import pytest

from hw.conv_cell import conv_cell
from quant.formats import TensorFormat
from quant.nodes import Conv
from quant.samples import sample_codes, sample_conv
from quant.schedule import Core, Folding
from quant.weights import Granularity
from sim.golden import run_conv

FRAMES = 3

# Arguments of sample_conv, options, picture, PE and SIMD; names say what is special.
LAYERS: dict[str, tuple[Core, tuple[object, ...], dict[str, object], tuple[int, int], int, int]] = {
    "outer4": ("outer4", (8, 8, 1, 1, 0), {"codebook": True}, (5, 6), 4, 4),
    "outer4 affine, odd, filled": (
        "outer4",
        (8, 6, 3, 2),
        {"scheme": "affine", "table": True},
        (7, 9),
        4,
        2,
    ),
    "pack6 affine, odd": ("pack6", (8, 8), {"scheme": "affine"}, (5, 7), 4, 4),
    "pack6 filled": ("pack6", (8, 6), {"table": True}, (4, 6), 4, 2),
    "w4a8": ("w4a8", (4, 6), {"act_bits": 8, "scheme": "affine"}, (4, 5), 3, 4),
    "pack12": ("pack12", (4, 8), {"table": True}, (5, 7), 4, 2),
    "pack12 affine, even": ("pack12", (4, 4, 3, (2, 1)), {"scheme": "affine"}, (5, 8), 2, 2),
}


def narrowed(node: Conv) -> Conv:
    """Return the layer without the lowest weight code, which pack12's word has no room for."""
    codes = np.maximum(node.weights.codes, 1)
    return dataclasses.replace(node, weights=dataclasses.replace(node.weights, codes=codes))


def layer(name: str) -> tuple[Conv, TensorFormat, tuple[int, int, int], Folding]:
    core, arguments, options, size, pe, simd = LAYERS[name]
    whole = {"act_bits": 4, "granularity": Granularity.FILTER, "scheme": "symmetric"} | options
    node, source = sample_conv(11, *arguments, **whole)
    if core == "pack12":
        node = narrowed(node)
    return node, source, (arguments[0], *size), Folding(pe, simd, core=core)


@pytest.mark.rtl
@pytest.mark.parametrize("name", LAYERS)
def test_every_beat_in_its_cycle(name, cell_device):
    node, source, shape, folding = layer(name)
    cell = conv_cell(node, shape, source, folding, "dut_")
    device = cell_device(cell)
    frames = sample_codes(3, (FRAMES, *shape), source.bits)
    frames[0, :, : shape[1] // 2] = (1 << source.bits) - 1  # extremes, and borders beside them
    expected, _ = run_conv(node, source, frames)
    assert len(np.unique(expected)) > 4
    device.check(expected, frames)
