# SPDX-License-Identifier: Apache-2.0
"""The upsampling cell in Verilator: codes of the golden model, cycles of its token-level model."""

import pytest

from hw.upsample import upsample_cell
from quant.errors import PlanError
from quant.nodes import Upsample
from quant.samples import sample_codes, sample_format
from quant.schedule import Folding
from sim.golden import golden_node

FRAMES = 4

CASES = {
    # name: factor, (C, H, W), lanes, bits
    "x2": (2, (8, 3, 4), 2, 4),
    "x2, all lanes": (2, (4, 4, 5), 4, 8),
    "x3, odd": (3, (6, 3, 5), 2, 5),
    "x4, serial": (4, (3, 2, 3), 1, 16),
    "one column": (2, (6, 3, 1), 2, 4),
    "one beat": (2, (4, 1, 1), 4, 4),
}


def make(name):
    factor, shape, lanes, bits = CASES[name]
    node, source = Upsample("up", "x", factor), sample_format(shape[0], bits, zero=3)
    return node, source, upsample_cell(node, shape, source, Folding(lanes, lanes), "up_")


@pytest.mark.rtl
@pytest.mark.parametrize("name", CASES)
def test_bit_exact_on_time_and_as_deep_as_planned(name, cell_device):
    node, source, cell = make(name)
    device = cell_device(cell)
    frames = sample_codes(5, (FRAMES, *cell.inputs[0].shape), source.bits)
    frames[1] = (1 << source.bits) - 1
    frames[2] = 0
    expected = golden_node(node, [source], [frames])
    assert cell.output.shape == expected.shape[1:]
    device.check(expected, frames)
    device.check_places(frames)


@pytest.mark.parametrize("name", CASES)
def test_gives_a_beat_every_cycle(name, process_times):
    _, given = process_times(make(name)[2].stages, 4)
    assert given[-1] - given[0] == given.size - 1


def test_holds_one_row():
    cell = make("x2")[2]
    assert cell.stages[0].ports[0].capacity == 4 * 4
    assert make("one beat")[2].stages[0].ports[0].capacity == 2


def test_refuses_lanes_that_do_not_divide():
    with pytest.raises(PlanError) as caught:
        upsample_cell(Upsample("up", "x", 2), (6, 4, 4), sample_format(6, 4), Folding(4, 4), "")
    assert str(caught.value) == "'up' has 6 channels, not a multiple of PE=4; divisors near 4: 3, 6"
