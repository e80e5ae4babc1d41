# SPDX-License-Identifier: Apache-2.0
"""Letterbox, normalisation and input codes."""

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant.errors import GraphError, InputFileError
from quant.hostspec import HostSpec
from sim.host import input_codes, letterbox, normalise

SPEC = HostSpec(
    height=64,
    width=64,
    place="center",
    pad_value=114,
    channel_order="rgb",
    mean=(0.0, 0.0, 0.0),
    std=(255.0, 255.0, 255.0),
    decode="none",
    strides=(),
    anchors=(),
    outputs=(("out",),),
    class_names=(),
)
IMAGENET = replace(SPEC, mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))


def noise(height, width):
    return np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_center_pads_rows_and_swaps_channels():
    image = noise(31, 64)  # 33 spare rows: 16 above, 17 below
    canvas, placement = letterbox(image, SPEC)
    assert np.array_equal(canvas[16:47], image[:, :, ::-1])
    assert (canvas[:16] == 114).all()
    assert (canvas[47:] == 114).all()
    assert placement.__dict__ == {
        "scale_x": 1.0, "scale_y": 1.0, "pad_x": 0, "pad_y": 16, "width": 64, "height": 31,
    }  # fmt: skip


def test_top_left_pads_right_and_keeps_bgr():
    image = noise(64, 40)
    canvas, placement = letterbox(image, replace(SPEC, place="top_left", channel_order="bgr"))
    assert np.array_equal(canvas[:, :40], image)
    assert (canvas[:, 40:] == 114).all()
    assert (placement.pad_x, placement.pad_y) == (0, 0)


def test_squash_fills_the_canvas():
    image = noise(20, 50)
    canvas, placement = letterbox(image, replace(SPEC, place="squash", channel_order="bgr"))
    assert np.array_equal(canvas, cv2.resize(image, (64, 64), interpolation=cv2.INTER_LINEAR))
    assert (placement.scale_x, placement.scale_y) == (64 / 50, 64 / 20)


def test_worked_size():
    # 640x427 on 416x416: ratio 0.65; 427 * 0.65 = 277.55 -> 278 rows; (416 - 278) // 2 = 69.
    spec = replace(SPEC, height=416, width=416, channel_order="bgr")
    image = noise(427, 640)
    canvas, placement = letterbox(image, spec)
    assert (placement.pad_x, placement.pad_y) == (0, 69)
    assert placement.scale_x == 416 / 640
    assert placement.scale_y == 278 / 427
    inner = cv2.resize(image, (416, 278), interpolation=cv2.INTER_AREA)
    assert np.array_equal(canvas[69 : 69 + 278], inner)


def test_center_averages_areas_only_when_it_shrinks():
    spec = replace(SPEC, channel_order="bgr")
    image = noise(128, 128)
    canvas, _ = letterbox(image, spec)
    mean = image.reshape(64, 2, 64, 2, 3).mean((1, 3))
    assert np.abs(canvas - mean).max() <= 0.5
    image = noise(40, 40)
    canvas, _ = letterbox(image, spec)
    assert np.array_equal(canvas, cv2.resize(image, (64, 64), interpolation=cv2.INTER_LINEAR))


def test_top_left_cuts_sizes_to_whole_pixels():
    # 427 * 0.65 = 277.55 -> 277 rows, where the centred letterbox takes 278.
    spec = replace(SPEC, height=416, width=416, channel_order="bgr", place="top_left")
    image = noise(427, 640)
    canvas, placement = letterbox(image, spec)
    assert (placement.scale_x, placement.scale_y) == (416 / 640, 277 / 427)
    inner = cv2.resize(image, (416, 277), interpolation=cv2.INTER_LINEAR)
    assert np.array_equal(canvas[:277], inner)
    assert (canvas[277:] == 114).all()


def test_extreme_shape_keeps_one_pixel():
    canvas, placement = letterbox(noise(1, 4000), SPEC)
    assert canvas.shape == (64, 64, 3)
    assert placement.scale_y == 1.0
    assert (canvas != 114).any(axis=2).sum() <= 64


@given(
    width=st.integers(1, 300),
    height=st.integers(1, 300),
    place=st.sampled_from(["center", "top_left", "squash"]),
    boxes=st.lists(st.tuples(*[st.floats(0, 1, width=32)] * 4), min_size=1, max_size=5),
)
def test_mapping_round_trip(width, height, place, boxes):
    spec = replace(SPEC, height=96, width=160, place=place)
    _, placement = letterbox(np.zeros((height, width, 3), np.uint8), spec)
    original = np.array(boxes, np.float32) * np.array([width, height] * 2, np.float32)
    on_canvas = placement.to_canvas(original)
    assert (on_canvas >= 0).all()
    assert (on_canvas <= [160, 96] * 2).all()
    # float32 positions on a canvas of up to 160 pixels, seen through the smallest scale
    step = 2e-5 / min(placement.scale_x, placement.scale_y)
    assert np.abs(placement.to_original(on_canvas) - original).max() <= step
    corners = np.array([[0, 0, width, height]], np.float32)
    x1, y1, x2, y2 = placement.to_canvas(corners)[0]
    assert (x1, y1) == (placement.pad_x, placement.pad_y)
    assert x2 == x1 + round(width * placement.scale_x)
    assert y2 == y1 + round(height * placement.scale_y)
    # cutting to whole pixels loses one where ratio times size falls just short of the canvas
    assert x2 >= 159 or y2 >= 95 or place == "center"


