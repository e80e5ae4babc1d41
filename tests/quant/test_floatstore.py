# SPDX-License-Identifier: Apache-2.0
"""The stored float network: round trip, and refusal of everything damaged."""

import dataclasses
import json
import re
import subprocess
import sys

import numpy as np
import pytest

from quant.bundle.text import CHECKSUM_KEY, render
from quant.errors import BundleError, InputFileError
from quant.floatgraph import (
    FloatActivation,
    FloatAdd,
    FloatAvgPool,
    FloatConcat,
    FloatConv,
    FloatGraph,
    FloatInput,
    FloatLinear,
    FloatMaxPool,
    FloatMultiply,
    FloatShuffle,
    FloatSplit,
    FloatUpsample,
)
from quant.floatstore import GRAPH_FILE, TENSOR_FILE, load_float, save_float
from quant.hostspec import HostSpec

HOST = HostSpec(
    8, 8, "squash", 0, "bgr", (1.5, 2.0, 3.0), (4.0, 5.0, 6.0), "none", (), (), (("fc",),), ("a",)
)


def network() -> FloatGraph:
    """One operation of every kind."""
    rng = np.random.default_rng(0)
    ops = (
        FloatInput("images", (3, 8, 8)),
        FloatConv(
            "conv",
            "images",
            rng.random((4, 3, 3, 3), dtype=np.float32),
            rng.random(4, dtype=np.float32),
            (2, 1),
            (1, 1, 0, 1),
            1,
        ),
        FloatActivation("act", "conv", "leaky_relu", 0.1),
        FloatMaxPool("pool", "act", (3, 3), (1, 1), (1, 1, 1, 1)),
        FloatSplit("split", "pool", 1, 3),
        FloatUpsample("up", "split", 2),
        FloatConcat("cat", ("up", "up")),
        FloatAdd("add", ("cat", "cat")),
        FloatShuffle("mix", "add", 2),
        FloatMultiply("mul", ("mix", "cat")),
        FloatAvgPool("avg", "mul", (8, 16), (8, 16)),
        FloatLinear(
            "fc", "avg", rng.random((2, 4), dtype=np.float32), rng.random(2, dtype=np.float32)
        ),
    )
    shapes = {
        "images": (3, 8, 8),
        "conv": (4, 4, 8),
        "act": (4, 4, 8),
        "pool": (4, 4, 8),
        "split": (2, 4, 8),
        "up": (2, 8, 16),
        "cat": (4, 8, 16),
        "add": (4, 8, 16),
        "mix": (4, 8, 16),
        "mul": (4, 8, 16),
        "avg": (4, 1, 1),
        "fc": (2, 1, 1),
    }
    return FloatGraph("net", ops, ("fc",), shapes, 1234)


def test_round_trip(tmp_path):
    graph = network()
    save_float(graph, HOST, tmp_path / "float")
    loaded, host = load_float(tmp_path / "float")
    assert host == HOST
    for field in ("name", "outputs", "shapes", "source_parameters"):
        assert getattr(loaded, field) == getattr(graph, field)
    assert len(loaded.ops) == len(graph.ops)
    for a, b in zip(loaded.ops, graph.ops, strict=True):
        assert type(a) is type(b)
        for field in dataclasses.fields(a):
            x, y = getattr(a, field.name), getattr(b, field.name)
            if isinstance(y, np.ndarray):
                assert x.dtype == y.dtype
                np.testing.assert_array_equal(x, y)
                assert not x.flags.writeable
            else:
                assert x == y


def test_same_bytes_every_time(tmp_path):
    for name in "ab":
        save_float(network(), HOST, tmp_path / name)
    for file in (GRAPH_FILE, TENSOR_FILE):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_existing_folder_needs_force(tmp_path):
    save_float(network(), HOST, tmp_path / "float")
    with pytest.raises(BundleError, match="exists; choose another folder"):
        save_float(network(), HOST, tmp_path / "float")
    save_float(network(), HOST, tmp_path / "float", force=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["float"]


def test_needs_no_torch():
    code = "import sys, quant.floatstore; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_missing(tmp_path):
    with pytest.raises(InputFileError, match=r"float.json' cannot be read \(No such file"):
        load_float(tmp_path)
    save_float(network(), HOST, tmp_path / "float")
    (tmp_path / "float" / TENSOR_FILE).unlink()
    with pytest.raises(InputFileError, match=r"float\.safetensors' cannot be read"):
        load_float(tmp_path / "float")


@pytest.mark.parametrize("file", [GRAPH_FILE, TENSOR_FILE])
def test_truncated_and_flipped(tmp_path, file):
    save_float(network(), HOST, tmp_path / "float")
    path = tmp_path / "float" / file
    good = path.read_bytes()
    path.write_bytes(good[: len(good) // 2])
    with pytest.raises(BundleError, match=f"{file}' (is no complete JSON|was changed)"):
        load_float(tmp_path / "float")
    flipped = bytearray(good)
    at = good.index(b"1234") + 3 if file == GRAPH_FILE else len(good) - 2
    flipped[at] ^= 1
    path.write_bytes(bytes(flipped))
    with pytest.raises(BundleError, match=f"{file}' was (edited|changed)"):
        load_float(tmp_path / "float")


def drop_op(body):
    del body["ops"][1]


def rename_kind(body):
    body["ops"][2]["op"] = "FloatGelu"


def extra_field(body):
    body["ops"][2]["gain"] = 2


def lose_tensor(body):
    body["ops"][1]["name"] = "other"


def newer(body):
    body["version"] = 2


def foreign(body):
    body["format"] = "something"


def lose_part(body):
    del body["host"]


def break_host(body):
    body["host"]["height"] = "8"


DAMAGE = {
    drop_op: "'act' reads 'conv', which no earlier operation makes",
    rename_kind: "ops[2] is of kind 'FloatGelu', which this program does not know",
    extra_field: "ops[2] has an unknown field 'gain'",
    lose_tensor: "'other' has no stored weight or bias",
    newer: "has version 2; this program reads 1",
    foreign: "is JSON but no nibbleflow-float",
    lose_part: "lacks or has too many parts ['host']",
    break_host: "host.height is '8', no int",
}


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda f: f.__name__)
def test_edited_with_a_new_checksum(tmp_path, damage):
    save_float(network(), HOST, tmp_path / "float")
    path = tmp_path / "float" / GRAPH_FILE
    body = json.loads(path.read_text())
    del body[CHECKSUM_KEY]
    damage(body)
    path.write_text(render(body))
    with pytest.raises(BundleError, match=re.escape(DAMAGE[damage])) as error:
        load_float(tmp_path / "float")
    assert "\n" not in str(error.value)
