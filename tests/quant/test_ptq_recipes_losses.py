# SPDX-License-Identifier: Apache-2.0
"""Losses of distillation, and rounding with gradients."""

import math

import numpy as np
import pytest
import torch

from quant.floatgraph import FloatActivation, FloatAdd, FloatConcat, FloatConv, FloatInput
from quant.formats import RowRange, TensorFormat
from quant.hostspec import HostSpec
from quant.ptq.codes import decode, encode
from quant.ptq.recipes.losses import (
    feature_loss,
    feature_names,
    output_curvature,
    output_loss,
)
from quant.ptq.recipes.rounding import rounded
from quant.ptq.steps import Step

CLASSES = ("cat", "dog", "cow")
FIELDS = {"yolov5": 8, "yolov7": 8, "yolox": 8, "yolov6": 7, "classify": 3, "none": 3}


def host(decode):
    boxes = decode not in ("classify", "none")
    anchors = (((8.0, 8.0), (16.0, 16.0)),) if decode in ("yolov5", "yolov7") else ()
    strides = (8,) if boxes else ()
    return HostSpec(
        32, 32, "center", 114, "rgb", (0.0,) * 3, (255.0,) * 3, decode, strides, anchors,
        (("o",),), CLASSES,
    )  # fmt: skip


def heads(decode, seed):
    spec = host(decode)
    rows = FIELDS[decode] * (spec.anchors_of(0) if spec.finds_boxes else 1)
    side = 4 if spec.finds_boxes else 1
    values = np.random.default_rng(seed).normal(0, 2, (2, rows, side, side))
    return {"o": torch.from_numpy(values).float()}


@pytest.mark.parametrize("decode", sorted(FIELDS))
def test_equal_outputs_cost_nothing_and_nearer_ones_less(decode):
    teacher, other = heads(decode, 1), heads(decode, 2)
    spec = host(decode)
    near = {"o": teacher["o"] + 0.1 * (other["o"] - teacher["o"])}
    costs = [float(output_loss(spec, made, teacher)) for made in (teacher, near, other)]
    assert abs(costs[0]) < 1e-6
    assert costs[0] < costs[1] < costs[2]


def test_boxes_count_by_the_teachers_confidence():
    teacher = {"o": torch.zeros(1, 16, 1, 2)}
    teacher["o"][0, 4] = torch.tensor([[6.0, -6.0]])
    teacher["o"][0, 5:8] = 4.0
    costs = []
    for column in (0, 1):
        made = {"o": teacher["o"].clone()}
        made["o"][0, :4, 0, column] += 1.0
        costs.append(float(output_loss(host("yolov5"), made, teacher)))
    assert costs[0] > 100 * costs[1] > 0.0


def test_features_count_relative_to_their_own_size():
    small = {"a": torch.ones(1, 2, 2, 2)}
    large = {"a": 50 * small["a"]}
    off = [feature_loss({"a": 1.1 * t["a"]}, t) for t in (small, large)]
    assert abs(float(off[0] - off[1])) < 1e-6


def conv(name, source, stride=1):
    weight = np.zeros((2, 2, 1, 1), np.float32)
    return FloatConv(name, source, weight, np.zeros(2, np.float32), (stride,) * 2, (0,) * 4, 1)


def step(op, *, output=False):
    return Step(op, None, op.name, output, 1)


def test_features_are_ends_of_blocks():
    joined = [
        step(op)
        for op in (
            FloatInput("x", (2, 8, 8)), conv("a", "x"), FloatConcat("cat", ("a", "x")),
            conv("b", "cat"), FloatConcat("dog", ("a", "b")), conv("c", "dog"),
        )
    ]  # fmt: skip
    assert feature_names([*joined, step(conv("out", "dog"), output=True)]) == ("b", "c")
    summed = [
        step(conv("a", "x")),
        step(FloatAdd("s", ("a", "a"))),
        step(FloatAdd("t", ("s", "a"))),
    ]
    assert feature_names([step(FloatInput("x", (2, 8, 8))), *summed]) == ("s", "t")
    chain = [
        step(FloatInput("x", (2, 8, 8))), step(conv("a", "x")), step(conv("b", "a", 2)),
        step(conv("c", "b")), step(conv("d", "c", 2)), step(FloatActivation("e", "d", "relu")),
    ]  # fmt: skip
    assert feature_names(chain) == ("a", "c")


