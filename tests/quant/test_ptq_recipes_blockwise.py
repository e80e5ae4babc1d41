# SPDX-License-Identifier: Apache-2.0
"""RepAPQ and TASKQ on a tiny detector: units, errors, interruptions, switches."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from quant.floatgraph import (
    FloatActivation,
    FloatAdd,
    FloatConcat,
    FloatConv,
    FloatGraph,
    FloatInput,
    FloatUpsample,
)
from quant.hostspec import HostSpec
from quant.ptq import quantize as whole
from quant.ptq.executor import FloatExecutor
from quant.ptq.recipes import blockwise
from quant.ptq.recipes.blocks import StepGraph, find_blocks
from quant.ptq.recipes.blockstages import RepApq, TaskQ
from quant.ptq.recipes.detection import detection_loss, head_maps
from quant.ptq.recipes.images import ImageCodes
from quant.ptq.recipes.parts import windows_of
from quant.ptq.recipes.recipe import Nearest, Recipe
from quant.ptq.recipes.run import RunOptions, run_recipe
from quant.ptq.recipes.units import Task, units_of
from quant.ptq.settings import QuantizeSettings
from quant.ptq.steps import plan_steps
from sim.golden import GoldenModel
from tests.quant.interrupted import Stopped, stopping

SETTINGS = QuantizeSettings(weight_bits=4, act_bits=6, edge_bits=4, codebook="never")
START = Nearest(images=6, columns=2000)
MORE = {"steps": 30, "images": 8, "rounding": "frozen", "scale_rate": 0.0}
SHORT = {"steps": 4, "batch": 2, "images": 6}
CLASSES = ("cat", "dog")
SIDE = 32


def detector(decode="yolov5"):
    """A stem, a residual unit, a neck that comes up again, and heads at strides 4 and 8."""
    rng = np.random.default_rng(5)
    ops = [FloatInput("x", (3, SIDE, SIDE))]
    shapes = {"x": (3, SIDE, SIDE)}

    def conv(name, source, filters, kernel=3, stride=1, active=True):
        channels, height, width = shapes[source]
        weight = rng.standard_t(3, (filters, channels, kernel, kernel))
        weight *= 1.2 / np.sqrt(channels * kernel**2)
        bias = rng.normal(0, 0.2, filters).astype(np.float32)
        pad = (kernel // 2,) * 4
        ops.append(FloatConv(name, source, weight.astype(np.float32), bias, (stride,) * 2, pad, 1))
        shapes[name] = (filters, height // stride, width // stride)
        if not active:
            return name
        ops.append(FloatActivation(f"{name}.act", name, "silu"))
        shapes[f"{name}.act"] = shapes[name]
        return f"{name}.act"

    low = conv("down", conv("stem", "x", 6, stride=2), 8, stride=2)
    ops.append(FloatAdd("sum", (low, conv("inner", low, 8))))
    shapes["sum"] = shapes[low]
    deep = conv("squeeze", conv("deep", "sum", 8, stride=2), 6, 1)
    ops.append(FloatUpsample("up", deep, 2))
    shapes["up"] = (6, 8, 8)
    ops.append(FloatConcat("cat", ("up", "sum")))
    shapes["cat"] = (14, 8, 8)
    trunks = [conv("p4", "cat", 8), conv("p8", deep, 8)]
    outputs = []
    for number, trunk in enumerate(trunks):
        if decode == "yolox":
            box = conv(f"reg{number}", trunk, 6)
            scales = [conv(f"box{number}", box, 4, 1, active=False)]
            scales.append(conv(f"obj{number}", box, 1, 1, active=False))
            cls = conv(f"cls{number}", trunk, 6)
            scales.append(conv(f"out{number}", cls, len(CLASSES), 1, active=False))
            outputs.append(tuple(scales))
        else:
            outputs.append((conv(f"head{number}", trunk, 14, 1, active=False),))
    names = tuple(name for scale in outputs for name in scale)
    graph = FloatGraph("tiny", tuple(ops), names, shapes, 0)
    anchors = (((6.0, 6.0), (9.0, 8.0)), ((14.0, 12.0), (20.0, 22.0)))
    host = HostSpec(
        SIDE, SIDE, "center", 114, "rgb", (0.0,) * 3, (255.0,) * 3, decode, (4, 8),
        anchors if decode == "yolov5" else (), tuple(outputs), CLASSES,
    )  # fmt: skip
    return graph, host


def images(seed=1, count=8):
    coarse = np.random.default_rng(seed).random((count, 3, 8, 8), dtype=np.float32)
    return coarse.repeat(4, axis=2).repeat(4, axis=3)


def quantized(*stages, settings=SETTINGS, decode="yolov5", **options):
    return whole.quantize(
        *detector(decode),
        [images()],
        settings,
        model="tiny",
        recipe=Recipe("r", stages),
        options=RunOptions(**options),
    )


def outputs_of(found, decode, seed=9):
    """Return the integer network's real outputs and the float network's, on other images."""
    graph, _ = detector(decode)
    batch = images(seed)
    exact = FloatExecutor(graph).run(batch)
    codes = np.floor(batch * 255 + 0.5).astype(np.uint8)
    made = GoldenModel(found.graph).run(codes, keep=list(exact)).tensors
    real = {}
    for name in exact:
        fmt = found.graph.formats[name]
        zero, scale = fmt.zero_point_per_row, fmt.scale_per_row
        real[name] = (made[name] - zero[:, None, None]) * scale[:, None, None]
    return real, exact


def output_error(found, decode="yolov5"):
    real, exact = outputs_of(found, decode)
    return sum(
        float(np.square(real[name] - truth).sum()) / float(np.square(truth).sum())
        for name, truth in exact.items()
    )


def detection_error(found, decode):
    spec = detector(decode)[1]
    made, wanted = (
        head_maps(spec, {n: torch.from_numpy(t).float() for n, t in side.items()})
        for side in outputs_of(found, decode)
    )
    return float(detection_loss(spec, made, wanted, 0.3))


@pytest.mark.parametrize(
    "stage",
    [
        RepApq(**MORE),
        RepApq(**MORE, error="mse", stage_term=False),
        RepApq(steps=40, images=8, rounding="adaround", weight_rate=1e-2),
        TaskQ(**MORE, dtr=False),
    ],
)
def test_stages_lower_the_error_of_the_integer_network(stage):
    """Of a few weights each flip of a code is a leap: most stages here leave the codes alone."""
    settings = replace(SETTINGS, act_bits=4)
    plain = output_error(quantized(START, settings=settings))
    assert output_error(quantized(START, stage, settings=settings)) < plain


def test_without_rounding_scales_and_affine_nothing_moves():
    still = RepApq(
        **SHORT, rounding="frozen", qprep=False, scale_rate=0.0, affine_rate=0.0, range_rate=0.0
    )
    assert quantized(START, still).graph.digest == quantized(START).graph.digest


def changed(stage):
    """Return which of codes, scales, biases and ranges a stage changes."""
    before, after = quantized(START).graph, quantized(START, stage).graph
    pairs = list(zip(before.convs, after.convs, strict=True))
    return (
        any(not np.array_equal(a.weights.codes, b.weights.codes) for a, b in pairs),
        any(not np.array_equal(a.weights.scale, b.weights.scale) for a, b in pairs),
        any(not np.array_equal(a.bias, b.bias) for a, b in pairs),
        any(before.formats[a.name].scale != after.formats[a.name].scale
            for a, _ in pairs if before.formats[a.name].uniform),
    )  # fmt: skip


def test_switches():
    frozen = {"rounding": "frozen", "scale_rate": 0.0, "range_rate": 0.0}
    assert changed(RepApq(**SHORT, **frozen)) == (False, True, True, False)
    ranges = RepApq(**SHORT, rounding="frozen", scale_rate=0.0, qprep=False)
    assert changed(ranges)[0] is False
    assert changed(ranges)[3] is True
    weights = RepApq(**SHORT, scale_rate=0.0, qprep=False, range_rate=0.0, weight_rate=0.1)
    assert changed(weights) == (True, False, True, False)  # the zero term follows the codes


def test_errors_and_parts_are_different_aims():
    stages = (
        RepApq(**SHORT),
        RepApq(**SHORT, error="mse"),
        RepApq(**SHORT, stage_term=False),
        RepApq(**SHORT, float_inputs=0.5),
        RepApq(**SHORT, crop=1.0, seed=2),
    )
    digests = {quantized(START, stage).graph.digest for stage in stages}
    assert len(digests) == len(stages)


def units(decode, stage, **fields):
    graph, host = detector(decode)
    steps = plan_steps(graph)
    lines = StepGraph(graph, steps)
    return units_of(lines, find_blocks(graph, steps), host, stage(**fields))


def test_repapq_reconstructs_blocks_and_their_stages():
    found = {u.name: u for u in units("yolov5", RepApq)}
    assert list(found) == [
        "stem", "down", "sum", "deep", "squeeze", "p4", "p8", "head0", "head1"
    ]  # fmt: skip
    assert found["deep"].stage_rest == ("squeeze",)
    assert [found[n].stage_weight for n in ("stem", "down", "sum", "deep", "squeeze")] == [
        1.0, 0.5, 1.0, 0.5, 1.0
    ]  # fmt: skip
    assert not any(u.detects or u.tasks for u in found.values())
    alone = units("yolov5", RepApq, stage_term=False)
    assert {(u.stage_rest, u.stage_weight) for u in alone} == {((), 0.0)}


def test_taskq_answers_for_detections_in_neck_and_head():
    found = {u.name: u for u in units("yolov5", TaskQ)}
    assert [n for n, u in found.items() if u.detects] == ["p4", "head0", "head1"]
    rows = [(r.task, r.begin, r.end) for r in found["head1"].tasks["head1"]]
    assert rows == [(Task.BOX, 0, 4), (Task.OBJECTNESS, 4, 5), (Task.CLASSES, 5, 7)]
    without = units("yolov5", TaskQ, dtr=False, stahq=False)
    assert not any(u.detects or u.tasks for u in without)


def test_decoupled_heads_are_parted_by_scale_and_task():
    found = units("yolox", TaskQ)
    shown = [("+".join(u.steps), "+".join(u.outputs)) for u in found if u.name[-1] in "01"]
    assert shown == [
        ("reg0", "reg0"), ("box0", "box0"), ("obj0", "obj0"), ("cls0+out0", "out0"),
        ("reg1", "reg1"), ("box1", "box1"), ("obj1", "obj1"), ("cls1+out1", "out1"),
    ]  # fmt: skip
    whole_scale = units("yolox", TaskQ, stahq=False)
    assert "cls0" in [u.name for u in whole_scale]


@pytest.mark.parametrize("decode", ["yolov5", "yolox"])
def test_answering_for_detections_lowers_their_error(decode):
    four = replace(SETTINGS, act_bits=4)
    plain = quantized(START, settings=four, decode=decode)
    tuned = quantized(START, TaskQ(**MORE), settings=four, decode=decode)
    assert detection_error(tuned, decode) < detection_error(plain, decode)


def test_one_format_per_head_without_units_by_task():
    parted, merged = (
        quantized(START, TaskQ(**SHORT, stahq=stahq)).graph.formats for stahq in (True, False)
    )
    assert [len(parted[n].ranges) for n in ("head0", "head1")] == [6, 6]
    for name in ("head0", "head1"):
        assert merged[name].uniform
        fmt = merged[name]
        low, high = -fmt.zero_point * fmt.scale, (65535 - fmt.zero_point) * fmt.scale
        for r in parted[name].ranges:
            assert low <= -r.zero_point * r.scale + fmt.scale
            assert high >= (65535 - r.zero_point) * r.scale - fmt.scale


def test_a_network_without_boxes_goes_block_by_block_all_the_same():
    graph, host = detector()
    host = replace(host, decode="none", strides=(), anchors=(), class_names=())
    steps = plan_steps(graph)
    lines = StepGraph(graph, steps)
    blocks = find_blocks(graph, steps)
    task, plain = (units_of(lines, blocks, host, stage()) for stage in (TaskQ, RepApq))
    assert task == plain


def test_windows_show_the_same_place_at_every_resolution():
    graph, _ = detector()
    lines = StepGraph(graph, plan_steps(graph))
    windows = windows_of(lines, ("sum", "squeeze"), ("up", "cat", "p4"), 0.5)
    assert (windows.whole, windows.side) == ((4, 4), (2, 2))
    fine = torch.arange(64.0).reshape(1, 1, 8, 8)
    coarse = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert torch.equal(windows.cut("sum", fine, (1, 2)), fine[:, :, 2:6, 4:8])
    assert torch.equal(windows.cut("squeeze", coarse, (1, 2)), coarse[:, :, 1:3, 2:4])
    corners = {windows.draw(np.random.default_rng(n)) for n in range(60)}
    assert corners == {(a, b) for a in range(3) for b in range(3)}
    assert windows_of(lines, ("sum",), ("p4",), 1.0).side == (8, 8)


def test_twice_the_same_bytes():
    stage = TaskQ(**SHORT, float_inputs=0.5)
    assert quantized(stage).graph.digest == quantized(stage).graph.digest


@pytest.mark.parametrize("stage", [RepApq(**SHORT), TaskQ(**SHORT)])
def test_an_interrupted_run_goes_on_behind_the_last_finished_block(tmp_path, monkeypatch, stage):
    uninterrupted = quantized(START, stage)
    with pytest.raises(Stopped):
        quantized(START, stage, folder=tmp_path, bars=stopping("blocks", 4))
    trained = []
    own = blockwise.Reconstruction.run
    monkeypatch.setattr(
        blockwise.Reconstruction,
        "run",
        lambda self, *given: trained.append(self._task.unit.name) or own(self, *given),
    )
    resumed = quantized(START, stage, folder=tmp_path)
    assert resumed.graph.digest == uninterrupted.graph.digest
    assert resumed.record.notes == uninterrupted.record.notes
    assert trained == ["squeeze", "p4", "p8", "head0", "head1"]


def test_other_blocks_are_another_task(tmp_path):
    stage = RepApq(**SHORT)
    found = quantized(START, stage, folder=tmp_path, blocks="sum,squeeze,p4,p8")
    assert found.record.notes[-1].startswith("repapq: 6 blocks, 24 steps of 2 images in all; ")
    assert quantized(START, stage, folder=tmp_path).graph.digest != found.graph.digest


def test_disk_holds_what_memory_does_not(monkeypatch):
    stage = TaskQ(**SHORT)
    wanted = quantized(START, stage).graph.digest
    real = blockwise.spool
    monkeypatch.setattr(blockwise, "spool", lambda folder: real(folder, limit_bytes=20_000))
    assert quantized(START, stage).graph.digest == wanted


def test_a_time_limit_lowers_the_steps():
    found = quantized(RepApq(steps=100_000, batch=1), minutes=0.02)
    steps = int(found.record.notes[-1].split()[3])
    assert 9 * 6 <= steps < 5000


def test_weights_alone():
    graph, host = detector()
    store = ImageCodes(quantized().graph.input.output, None)
    store.add(images())
    recipe = Recipe("r", (START, RepApq(**SHORT)))
    found = run_recipe(recipe, graph, plan_steps(graph), host, None, SETTINGS, store, RunOptions())
    assert found.plan is None
    assert set(found.layers) == {op.name for op in graph.ops if isinstance(op, FloatConv)}
