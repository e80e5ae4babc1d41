# SPDX-License-Identifier: Apache-2.0
"""Recipes: what is read and refused, and whole runs on a tiny network."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from quant.errors import InputFileError, QuantizationError
from quant.floatgraph import (
    FloatActivation,
    FloatAdd,
    FloatConcat,
    FloatConv,
    FloatGraph,
    FloatInput,
)
from quant.hostspec import HostSpec
from quant.ptq import quantize as whole
from quant.ptq.codes import encode
from quant.ptq.executor import FloatExecutor
from quant.ptq.fakequant import FakeQuantExecutor
from quant.ptq.recipes import layerwise
from quant.ptq.recipes.blockstages import RepApq, TaskQ
from quant.ptq.recipes.images import ImageCodes
from quant.ptq.recipes.network import FormattedNetwork
from quant.ptq.recipes.recipe import (
    RECIPES,
    RTN,
    AdaRound,
    Distill,
    Gptq,
    Nearest,
    Recipe,
    recipe_of,
)
from quant.ptq.recipes.run import RunOptions, run_recipe
from quant.ptq.recipes.weights import load_biases, save_biases, stored_network, with_biases
from quant.ptq.settings import QuantizeSettings
from quant.ptq.steps import plan_steps
from quant.ptq.study import with_weights
from sim.golden import GoldenModel
from tests.quant.interrupted import Stopped, stopping

SETTINGS = QuantizeSettings(weight_bits=4, act_bits=6, edge_bits=4)
SHORT = Recipe("short", (Gptq(images=6), Distill(steps=6, batch=2, save_every=2)))


def network():
    """Two branches that meet in a sum and a concatenation, one depthwise, behind SiLU."""
    rng = np.random.default_rng(5)

    def conv(name, source, filters, channels, groups=1, kernel=3):
        weight = rng.standard_t(3, (filters, channels // groups, kernel, kernel))
        weight *= 1.2 / np.sqrt(channels // groups * kernel**2)
        bias = rng.normal(0, 0.2, filters).astype(np.float32)
        pad = kernel // 2
        return FloatConv(name, source, weight.astype(np.float32), bias, (1, 1), (pad,) * 4, groups)

    ops = (
        FloatInput("x", (3, 16, 16)),
        conv("a", "x", 8, 3),
        FloatActivation("a.act", "a", "silu"),
        conv("b", "a.act", 8, 8, groups=8),
        FloatActivation("b.act", "b", "silu"),
        FloatAdd("sum", ("a.act", "b.act")),
        FloatConcat("cat", ("sum", "b.act")),
        conv("c", "cat", 12, 16, kernel=1),
        FloatActivation("c.act", "c", "silu"),
        conv("d", "c.act", 12, 12),
        FloatActivation("d.act", "d", "silu"),
        conv("out", "d.act", 6, 12, kernel=1),
    )
    channels = {"x": 3, "a": 8, "b": 8, "sum": 8, "cat": 16, "c": 12, "d": 12, "out": 6}
    shapes = {op.name: (channels[op.name.split(".")[0]], 16, 16) for op in ops}
    return FloatGraph("tiny", ops, ("out",), shapes, 0)


def host():
    outputs = (("out",),)
    return HostSpec(
        16, 16, "center", 114, "rgb", (0.0,) * 3, (255.0,) * 3, "none", (), (), outputs, ("a",)
    )


def images(seed=1, count=8):
    coarse = np.random.default_rng(seed).random((count, 3, 8, 8), dtype=np.float32)
    return coarse.repeat(2, axis=2).repeat(2, axis=3)


def quantized(recipe, settings=SETTINGS, **options):
    return whole.quantize(
        network(),
        host(),
        [images()],
        settings,
        model="tiny",
        recipe=recipe,
        options=RunOptions(**options),
    )


def output_error(graph, seed=9):
    batch = images(seed)
    codes = np.floor(batch * 255 + 0.5).astype(np.uint8)
    exact = FloatExecutor(network()).run(batch)["out"].astype(np.float64)
    made = GoldenModel(graph).run(codes, keep=["out"]).tensors["out"].astype(np.float64)
    fmt = graph.formats["out"]
    return float(np.square((made - fmt.zero_point) * fmt.scale - exact).sum())


def test_stages_lower_the_error_of_the_integer_network():
    plain = output_error(quantized(Recipe("nearest", (Nearest(),))).graph)
    solved = output_error(quantized(Recipe("gptq", (Gptq(),))).graph)
    assert solved < plain


def test_distillation_lowers_it():
    """Scales, biases and ranges alone: of a few weights, each flip of a code is a leap."""
    start = Nearest(gain="none")
    rates = Distill(steps=150, batch=4, weight_rate=0.0, scale_rate=2e-3, bias_rate=5e-3)
    plain = output_error(quantized(Recipe("n", (start,))).graph)
    trained = quantized(Recipe("d", (start, rates)))
    assert output_error(trained.graph) < plain
    assert trained.graph.formats["a"].scale != quantized(RTN).graph.formats["a"].scale


@pytest.mark.parametrize("kind", [Gptq, AdaRound])
def test_targets_are_two_different_aims(kind):
    own, exact = (
        quantized(Recipe("t", (kind(targets=targets),))).graph for targets in ("own", "float")
    )
    assert own.digest != exact.digest
    # Nothing is rounded before the first layer but the image, which is exact in bytes.
    assert np.array_equal(own.convs[0].weights.codes, exact.convs[0].weights.codes)


def test_adaround_lowers_it_too():
    plain = output_error(quantized(Recipe("nearest", (Nearest(),))).graph)
    assert output_error(quantized(Recipe("a", (AdaRound(iterations=200),))).graph) < plain


def test_stages_work_on_what_lowering_makes(monkeypatch):
    """Given equal inputs, every step is within one code of the fake-quantized model's."""
    own, plans = whole.run_recipe, []

    def spy(*given):
        plans.append(given[4])
        return own(*given)

    monkeypatch.setattr(whole, "run_recipe", spy)
    lowered = quantized(Recipe("g", (Gptq(),))).graph
    graph = network()
    steps = plan_steps(graph)
    executor = FakeQuantExecutor(lowered, graph)
    wanted = {}
    executor.run(images(9), lambda name, value: wanted.__setitem__(name, value.clone()))
    formatted = FormattedNetwork(graph, steps, plans[0], torch.device("cpu"))
    differing = 0
    for step in steps[1:]:
        sources = [wanted[s] for s in formatted.sources_of[step.name]]
        found = formatted.apply(step, sources, executor._parameters.get(step.name))
        fmt = lowered.formats[step.name]
        apart = (encode(found, fmt) - encode(wanted[step.name], fmt)).abs()
        assert int(apart.max()) <= 1, step.name
        differing += int(apart.count_nonzero())
    assert differing < 100


