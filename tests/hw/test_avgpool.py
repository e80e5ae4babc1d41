# SPDX-License-Identifier: Apache-2.0
"""The average pool cells in Verilator: codes of the golden model, cycles of their models."""

import numpy as np
import pytest

from hw.avgpool import avgpool_cell
from quant.errors import PlanError
from quant.nodes import AvgPool, Requantizer
from quant.samples import sample_codes, sample_format
from quant.schedule import Folding
from sim.golden import golden_node

FRAMES = 4

CASES = {
    # name: kernel, stride, (C, H, W), lanes, bits in, bits out, codebook, zero code, real factor
    "2x2 s2": ((2, 2), (2, 2), (4, 6, 8), 2, 4, 4, False, 5, 1.3),
    "overlap, odd": ((3, 3), (2, 1), (6, 8, 5), 6, 8, 8, False, 0, 1.0),
    "2x5 codebook": ((2, 5), (2, 5), (4, 4, 10), 4, 6, 5, True, 9, 0.4),
    "stride beyond kernel": ((1, 2), (3, 4), (3, 7, 9), 1, 4, 8, False, 15, 7.5),
    "1x1 kernel": ((1, 1), (2, 2), (2, 5, 4), 2, 5, 4, False, 3, 0.5),
    "no multiplier": ((2, 2), (2, 2), (2, 4, 4), 2, 4, 4, False, 5, 0.0),
    "global": ((5, 7), (1, 1), (6, 5, 7), 2, 4, 8, False, 5, 8.0),
    "global, all lanes": ((3, 3), (3, 3), (8, 3, 3), 8, 8, 8, False, 120, 2.5),
    "global, codebook": ((4, 2), (1, 1), (6, 4, 2), 1, 5, 8, True, 3, 3.0),
    "global, one pixel": ((1, 1), (1, 1), (6, 1, 1), 2, 4, 4, False, 2, 1.0),
    "global, one beat": ((2, 1), (1, 1), (4, 2, 1), 4, 4, 4, False, 2, 1.0),
}


def requantizer(real, zero, bits):
    """Return the requantizer of one real factor, clipped above 0 and below the highest code."""
    mantissa, exponent = np.frexp(real)
    multiplier = round(float(mantissa) * (1 << 17))
    return Requantizer(
        np.array([multiplier], np.uint32),
        np.array([17 - exponent if multiplier else 1], np.uint8),
        np.array([zero], np.int32),
        1,
        (1 << bits) - 2,
        bits,
    )


def make(name):
    kernel, stride, shape, lanes, in_bits, out_bits, codebook, zero, real = CASES[name]
    source = sample_format(shape[0], in_bits, codebook=codebook, zero=zero)
    zero = 1 << out_bits >> 1
    output = sample_format(shape[0], out_bits, zero=zero)
    requant = requantizer(real / (kernel[0] * kernel[1]), zero, out_bits)
    node = AvgPool("mean", "x", kernel, stride, requant, output)
    return node, source, avgpool_cell(node, shape, source, Folding(lanes, lanes), "mean_")


def frames_of(shape, bits):
    """Return different frames, corner values among them: all highest, all lowest."""
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
    if CASES[name][-1]:
        assert len(np.unique(expected)) > 4
    device.check(expected, frames)
    device.check_places(frames)


def test_a_whole_plane_needs_no_line_buffer():
    assert make("2x2 s2")[2].module == "nf_avgpool"
    cell = make("global")[2]
    assert cell.module == "nf_globalpool"
    assert [port.capacity for stage in cell.stages for port in stage.ports] == [0, 0]


@pytest.mark.parametrize("name", [n for n in CASES if n.startswith("global")])
def test_global_pools_take_a_beat_every_cycle(name, process_times):
    cell = make(name)[2]
    taken, _ = process_times(cell.stages, 6)
    assert taken[-1] == taken.size - 1


@pytest.mark.parametrize(("lanes", "pixels", "expected"), [(8, 2, 4), (8, 49, 1), (6, 2, 3)])
def test_requantizers_are_shared(lanes, pixels, expected, process_times):
    """As few as finish the sums of a frame before the next one ends, and no beat waits for them."""
    source = sample_format(3 * lanes, 4)
    node = AvgPool("mean", "x", (1, pixels), (1, 1), requantizer(0.1, 0, 4), source)
    cell = avgpool_cell(node, (3 * lanes, 1, pixels), source, Folding(lanes, lanes), "")
    assert cell.parameters["RequantLanes"] == expected
    taken, _ = process_times(cell.stages, 6)
    assert taken[-1] == taken.size - 1


def test_sums_have_their_proven_width():
    cell = make("global, all lanes")[2]
    # -9 * 120 .. 9 * 135
    assert cell.parameters["AccBits"] == 12
    assert cell.parameters["ZeroIn"] == 120
    assert make("2x5 codebook")[2].files == {
        "mean_codebook.mem": "".join(f"{a:02x}\n" for a in make("2x5 codebook")[1].codebook)
    }


def test_refusals():
    source = sample_format(6, 16)
    node = AvgPool("mean", "x", (256, 256), (1, 1), requantizer(0.1, 0, 4), sample_format(6, 4))
    with pytest.raises(PlanError) as caught:
        avgpool_cell(node, (6, 256, 256), source, Folding(2, 2), "")
    assert str(caught.value) == (
        "'mean' sums 65536 values up to 65535, which needs a 33-bit accumulator; limit 32; pool in "
        "two steps"
    )
    with pytest.raises(PlanError) as caught:
        avgpool_cell(node, (6, 256, 256), source, Folding(4, 4), "")
    assert str(caught.value) == (
        "'mean' has 6 channels, not a multiple of PE=4; divisors near 4: 3, 6"
    )
