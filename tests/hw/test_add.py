# SPDX-License-Identifier: Apache-2.0
"""The addition cell in Verilator: codes of the golden model, cycles of its token-level model."""

import numpy as np
import pytest

from hw.add import add_cell
from quant.errors import PlanError
from quant.nodes import Add
from quant.samples import sample_codes, sample_format
from quant.schedule import Folding
from sim.golden import golden_node

CASES = {
    # name: shape, lanes, (bits, zero code, codebook) of both inputs, multipliers, shift,
    #       (low, high, zero, bits)
    "plain": ((4, 4, 5), 2, (4, 5, False), (4, 9, False), (70000, 41234), 16, (0, 15, 6, 4)),
    "bits differ": ((6, 3, 4), 6, (8, 100, False), (4, 2, False), (3, 131071), 12, (5, 250, 9, 8)),
    "codebooks": ((3, 4, 4), 1, (4, 3, True), (6, 20, True), (65536, 30001), 15, (0, 60, 20, 6)),
    "one codebook": ((4, 3, 3), 4, (4, 8, False), (4, 8, True), (99999, 80001), 17, (1, 14, 8, 4)),
    "one multiplier 0": (
        (2, 3, 5),
        2,
        (5, 0, False),
        (5, 31, False),
        (0, 65536),
        16,
        (0, 31, 31, 5),
    ),
    "largest shift": (
        (2, 2, 3),
        1,
        (8, 0, True),
        (8, 255, False),
        (131071, 131071),
        47,
        (0, 3, 1, 2),
    ),
    "smallest shift": (
        (2, 4, 3),
        2,
        (8, 0, False),
        (8, 255, True),
        (131071, 65536),
        1,
        (0, 65535, 9, 16),
    ),
}


def make(name):
    shape, lanes, *inputs, multipliers, shift, (low, high, zero, bits) = CASES[name]
    sources = [sample_format(shape[0], b, codebook=c, zero=z) for b, z, c in inputs]
    output = sample_format(shape[0], bits, zero=zero)
    node = Add("sum", ("x", "y"), multipliers, shift, low, high, output)
    return node, sources, add_cell(node, [shape, shape], sources, Folding(lanes, lanes), "sum_")


@pytest.mark.rtl
@pytest.mark.parametrize("name", CASES)
def test_bit_exact_and_on_time(name, cell_device):
    node, sources, cell = make(name)
    frames = [
        sample_codes(seed, (3, *cell.output.shape), source.bits)
        for seed, source in enumerate(sources)
    ]
    # Both lowest, both highest, and one against the other.
    for k, corners in enumerate(((0, 1, 0, 1), (0, 1, 1, 0))):
        frames[k][1].reshape(-1)[:4] = np.array(corners) * ((1 << sources[k].bits) - 1)
    expected = golden_node(node, sources, frames)
    if name != "largest shift":
        assert {node.low, node.high} <= set(expected.reshape(-1).tolist())
    device = cell_device(cell)
    device.check(expected, *frames)
    device.check_places(*frames)


@pytest.mark.rtl
def test_every_pair_of_codes_with_ties_and_negative_sums(cell_device):
    """Equal multipliers of half a code: every odd sum is a tie, half of the sums are negative."""
    source = sample_format(1, 4, zero=8)
    node = Add("sum", ("x", "y"), (65536, 65536), 17, 0, 31, sample_format(1, 5, zero=16))
    left, right = (side.reshape(1, 1, 16, 16) for side in np.mgrid[:16, :16])
    cell = add_cell(node, [(1, 16, 16)] * 2, [source] * 2, Folding(1, 1), "")
    _, codes = cell_device(cell).run(left, right)
    assert np.array_equal(codes, 16 + (left + right - 16 + 1) // 2)


def test_lanes_that_do_not_divide_are_refused():
    node, sources, _ = make("plain")
    with pytest.raises(PlanError) as error:
        add_cell(node, [(4, 4, 5)] * 2, sources, Folding(3, 3), "")
    assert str(error.value) == (
        "'sum' has 4 channels, not a multiple of PE=3; divisors near 3: 2, 4"
    )