def test_rounding_to_nearest_in_front_of_training_weighs_errors_as_asked():
    still = Distill(steps=1, batch=1, weight_rate=0.0, scale_rate=0.0)
    found = [
        quantized(Recipe("d", (still,)), replace(SETTINGS, scheme="e2m1-spare", weight_error=error))
        for error in ("weights", "outputs")
    ]
    first, second = ([node.weights.integers() for node in f.graph.convs] for f in found)
    assert any((a != b).any() for a, b in zip(first, second, strict=True))


def test_the_record_names_recipe_and_steps():
    record = quantized(SHORT).record
    assert record.settings["recipe"]["name"] == "short"
    assert [s["kind"] for s in record.settings["recipe"]["stages"]] == ["gptq", "distill"]
    assert record.notes[-1].startswith("distilled 6 steps of 2 images; loss ")


def test_twice_the_same_bytes():
    assert quantized(SHORT).graph.digest == quantized(SHORT).graph.digest


@pytest.mark.parametrize(("what", "after"), [("gptq", 3), ("distill", 5)])
def test_an_interrupted_run_goes_on_to_the_same_bytes(tmp_path, monkeypatch, what, after):
    uninterrupted = quantized(SHORT).graph.digest
    with pytest.raises(Stopped):
        quantized(SHORT, folder=tmp_path, bars=stopping(what, after))
    solved = []
    own = layerwise.solve
    monkeypatch.setattr(layerwise, "solve", lambda *a: solved.append(a[0].name) or own(*a))
    assert quantized(SHORT, folder=tmp_path).graph.digest == uninterrupted
    assert solved == (["d", "out"] if what == "gptq" else [])


