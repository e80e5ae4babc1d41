# SPDX-License-Identifier: Apache-2.0
"""quantize --weights-only: a build that can be evaluated and counted, but not built."""

import json

import pytest

from quant.bundle.weights import load_weights


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A build of kind weights of the demo in PWLQ with 4-bit regions."""
    from nibbleflow import quantize

    folder = tmp_path_factory.mktemp("weights") / "build"
    quantize(
        "demo", output=folder, weights_only=True, scheme="pwlq", weight_bits=5,
        granularity="c-shape",
    )  # fmt: skip
    return folder


def test_the_bundle_says_weights(kept):
    bundle = load_weights(kept / "bundle")
    assert bundle.record.kind == "weights"
    assert {layer.weights.bits for layer in bundle.model.layers} == {5, 8}
    assert {layer.weights.scheme for layer in bundle.model.layers} == {"pwlq"}
    assert "act_bits" not in bundle.record.settings
    found = {record.layer for record in bundle.record.breakpoints}
    assert found == {layer.name for layer in bundle.model.layers}
    for record, layer in zip(bundle.record.breakpoints, bundle.model.layers, strict=True):
        assert len(record.integers) == len(record.real) == layer.weights.groups
        multipliers = layer.weights.multipliers.reshape(-1).tolist()
        assert all(p % m == 0 for p, m in zip(record.integers, multipliers, strict=True))


def test_evaluate_has_no_integers(cli, kept, tmp_path):
    done = cli("evaluate", kept, "--limit", 4, "--json", tmp_path / "e.json")
    assert done.code == 0
    values = json.loads((tmp_path / "e.json").read_text())
    assert values["integer"] is None
    assert values["kind"] == "weights"
    assert values["absent"] == {
        "integer": f"does not exist: {kept} is of kind weights, its activations are float"
    }
    assert 0.0 < values["fake_quant"]["map"] != values["float"]["map"]


def test_report_counts_memory(cli, kept, tmp_path):
    done = cli("report", kept, "--json", tmp_path / "r.json")
    assert done.code == 0
    values = json.loads((tmp_path / "r.json").read_text())
    memory = values["memory"]
    assert 2.5 < memory["honest_ratio"] < memory["published_ratio"] < 4.0
    assert sum(memory["bits"].values()) == memory["honest_bits"]
    assert sum(sum(x["memory_bits"].values()) for x in values["layers"]) == memory["honest_bits"]
    assert values["macs"] > 1e6
    assert {p.name for p in (kept / "report").iterdir()} == {
        "breakpoints.png", "summary.json", "tables.txt",
    }  # fmt: skip


def test_report_plans_no_hardware(cli, kept):
    done = cli("report", kept, "--fps", 30)
    assert done.code == 1
    assert done.error == (
        f"{kept} is of kind weights: there is no hardware to plan or compare; leave "
        "--vendor, --fps, --board, --clock, --max-macs, --core and --stream-weights out"
    )


@pytest.mark.parametrize("verb", ["generate", "verify", "export", "vectors"])
def test_hardware_verbs_refuse_it_in_one_line(cli, kept, verb):
    done = cli(verb, kept)
    assert done.code == 1
    assert done.error == (
        f"'{kept / 'bundle' / 'graph.json'}' is of kind weights: its activations are float, "
        "so there is no integer network; quantize again without --weights-only"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--act-bits", 4),
            "--act-bits is about activations, which stay float with --weights-only; leave one of "
            "the two out",
        ),
        (
            ("--layer", "model.0*=a6"),
            "--layer 'model.0*' sets activation bits, which stay float with --weights-only; leave "
            "one of the two out",
        ),
        (
            ("--scheme", "e2m1", "--weight-bits", 5),
            "scheme 'e2m1' with 5 stored bits is not available; it has 4",
        ),
        (
            ("--weight-error", "outputs"),
            "--weight-error outputs weighs errors on images; name a folder with --calib",
        ),
    ],
)
def test_options_that_do_not_fit_are_refused(cli, tmp_path, options, message):
    done = cli("quantize", "demo", "--weights-only", "-o", tmp_path / "b", *options)
    assert done.code == 1
    assert done.error == message
    assert not (tmp_path / "b").exists()


def test_images_weigh_the_errors(cli, tmp_path):
    # Random images will do: the energy of the inputs changes what is chosen.
    plain, weighed = tmp_path / "plain", tmp_path / "weighed"
    options = ("--weights-only", "--scheme", "e2m1-spare", "--edge-bits", 4)
    assert cli("quantize", "demo", *options, "-o", plain).code == 0
    assert cli("quantize", "demo", *options, "--calib", "random:2", "-o", weighed).code == 0
    found = [load_weights(b / "bundle") for b in (plain, weighed)]
    assert [f.record.settings["weighed_by_input_energy"] for f in found] == [False, True]
    first, second = (f.model.layers[3].weights.integers() for f in found)
    assert (first != second).any()
