# SPDX-License-Identifier: Apache-2.0
"""Bundles that are saved and read: equality by digest, determinism, size, replacement."""

import json
import os
import re
import struct
import subprocess
import sys
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from quant.bundle import Bundle, graph_tensors, load_bundle, save_bundle
from quant.bundle.save import bundle_files
from quant.errors import BundleError
from quant.formats import TensorFormat
from quant.graph import QGraph
from quant.memory import honest_bits
from quant.nodes import Conv, Input, Output
from quant.samples import sample_conv, sample_graph
from quant.weights import Granularity, Scheme


def same(a: object, b: object) -> bool:
    """Field by field, types and array types included: independent of the digest."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and bool((a == b).all())
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if is_dataclass(a):
        return all(same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    return bool(a == b)


def round_trip(bundle: Bundle, graph: QGraph, folder: Path) -> QGraph:
    save_bundle(graph, bundle.host, bundle.record, folder)
    return load_bundle(folder).graph


@pytest.mark.parametrize("act_bits", [4, 6, 8])
@pytest.mark.parametrize("weight_bits", [2, 4, 5, 8])
def test_round_trip_of_every_node_kind(
    sample_bundle: Bundle, tmp_path: Path, act_bits: int, weight_bits: int
) -> None:
    graph = sample_graph(act_bits, act_bits=act_bits, weight_bits=weight_bits)
    again = round_trip(sample_bundle, graph, tmp_path / "b")
    assert again.digest == graph.digest
    assert same(again.nodes, graph.nodes)
    assert again.name == graph.name


@pytest.mark.parametrize("granularity", list(Granularity))
@pytest.mark.parametrize(
    ("scheme", "bits"), [("affine", 4), ("symmetric", 1), ("pwlq", 5), ("codebook", 3)]
)
def test_round_trip_of_every_granularity_and_scheme(
    sample_bundle: Bundle, tmp_path: Path, granularity: Granularity, scheme: Scheme, bits: int
) -> None:
    conv, source = sample_conv(
        1, 3, 6, weight_bits=bits, granularity=granularity, scheme=scheme, names=("conv", "image")
    )
    graph = QGraph("one", (Input("image", (3, 6, 7), source), conv, Output("out", "conv")))
    assert same(round_trip(sample_bundle, graph, tmp_path / "b").nodes, graph.nodes)


def test_host_and_record_come_back(sample_bundle: Bundle, saved_bundle: Path) -> None:
    again = load_bundle(saved_bundle)
    assert again.host == sample_bundle.host
    assert again.record == sample_bundle.record


def test_arrays_of_a_loaded_graph_are_read_only(saved_bundle: Path) -> None:
    conv = load_bundle(saved_bundle).graph.convs[0]
    with pytest.raises(ValueError, match="read-only"):
        conv.weights.codes[0, 0, 0, 0] = 1


def test_odd_scales_and_names_survive(sample_bundle: Bundle, tmp_path: Path) -> None:
    scales = np.array([1.1754944e-38, 3.4028235e38, 0.1, 1 / 3, 1e-45, 16777217.0], np.float32)
    conv, source = sample_conv(1, 3, 6, names=('a"b/ü:*/ \n', "weights.codes"))
    conv = replace(conv, weights=replace(conv.weights, scale=scales))
    image = Input("weights.codes", (3, 6, 7), TensorFormat.plain(8, 0.1 + 0.2, 85, 3))
    assert source.zero_point == 85
    graph = QGraph("Straße", (image, conv, Output("bias", conv.name)))
    assert same(round_trip(sample_bundle, graph, tmp_path / "b").nodes, graph.nodes)


def test_same_input_gives_same_bytes_in_every_process(
    saved_bundle: Path, sample_bundle: Bundle
) -> None:
    files = bundle_files(sample_bundle.graph, sample_bundle.host, sample_bundle.record)
    assert files == {p.name: p.read_bytes() for p in saved_bundle.iterdir()}
    program = (
        "import hashlib, sys; from pathlib import Path;"
        "from quant.bundle import load_bundle; from quant.bundle.save import bundle_files;"
        "b = load_bundle(Path(sys.argv[1]));"
        "print(*(hashlib.sha256(v).hexdigest() for v in bundle_files(b.graph, b.host, b.record)"
        ".values()))"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", program, str(saved_bundle)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(answers) == 1
    again = load_bundle(saved_bundle)
    assert bundle_files(again.graph, again.host, again.record) == files


def test_loading_needs_neither_torch_nor_pickle(saved_bundle: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from quant.bundle import load_bundle;"
        "load_bundle(Path(sys.argv[1]));"
        "print([m for m in ('torch', 'cv2', 'matplotlib', 'pickle') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, str(saved_bundle)],
        capture_output=True,
        text=True,
        check=True,
    )
    # numpy itself imports pickle; nothing of it is called, the others are absent.
    assert result.stdout.strip() in ("[]", "['pickle']")


def wide_graph() -> QGraph:
    """Two layers as large as those of a real detector."""
    first, source = sample_conv(
        1, 64, 128, names=("first", "image"), granularity=Granularity.FILTER
    )
    second, _ = sample_conv(
        2,
        128,
        128,
        source=first.output,
        weight_bits=5,
        scheme="pwlq",
        granularity=Granularity.C_SHAPE,
        table=True,
        names=("second", "first"),
    )
    return QGraph(
        "wide", (Input("image", (64, 8, 8), source), first, second, Output("out", "second"))
    )


def test_files_are_no_larger_than_the_counted_bits(sample_bundle: Bundle, tmp_path: Path) -> None:
    graph = wide_graph()
    save_bundle(graph, sample_bundle.host, sample_bundle.record, tmp_path / "b")
    raw = (tmp_path / "b" / "tensors.safetensors").read_bytes()
    header = 8 + struct.unpack("<Q", raw[:8])[0]
    counted = sum(line.bits for line in honest_bits(graph))
    assert counted / 8 < len(raw) - header + 16
    assert len(raw) - header <= 1.05 * counted / 8
    # Byte padding is the only excess of the data part over the arrays.
    arrays = sum(t.bit_count for t in graph_tensors(graph))
    assert 0 <= (len(raw) - header) * 8 - arrays < 8 * len(graph_tensors(graph))
    # The description is small beside a real layer.
    assert (tmp_path / "b" / "graph.json").stat().st_size < 0.15 * len(raw)


def test_a_reader_written_from_the_document_reads_it(
    saved_bundle: Path, sample_bundle: Bundle
) -> None:
    """Only json, struct and the formulas of the README; no code of the package."""
    body = json.loads((saved_bundle / "graph.json").read_bytes())
    raw = (saved_bundle / "tensors.safetensors").read_bytes()
    length = struct.unpack("<Q", raw[:8])[0]
    header, data = json.loads(raw[8 : 8 + length]), raw[8 + length :]
    assert header.pop("__metadata__") == {"format": "nibbleflow-bundle"}
    assert set(header) == set(body["tensors"])
    expected = {t.name: t for t in graph_tensors(sample_bundle.graph)}
    for name, entry in body["tensors"].items():
        begin, end = header[name]["data_offsets"]
        stream, b = data[begin:end], entry["bits"]
        count = int(np.prod(entry["shape"]))
        values = []
        for i in range(count):
            word = int.from_bytes(stream[i * b // 8 : i * b // 8 + 8], "little")
            value = word >> (i * b % 8) & (2**b - 1)
            values.append((value ^ 2 ** (b - 1)) - 2 ** (b - 1) if entry["signed"] else value)
        assert values == expected[name].values.ravel().tolist()
        assert entry["dtype"] == expected[name].values.dtype.name


def test_every_node_has_its_own_line(saved_bundle: Path, sample_bundle: Bundle) -> None:
    lines = (saved_bundle / "graph.json").read_text().splitlines()
    for node in sample_bundle.graph.nodes:
        start = f'   {{"kind": "{type(node).__name__}", "name": "{node.name}"'
        assert len([line for line in lines if line.startswith(start)]) == 1


def refused(message: str) -> "pytest.RaisesExc[BundleError]":
    return pytest.raises(BundleError, match=f"^{re.escape(message)}$")


def test_an_existing_folder_needs_force(saved_bundle: Path, sample_bundle: Bundle) -> None:
    graph, host, record = sample_bundle.graph, sample_bundle.host, sample_bundle.record
    before = (saved_bundle / "graph.json").read_bytes()
    with refused(f"'{saved_bundle}' exists; choose another folder or replace it with --force"):
        save_bundle(graph, host, record, saved_bundle)
    assert (saved_bundle / "graph.json").read_bytes() == before
    other = sample_graph(8)
    save_bundle(other, host, record, saved_bundle, force=True)
    assert load_bundle(saved_bundle).graph.digest == other.digest
    assert [p.name for p in saved_bundle.parent.iterdir()] == ["bundle"]


def test_force_never_replaces_a_folder_with_other_files(
    saved_bundle: Path, sample_bundle: Bundle
) -> None:
    (saved_bundle / "thesis.tex").write_text("years")
    with refused(
        f"'{saved_bundle}' holds 'thesis.tex', which nibbleflow did not write there; "
        "it is not replaced, choose another folder"
    ):
        save_bundle(
            sample_bundle.graph,
            sample_bundle.host,
            sample_bundle.record,
            saved_bundle,
            force=True,
        )
    assert (saved_bundle / "thesis.tex").read_text() == "years"


def test_a_file_in_the_way_is_refused(tmp_path: Path, sample_bundle: Bundle) -> None:
    target = tmp_path / "model"
    target.write_text("x")
    with refused(f"'{target}' is a file; name a folder"):
        save_bundle(
            sample_bundle.graph, sample_bundle.host, sample_bundle.record, target, force=True
        )


@pytest.mark.parametrize("failing", ["write_bytes", "rename"])
def test_a_failed_write_leaves_the_old_bundle(
    saved_bundle: Path, sample_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    before = {p.name: p.read_bytes() for p in saved_bundle.iterdir()}
    original = getattr(Path, failing)

    def fail(self: Path, argument: object) -> object:
        if "new" in self.suffix or self.name == "tensors.safetensors":
            raise OSError(28, "No space left on device")
        return original(self, argument)

    monkeypatch.setattr(Path, failing, fail)
    with refused(
        f"'{saved_bundle}' cannot be written (No space left on device); "
        "choose a folder with room and write permission"
    ):
        save_bundle(
            sample_graph(9), sample_bundle.host, sample_bundle.record, saved_bundle, force=True
        )
    assert {p.name: p.read_bytes() for p in saved_bundle.iterdir()} == before
    assert [p.name for p in saved_bundle.parent.iterdir()] == ["bundle"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_without_a_value_are_refused(
    tmp_path: Path, sample_bundle: Bundle, value: float
) -> None:
    layer = replace(sample_bundle.record.layers[0], sqnr_db=value)
    with refused(
        "a number to be stored is NaN or infinite; "
        "store null where a measurement has no finite value"
    ):
        save_bundle(
            sample_bundle.graph,
            sample_bundle.host,
            replace(sample_bundle.record, layers=(layer,)),
            tmp_path / "b",
        )
    assert not (tmp_path / "b").exists()


def test_settings_that_are_no_json_are_refused(tmp_path: Path, sample_bundle: Bundle) -> None:
    record = replace(sample_bundle.record, settings={"calib": Path("images")})
    with pytest.raises(BundleError, match=r"^a value to be stored is no JSON value \(.*\); use"):
        save_bundle(sample_bundle.graph, sample_bundle.host, record, tmp_path / "b")


def test_stored_widths_are_the_smallest_that_hold_the_values() -> None:
    conv = next(n for n in wide_graph().nodes if isinstance(n, Conv) and n.name == "second")
    widths = {t.field: t.bits for t in graph_tensors(wide_graph()) if t.node == "second"}
    assert widths["weights.codes"] == 5
    assert widths["weights.multipliers"] == int(conv.weights.multipliers.max()).bit_length()
    assert 1 << (widths["weights.selectors"] - 1) < conv.weights.tables.shape[0]
    assert conv.weights.tables.shape[0] <= 1 << widths["weights.selectors"]
    assert (widths["requant.multiplier"], widths["requant.shift"], widths["bias"]) == (17, 6, 32)
