# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch

from quant.ptq.executor import FloatExecutor
from quant.ptq.importer import import_model
from quant.zoo.arches import build_arch

NAMES = ("yolov7-tiny", "mobileone-s0-train", "yolox-nano")


@pytest.mark.parametrize("name", NAMES)
def test_activations_neither_vanish_nor_explode_on_any_image(name):
    imported = import_model(build_arch(name, weights=None, seed=5, image_size=(96, 96)))
    host = imported.host
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (96, 96, 3))
    ramp = np.broadcast_to(np.linspace(0, 255, 96)[:, None, None], (96, 96, 3))
    dark = np.kron(rng.integers(0, 60, (6, 6, 3)), np.ones((16, 16, 1)))
    for image in (noise, ramp, dark):
        spread, largest = {}, {}

        def note(tensor, value, spread=spread, largest=largest):
            spread[tensor] = float(value.std())
            largest[tensor] = float(value.abs().max())

        pixels = ((image - np.array(host.mean)) / np.array(host.std)).astype(np.float32)
        FloatExecutor(imported.graph).run(pixels.transpose(2, 0, 1)[None], note)
        del spread["images"], largest["images"]
        assert min(spread.values()) > 0.02
        assert max(largest.values()) < 60


def test_predictions_depend_on_the_image():
    module = build_arch("mobileone-s0", weights=None, seed=5, image_size=(64, 64)).module
    images = torch.randn((4, 3, 64, 64), generator=torch.Generator().manual_seed(0))
    images[2:] *= 0.1
    logits = module(images)
    assert float(logits.std(0).mean()) > 0.02


def test_a_seed_says_everything():
    first, same, other = (
        build_arch("yolov7-tiny", weights=None, seed=s, image_size=(64, 64)).module.state_dict()
        for s in (1, 1, 2)
    )
    assert all(torch.equal(value, same[name]) for name, value in first.items())
    assert not torch.equal(first["model.0.conv.weight"], other["model.0.conv.weight"])