BOOK = (0, 1, 3, 4, 6, 9, 14, 20)


@pytest.mark.parametrize("book", [None, BOOK])
def test_rounding_is_that_of_the_format(book):
    fmt = TensorFormat(3, (RowRange(2, 0.25, 3),), book)
    x = torch.linspace(-1.51, 5.52, 400).reshape(1, 2, 20, 10)
    assert torch.equal(rounded(x, fmt, torch.zeros(())), decode(encode(x, fmt), fmt))
    rows = TensorFormat(8, (RowRange(1, 0.02, 90), RowRange(2, 0.05, 40)))
    assert torch.equal(rounded(x, rows, torch.zeros(())), decode(encode(x, rows), rows))


@pytest.mark.parametrize("book", [None, BOOK])
def test_gradients_pass_inside_and_teach_the_scale(book):
    fmt = TensorFormat(3, (RowRange(1, 0.25, 3),), book)
    x = torch.tensor([-2.0, -0.3, 0.1, 0.4, 7.0]).reshape(1, 1, 1, 5).requires_grad_()
    stretch = torch.zeros((), requires_grad=True)
    y = rounded(x, fmt, stretch)
    y.sum().backward()
    assert x.grad.reshape(-1).tolist() == [0.0, 1.0, 1.0, 1.0, 0.0]
    inside = x.detach() * x.grad
    assert abs(float(stretch.grad - (y.detach() - inside).sum())) < 1e-6


def test_a_stretched_scale_counts_times_its_exponential():
    fmt = TensorFormat.plain(4, 0.25, 3, 1)
    x = torch.linspace(-1, 4, 50).reshape(1, 1, 5, 10)
    stretched = rounded(x, fmt, torch.tensor(math.log(2.0)))
    doubled = rounded(x, TensorFormat.plain(4, 0.5, 3, 1), torch.zeros(()))
    assert float((stretched - doubled).abs().max()) < 1e-6


@pytest.mark.parametrize("decode", ["yolov5", "yolov7", "yolox", "yolov6"])
def test_curvature_foretells_what_small_errors_of_scores_cost(decode):
    spec, teacher = host(decode), heads(decode, 1)
    felt = output_curvature(spec, teacher)["o"]
    rows = felt.reshape(2, spec.anchors_of(0), -1, 4, 4)
    boxes = rows[:, :, 3:] if decode == "yolov6" else rows[:, :, :4]
    error = 0.01 * torch.from_numpy(np.random.default_rng(3).normal(0, 1, felt.shape)).float()
    split = error.reshape(rows.shape)
    (split[:, :, 3:] if decode == "yolov6" else split[:, :, :4]).zero_()
    made = {"o": (teacher["o"] + error).double()}
    exact = {"o": teacher["o"].double()}
    cost = float(output_loss(spec, made, exact))
    foretold = float((felt.double() * error.double().square()).sum())
    assert abs(cost / foretold - 1.0) < 0.02
    assert float(boxes.min()) >= 0.0 < float(boxes.max())


def test_curvature_of_outputs_without_boxes():
    wanted = {"o": torch.tensor([[0.0, 0.0]]).reshape(1, 2, 1, 1)}
    plain = output_curvature(host("none"), {"o": wanted["o"] + 2.0})["o"]
    assert plain.flatten().tolist() == [0.125, 0.125]
    logits = output_curvature(host("classify"), wanted)["o"]
    assert logits.flatten().tolist() == [0.125, 0.125]
