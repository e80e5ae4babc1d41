# SPDX-License-Identifier: Apache-2.0
"""The lookup cell in Verilator: codes of the golden model, cycles of its token-level model."""

import numpy as np
import pytest

from hw.lookup import lookup_cell
from quant.errors import PlanError
from quant.nodes import Lookup
from quant.samples import sample_codes, sample_format
from quant.schedule import Folding
from sim.golden import golden_node

CASES = {
    # name: shape, lanes, bits of the input, bits of the output
    "one lane": ((3, 4, 5), 1, 4, 4),
    "all lanes": ((6, 3, 5), 6, 8, 8),
    "wider": ((4, 3, 4), 2, 5, 7),
    "narrower": ((4, 2, 3), 4, 8, 3),
}


def make(name):
    shape, lanes, bits, out_bits = CASES[name]
    rng = np.random.default_rng(len(name))
    table = rng.integers(0, 1 << out_bits, 1 << bits)
    node = Lookup("bend", "x", table, sample_format(shape[0], out_bits))
    source = sample_format(shape[0], bits)
    return node, source, lookup_cell(node, shape, source, Folding(lanes, lanes), "bend_")


@pytest.mark.rtl
@pytest.mark.parametrize("name", CASES)
def test_bit_exact_and_on_time(name, cell_device):
    node, source, cell = make(name)
    frames = sample_codes(3, (3, *cell.inputs[0].shape), source.bits)
    frames[1].reshape(-1)[:2] = 0, (1 << source.bits) - 1
    expected = golden_node(node, [source], [frames])
    device = cell_device(cell)
    device.check(expected, frames)
    device.check_places(frames)


@pytest.mark.rtl
def test_every_entry_is_read(cell_device):
    table = np.arange(255, -1, -1)
    node = Lookup("bend", "x", table, sample_format(4, 8))
    source = sample_format(4, 8)
    frames = np.arange(256).reshape(1, 4, 8, 8)
    cell = lookup_cell(node, (4, 8, 8), source, Folding(4, 4), "")
    _, codes = cell_device(cell).run(frames)
    assert np.array_equal(codes, 255 - frames)


def test_lanes_that_do_not_divide_are_refused():
    node, source, _ = make("one lane")
    with pytest.raises(PlanError) as error:
        lookup_cell(node, (3, 4, 5), source, Folding(2, 2), "")
    assert str(error.value) == (
        "'bend' has 3 channels, not a multiple of PE=2; divisors near 2: 1, 3"
    )
