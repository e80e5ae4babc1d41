# SPDX-License-Identifier: Apache-2.0
"""Which word on the command line means which model, and what is refused."""

import re
import sys
import textwrap

import numpy as np
import pytest
import torch
from torch import nn

from quant.errors import InputFileError, NibbleflowError, UnsupportedLayerError
from quant.zoo.random_images import random_count, random_image
from quant.zoo.resolve import is_model, load_model

SOURCE = """
    from torch import nn
    from quant.hostspec import HostSpec
    from quant.zoo.loaded import LoadedModel

    def net():
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Dropout()).train()

    class Nets:
        @staticmethod
        def own():
            host = HostSpec(
                16, 24, "top_left", 7, "bgr", (1.0, 2.0, 3.0), (4.0, 5.0, 6.0), "none", (), (),
                (), (),
            )
            return LoadedModel(nn.Conv2d(3, 4, 1), host, "mine")

    def number():
        return 3

    def broken():
        raise ValueError("no weights")

    def needs(argument):
        return argument

    made = nn.Conv2d(3, 4, 1)
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A module of the user's in the current folder; returns its name."""
    name = f"own_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(textwrap.dedent(SOURCE))
    (tmp_path / f"{name}_bad.py").write_text("import nothing_of_that_name\n")
    monkeypatch.chdir(tmp_path)
    yield name
    for module in (name, f"{name}_bad"):
        sys.modules.pop(module, None)


def test_bare_module(own):
    path = list(sys.path)
    loaded = load_model(f"{own}:net", image_size=(32, 48))
    assert sys.path == path
    assert not loaded.module.training
    assert loaded.name == "net"
    host = loaded.host
    assert (host.height, host.width, host.decode, host.place) == (32, 48, "none", "center")
    assert (host.mean, host.std) == ((0.0, 0.0, 0.0), (255.0, 255.0, 255.0))


def test_bare_classifier_is_normalised_as_usual(own):
    host = load_model(f"{own}:net", image_size=(32, 32), decode="classify").host
    assert (host.decode, host.place) == ("classify", "squash")
    assert host.mean == pytest.approx((123.675, 116.28, 103.53))
    assert host.std == pytest.approx((58.395, 57.12, 57.375))


def test_own_host(own):
    loaded = load_model(f"{own}:Nets.own")
    assert (loaded.name, loaded.host.pad_value, loaded.host.width) == ("mine", 7, 24)
    assert load_model(f"{own}:Nets.own", image_size=(16, 24), decode="none").name == "mine"


@pytest.mark.parametrize(
    ("tail", "options", "message"),
    [
        ("net", {}, "'{}' returned a bare torch module, whose input size is not known; give --img"),
        (
            "net",
            {"image_size": (32, 32), "decode": "yolov5"},
            "'{}' is a bare torch module; --decode yolov5 also needs strides, anchors and class "
            "names: return a quant.zoo.loaded.LoadedModel, or choose none or classify",
        ),
        ("net", {"arch": "yolov7"}, "'{}' takes no --arch ('yolov7'); leave it out"),
        ("net", {"seed": 0}, "'{}' takes no --seed ('0'); leave it out"),
        (
            "Nets.own",
            {"image_size": (32, 32)},
            "'{}' returned a model for 24x16 pixels; leave --img out, or return one of the size "
            "wanted",
        ),
        (
            "Nets.own",
            {"decode": "classify"},
            "'{}' returned a model that decodes 'none'; leave --decode out",
        ),
        (
            "number",
            {},
            "'{}' returned int; return a torch.nn.Module, or a quant.zoo.loaded.LoadedModel with "
            "its HostSpec",
        ),
        (
            "broken",
            {},
            "'{}' failed when called without arguments (ValueError: no weights); correct the "
            "function",
        ),
        ("needs", {}, "'{}' failed when called without arguments (TypeError: needs() missing"),
        (
            "made",
            {},
            "'{}' is Conv2d, not a function; name a function without arguments that returns the "
            "model",
        ),
        ("Nets.lost", {}, "'{}': 'Nets' has no 'lost'; name a callable that it defines"),
        ("", {}, "model '{}' is not of the form package.module:callable"),
    ],
)
def test_refused_callables(own, tail, options, message):
    spec = f"{own}:{tail}"
    with pytest.raises(NibbleflowError, match=f"^{re.escape(message.format(spec))}"):
        load_model(spec, **options)


def test_modules_that_cannot_be_imported(own):
    with pytest.raises(InputFileError) as caught:
        load_model("no.such.thing:net", image_size=(8, 8))
    assert str(caught.value) == (
        "'no.such.thing' of 'no.such.thing:net' cannot be imported (ModuleNotFoundError: No module "
        "named 'no'); run where 'python -c \"import no.such.thing\"' works"
    )
    with pytest.raises(InputFileError, match="No module named 'nothing_of_that_name'"):
        load_model(f"{own}_bad:net", image_size=(8, 8))


def test_architecture_alone_is_seeded():
    first, again, other = (
        load_model("arch:mobileone-s0", seed=seed, image_size=(64, 64)).module.state_dict()
        for seed in (1, 1, 2)
    )
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert not torch.equal(first["linear.weight"], other["linear.weight"])
    with pytest.raises(UnsupportedLayerError, match=r"^architecture 'vgg' is not known; known: "):
        load_model("arch:vgg")
    with pytest.raises(UnsupportedLayerError, match="takes no --decode"):
        load_model("arch:yolov5n", decode="yolov5")


@pytest.mark.parametrize(
    ("spec", "options"),
    [
        ("demo", {"seed": 1}),
        ("demo", {"decode": "none"}),
        ("x.safetensors", {"seed": 1}),
        ("x.safetensors", {"decode": "none"}),
        ("x.pt", {"arch": "yolov5n"}),
        ("x.onnx", {"arch": "yolov5n"}),
        ("x.onnx", {"seed": 3}),
    ],
)
def test_options_that_say_nothing_are_not_ignored(spec, options):
    ((option, value),) = options.items()
    message = f"'{spec}' takes no --{option} ('{value}'); leave it out"
    with pytest.raises(UnsupportedLayerError, match=f"^{re.escape(message)}$"):
        load_model(spec, **options)


def test_what_has_the_form_of_a_model():
    for spec in ("demo", "a/b.onnx", "x.PT", "arch:yolov7", "pkg.mod:make", "w.safetensors"):
        assert is_model(spec), spec
    for spec in ("build/demo", "build", "yolov7", "."):
        assert not is_model(spec), spec


def test_module_type_is_kept():
    assert isinstance(load_model("demo").module, nn.Module)


def test_random_images():
    first, again, second = (random_image(i, (48, 70)) for i in (0, 0, 1))
    assert first.shape == (48, 70, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert not np.array_equal(first, second)
    assert (first.min(), first.max()) == (0, 255)
    # Neighbours are alike, as in a photograph: white noise has a mean step of 85.
    assert np.abs(np.diff(first.astype(int), axis=1)).mean() < 60
    assert random_count((640, 640)) == 2
    assert random_count((416, 416)) == 4
    assert random_count((32, 32)) == 16
    assert random_count((1280, 1280)) == 2
