# SPDX-License-Identifier: Apache-2.0
"""Random networks: import, quantize, and two engines that agree on every code of every node."""

from collections import Counter

import numpy as np
import pytest
import torch

from quant.ptq.executor import FloatExecutor
from quant.ptq.importer import import_model
from quant.ptq.lowered import run_lowered
from quant.ptq.quantize import quantize
from quant.ptq.settings import QuantizeSettings
from quant.zoo.random_network import random_model
from sim.golden import run_golden
from sim.host import input_codes, normalise

NETWORKS = 200
BUNCH = 10


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def settings_of(rng: np.random.Generator) -> QuantizeSettings:
    """Any settings that a user could choose."""

    def pick(*choices):
        return choices[int(rng.integers(len(choices)))]

    return QuantizeSettings.checked(
        weight_bits=pick(2, 3, 4, 4, 5, 6, 7, 8),
        act_bits=pick(4, 5, 6, 7, 8, 8),
        edge_bits=pick(4, 8, 8),
        stem_act_bits=pick(None, 4, 8),
        output_bits=pick(8, 8, 12, 16),
        scheme=pick("affine", "symmetric"),
        granularity=pick("filter", "layer"),
        weight_clip=pick("auto", "minmax", "mse"),
        observer=pick("minmax", "percentile", "mse"),
        correction=pick("none", "mean", "moments"),
    )


@pytest.mark.parametrize("bunch", range(NETWORKS // BUNCH))
def test_golden_equals_torch_on_the_lowered_integers(bunch):
    values = 0
    lively = 0
    for seed in range(bunch * BUNCH, (bunch + 1) * BUNCH):
        rng = np.random.default_rng((seed, 79))
        loaded = random_model(seed, steps=6 + seed % 7)
        imported = import_model(loaded)
        host = imported.host
        canvases = rng.integers(0, 256, (3, host.height, host.width, 3), np.uint8)
        frames = np.stack([normalise(c, host) for c in canvases])

        # The import computes what the module does, on images that the importer did not see.
        outputs = FloatExecutor(imported.graph).run(frames[2:])
        with torch.no_grad():
            wanted = loaded.module(torch.from_numpy(frames[2:]))
        assert len(outputs) == len(wanted), seed
        for made, truth in zip(outputs.values(), wanted, strict=True):
            np.testing.assert_allclose(made.ravel(), truth.numpy().ravel(), 2e-3, 2e-4, str(seed))

        result = quantize(imported.graph, host, [frames[:2]], settings_of(rng), model="random")
        graph = result.graph
        fmt = graph.input.output
        codes = np.stack([input_codes(c, host, fmt.scale, fmt.zero_point) for c in canvases])
        golden = run_golden(graph, codes, keep="all").tensors
        lowered = run_lowered(graph, codes)
        assert list(golden) == list(lowered) == [n.name for n in graph.nodes], seed
        for name, tensor in golden.items():
            assert np.array_equal(tensor, lowered[name]), (seed, name)
            values += tensor.size
        lively += any(len(np.unique(golden[o.source])) > 4 for o in graph.outputs)
    # Dead or constant networks would agree about nothing.
    assert lively > BUNCH // 2
    assert values > 1000 * BUNCH


def test_the_networks_hold_every_operation():
    kinds: Counter[str] = Counter()
    for seed in range(40):
        kinds.update(import_model(random_model(seed, steps=6 + seed % 7)).check.operations)
    assert set(kinds) == {
        "conv", "linear", "relu", "relu6", "leaky_relu", "silu", "hardswish", "hardsigmoid",
        "sigmoid", "max_pool", "avg_pool", "add", "concat", "split", "upsample",
    }  # fmt: skip
    assert min(kinds.values()) >= 3
