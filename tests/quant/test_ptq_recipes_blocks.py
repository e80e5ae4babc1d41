# SPDX-License-Identifier: Apache-2.0
"""Blocks and stages come from a network's structure, or from the user, who is corrected."""

import numpy as np
import pytest

from quant.errors import InputFileError, QuantizationError
from quant.floatgraph import (
    FloatAdd,
    FloatConcat,
    FloatConv,
    FloatGraph,
    FloatInput,
    FloatMaxPool,
    FloatUpsample,
    float_sources_of,
)
from quant.ptq.importer import import_model
from quant.ptq.recipes.blockchoice import chosen_blocks
from quant.ptq.recipes.blocks import StepGraph, exits, find_blocks, rest_of_stage
from quant.ptq.steps import plan_steps
from quant.zoo.arches import build_arch
from quant.zoo.resolve import load_model


class Net:
    """Makes a float graph operation by operation; heights are 64 over the stride."""

    def __init__(self):
        self.ops = [FloatInput("x", (3, 64, 64))]
        self.shapes = {"x": (3, 64, 64)}

    def conv(self, name, source, filters, kernel=3, stride=1, depthwise=False):
        channels, height, width = self.shapes[source]
        groups = channels if depthwise else 1
        weight = np.ones((filters, channels // groups, kernel, kernel), np.float32)
        bias = np.zeros(filters, np.float32)
        pad = (kernel // 2,) * 4
        self.ops.append(FloatConv(name, source, weight, bias, (stride, stride), pad, groups))
        self.shapes[name] = (filters, height // stride, width // stride)
        return name

    def put(self, op, channels, grow=1.0):
        _, height, width = self.shapes[float_sources_of(op)[0]]
        self.ops.append(op)
        self.shapes[op.name] = (channels, int(height * grow), int(width * grow))
        return op.name

    def cat(self, name, *sources):
        return self.put(FloatConcat(name, sources), sum(self.shapes[s][0] for s in sources))

    def graph(self, *outputs):
        return FloatGraph("net", tuple(self.ops), outputs, self.shapes, 0)


def yolov6():
    """Merged Rep blocks, SPPF, a neck that goes up and down, two decoupled heads."""
    n = Net()
    stem = n.conv("stem", "x", 8, stride=2)
    rep = n.conv("b1.1", n.conv("b1.0", stem, 16, stride=2), 16)
    low = n.conv("b2.2", n.conv("b2.1", n.conv("b2.0", rep, 16, stride=2), 16), 16)
    squeezed = n.conv("sppf.cv1", low, 8, 1)
    pools = [squeezed]
    for number in range(3):
        pool = FloatMaxPool(f"sppf.m{number}", pools[-1], (5, 5), (1, 1), (2, 2, 2, 2))
        pools.append(n.put(pool, 8))
    deep = n.conv("sppf.cv2", n.cat("sppf.cat", *pools), 16, 1)
    reduced = n.conv("reduce", deep, 8, 1)
    up = n.put(FloatUpsample("up", reduced, 2), 8, 2.0)
    p3 = n.conv("p3.1", n.conv("p3.0", n.cat("merge3", up, rep), 16), 16)
    down = n.conv("down", p3, 8, stride=2)
    p4 = n.conv("p4", n.cat("merge4", down, reduced), 16)
    outputs = []
    for number, source in enumerate((p3, p4)):
        trunk = n.conv(f"h{number}.stem", source, 16, 1)
        for task, rows in (("cls", 3), ("reg", 4)):
            mid = n.conv(f"h{number}.{task}", trunk, 16)
            outputs.append(n.conv(f"h{number}.{task}.out", mid, rows, 1))
    return n.graph(*outputs)


def shown(blocks):
    return ["+".join(b.steps) for b in blocks]


def checked(graph, blocks):
    """Every step once, one way out, and nothing is read before it is there."""
    steps = plan_steps(graph)
    lines = StepGraph(graph, steps)
    ready = {steps[0].name}
    for block in blocks:
        assert exits(lines, block.steps) == (block.output,)
        assert set(block.sources) <= ready
        assert ready.isdisjoint(block.steps)
        ready.update(block.steps)
    assert ready == {s.name for s in steps}
    return blocks


def found(graph):
    return checked(graph, find_blocks(graph, plan_steps(graph)))


def test_yolov6():
    blocks = found(yolov6())
    assert shown(blocks) == [
        "stem", "b1.0", "b1.1", "b2.0", "b2.1", "b2.2",
        "sppf.cv1+sppf.m0+sppf.m1+sppf.m2+sppf.cat+sppf.cv2", "reduce",
        "up+merge3+p3.0", "p3.1", "down", "merge4+p4",
        "h0.stem", "h0.cls", "h0.cls.out", "h0.reg", "h0.reg.out",
        "h1.stem", "h1.cls", "h1.cls.out", "h1.reg", "h1.reg.out",
    ]  # fmt: skip
    stages = [(b.stage, b.place, b.length) for b in blocks]
    assert stages[:12] == [
        (0, 1, 1), (1, 1, 2), (1, 2, 2), (2, 1, 5), (2, 2, 5), (2, 3, 5), (2, 4, 5), (2, 5, 5),
        (3, 1, 2), (3, 2, 2), (4, 1, 1), (5, 1, 2),
    ]  # fmt: skip
    assert rest_of_stage(blocks, blocks[5]) == (*blocks[6].steps, "reduce")
    assert rest_of_stage(blocks, blocks[7]) == ()


def test_the_built_in_detector():
    blocks = found(import_model(load_model("demo"), None).graph)
    names = [[n.removeprefix("model.").split(".")[0] for n in b.steps] for b in blocks]
    assert [sorted(set(n), key=int) for n in names] == [
        ["0"], ["1"], ["2"], ["3"], ["4"], ["5"], ["6"], ["7"], ["8"], ["9"], ["10", "11", "12"],
        ["13"], ["14"], ["15", "16"], ["17"], ["17"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arch", "modules"),
    [
        # modules that are one block each, their upsampling and concatenation before them included
        ("yolov5n", "0 1 2 3 4 5 6 7 8 9 10 11+12+13 14 15+16+17 18 19+20 21 22+23 24 24 24"),
        (
            "yolov7-tiny-deploy",
            "0 1 2+3+4+5+6+7 8+9+10+11+12+13+14 15+16+17+18+19+20+21 22+23+24+25+26+27+28 "
            "29+30+31+32+33+34+35+36+37 38 40 39+41+42+43+44+45+46+47 48 50 "
            "49+51+52+53+54+55+56+57 58 59+60+61+62+63+64+65 66 67+68+69+70+71+72+73 74 75 76 77 "
            "77 77",
        ),
    ],
)
def test_yolo_modules_are_blocks(arch, modules):
    graph = import_model(build_arch(arch, weights=None, seed=1), None).graph
    made = []
    for block in found(graph):
        numbers = {int(name.split(".")[1]) for name in block.steps}
        made.append("+".join(map(str, sorted(numbers))))
    assert " ".join(made) == modules


def test_yolox_pairs_depthwise_with_pointwise_and_parts_its_heads():
    graph = import_model(build_arch("yolox-nano", weights=None, seed=1), None).graph
    blocks = found(graph)
    assert len(blocks) == 42
    head = [b for b in blocks if b.steps[0].startswith("head.cls_convs.1")]
    assert [len(b.steps) for b in head] == [2, 2]
    assert [(b.place, b.length) for b in head] == [(1, 3), (2, 3)]


@pytest.mark.parametrize(
    ("arch", "stages"), [("repvgg-a0", [1, 2, 4, 14, 2]), ("mobileone-s0", [1, 2, 8, 10, 2])]
)
def test_classifiers_come_apart_into_merged_blocks(arch, stages):
    """The pooling belongs to the layer behind it, at another resolution than the last stage."""
    graph = import_model(build_arch(arch, weights=None, seed=1), None).graph
    blocks = found(graph)
    lengths = [b.length for b in blocks if b.place == 1]
    assert lengths == [*stages[:-1], 1, 1]
    layers = 2 if arch == "mobileone-s0" else 1
    assert {len(b.steps) for b in blocks[1:-1]} == {layers}
    assert blocks[-1].steps == ("gap", "linear")


def test_residual_units_and_a_shortcut_with_its_own_layer():
    n = Net()
    first = n.conv("a", "x", 8)
    inner = n.conv("b", first, 8)
    total = n.put(FloatAdd("sum", (first, inner)), 8)
    wide = n.conv("d", n.conv("c", total, 16, stride=2), 16)
    short = n.conv("short", total, 16, 1, 2)
    joined = n.put(FloatAdd("sum2", (wide, short)), 16)
    graph = n.graph(n.conv("out", joined, 4, 1))
    assert shown(found(graph)) == ["a", "b+sum", "c+d+short+sum2", "out"]


def test_the_user_says_where_blocks_end(tmp_path):
    graph = yolov6()
    steps = plan_steps(graph)
    file = tmp_path / "b.toml"
    file.write_text('ends = ["b2.2", "reduce", "p3.1", "p4", "b1.1"]\n')
    named = "b1.1,b2.2, reduce,p3.1,p4,h0.stem,h1.stem"
    blocks = checked(graph, chosen_blocks(graph, steps, named))
    assert shown(blocks)[:5] == [
        "stem+b1.0+b1.1",
        "b2.0+b2.1+b2.2",
        "sppf.cv1+sppf.m0+sppf.m1+sppf.m2+sppf.cat+sppf.cv2+reduce",
        "up+merge3+p3.0+p3.1",
        "down+merge4+p4",
    ]
    assert shown(blocks)[-1] == "h1.reg+h1.reg.out"
    with pytest.raises(QuantizationError) as caught:
        chosen_blocks(graph, steps, str(file))
    assert str(caught.value) == (
        "--blocks: the block that ends at 'h0.cls.out' would also be left at 'h0.stem', which "
        "'h0.reg' reads; name 'h0.stem' too"
    )


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ("b9.1", "--blocks: no layer 'b9.1'; near: b2.1, b1.1, p3.1, b2.2, b2.0"),
        ("x", "--blocks: no layer 'x'; near: stem, b1.0, b1.1, b2.0, b2.1"),
        ("p4,p4", "--blocks: 'p4' is named twice; a block ends there once"),
        (
            "p4,",
            "--blocks 'p4,' has an empty name; write names with commas between them, or name a "
            ".toml file",
        ),
    ],
)
def test_wrong_names_are_refused(choice, message):
    graph = yolov6()
    with pytest.raises(QuantizationError) as caught:
        chosen_blocks(graph, plan_steps(graph), choice)
    assert str(caught.value) == message


@pytest.mark.parametrize("text", ["ends = 3\n", "ends = []\n", 'ends = ["p4"]\nmore = 1\n', ""])
def test_wrong_files_are_refused(tmp_path, text):
    graph = yolov6()
    file = tmp_path / "b.toml"
    file.write_text(text)
    with pytest.raises(InputFileError) as caught:
        chosen_blocks(graph, plan_steps(graph), str(file))
    assert str(caught.value) == (
        f"--blocks {file} must hold ends = [names of layers], nothing else"
    )


def test_a_missing_file_is_refused(tmp_path):
    graph = yolov6()
    with pytest.raises(InputFileError, match=r"^--blocks .*none\.toml cannot be read as TOML: "):
        chosen_blocks(graph, plan_steps(graph), str(tmp_path / "none.toml"))
