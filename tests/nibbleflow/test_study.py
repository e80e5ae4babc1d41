# SPDX-License-Identifier: Apache-2.0
"""study: the grid on the demo's weights, its accuracy, and going on after an interruption."""

import json

import pytest

from quant.zoo.shapes import write_shapes


def test_the_grid_without_images(cli, tmp_path):
    done = cli(
        *("study", "demo", "--schemes", "affine,pwlq,pwlq:4,e2m1"),
        *("--granularities", "layer,filter,c-shape", "--json", tmp_path / "s.json"),
    )
    assert done.code == 0
    values = json.loads((tmp_path / "s.json").read_text())
    rows = {(r["scheme"], r["bits"], r["granularity"]): r for r in values["rows"]}
    assert len(rows) == 12
    assert values["float"] is None
    for granularity in ("layer", "filter", "c-shape"):
        affine, pwlq = rows["affine", 4, granularity], rows["pwlq", 5, granularity]
        true_four = rows["pwlq", 4, granularity]
        # The fifth bit buys the error and is missing in the published figure alone.
        assert pwlq["sqnr_db"] > affine["sqnr_db"] + 5.0
        assert pwlq["honest_ratio"] < 3.25 < pwlq["published_ratio"] + 0.1
        assert true_four["honest_ratio"] > pwlq["honest_ratio"] + 0.4
        assert true_four["published_ratio"] == pwlq["published_ratio"]
        assert rows["e2m1", 4, granularity]["published_ratio"] is None
        for row in (affine, pwlq, true_four):
            assert row["stored_sqnr_db"] > row["sqnr_db"] - 1.0
        # Five stored bits leave no packed core; multipliers by position leave one with A4.
        assert (pwlq["cores_a4"], pwlq["mac_per_dsp_a4"]) == ({}, 1.0)
        assert set(affine["cores_a8"]) == (set() if granularity == "c-shape" else {"w4a8"})
    assert rows["affine", 4, "c-shape"]["cores_a4"] == {"outer4": 20}
    assert rows["affine", 4, "c-shape"]["mac_per_dsp_a4"] == 4.0
    assert (
        rows["affine", 4, "layer"]["mac_per_dsp_a4"] > rows["affine", 4, "filter"]["mac_per_dsp_a4"]
    )
    assert "MAC/DSP A4" in done.out
    by_filter = [rows["affine", 4, g]["sqnr_db"] for g in ("layer", "filter", "c-shape")]
    assert by_filter == sorted(by_filter)


def test_accuracy_and_going_on(cli, tmp_path):
    write_shapes(tmp_path / "shapes", 3, 5, (160, 160))
    out = tmp_path / "study.json"
    options = (
        *("study", "demo", "--schemes", "affine", "--data", tmp_path / "shapes/instances.json"),
        *("--images", tmp_path / "shapes", "--limit", 2, "--out", out),
    )
    assert cli(*options, "--granularities", "filter").code == 0
    first = json.loads(out.read_text())
    assert first["float"]["images"] == 2
    assert first["rows"][0]["map"] > 20.0
    assert cli(*options, "--granularities", "filter,c-shape").code == 0
    second = json.loads(out.read_text())
    # The first row is the old one to the last digit of its time.
    assert second["rows"][0] == first["rows"][0]
    assert [r["granularity"] for r in second["rows"]] == ["filter", "c-shape"]
    done = cli(*options, "--granularities", "filter", "--bits", 4, "--weight-clip", "mse")
    assert done.code == 1
    assert done.error == (
        f"{out} exists and is of another model or other options; remove it or name another --out"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--schemes", "ternary"),
            "--schemes 'ternary' is not available; choose affine, symmetric, pwlq, pwlq-code, "
            "pwlq-overlap, pwlq16, e2m1, e2m1-spare, codebook",
        ),
        (
            ("--bits", 8),
            "'pwlq' with regions of 8 bits stores 9; limit 8; name its stored bits: pwlq:8",
        ),
        (("--schemes", "pwlq:x"), "--schemes 'pwlq:x' is not of the form NAME or NAME:BITS"),
        (
            ("--granularities", "row"),
            "granularity 'row' is not available; choose layer, filter, channel, f-shape, c-shape, "
            "mixture, mixture-bits, mixture-hardware",
        ),
        (("--granularities", ","), "a study needs at least one scheme and one granularity"),
        (("--limit", 0), "--limit 0 must be at least 1"),
        (
            ("--images", "x"),
            "accuracy of a detector needs --images and --data, nothing else",
        ),
    ],
)
def test_bad_options_are_refused(cli, options, message):
    done = cli("study", "demo", *options)
    assert done.code == 1
    assert done.error == message