def test_mapping_worked_by_hand():
    # 128x32 on 64x64, centred: scale 0.5, 24 rows above.
    _, placement = letterbox(np.zeros((32, 128, 3), np.uint8), SPEC)
    box = np.array([[10, 4, 30, 20]], np.float32)
    assert placement.to_canvas(box).tolist() == [[5, 26, 15, 34]]
    assert placement.to_original(np.array([[5, 26, 15, 34]], np.float32)).tolist() == box.tolist()


def test_image_array_must_be_bytes_of_three_channels():
    for image in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)):
        with pytest.raises(InputFileError, match=r"need uint8 \[height, width, 3\]"):
            letterbox(image, SPEC)


def test_normalise_is_byte_over_255():
    canvas = noise(64, 64)
    want = (canvas.astype(np.float64) / 255).astype(np.float32).transpose(2, 0, 1)
    got = normalise(canvas, SPEC)
    assert got.dtype == np.float32
    assert np.array_equal(got, want)


def test_normalise_uses_each_channels_mean():
    canvas = np.full((64, 64, 3), 100, np.uint8)
    for channel, value in enumerate(normalise(canvas, IMAGENET)[:, 5, 9].tolist()):
        want = (100 - IMAGENET.mean[channel]) / IMAGENET.std[channel]
        assert value == np.float32(want)


def test_plain_input_code_is_the_byte():
    canvas = np.arange(64 * 64 * 3, dtype=np.int64).astype(np.uint8).reshape(64, 64, 3)
    codes = input_codes(canvas, SPEC, 1 / 255, 0)
    assert codes.dtype == np.uint8
    assert np.array_equal(codes, canvas.transpose(2, 0, 1))


def test_rounding_is_half_up_and_clipped():
    # Byte b means b - 4; scale 2 gives ties at odd bytes; zero point 3, 3 bits: clip to 0..7.
    spec = replace(SPEC, mean=(4.0,) * 3, std=(1.0,) * 3)
    canvas = np.zeros((64, 64, 3), np.uint8)
    canvas[0, :14] = np.arange(14)[:, None]
    codes = input_codes(canvas, spec, 2.0, 3, bits=3)
    #   (b-4)/2: -2 -1.5 -1 -0.5 0 0.5 1 1.5 2 2.5 3 3.5 4 4.5, ties upwards, plus 3
    assert codes[1, 0, :14].tolist() == [1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 7]


@given(st.floats(0.001, 0.1), st.integers(0, 255), st.integers(0, 255))
def test_codes_follow_the_formula(scale, zero_point, byte):
    canvas = np.full((64, 64, 3), byte, np.uint8)
    codes = input_codes(canvas, IMAGENET, scale, zero_point)
    for channel in range(3):
        real = (byte - IMAGENET.mean[channel]) / IMAGENET.std[channel]
        want = min(max(math.floor(real / scale + 0.5) + zero_point, 0), 255)
        assert (codes[channel] == want).all()


@pytest.mark.parametrize(
    ("scale", "zero_point", "bits", "message"),
    [
        (0.0, 0, 8, "input scale 0.0 must be finite and above 0; quantize again"),
        (float("nan"), 0, 8, "input scale nan must be finite and above 0; quantize again"),
        (1.0, 256, 8, "input zero point 256 is outside 0..255; quantize again"),
        (1.0, 16, 4, "input zero point 16 is outside 0..15; quantize again"),
        (1.0, 0, 9, "input width 9 bits is outside 1..8; the input tensor has 8"),
    ],
)
def test_bad_input_format(scale, zero_point, bits, message):
    with pytest.raises(GraphError) as info:
        input_codes(np.zeros((64, 64, 3), np.uint8), SPEC, scale, zero_point, bits)
    assert str(info.value) == message


def test_canvas_must_fit_the_spec():
    with pytest.raises(GraphError) as info:
        normalise(np.zeros((64, 32, 3), np.uint8), SPEC)
    assert str(info.value) == (
        "canvas is uint8 [64, 32, 3], the host spec needs uint8 [64, 64, 3]; "
        "letterbox the image first"
    )
