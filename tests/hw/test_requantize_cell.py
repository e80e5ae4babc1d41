# SPDX-License-Identifier: Apache-2.0
"""The requantize cell in Verilator: codes of the golden model, cycles of its token-level model."""

import numpy as np
import pytest

from hw.requantize import requantize_cell
from quant.errors import PlanError
from quant.nodes import Requantize, Requantizer
from quant.samples import sample_codes, sample_format
from quant.schedule import Folding
from sim.golden import golden_node

CASES = {
    # name: shape, lanes, (bits, zero code, codebook), (multiplier, shift, zero, low, high, bits)
    "narrowing": ((6, 4, 3), 2, (8, 77, False), (80000, 19, 7, 0, 15, 4)),
    "widening": ((4, 3, 5), 4, (4, 5, False), (130000, 12, 100, 0, 255, 8)),
    "codebook": ((4, 4, 4), 2, (4, 3, True), (100001, 16, 12, 8, 29, 5)),
    "vanishing": ((2, 3, 3), 1, (6, 9, False), (0, 1, 33, 0, 63, 6)),
    "largest shift": ((2, 3, 3), 2, (8, 128, True), (131071, 47, 1, 0, 1, 1)),
    "smallest shift": ((2, 8, 8), 1, (8, 128, False), (65536, 1, 40000, 0, 65535, 16)),
}


def make(name):
    shape, lanes, (bits, zero, codebook), (m, s, zero_out, low, high, out_bits) = CASES[name]
    source = sample_format(shape[0], bits, codebook=codebook, zero=zero)
    requant = Requantizer(np.array([m]), np.array([s]), np.array([zero_out]), low, high, out_bits)
    node = Requantize("scale", "x", requant, sample_format(shape[0], out_bits, zero=zero_out))
    return node, source, requantize_cell(node, shape, source, Folding(lanes, lanes), "scale_")


@pytest.mark.rtl
@pytest.mark.parametrize("name", CASES)
def test_bit_exact_and_on_time(name, cell_device):
    node, source, cell = make(name)
    frames = sample_codes(3, (3, *cell.inputs[0].shape), source.bits)
    frames[1].reshape(-1)[:2] = 0, (1 << source.bits) - 1
    expected = golden_node(node, [source], [frames])
    if name in ("narrowing", "widening", "codebook", "smallest shift"):
        assert {node.requant.low, node.requant.high} <= set(expected.reshape(-1).tolist())
    device = cell_device(cell)
    device.check(expected, frames)
    device.check_places(frames)


@pytest.mark.rtl
def test_ties_round_towards_plus_infinity(cell_device):
    source = sample_format(1, 8, zero=128)
    requant = Requantizer(np.array([1 << 16]), np.array([17]), np.array([64]), 0, 127, 7)
    node = Requantize("scale", "x", requant, sample_format(1, 7, zero=64))
    frames = np.arange(256).reshape(1, 1, 16, 16)
    cell = requantize_cell(node, (1, 16, 16), source, Folding(1, 1), "")
    _, codes = cell_device(cell).run(frames)
    halves = [64 + (q - 128 + 1) // 2 for q in range(256)]
    assert codes.reshape(-1).tolist() == [min(max(code, 0), 127) for code in halves]


def test_unequal_lanes_are_refused():
    node, source, _ = make("narrowing")
    with pytest.raises(PlanError) as error:
        requantize_cell(node, (6, 4, 3), source, Folding(2, 3), "")
    assert str(error.value) == (
        "'scale' is planned with PE=2 and SIMD=3; its cell reads and writes beats of as many "
        "channels; set them equal"
    )
