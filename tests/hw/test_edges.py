# SPDX-License-Identifier: Apache-2.0
"""FIFO and width converter in Verilator: order, exact places, cycles of their token models."""

import pytest

from hw.cell import Stream
from hw.edges import fifo_cell, fifo_style, width_cell
from quant.errors import PlanError
from quant.samples import sample_codes
from sim.rtl import Pattern
from sim.stream import pack_beats

SHAPE = (4, 5, 6)
FRAMES = 3
NEVER = Pattern(1.0, 2**-16)
"""A sink that takes nothing for as long as these tests run."""

FIFOS = [
    # style, depth, lanes, bits
    ("shift", 1, 2, 4),
    ("shift", 2, 1, 4),
    ("shift", 32, 1, 7),
    ("distributed", 1, 4, 8),
    ("distributed", 2, 2, 4),
    ("distributed", 45, 4, 16),
    ("block", 1, 1, 4),
    ("block", 5, 1, 5),
    ("block", 6, 1, 4),
    ("block", 61, 4, 16),
    ("ultra", 33, 2, 9),
]


@pytest.mark.rtl
@pytest.mark.parametrize(("style", "depth", "lanes", "bits"), FIFOS)
def test_fifo_keeps_order_cycles_and_exactly_its_places(style, depth, lanes, bits, cell_device):
    cell = fifo_cell(Stream(SHAPE, lanes, bits), depth, style)
    device = cell_device(cell)
    frames = sample_codes(depth, (FRAMES, *SHAPE), bits)
    device.check(frames, frames)
    assert beats_taken(device, frames) == depth


@pytest.mark.parametrize(
    ("style", "depth", "cycles"),
    # From depth 2 and 5 on one beat per cycle; below, each place is used once per round trip.
    [("shift", 2, 1), ("distributed", 1, 2), ("block", 5, 1), ("block", 1, 5), ("ultra", 5, 1)],
)
def test_throughput_of_shallow_fifos(style, depth, cycles, process_times):
    stream = Stream(SHAPE, 4, 4)
    _, given = process_times(fifo_cell(stream, depth, style).stages, FRAMES)
    assert given[-1] - given[-1 - stream.beats] == stream.beats * cycles


WIDTHS = [
    # channels, lanes in, lanes out, bits
    (8, 4, 2, 4),
    (8, 2, 4, 4),
    (6, 6, 1, 5),
    (12, 6, 4, 4),
    (12, 4, 6, 4),
    (6, 3, 2, 7),
    (6, 2, 3, 16),
    (30, 15, 6, 4),
    (30, 6, 15, 4),
    (35, 5, 7, 3),
    (35, 7, 5, 4),
]


@pytest.mark.rtl
@pytest.mark.parametrize(("channels", "lanes", "out_lanes", "bits"), WIDTHS)
def test_width_converter_keeps_codes_cycles_and_places(
    channels, lanes, out_lanes, bits, cell_device
):
    shape = (channels, 3, 4)
    cell = width_cell(Stream(shape, lanes, bits), out_lanes)
    assert cell.output == Stream(shape, out_lanes, bits)
    device = cell_device(cell)
    frames = sample_codes(lanes, (FRAMES, *shape), bits)
    device.check(frames, frames)
    run, _ = device.run(frames)
    assert run.interval_cycles == 12 * channels // min(lanes, out_lanes)
    device.check_places(frames)


def beats_taken(device, frames):
    """Return the beats that the cell takes while nothing takes one from it."""
    cell = device.cell
    stream = cell.inputs[0]
    beats = [pack_beats(frame, stream.bits, stream.lanes) for frame in frames]
    run = device.bench.run(
        device.folder / "full", [beats], [cell.output.beats], stall=NEVER, watchdog_cycles=300
    )
    assert run.stalled is not None
    assert run.violation is None
    assert len(run.frames) == 0
    return run.input_beats[0]


@pytest.mark.parametrize(
    ("depth", "beat_bits", "style"),
    [
        (1, 4, "shift"),
        (32, 16, "shift"),
        (33, 16, "distributed"),
        (2, 512, "distributed"),
        (32, 17, "distributed"),
        (64, 512, "distributed"),
        # 8 bits: 20 rows of two memories of 64x7 are 320 LUTs, one block spared is worth 160.
        (640, 8, "distributed"),
        (641, 8, "block"),
        (1024, 128, "block"),
        (100_000, 16, "block"),
    ],
)
def test_style_by_depth_and_width(depth, beat_bits, style):
    assert fifo_style(depth, beat_bits) == style
    stream = Stream((beat_bits, 1, 1), beat_bits, 1)
    assert fifo_cell(stream, depth).parameters["Style"] == style
    assert fifo_cell(stream, depth, "ultra").parameters["Style"] == "ultra"


def test_what_cannot_be_built_is_refused():
    with pytest.raises(PlanError) as error:
        fifo_cell(Stream((4, 2, 2), 2, 4), 0)
    assert str(error.value) == (
        "a FIFO of 0 beats cannot be built; at least 1, or leave it out for a wire"
    )
    with pytest.raises(PlanError) as error:
        width_cell(Stream((12, 2, 2), 4, 4), 5)
    assert str(error.value) == (
        "a stream of 12 channels cannot have 5 lanes; divisors near 5: 4, 6"
    )
    with pytest.raises(PlanError) as error:
        width_cell(Stream((12, 2, 2), 4, 4), 4)
    assert str(error.value) == "a stream of 4 lanes needs no converter to 4; use a wire"