def test_finished_work_of_another_task_is_not_taken(tmp_path, monkeypatch):
    quantized(SHORT, folder=tmp_path)
    solved = []
    own = layerwise.solve
    monkeypatch.setattr(layerwise, "solve", lambda *a: solved.append(a[0].name) or own(*a))
    other = replace(SETTINGS, weight_bits=3)
    result = quantized(SHORT, other, folder=tmp_path).graph.digest
    assert solved == ["a", "b", "c", "d", "out"]
    assert result == quantized(SHORT, other).graph.digest


def test_a_time_limit_lowers_the_steps():
    long = Recipe("long", (Distill(steps=100_000, batch=1),))
    record = quantized(long, minutes=0.02).record
    steps = int(record.notes[-1].split()[1])
    assert 6 <= steps < 2000


def test_disk_holds_what_memory_does_not(monkeypatch):
    from quant.ptq.recipes import spool as module

    recipe = Recipe("g", (Gptq(images=4),))
    uninterrupted = quantized(recipe).graph.digest
    real = module.spool
    monkeypatch.setattr(layerwise, "spool", lambda folder: real(folder, limit_bytes=20_000))
    assert quantized(recipe).graph.digest == uninterrupted


@pytest.mark.parametrize("scheme", ["symmetric", "e2m1-spare", "pwlq16", "codebook"])
@pytest.mark.parametrize("granularity", ["filter", "c-shape", "f-shape"])
def test_every_scheme_and_granularity_goes_through(scheme, granularity):
    settings = replace(SETTINGS, scheme=scheme, granularity=granularity)
    result = quantized(SHORT, settings)
    assert {str(n.weights.granularity) for n in result.graph.convs} == {granularity}
    start = quantized(RTN, replace(settings, correction="none")).graph
    assert any(
        not np.array_equal(a.weights.codes, b.weights.codes)
        for a, b in zip(result.graph.convs, start.convs, strict=True)
    )


def test_weights_alone(tmp_path):
    graph = network()
    store = ImageCodes(quantized(RTN).graph.input.output, None)
    store.add(images())
    steps = plan_steps(graph)
    found = run_recipe(SHORT, graph, steps, host(), None, SETTINGS, store, RunOptions())
    assert found.plan is None
    made = stored_network(graph, found)
    assert [layer.name for layer in made.layers] == ["a", "b", "c", "d", "out"]
    save_biases(found, tmp_path / "b.safetensors")
    moved = with_biases(with_weights(graph, made.real), load_biases(tmp_path / "b.safetensors"))
    batch = images(9)
    exact, plain = (
        FloatExecutor(g).run(batch)["out"] for g in (graph, with_weights(graph, made.real))
    )
    compensated = FloatExecutor(moved).run(batch)["out"]
    assert np.square(compensated - exact).sum() < np.square(plain - exact).sum()


