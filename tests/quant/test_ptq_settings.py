# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

import pytest

from quant.errors import QuantizationError
from quant.ptq.settings import LayerOverride, QuantizeSettings


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.b=8", LayerOverride("a.b", 8, None)),
        ("a.b=w3", LayerOverride("a.b", 3, None)),
        ("a.*=a6", LayerOverride("a.*", None, 6)),
        ("x=w8a4", LayerOverride("x", 8, 4)),
    ],
)
def test_override_forms(text, expected):
    assert LayerOverride.parse(text) == expected


@pytest.mark.parametrize("text", ["", "=8", "a=", "a=w", "a=x8", "a=8b", "a=w8a", "a=w8aa"])
def test_override_of_another_form_is_refused(text):
    with pytest.raises(QuantizationError, match=r"is not of the form NAME=8"):
        LayerOverride.parse(text)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"least_ratio": 0.5}, "--least-ratio: 0.5 is out of range; choose 1 to 8"),
        (
            {"weight_error": "both"},
            "--weight-error 'both' is not available; choose weights, outputs",
        ),
        ({"weight_bits": 9}, "--weight-bits: 9 is out of range; choose 2 to 8"),
        ({"weight_bits": 1}, "--weight-bits: 1 is out of range; choose 2 to 8"),
        ({"act_bits": 3}, "--act-bits: 3 is out of range; choose 4 to 8"),
        ({"output_bits": 17}, "--output-bits: 17 is out of range; 8 to 16"),
        (
            {"scheme": "nf4"},
            "--scheme 'nf4' is not available; choose affine, symmetric, pwlq, pwlq-code, "
            "pwlq-overlap, pwlq16, e2m1, e2m1-spare, codebook",
        ),
        (
            {"granularity": "row"},
            "--granularity 'row' is not available; choose layer, filter, channel, f-shape, "
            "c-shape, mixture, mixture-bits, mixture-hardware",
        ),
        (
            {"scheme": "e2m1", "weight_bits": 5},
            "scheme 'e2m1' with 5 stored bits is not available; it has 4",
        ),
        (
            {"scheme": "pwlq", "breakpoints": 2},
            "scheme 'pwlq' with 4 stored bits has no 2 breakpoints; use 'pwlq' with 5 to 8 bits, "
            "or one breakpoint",
        ),
        (
            {"breakpoint_method": "cauchy"},
            "--breakpoint-method 'cauchy' is not available; choose gaussian, laplacian, search",
        ),
        (
            {"observer": "kl"},
            "--observer 'kl' is not available; choose auto, minmax, percentile, mse",
        ),
        ({"percentile": 50.0}, "--percentile: 50.0 must be in (50, 100]"),
    ],
)
def test_settings_out_of_range(fields, message):
    with pytest.raises(QuantizationError) as raised:
        QuantizeSettings.checked(**fields)
    assert str(raised.value) == message


def test_override_bits_are_checked():
    with pytest.raises(QuantizationError, match=r"weight bits of --layer 'a': 9 is out of range"):
        LayerOverride.parse("a=9")


def test_later_overrides_win():
    settings = QuantizeSettings().with_overrides(["m.*=5", "m.1=w6a7"])
    assert settings.weight_bits_of("m.0", edge=False) == 5
    assert settings.weight_bits_of("m.1", edge=False) == 6
    assert settings.act_bits_of("m.1", stem=False) == 7
    assert settings.weight_bits_of("stem", edge=True) == 8


def test_an_override_that_matches_nothing_is_refused():
    settings = QuantizeSettings().with_overrides(["model.9.conv=8"])
    with pytest.raises(
        QuantizationError,
        match=r"^--layer 'model.9.conv' matches no layer; near: model.0.conv, model.1.conv$",
    ):
        settings.check_patterns(["model.0.conv", "model.1.conv"])


def test_weights_clip_at_few_bits_and_activations_always():
    settings = QuantizeSettings()
    assert settings.range_method == "mse"
    assert replace(settings, observer="minmax").range_method == "minmax"
    assert [settings.weight_clip_of(b) for b in (2, 5, 6, 8)] == ["mse", "mse", "minmax", "minmax"]


def test_bits_that_a_scheme_lacks_are_named():
    settings = QuantizeSettings(scheme="e2m1", weight_bits=4)
    assert settings.fallback_note({"a": 4, "b": 4}) is None
    assert settings.fallback_note({"a": 8, "b": 4, "c": 5}) == (
        "'e2m1' has 4 stored bits; symmetric instead: 'a' (8 bits), 'c' (5 bits)"
    )
    assert settings.weights_of(8).rounding.scheme == "symmetric"
    assert settings.weights_of(4).rounding.scheme == "e2m1"
    wide = QuantizeSettings(scheme="pwlq", weight_bits=5)
    assert wide.fallback_note({"a": 8, "b": 2}) == (
        "'pwlq' has 3 to 8 stored bits; symmetric instead: 'b' (2 bits)"
    )
