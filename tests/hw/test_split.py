# SPDX-License-Identifier: Apache-2.0
"""The split cell in Verilator: codes of the golden model, cycles of its token-level model."""

import pytest

from hw.split import split_cell
from quant.errors import PlanError
from quant.nodes import Split
from quant.samples import sample_codes, sample_format
from quant.schedule import Folding
from sim.golden import golden_node

CASES = {
    # name: shape, begin, end, lanes, bits
    "lower half": ((8, 3, 4), 0, 4, 2, 4),
    "upper half": ((8, 3, 4), 4, 8, 4, 4),
    "middle": ((9, 4, 3), 3, 6, 1, 5),
    "one beat of five": ((10, 3, 3), 6, 8, 2, 8),
    "all": ((4, 3, 5), 0, 4, 2, 4),
    "all in one beat": ((4, 3, 5), 0, 4, 4, 4),
}


def make(name):
    shape, begin, end, lanes, bits = CASES[name]
    node = Split("slice", "x", begin, end)
    source = sample_format(shape[0], bits)
    return node, source, split_cell(node, shape, source, Folding(lanes, lanes), "slice_")


@pytest.mark.rtl
@pytest.mark.parametrize("name", CASES)
def test_bit_exact_and_on_time(name, cell_device):
    node, source, cell = make(name)
    frames = sample_codes(3, (3, *cell.inputs[0].shape), source.bits)
    frames[1].reshape(-1)[:2] = 0, (1 << source.bits) - 1
    expected = golden_node(node, [source], [frames])
    assert cell.output.shape == expected.shape[1:]
    device = cell_device(cell)
    device.check(expected, frames)
    device.check_places(frames)


@pytest.mark.parametrize(
    ("begin", "end", "message"),
    [
        (2, 8, "'slice' has 2 channels, not a multiple of PE=4; divisors near 4: 2"),
        (4, 6, "'slice' has 6 channels, not a multiple of PE=4; divisors near 4: 3, 6"),
    ],
)
def test_lanes_must_divide_both_ends(begin, end, message):
    node = Split("slice", "x", begin, end)
    with pytest.raises(PlanError) as error:
        split_cell(node, (8, 3, 4), sample_format(8, 4), Folding(4, 4), "")
    assert str(error.value) == message