def test_named_recipes():
    assert recipe_of("rtn").active == ()
    assert [type(s) for s in recipe_of("best").active] == [Gptq, Distill]
    assert [type(s) for s in recipe_of("distill").active] == [Nearest, Distill]
    assert [type(s) for s in recipe_of("repapq").active] == [Gptq, RepApq]
    assert [type(s) for s in recipe_of("taskq").active] == [Gptq, TaskQ]
    names = {"rtn", "gptq", "adaround", "repapq", "taskq", "distill", "best", "best-long"}
    assert set(RECIPES) == names


def test_a_file_of_stages(tmp_path):
    file = tmp_path / "r.toml"
    file.write_text(
        '[[stage]]\nkind = "gptq"\ndamping = 1\n[[stage]]\nkind = "adaround"\nenabled = false\n'
        '[[stage]]\nkind = "distill"\nsteps = 7\n'
    )
    recipe = recipe_of(str(file))
    assert recipe.stages == (Gptq(damping=1), AdaRound(enabled=False), Distill(steps=7))
    assert recipe.active == (Gptq(damping=1), Distill(steps=7))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", "recipe {f} must hold [[stage]] tables and nothing else"),
        (
            '[[stage]]\nkind = "magic"\n',
            "recipe {f}: a stage has kind 'magic'; choose nearest, gptq, adaround, repapq, taskq, "
            "distill",
        ),
        (
            '[[stage]]\nkind = "nearest"\nsteps = 3\n',
            "recipe {f}: 'nearest' has no 'steps'; it has images, columns, gain, enabled",
        ),
        (
            '[[stage]]\nkind = "gptq"\nact_order = 1\n',
            "recipe {f}: 'act_order' of 'gptq' is 1; it must be true or false",
        ),
        (
            '[[stage]]\nkind = "gptq"\ndamping = 0\n',
            "recipe stage 'gptq': damping 0 is out of range; choose 1e-06 to 1.0",
        ),
        (
            '[[stage]]\nkind = "nearest"\ngain = "some"\n',
            "recipe stage 'nearest': gain 'some' is not available; choose none, moments, "
            "least-squares",
        ),
        (
            '[[stage]]\nkind = "repapq"\nrounding = "up"\n',
            "recipe stage 'repapq': rounding 'up' is not available; choose straight-through, "
            "adaround, frozen",
        ),
        (
            '[[stage]]\nkind = "taskq"\nconfidence = 1.0\n',
            "recipe stage 'taskq': confidence 1.0 is out of range; choose 0.01 to 0.99",
        ),
        (
            '[[stage]]\nkind = "gptq"\n[[stage]]\nkind = "adaround"\n',
            "recipe '{f}': 'adaround' after 'gptq' would start from the float weights again; put "
            "it first and disable the other",
        ),
    ],
)
def test_bad_files_are_refused(tmp_path, text, message):
    file = tmp_path / "r.toml"
    file.write_text(text)
    with pytest.raises(QuantizationError) as caught:
        recipe_of(str(file))
    assert str(caught.value) == message.format(f=file)


def test_unknown_names_are_refused(tmp_path):
    with pytest.raises(InputFileError) as caught:
        recipe_of("worst")
    assert str(caught.value) == (
        "recipe 'worst' is unknown; choose rtn, gptq, adaround, repapq, taskq, distill, best, "
        "best-long, or name a .toml file"
    )
    with pytest.raises(InputFileError, match=r"^recipe .*none\.toml cannot be read as TOML: "):
        recipe_of(str(tmp_path / "none.toml"))


def test_bad_options_are_refused():
    with pytest.raises(QuantizationError) as caught:
        RunOptions(device="tpu")
    assert str(caught.value) == "--device 'tpu' is unknown; choose cpu or cuda"
    with pytest.raises(QuantizationError) as caught:
        RunOptions(minutes=0.0)
    assert str(caught.value) == "--minutes 0.0 must be above 0"
    if not torch.cuda.is_available():
        with pytest.raises(QuantizationError) as caught:
            RunOptions(device="cuda")
        assert str(caught.value) == "--device cuda: no CUDA device is there; use cpu"
