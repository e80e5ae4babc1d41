# SPDX-License-Identifier: Apache-2.0
"""The concatenation cell in Verilator: codes of the golden model, cycles of its token model."""

import numpy as np
import pytest

from hw.concat import concat_cell
from quant.errors import PlanError
from quant.nodes import Concat
from quant.samples import sample_codes, sample_format
from quant.schedule import Folding
from sim.golden import golden_node

CASES = {
    # name: channels of the sources, (H, W), lanes, bits
    "two equal": ((4, 4), (3, 4), 2, 4),
    "two whole pixels": ((3, 3), (4, 5), 3, 5),
    "unequal": ((2, 8), (3, 4), 2, 8),
    "seven": ((1, 3, 2, 1, 5, 1, 4), (2, 3), 1, 4),
    "four, codes of 16 bits": ((8, 4, 4, 12), (3, 2), 4, 16),
}


def make(name):
    counts, size, lanes, bits = CASES[name]
    node = Concat("cat", tuple(f"x{k}" for k in range(len(counts))))
    sources = [sample_format(c, bits) for c in counts]
    shapes = [(c, *size) for c in counts]
    return node, sources, concat_cell(node, shapes, sources, Folding(lanes, lanes), "cat_")


@pytest.mark.rtl
@pytest.mark.parametrize("name", CASES)
def test_bit_exact_and_on_time(name, cell_device):
    node, sources, cell = make(name)
    frames = [
        sample_codes(seed, (3, *stream.shape), stream.bits)
        for seed, stream in enumerate(cell.inputs)
    ]
    for codes, stream in zip(frames, cell.inputs, strict=True):
        codes[1].reshape(-1)[:2] = 0, (1 << stream.bits) - 1
    expected = golden_node(node, sources, frames)
    assert cell.output.shape == expected.shape[1:]
    device = cell_device(cell)
    device.check(expected, *frames)
    device.check_places(*frames)


def test_lanes_must_divide_every_source():
    node, sources, _ = make("unequal")
    with pytest.raises(PlanError) as error:
        concat_cell(node, [(2, 3, 4), (8, 3, 4)], sources, Folding(4, 4), "")
    assert str(error.value) == ("'cat' has 2 channels, not a multiple of PE=4; divisors near 4: 2")


def test_the_model_reads_the_sources_in_turn():
    _, _, cell = make("unequal")
    first, second = cell.stages[0].ports
    assert first.needed[:6].tolist() == [1, 1, 1, 1, 1, 2]
    assert second.needed[:6].tolist() == [0, 1, 2, 3, 4, 4]
    assert np.all(cell.stages[0].emits)
