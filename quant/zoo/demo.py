# SPDX-License-Identifier: Apache-2.0
"""The built-in detector: a small network of our own, trained on generated shapes.

It has every kind of layer that the accelerator builds: 3x3 convolutions of stride 1 and 2, 1x1
convolutions, RepConv, residual additions, max pools, concatenation, upsampling, and two scales.
"""

from pathlib import Path
from typing import Any

from quant.zoo.shapes import CLASS_NAMES, DEFAULT_SIZE

DEMO_WEIGHTS = Path(__file__).with_name("demo.safetensors")

_BACKBONE: list[list[Any]] = [
    [-1, 1, "Conv", [16, 3, 2]],  # 0: stride 2
    [-1, 1, "Conv", [24, 3, 2]],  # 1: stride 4
    [-1, 1, "RepBottleneck", [24]],  # 2
    [-1, 1, "Conv", [48, 3, 2]],  # 3: stride 8
    [-1, 1, "RepBottleneck", [48]],  # 4
    [-1, 1, "RepConv", [48]],  # 5
    [-1, 1, "Conv", [80, 3, 2]],  # 6: stride 16
    [-1, 1, "RepBottleneck", [80]],  # 7
    [-1, 1, "SPPF", [80, 5]],  # 8
]
_HEAD: list[list[Any]] = [
    [-1, 1, "Conv", [48, 1, 1]],  # 9
    [-1, 1, "nn.Upsample", ["None", 2, "nearest"]],  # 10
    [[-1, 5], 1, "Concat", [1]],  # 11
    [-1, 1, "Conv", [48, 1, 1]],  # 12
    [-1, 1, "RepConv", [48]],  # 13: scale of stride 8
    [-1, 1, "Conv", [48, 3, 2]],  # 14
    [[-1, 9], 1, "Concat", [1]],  # 15
    [-1, 1, "RepConv", [64]],  # 16: scale of stride 16
    [[13, 16], 1, "Detect", ["nc", "anchors"]],  # 17
]


def demo_description() -> dict[str, Any]:
    """Return the built-in detector as the JSON value that stands beside its weights."""
    return {
        "yaml": {
            "nc": len(CLASS_NAMES),
            "depth_multiple": 1.0,
            "width_multiple": 1.0,
            "anchors": [[12, 12, 19, 19, 30, 30], [40, 40, 54, 54, 74, 74]],
            "backbone": _BACKBONE,
            "head": _HEAD,
            "ch": 3,
        },
        "names": list(CLASS_NAMES),
        "strides": [8, 16],
        "bn_eps": 0.001,
        "activation": "SiLU",
        "image_size": list(DEFAULT_SIZE),
    }
