# SPDX-License-Identifier: Apache-2.0
"""Networks without memory for their weights: shapes and counts only."""

import torch

from quant.zoo.described import DescribedModel, Description


def skeleton(description):
    """The network of a YOLOv7 description."""
    value = {
        "yaml": description,
        "names": ["x"] * description["nc"],
        "strides": [8, 16, 32],
        "bn_eps": 0.001,
        "activation": "SiLU",
    }
    with torch.device("meta"):
        return DescribedModel(Description.from_json(value, "test"))
