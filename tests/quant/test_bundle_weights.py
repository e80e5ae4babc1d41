# SPDX-License-Identifier: Apache-2.0
"""Bundles of kind weights: round trip, same bytes, and what is refused."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from quant.bundle.text import render
from quant.bundle.weights import is_weights_bundle, load_weights, save_weights
from quant.errors import BundleError
from quant.ptq.lower import breakpoint_record
from quant.ptq.weightquant import LayerGroups, Rounding
from quant.weights import Granularity
from quant.weightsonly import LayerWeights, WeightsModel

AGAIN = "restore the file or quantize the model again"


@pytest.fixture
def saved(sample_bundle, tmp_path):
    weight = np.random.default_rng(0).normal(size=(4, 6, 3, 3)).astype(np.float32)
    found = LayerGroups(weight, Granularity.C_SHAPE).quantize(Rounding("pwlq", 5))
    plain = LayerGroups(weight, Granularity.FILTER).quantize(Rounding("affine", 4))
    layers = (LayerWeights("a", found.weights, 4), LayerWeights("b", plain.weights, 0))
    record = replace(
        sample_bundle.record,
        kind="weights",
        breakpoints=(breakpoint_record("a", found.breakpoints),),
    )
    model = WeightsModel("net", layers)
    save_weights(model, sample_bundle.host, record, tmp_path / "bundle")
    return tmp_path / "bundle", model, record


def forge(folder, change):
    file = folder / "graph.json"
    body = json.loads(file.read_text())
    change(body)
    del body["checksum"]
    file.write_text(render(body))


def test_round_trip(saved, sample_bundle, tmp_path):
    folder, model, record = saved
    assert is_weights_bundle(folder)
    again = load_weights(folder)
    assert again.record == record
    assert again.host == sample_bundle.host
    assert again.model.name == "net"
    for first, second in zip(model.layers, again.model.layers, strict=True):
        assert (first.name, first.biases) == (second.name, second.biases)
        assert (first.weights.integers() == second.weights.integers()).all()
        assert (first.weights.scale == second.weights.scale).all()
        assert first.weights.scheme == second.weights.scheme
    save_weights(again.model, again.host, again.record, tmp_path / "other")
    for name in ("graph.json", "tensors.safetensors"):
        assert (folder / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: b.update(version=1), " has bundle version 1; needed 2"),
        (lambda b: b.update(layers=[]), ": weights of 'net' have 0 layers; needed 1"),
        (lambda b: b["layers"][1].update(name="a"), ": weights of 'net' name the layer 'a' twice"),
        (lambda b: b["layers"][1].update(name="c"), ": a layer does not name its own tensors"),
        (lambda b: b["layers"][0].update(biases=-1), ": layers[0] has name 'a' and -1 biases"),
        (lambda b: b["layers"][0].pop("biases"), ": layers[0] must have name, biases and weights"),
        (
            lambda b: b["record"].update(kind="integer"),
            ": its record is of kind 'integer'; needed weights",
        ),
        (
            lambda b: b["layers"][1]["weights"].update(bits=9),
            ": layers[1]: weight codes have 9 bits; limit 1..8",
        ),
    ],
)
def test_forged_bundles_are_refused(saved, change, message):
    folder = saved[0]
    forge(folder, change)
    with pytest.raises(BundleError) as raised:
        load_weights(folder)
    assert str(raised.value) == f"'{folder / 'graph.json'}'{message}; {AGAIN}"


def test_an_edited_file_is_refused(saved):
    file = saved[0] / "graph.json"
    file.write_text(file.read_text().replace('"biases": 4', '"biases": 5'))
    message = f"'{file}' was edited after it was written (its checksum differs); {AGAIN}"
    with pytest.raises(BundleError, match=f"^{re.escape(message)}$"):
        load_weights(saved[0])


def test_records_of_another_kind_are_not_written(saved, sample_bundle, tmp_path):
    _, model, _ = saved
    with pytest.raises(BundleError, match=r"^weights of 'net' have a record of kind 'integer'$"):
        save_weights(model, sample_bundle.host, sample_bundle.record, tmp_path / "x")


def test_graphs_are_no_weights(saved_bundle):
    assert not is_weights_bundle(saved_bundle)
    assert not is_weights_bundle(saved_bundle / "nothing")
