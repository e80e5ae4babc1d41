# SPDX-License-Identifier: Apache-2.0
"""Output tensors to detections on the original image."""

import math
from dataclasses import replace

import numpy as np
import pytest

from quant.errors import GraphError, UnsupportedLayerError
from quant.hostspec import HostSpec
from sim.host import NmsSettings, dequantize, detect, gather_scales, letterbox

SPEC = HostSpec(
    height=64,
    width=64,
    place="center",
    pad_value=114,
    channel_order="bgr",
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
    decode="yolox",
    strides=(16,),
    anchors=(),
    outputs=(("reg", "obj", "cls"),),
    class_names=("cat", "dog"),
)


def outputs():
    empty = np.full((4, 4), -20, np.float32)
    return {
        "reg": np.zeros((4, 4, 4), np.float32),
        "obj": empty[None].copy(),
        "cls": np.stack([empty, empty]),
    }


def test_box_is_mapped_back_and_clipped():
    # 128x64 image: scale 0.5, 16 rows above. Cell (row 1, column 3): centre (48, 16), 32x16 box
    # covers x 32..64, y 8..24 on the canvas; (64..128, -16..16) on the image, clipped at y = 0.
    _, placement = letterbox(np.zeros((64, 128, 3), np.uint8), SPEC)
    tensors = outputs()
    tensors["reg"][2, 1, 3] = math.log(2)
    tensors["obj"][0, 1, 3] = 0
    tensors["cls"][1, 1, 3] = 0
    # and one wholly in the border above the image: y -8..8 on the canvas
    tensors["obj"][0, 0, 1] = 20
    tensors["cls"][0, 0, 1] = 20
    found = detect(tensors, SPEC, placement)
    assert len(found) == 1
    assert np.abs(found.boxes - [[64, 0, 128, 16]]).max() < 1e-4
    assert found.boxes.min() == 0
    assert found.scores.tolist() == [0.25]
    assert found.classes.tolist() == [1]
    assert len(found.above(0.25)) == 1
    assert len(found.above(0.26)) == 0
    with pytest.raises(ValueError, match="read-only"):
        found.boxes[0, 0] = 1


def test_detections_above_and_settings():
    _, placement = letterbox(np.zeros((64, 64, 3), np.uint8), SPEC)
    tensors = outputs()
    tensors["obj"][0, :, 2] = [0, 1, 2, 3]
    tensors["cls"][0] = 20
    assert len(detect(tensors, SPEC, placement, NmsSettings(confidence=0.7))) == 3
    best = detect(tensors, SPEC, placement, NmsSettings(max_detections=1))
    assert best.boxes.tolist() == [[24, 40, 40, 56]]


def test_gather_concatenates_in_the_specs_order():
    tensors = outputs()
    (stacked,) = gather_scales(tensors, SPEC)
    want = np.concatenate([tensors["reg"], tensors["obj"], tensors["cls"]])
    assert np.array_equal(stacked, want)


def test_gather_names_what_is_missing():
    tensors = outputs()
    del tensors["obj"]
    with pytest.raises(GraphError) as info:
        gather_scales(tensors, SPEC)
    assert str(info.value) == (
        "host spec reads outputs ['reg', 'obj', 'cls']; the network gave ['cls', 'reg']"
    )
    tensors["obj"] = np.zeros((1, 2, 4), np.float32)
    with pytest.raises(GraphError) as info:
        gather_scales(tensors, SPEC)
    assert str(info.value) == (
        "outputs of one scale must be [rows, h, w] on one grid, not 'reg' [4, 4, 4], "
        "'obj' [1, 2, 4], 'cls' [2, 4, 4]"
    )


def test_raw_outputs_have_no_boxes():
    _, placement = letterbox(np.zeros((64, 64, 3), np.uint8), SPEC)
    with pytest.raises(UnsupportedLayerError, match="decode kind 'none' has no boxes"):
        detect(outputs(), replace(SPEC, decode="none"), placement)


def test_dequantize_one_format():
    values = np.array([[0, 3], [5, 255]], np.uint8)
    assert dequantize(values, 0.5, 3).tolist() == [[-1.5, 0], [1, 126]]
    assert dequantize(values, 0.5, 3).dtype == np.float32


def test_dequantize_per_row():
    values = np.array([[[7, 9]], [[7, 9]], [[7, 9]]], np.uint16)
    got = dequantize(values, [0.5, 2.0, 2.0], [7, 8, 0])
    assert got.tolist() == [[[0, 1]], [[-2, 2]], [[14, 18]]]


@pytest.mark.parametrize(
    ("values", "scale", "zero", "message"),
    [
        (
            np.zeros((2, 3), np.float32), 1.0, 0,
            "output values are float32; dequantization needs integers",
        ),
        (
            np.zeros((2, 3), np.uint8), [1.0] * 3, 0,
            "output scale has shape [3] for [2, 3] values; need one number or one per row",
        ),
        (
            np.zeros((2, 3), np.uint8), 1.0, [[0], [1]],
            "output zero point has shape [2, 1] for [2, 3] values; need one number or one per row",
        ),
        (
            np.zeros((2, 3), np.uint8), [1.0, 0.0], 0,
            "output scale must be finite and above 0 in every row; quantize again",
        ),
    ],
)  # fmt: skip
def test_dequantize_refuses(values, scale, zero, message):
    with pytest.raises(GraphError) as info:
        dequantize(values, scale, zero)
    assert str(info.value) == message
