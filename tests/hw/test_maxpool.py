# SPDX-License-Identifier: Apache-2.0
"""The max pool cell in Verilator: codes of the golden model, cycles of its token-level model."""

import pytest

from hw.maxpool import maxpool_cell
from quant.errors import PlanError
from quant.nodes import MaxPool
from quant.samples import sample_codes, sample_format
from quant.schedule import Folding
from sim.golden import golden_node

FRAMES = 4

CASES = {
    # name: kernel, stride, padding, (C, H, W), lanes, bits
    "k2 s2 odd": ((2, 2), (2, 2), (0, 0, 0, 0), (6, 7, 9), 6, 8),
    "k3 s2 p1": ((3, 3), (2, 2), (1, 1, 1, 1), (4, 9, 8), 1, 5),
    "k5 s1 p2": ((5, 5), (1, 1), (2, 2, 2, 2), (4, 6, 7), 4, 4),
    "k13 on a small plane": ((13, 13), (1, 1), (6, 6, 6, 6), (2, 5, 4), 2, 4),
    "asymmetric": ((3, 4), (1, 2), (2, 0, 1, 3), (3, 5, 6), 3, 7),
    "columns only": ((3, 1), (2, 1), (1, 0, 0, 0), (4, 6, 3), 2, 4),
    "stride only": ((1, 1), (3, 2), (0, 0, 0, 0), (2, 7, 5), 1, 4),
    "stride beyond kernel": ((1, 2), (4, 1), (0, 0, 0, 1), (2, 9, 4), 2, 16),
    "nothing": ((1, 1), (1, 1), (0, 0, 0, 0), (4, 3, 3), 2, 4),
    "one pixel": ((3, 3), (1, 1), (1, 1, 1, 1), (2, 1, 1), 1, 4),
}


def make(name):
    kernel, stride, padding, shape, lanes, bits = CASES[name]
    node = MaxPool("pool", "x", kernel, stride, padding)
    source = sample_format(shape[0], bits, zero=3)
    return node, source, maxpool_cell(node, shape, source, Folding(lanes, lanes), "pool_")


def frames_of(shape, bits):
    """Return different frames, corner values among them: all lowest, all highest."""
    frames = sample_codes(5, (FRAMES, *shape), bits)
    frames[1] = (1 << bits) - 1
    frames[2] = 0
    return frames


@pytest.mark.rtl
@pytest.mark.parametrize("name", CASES)
def test_bit_exact_on_time_and_as_deep_as_planned(name, cell_device):
    node, source, cell = make(name)
    device = cell_device(cell)
    frames = frames_of(cell.inputs[0].shape, source.bits)
    expected = golden_node(node, [source], [frames])
    assert cell.output.shape == expected.shape[1:]
    device.check(expected, frames)
    device.check_places(frames)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "size", "interval"),
    [
        # YOLO's pyramids at a quarter of their size: as many cycles as taps, all lanes at work.
        (5, 1, 2, 20, 20 * 20 * 5),
        (9, 1, 4, 20, 20 * 20 * 9),
        (13, 1, 6, 20, 20 * 20 * 13),
        # Halving keeps up with one beat per cycle; 3x3 takes one and a half.
        (2, 2, 0, 16, 16 * 16),
        (3, 2, 1, 16, 16 * 16 * 3 // 2),
    ],
)
def test_passes_run_at_their_own_pace(kernel, stride, padding, size, interval, process_times):
    node = MaxPool("pool", "x", (kernel, kernel), (stride, stride), (padding,) * 4)
    cell = maxpool_cell(node, (1, size, size), sample_format(1, 4), Folding(1, 1), "")
    _, given = process_times(cell.stages, 4)
    assert given[-1] - given[-1 - cell.output.beats] == interval


def test_buffers_hold_lines_of_the_narrower_picture():
    cell = make("k3 s2 p1")[2]
    assert cell.output.shape == (4, 5, 4)
    assert cell.parameters["RowPixels"] == 3 + 2
    # Two lines of 4 pixels, the pixel that comes, and the one that the next window needs.
    assert cell.parameters["ColumnPixels"] == 2 * 4 + 1 + 1
    wide = maxpool_cell(
        MaxPool("pool", "x", (13, 13), (1, 1), (6, 6, 6, 6)),
        (8, 20, 20),
        sample_format(8, 4),
        Folding(4, 4),
        "",
    )
    assert [stage.ports[0].capacity for stage in wide.stages] == [2 * 14, 2 * (12 * 20 + 2)]


def test_refuses_lanes_that_do_not_divide():
    node = MaxPool("pool", "x", (2, 2), (2, 2), (0, 0, 0, 0))
    with pytest.raises(PlanError) as caught:
        maxpool_cell(node, (6, 4, 4), sample_format(6, 4), Folding(4, 4), "")
    assert str(caught.value) == (
        "'pool' has 6 channels, not a multiple of PE=4; divisors near 4: 3, 6"
    )
