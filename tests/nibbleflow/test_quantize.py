# SPDX-License-Identifier: Apache-2.0
"""quantize: the build folder, its JSON, its options, and the same bytes again."""

import json

import numpy as np
import pytest

import nibbleflow
from quant.bundle import load_bundle
from quant.floatstore import load_float
from quant.nodes import Output

LIMIT = ("--limit", 2)


def test_build_folder(kept_build, tree):
    assert sorted(tree(kept_build)) == [
        "bundle/graph.json",
        "bundle/tensors.safetensors",
        "float/float.json",
        "float/float.safetensors",
        "float/frames.npy",
        "quantize.run.toml",
    ]
    assert [p.name for p in kept_build.parent.iterdir()] == [kept_build.name]
    bundle = load_bundle(kept_build / "bundle")
    graph, host = load_float(kept_build / "float")
    assert bundle.graph.input.shape == (3, host.height, host.width)
    assert [o.source for o in bundle.graph.outputs] == list(graph.outputs)
    frames = np.load(kept_build / "float" / "frames.npy")
    assert frames.shape == (4, host.height, host.width, 3)
    assert len(np.unique(frames.reshape(4, -1), axis=0)) == 4


def test_json_keys(cli, tmp_path):
    record, build = tmp_path / "q.json", tmp_path / "b"
    done = cli("quantize", "demo", "-o", build, *LIMIT, "--json", record)
    assert done.code == 0
    values = json.loads(record.read_text())
    bundle = load_bundle(build / "bundle")
    assert values["digest"] == bundle.graph.digest
    assert values["build"] == str(build)
    inner = [n.name for n in bundle.graph.nodes if not isinstance(n, Output)]
    assert [layer["name"] for layer in values["layers"]] == inner
    bits = {n.name: n.weights.bits for n in bundle.graph.convs}
    assert {r["name"]: r["weight_bits"] for r in values["layers"] if r["weight_bits"]} == bits
    assert sorted(set(bits.values())) == [4, 8]
    # The built-in stem and the two heads keep 8 bits.
    assert [name for name, b in bits.items() if b == 8] == [
        "model.0.conv",
        "model.17.m.0",
        "model.17.m.1",
    ]


def test_options_reach_the_graph(cli, tmp_path):
    done = cli(
        *("quantize", "demo", "-o", tmp_path / "b", *LIMIT, "--weight-bits", 3, "--act-bits", 5),
        *("--edge-bits", 6, "--output-bits", 10, "--scheme", "symmetric", "--granularity", "layer"),
        *("--layer", "model.9.conv=w8a7", "--layer", "model.12.*=w4", "--img", "96x128"),
    )
    assert done.code == 0, done.err
    graph = load_bundle(tmp_path / "b" / "bundle").graph
    bits = {n.name: n.weights.bits for n in graph.convs}
    assert bits.pop("model.0.conv") == bits.pop("model.17.m.0") == bits.pop("model.17.m.1") == 6
    assert bits.pop("model.9.conv") == 8
    assert bits.pop("model.12.conv") == 4
    assert set(bits.values()) == {3}
    assert graph.input.shape == (3, 96, 128)
    assert {graph.formats[o.name].bits for o in graph.outputs} == {10}
    assert graph.formats["model.1.conv"].bits == 5
    assert all(len(n.weights.tables) == 1 for n in graph.convs)
    assert {n.weights.scheme for n in graph.convs} == {"symmetric"}


def test_own_images(cli, tmp_path, images):
    done = cli("quantize", "demo", "-o", tmp_path / "b", "--calib", images)
    assert done.code == 0
    assert "3/3" in done.err
    assert len(np.load(tmp_path / "b" / "float" / "frames.npy")) == 3


def test_repeat_makes_the_same_bytes(cli, tmp_path, tree):
    build, record = tmp_path / "b", tmp_path / "again.json"
    assert cli("quantize", "demo", "-o", build, *LIMIT, "--weight-bits", 5).code == 0
    before = tree(build)
    refused = cli("repeat", build / "quantize.run.toml")
    assert refused.error == f"{build} exists already; give --force to replace it"
    assert tree(build) == before
    (build / "bundle" / "graph.json").unlink()  # repeat does not lean on what is there
    done = cli("repeat", build / "quantize.run.toml", "--force", "--json", record)
    assert done.code == 0, done.err
    again = tree(build)
    run_file = before.pop("quantize.run.toml"), again.pop("quantize.run.toml")
    assert again == before
    assert run_file[0].replace(b"force = false", b"force = true") == run_file[1]
    assert json.loads(record.read_text())["digest"] == load_bundle(build / "bundle").graph.digest


def test_python_function_does_the_same(kept_build, tmp_path, capsys, tree):
    result = nibbleflow.quantize("demo", output=tmp_path / "b", limit=8)
    assert result.ok
    assert result.values["digest"] == load_bundle(kept_build / "bundle").graph.digest
    expected = tree(kept_build)
    expected.pop("quantize.run.toml")  # the command line writes it
    assert tree(tmp_path / "b") == expected


@pytest.mark.parametrize("batch_end", [1, 5])
def test_last_batch_may_be_short(cli, tmp_path, batch_end):
    done = cli("quantize", "demo", "-o", tmp_path / "b", "--limit", batch_end)
    assert done.code == 0
    assert f"{batch_end}/{batch_end}" in done.err
