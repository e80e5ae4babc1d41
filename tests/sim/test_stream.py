# SPDX-License-Identifier: Apache-2.0
"""Stream order against its literal definition, and ``.mem`` text."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant.errors import InputFileError
from sim.stream import (
    StreamError,
    beat_bytes,
    beat_count,
    mem_text,
    pack_beats,
    parse_mem,
    read_mem,
    unpack_beats,
    write_mem,
)


def literal_beats(codes, bits, cpb, ppb, zero_code):
    """The contract's sentence as loops: row, pixel group, channel group; bit (i*Cpb + j)*A."""
    channels, height, width = codes.shape
    beats = []
    for y in range(height):
        for x in range((width + ppb - 1) // ppb):
            for g in range(channels // cpb):
                beat = 0
                for i in range(ppb):
                    for j in range(cpb):
                        pixel = x * ppb + i
                        code = int(codes[g * cpb + j, y, pixel]) if pixel < width else zero_code
                        beat |= (code & ((1 << bits) - 1)) << ((i * cpb + j) * bits)
                beats.append(beat)
    return beats


def as_integers(beats):
    return [int.from_bytes(beat.tobytes(), "little") for beat in beats]


@st.composite
def frames(draw):
    bits = draw(st.integers(1, 33))
    cpb = draw(st.integers(1, 5))
    ppb = draw(st.integers(1, 4))
    shape = (cpb * draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 6)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    signed = draw(st.booleans())
    low, high = (-(1 << (bits - 1)), 1 << (bits - 1)) if signed else (0, 1 << bits)
    codes = rng.integers(low, high, shape)
    return codes, bits, cpb, ppb, draw(st.integers(0, (1 << (bits - signed)) - 1)), signed


@settings(max_examples=150, deadline=None)
@given(frames())
def test_packing_is_the_literal_order_and_unpacking_its_inverse(frame):
    codes, bits, cpb, ppb, zero_code, signed = frame
    beats = pack_beats(codes, bits, cpb, ppb, zero_code)
    assert beats.shape == (beat_count(codes.shape, cpb, ppb), beat_bytes(bits, cpb, ppb))
    assert as_integers(beats) == literal_beats(codes, bits, cpb, ppb, zero_code)
    back = unpack_beats(beats, codes.shape, bits, cpb, ppb, signed=signed)
    assert np.array_equal(back, codes)
    assert np.array_equal(parse_mem(mem_text(beats), beats.shape[1], "text"), beats)


def test_order_of_a_hand_made_frame():
    # Two channels, one row of three pixels, one channel and two pixels a beat, nibbles low first.
    codes = np.array([[[1, 2, 3]], [[4, 5, 6]]])
    beats = pack_beats(codes, 4, 1, 2, zero_code=9)
    assert beats.tolist() == [[0x21], [0x54], [0x93], [0x96]]
    assert mem_text(beats) == "21\n54\n93\n96\n"


def test_padding_bits_and_pixels_are_zero_and_zero_code():
    beats = pack_beats(np.full((1, 1, 1), 5), 3, 1, 3, zero_code=2)
    assert as_integers(beats) == [5 | 2 << 3 | 2 << 6]
    assert beats.shape == (1, 2)


@pytest.mark.parametrize(
    ("codes", "bits", "cpb", "message"),
    [
        (np.full((2, 1, 1), 16), 4, 1, "codes 0..16 do not fit 4 bits; use a wider stream"),
        (np.full((2, 1, 1), -9), 4, 1, "codes -9..0 do not fit 4 bits; use a wider stream"),
        (np.array([[[-1, 8]]]), 4, 1, "codes -1..8 do not fit 4 bits; use a wider stream"),
        (
            np.zeros((3, 1, 1), int),
            4,
            2,
            "3 channels are not a multiple of 2 channels per beat; choose a divisor",
        ),
        (np.zeros((1, 1), int), 4, 1, "codes have shape (1, 1); a frame has three axes [C, H, W]"),
        (np.zeros((1, 1, 1), int), 65, 1, "a stream has 65-bit codes; limit 1..64"),
        (
            np.zeros((1, 1, 1), int),
            4,
            0,
            "a beat of 0 channels x 1 pixels; at least 1 x 1",
        ),
    ],
)
def test_packing_refuses(codes, bits, cpb, message):
    with pytest.raises(StreamError) as caught:
        pack_beats(codes, bits, cpb)
    assert str(caught.value) == message


def test_unpacking_refuses_a_short_frame():
    beats = pack_beats(np.zeros((2, 2, 2), int), 4, 2)
    with pytest.raises(StreamError) as caught:
        unpack_beats(beats[:-1], (2, 2, 2), 4, 2)
    assert str(caught.value) == (
        "beats are uint8 [3, 1]; a frame [2, 2, 2] of 4-bit codes at 2 channels x 1 pixels per "
        "beat needs uint8 [4, 1]"
    )


def test_mem_file_round_trip(tmp_path):
    beats = np.random.default_rng(3).integers(0, 256, (1000, 5), dtype=np.uint8)
    path = tmp_path / "beats.mem"
    write_mem(path, beats)
    assert np.array_equal(read_mem(path, 5), beats)
    assert [entry.name for entry in tmp_path.iterdir()] == ["beats.mem"]


def test_mem_text_of_a_simulator():
    text = "// written\n@0\n00ab /* two\nlines */ 1_2\n@00000002\nF\n"
    assert parse_mem(text, 2, "text").tolist() == [[0xAB, 0], [0x12, 0], [0x0F, 0]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("00\nxx\n", "t: word 1 is 'xx', with undriven bits; reset or drive them"),
        ("0g\n", "t: word 0 is '0g', not hexadecimal"),
        ("1ff\n", "t: word 0 is '1ff', 3 digits; limit 2"),
        ("00\n@5\n00\n", "t: address @5 follows word 1; write the words without gaps"),
        ("@zz\n", "t: address '@zz' is not hexadecimal"),
    ],
)
def test_mem_text_refuses(text, message):
    with pytest.raises(InputFileError) as caught:
        parse_mem(text, 1, "t")
    assert str(caught.value) == message


def test_missing_mem_file(tmp_path):
    with pytest.raises(InputFileError, match=r"does not exist; was the simulation run\?"):
        read_mem(tmp_path / "none.mem", 1)
