# SPDX-License-Identifier: Apache-2.0
"""The published YOLOv5n: parameters, cut, and equality with the module's own raw heads."""

from pathlib import Path

import numpy as np
import pytest
import torch

from quant.ptq.executor import FloatExecutor
from quant.ptq.importer import import_model
from quant.zoo.resolve import load_model

WEIGHTS = Path(__file__).parents[3] / "shared/data/weights/yolov5n_coco_fp16.safetensors"


@pytest.mark.data
@pytest.mark.skipif(not WEIGHTS.exists(), reason=f"no {WEIGHTS.name} beside the checkout")
def test_yolov5n():
    loaded = load_model(str(WEIGHTS), image_size=(128, 160))
    result = import_model(loaded)
    assert result.check.parameters == 1_872_157
    assert result.graph.source_parameters == 1_872_157
    assert result.host.outputs == (("model.24.m.0",), ("model.24.m.1",), ("model.24.m.2",))
    assert [result.graph.shapes[n] for n in result.graph.outputs] == [
        (255, 16, 20),
        (255, 8, 10),
        (255, 4, 5),
    ]
    assert result.check.operations == {
        "add": 7,
        "concat": 13,
        "conv": 60,
        "max_pool": 3,
        "silu": 57,
        "upsample": 2,
    }
    raw = {}
    modules = dict(loaded.module.named_modules())
    for name in result.graph.outputs:
        modules[name].register_forward_hook(
            lambda m, a, y, name=name: raw.update({name: y.numpy()})
        )
    batch = np.random.default_rng(0).random((1, 3, 128, 160), dtype=np.float32)
    with torch.no_grad():
        loaded.module(torch.from_numpy(batch))
    for name, found in FloatExecutor(result.graph).run(batch).items():
        np.testing.assert_allclose(found, raw[name], rtol=1e-4, atol=1e-4)
