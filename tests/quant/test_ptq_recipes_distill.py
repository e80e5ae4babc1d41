# SPDX-License-Identifier: Apache-2.0
"""What a distillation's step sees, how its weights round, and in which arithmetic."""

import numpy as np
import pytest
import torch

from quant.floatgraph import FloatConv
from quant.ptq.recipes import distill
from quant.ptq.recipes.distill import batch_of, cut_out, part_of, short_arithmetic
from quant.ptq.recipes.latent import LatentLayer
from quant.ptq.recipes.solution import LayerSolution, entries_of
from quant.ptq.schemes.grouping import Grouping
from quant.ptq.schemes.levels import Levels
from quant.ptq.weightquant import LayerGroups, Rounding
from quant.weights import Granularity

CPU = torch.device("cpu")


def test_parts_reach_from_the_crop_to_their_share():
    rng = np.random.default_rng(0)
    parts = [part_of((64, 96), (32, 32), 0.75, rng) for _ in range(400)]
    heights = np.array([h for h, _ in parts])
    assert heights.min() == 32
    assert heights.max() == 48  # three quarters of the shorter side
    assert all(h == w for h, w in parts)
    # As many below the geometric middle as above it.
    assert abs(float((heights < np.sqrt(32 * 48)).mean()) - 0.5) < 0.1
    assert {part_of((64, 64), (32, 32), 0.5, rng) for _ in range(20)} == {(32, 32)}
    assert {part_of((64, 64), (64, 64), 1.0, rng) for _ in range(20)} == {(64, 64)}


def test_crops_of_the_images_own_size_are_their_codes():
    image = np.arange(3 * 8 * 8, dtype=np.uint8).reshape(3, 8, 8)
    rng = np.random.default_rng(1)
    seen = {cut_out(image, (4, 4), (4, 4), rng, flip=False).tobytes() for _ in range(400)}
    windows = [image[:, y : y + 4, x : x + 4] for y in range(5) for x in range(5)]
    assert seen == {np.ascontiguousarray(w).tobytes() for w in windows}
    mirrored = {cut_out(image, (8, 8), (8, 8), rng, flip=True).tobytes() for _ in range(40)}
    assert mirrored == {image.tobytes(), np.ascontiguousarray(image[:, :, ::-1]).tobytes()}


def test_larger_parts_are_made_smaller():
    image = np.zeros((3, 16, 16), np.uint8)
    image[:, :, 8:] = 200
    found = cut_out(image, (16, 16), (4, 4), np.random.default_rng(0), flip=False)
    assert found.shape == (3, 4, 4)
    assert found.dtype == np.uint8
    assert (found[:, :, 0] == 0).all()
    assert (found[:, :, 3] == 200).all()
    assert abs(float(found.mean()) - 100.0) < 1.0


@pytest.mark.parametrize("scheme", ["affine", "symmetric", "e2m1-spare", "pwlq16", "codebook"])
@pytest.mark.parametrize("granularity", [Granularity.FILTER, Granularity.C_SHAPE])
def test_latent_weights_round_to_the_nearest_level(scheme, granularity):
    rng = np.random.default_rng(4)
    weight = rng.laplace(size=(5, 6, 3, 3)).astype(np.float32)
    op = FloatConv("c", "x", weight, np.zeros(5, np.float32), (1, 1), (1,) * 4, 1)
    stored = LayerGroups(weight, granularity).quantize(Rounding(scheme, 4)).weights
    layer = LatentLayer(op, LayerSolution(stored, np.zeros(5)), CPU)
    moved = torch.from_numpy(rng.normal(0, 1, weight.shape)).float()
    with torch.no_grad():
        # Half steps too: they go up.
        layer.weight.copy_((moved * layer.half_span * 4).round() / 4 / layer.half_span)
    layer.confine()
    real, _ = layer.real()
    grouping = Grouping(granularity, weight.shape)
    entries = entries_of(stored) / stored.multipliers.reshape(-1, 1)
    units = (layer.weight * layer.half_span).double().numpy()
    expected = grouping.tensor(Levels.nearest(entries).rounded(grouping.rows(units)))
    step = stored.multipliers * np.broadcast_to(stored.scale, 5)[:, None, None, None]
    assert (np.rint(real.double().numpy() / step * 8) == expected * 8).all()


def test_short_arithmetic_is_the_processors(monkeypatch):
    able = {"avx512_bf16": False, "amx_bf16": False}
    monkeypatch.setattr(distill.torch.cpu, "get_capabilities", lambda: able)
    assert not short_arithmetic(CPU)
    able["amx_bf16"] = True
    assert short_arithmetic(CPU)
    assert not short_arithmetic(torch.device("meta"))


def test_a_step_reads_as_many_pixels_at_every_size():
    sides = ((640, 640), (416, 416), (320, 320), (224, 224), (32, 32), (2000, 1000))
    assert [batch_of(side) for side in sides] == [2, 5, 8, 16, 64, 1]
