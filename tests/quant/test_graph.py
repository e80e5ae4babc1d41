# SPDX-License-Identifier: Apache-2.0
"""QGraph: what a legal graph knows, every way to be refused, and what its digest covers."""

import copy
import re
from collections.abc import Callable, Iterator
from dataclasses import FrozenInstanceError, fields, is_dataclass, replace
from typing import Any, get_args

import numpy as np
import pytest

from quant.errors import GraphError
from quant.formats import RowRange, TensorFormat
from quant.graph import QGraph, macs_of
from quant.nodes import (
    Add,
    AvgPool,
    Concat,
    Conv,
    Input,
    Linear,
    Lookup,
    MaxPool,
    Node,
    Output,
    Requantize,
    Requantizer,
    Split,
    Upsample,
    sources_of,
)
from quant.samples import sample_conv, sample_format, sample_graph, sample_weights
from quant.widths import accumulator_bits, accumulator_interval

IMAGE_FORMAT = sample_format(3, 8)
IMAGE = Input("image", (3, 6, 7), IMAGE_FORMAT)


def refused(message: str) -> "pytest.RaisesExc[GraphError]":
    return pytest.raises(GraphError, match=f"^{re.escape(message)}$")


def conv(name: str = "conv", source: str = "image", **change: Any) -> Conv:
    made, _ = sample_conv(1, 3, 6, source=IMAGE_FORMAT, names=(name, source))
    return replace(made, **change)


def single(zero_point: int = 0, bits: int = 8, count: int = 1) -> Requantizer:
    return Requantizer(
        np.full(count, 70000), np.full(count, 17), np.full(count, zero_point), 0, 255, bits
    )


def plain(channels: int, zero_point: int = 0, bits: int = 8) -> TensorFormat:
    return TensorFormat.plain(bits, 0.5, zero_point, channels)


ROWS = TensorFormat(8, (RowRange(2, 0.5, 0), RowRange(6, 0.25, 0)))
ROWS_CONV = conv(
    "rows",
    requant=single(count=6),
    output=ROWS,
)
BOOK = sample_format(3, 8, codebook=True)


def graph(*nodes: Node, name: str = "g") -> QGraph:
    """Image, the nodes, and an output on the last of them."""
    return QGraph(name, (IMAGE, *nodes, Output("out", nodes[-1].name)))


# Legal graphs


def test_shapes_and_formats_of_every_kind() -> None:
    sample = sample_graph(1)
    assert {type(n) for n in sample.nodes} == set(get_args(Node))
    assert sample.shapes == {
        "image": (3, 16, 20),
        "stem": (8, 8, 10),
        "depthwise": (8, 8, 10),
        "point": (8, 8, 10),
        "sum": (8, 8, 10),
        "grouped": (8, 8, 10),
        "long": (8, 4, 5),
        "up": (8, 8, 10),
        "pool": (8, 8, 10),
        "cat": (24, 8, 10),
        "slice": (16, 8, 10),
        "retarget": (16, 8, 10),
        "bend": (16, 8, 10),
        "head": (12, 8, 10),
        "mean": (8, 4, 2),
        "linear": (10, 1, 1),
        "boxes": (12, 8, 10),
        "scores": (10, 1, 1),
    }
    for name, shape in sample.shapes.items():
        assert sample.formats[name].channels == shape[0]
    assert sample.formats["slice"].same_codes(sample.formats["cat"])
    assert sample.formats["boxes"] == sample.node("head").output  # type: ignore[union-attr]
    assert sample.input is sample.nodes[0]
    assert [n.name for n in sample.outputs] == ["boxes", "scores"]
    assert [n.name for n in sample.convs] == [
        "stem",
        "depthwise",
        "point",
        "grouped",
        "long",
        "head",
    ]


def test_macs_by_hand() -> None:
    sample = sample_graph(1)
    assert macs_of(sample, "stem") == 8 * 8 * 10 * 3 * 9
    assert macs_of(sample, "depthwise") == 8 * 8 * 10 * 9
    assert macs_of(sample, "grouped") == 8 * 8 * 10 * 4 * 9
    assert macs_of(sample, "linear") == 10 * 64
    assert macs_of(sample, "pool") == 0


def test_unknown_node_names_the_near_ones() -> None:
    sample = sample_graph(1)
    with refused("no node is called 'head.conv'; there are: head"):
        sample.node("head.conv")
    with refused("no node is called 'zzz'; there are: image, stem, depthwise, point, sum, grouped"):
        sample.node("zzz")


def test_sources_of_every_kind() -> None:
    sample = sample_graph(1)
    assert sources_of(sample.node("image")) == ()
    assert sources_of(sample.node("sum")) == ("stem", "point")
    assert sources_of(sample.node("cat")) == ("up", "pool", "sum")
    assert sources_of(sample.node("boxes")) == ("head",)


# Immutability


def test_nothing_of_a_graph_can_be_changed() -> None:
    sample = sample_graph(1)
    seen = 0
    for value in walk(sample):
        if is_dataclass(value):
            for field in fields(value):
                seen += 1
                with pytest.raises(FrozenInstanceError):
                    setattr(value, field.name, getattr(value, field.name))  # type: ignore[arg-type]
        elif isinstance(value, np.ndarray):
            seen += 1
            with pytest.raises(ValueError, match="read-only"):
                value[...] = 0
        else:
            assert value is None or isinstance(value, str | int | float | tuple)
    assert seen > 200
    for mapping in (sample.shapes, sample.formats):
        with pytest.raises(TypeError):
            mapping["stem"] = None  # type: ignore[index]


def test_arrays_of_the_caller_stay_apart() -> None:
    bias = np.zeros(6, np.int64)
    made = conv(bias=bias)
    bias[0] = 7
    assert made.bias[0] == 0
    assert bias.flags.writeable


def walk(value: object) -> Iterator[object]:
    yield value
    if is_dataclass(value):
        for field in fields(value):
            yield from walk(getattr(value, field.name))
    elif isinstance(value, tuple):
        for entry in value:
            yield from walk(entry)


# Digest


def test_equal_graphs_have_equal_digests() -> None:
    assert sample_graph(1).digest == sample_graph(1).digest
    assert re.fullmatch("[0-9a-f]{64}", sample_graph(1).digest)


def test_digest_covers_every_field_of_every_node() -> None:
    """Any leaf changed anywhere gives another name: new fields are covered without being listed."""
    sample = sample_graph(1)
    digests = {sample.digest}
    count = 1
    for changed in variants(sample):
        digests.add(changed.digest)
        count += 1
    assert len(digests) == count
    assert count > 300


def test_digest_tells_array_types_and_shapes_apart() -> None:
    base = conv()
    digests = set()
    for bias in (base.bias, base.bias.astype(np.int32), base.bias.reshape(1, 6)):
        twisted = copy.copy(base)
        object.__setattr__(twisted, "bias", bias)
        digests.add(unchecked(QGraph, name="g", nodes=(IMAGE, twisted)).digest)
    assert len(digests) == 3


def variants(value: Any) -> Iterator[Any]:
    """Copies of ``value`` with one leaf changed each, legal or not."""
    if is_dataclass(value):
        for field in fields(value):
            for changed in variants(getattr(value, field.name)):
                values = {f.name: getattr(value, f.name) for f in fields(value)}
                yield unchecked(type(value), **(values | {field.name: changed}))
    elif isinstance(value, tuple):
        yield (*value, 77)
        for i, entry in enumerate(value if len(value) < 50 else value[:3]):
            for changed in variants(entry):
                yield (*value[:i], changed, *value[i + 1 :])
    elif isinstance(value, np.ndarray):
        for i in {0, value.size - 1}:
            array = value.copy()
            array.flat[i] += 1
            yield array
    elif value is None:
        yield 0
    elif isinstance(value, str):
        yield value + "x"
    else:
        yield value + 1
        yield value * 1.5 + 0.1


def unchecked(kind: type, **values: Any) -> Any:
    made = object.__new__(kind)
    for name, value in values.items():
        object.__setattr__(made, name, value)
    return made


def test_fields_without_a_place_are_refused() -> None:
    image = unchecked(Input, name="image", shape=[3, 6, 7], output=IMAGE_FORMAT)
    with refused("field of type list has no place in a graph"):
        _ = unchecked(QGraph, name="g", nodes=(image,)).digest


# Refusals

CONV_ROW = "'rows' reads or makes row ranges; only graph outputs may have them"
Make = Callable[[], object]


def reads_rows(node: Node) -> Make:
    return lambda: graph(ROWS_CONV, node)


REFUSALS: list[tuple[Make, str]] = [
    # The graph
    (lambda: QGraph("g", ()), "graph 'g' must begin with its input node"),
    (lambda: QGraph("g", (conv(),)), "graph 'g' must begin with its input node"),
    (lambda: graph(conv("image")), "node name 'image' is empty or used twice"),
    (lambda: graph(conv("")), "node name '' is empty or used twice"),
    (
        lambda: graph(conv(source="later")),
        "'conv' reads 'later', which no earlier node makes",
    ),
    (
        lambda: QGraph("g", (IMAGE, Output("out", "image"), conv(source="out"))),
        "'conv' reads 'out', which leaves the graph; read the tensor before it",
    ),
    (
        lambda: QGraph("g", (IMAGE, replace(IMAGE, name="second"))),
        "'second' is a second input; one is supported",
    ),
    (
        lambda: QGraph("g", (IMAGE, conv("a"), conv("b"), Output("out", "b"))),
        "nothing reads 'a'; every tensor must reach an output",
    ),
    (
        lambda: QGraph("g", (IMAGE,)),
        "nothing reads 'image'; every tensor must reach an output",
    ),
    (
        lambda: graph(conv(requant=single(count=6), output=plain(5))),
        "'conv' requantizes to another zero point than its format's",
    ),
    (
        lambda: graph(Add("a", ("image", "image"), (70000, 0), 1, 0, 255, plain(4))),
        "'a' has 3 channels but its format covers 4",
    ),
    # Input
    (
        lambda: QGraph("g", (Input("i", (3, 6, 7), plain(3, bits=7)),)),
        "input 'i' must have plain 8-bit codes",
    ),
    (
        lambda: QGraph("g", (Input("i", (3, 6, 7), BOOK),)),
        "input 'i' must have plain 8-bit codes",
    ),
    (
        lambda: QGraph("g", (Input("i", (3, 0, 7), IMAGE_FORMAT),)),
        "input 'i' has shape (3, 0, 7); all >= 1 needed",
    ),
    (
        lambda: QGraph("g", (Input("i", (4, 6, 7), IMAGE_FORMAT),)),
        "'i' has 4 channels but its format covers 3",
    ),
    # Windows
    (
        lambda: graph(conv(groups=3)),
        "'conv' has weights (6, 3, 3, 3) in 3 groups for 3 channels",
    ),
    (
        lambda: graph(conv(groups=0)),
        "'conv' has weights (6, 3, 3, 3) in 0 groups for 3 channels",
    ),
    (
        lambda: graph(
            sample_conv(1, 3, 4, groups=1, names=("conv", "image"))[0], conv("b", "conv")
        ),
        "'b' has weights (6, 3, 3, 3) in 1 groups for 4 channels",
    ),
    (
        lambda: graph(conv(stride=(0, 1))),
        "'conv' has kernel (3, 3), stride (0, 1), padding (1, 1, 1, 1)",
    ),
    (
        lambda: graph(conv(padding=(1, 1, -1, 1))),
        "'conv' has kernel (3, 3), stride (1, 1), padding (1, 1, -1, 1)",
    ),
    (
        lambda: graph(MaxPool("p", "image", (0, 3), (1, 1), (0, 0, 0, 0))),
        "'p' has kernel (0, 3), stride (1, 1), padding (0, 0, 0, 0)",
    ),
    (
        lambda: graph(MaxPool("p", "image", (9, 3), (1, 1), (1, 0, 1, 0))),
        "'p': kernel (9, 3) is larger than the padded input 8x7",
    ),
    (
        lambda: graph(MaxPool("p", "image", (2, 3), (1, 1), (2, 0, 0, 0))),
        "'p' pads (2, 0, 0, 0), not less than (2, 3)",
    ),
    (
        lambda: graph(MaxPool("p", "image", (3, 2), (1, 1), (0, 0, 0, 2))),
        "'p' pads (0, 0, 0, 2), not less than (3, 2)",
    ),
    (
        lambda: graph(AvgPool("p", "image", (7, 1), (1, 1), single(), plain(3))),
        "'p': kernel (7, 1) is larger than the padded input 6x7",
    ),
    # Layers
    (
        lambda: graph(conv(bias=np.zeros(5))),
        "'conv' has 6 filters but bias (5,) and requantizer (6,)",
    ),
    (
        lambda: graph(conv(requant=single())),
        "'conv' has 6 filters but bias (6,) and requantizer (1,)",
    ),
    (
        lambda: graph(conv(bias=np.full(6, 2**31))),
        "'conv' needs a 33-bit accumulator; limit 32; use fewer weight or activation bits for "
        "this layer",
    ),
    (
        lambda: graph(conv(table=np.zeros(255))),
        "'conv' has a table of (255,) for 8-bit codes",
    ),
    (
        lambda: graph(conv(table=np.full(256, 256))),
        "'conv' has table entry 256 for 8-bit outputs",
    ),
    (
        lambda: graph(conv(table=np.zeros(256), output=ROWS)),
        "'conv' reads or makes row ranges; only graph outputs may have them",
    ),
    (
        lambda: graph(
            conv(
                table=np.zeros(256),
                requant=replace(single(count=6), zero_point=np.arange(6)),
            )
        ),
        "'conv' has a table and several pre-activation zero points",
    ),
    (
        lambda: graph(conv(output=plain(6, bits=7))),
        "'conv' requantizes to 8 bits but its output has 7",
    ),
    (
        lambda: graph(conv(output=BOOK.with_channels(6))),
        "'conv' has a codebook output, which needs a table",
    ),
    (
        lambda: graph(conv(output=plain(6, 127))),
        "'conv' requantizes to another zero point than its format's",
    ),
    (
        lambda: graph(
            Linear(
                "l", "image", sample_weights(1, (4, 125, 1, 1)), np.zeros(4), single(), None, BOOK
            )
        ),
        "linear 'l' has weights (4, 125, 1, 1) for 126 inputs",
    ),
    # One requantizer
    (
        lambda: graph(Requantize("r", "image", single(count=3), plain(3))),
        "'r' needs one requantizer entry of 8 bits",
    ),
    (
        lambda: graph(Requantize("r", "image", single(), plain(3, bits=7))),
        "'r' needs one requantizer entry of 7 bits",
    ),
    (
        lambda: graph(Requantize("r", "image", single(), BOOK)),
        "'r' has a codebook output, which needs a lookup node",
    ),
    (
        lambda: graph(AvgPool("p", "image", (2, 2), (2, 2), single(3), plain(3, 4))),
        "'p' requantizes to another zero point than its format's",
    ),
    # Add
    (
        lambda: graph(
            MaxPool("p", "image", (2, 2), (1, 1), (0, 0, 0, 0)),
            Add("a", ("image", "p"), (70000, 0), 1, 0, 255, plain(3)),
        ),
        "'a' adds (3, 6, 7) and (3, 5, 6); equal shapes needed",
    ),
    (
        lambda: graph(Add("a", ("image", "image"), (65535, 3), 1, 0, 255, plain(3))),
        "'a' has multipliers (65535, 3); the larger must be in [65536, 131072)",
    ),
    (
        lambda: graph(Add("a", ("image", "image"), (70000, 131072), 1, 0, 255, plain(3))),
        "'a' has multipliers (70000, 131072); the larger must be in [65536, 131072)",
    ),
    (
        lambda: graph(Add("a", ("image", "image"), (-1, 70000), 1, 0, 255, plain(3))),
        "'a' has multipliers (-1, 70000); the larger must be in [65536, 131072)",
    ),
    (
        lambda: graph(Add("a", ("image", "image"), (70000, 0), 0, 0, 255, plain(3))),
        "'a' has shift 0; limit 1..47",
    ),
    (
        lambda: graph(Add("a", ("image", "image"), (70000, 0), 48, 0, 255, plain(3))),
        "'a' has shift 48; limit 1..47",
    ),
    (
        lambda: graph(Add("a", ("image", "image"), (70000, 0), 1, 0, 256, plain(3))),
        "'a' clips to 0..256",
    ),
    (
        lambda: graph(Add("a", ("image", "image"), (70000, 0), 1, 9, 8, plain(3))),
        "'a' clips to 9..8",
    ),
    (
        lambda: graph(Add("a", ("image", "image"), (70000, 0), 1, 0, 255, BOOK)),
        "'a' has a codebook output; put a lookup node after it",
    ),
    # Concat, split, upsample, lookup
    (
        lambda: graph(Concat("c", ("image",))),
        "'c' concatenates 1 tensor; at least 2",
    ),
    (
        lambda: graph(Upsample("u", "image", 2), Concat("c", ("image", "u"))),
        "'c' joins (3, 6, 7) and 'u' (3, 12, 14)",
    ),
    (
        lambda: graph(Requantize("r", "image", single(), plain(3)), Concat("c", ("image", "r"))),
        "'c' joins 'image' and 'r' of different formats; lowering must retarget one or insert a "
        "requantize node",
    ),
    (
        lambda: graph(ROWS_CONV, Concat("c", ("rows", "rows"))),
        "'c' joins 'rows' and 'rows' of different formats; lowering must retarget one or insert a "
        "requantize node",
    ),
    (lambda: graph(Split("s", "image", -1, 2)), "'s' takes channels -1..2 of 3"),
    (lambda: graph(Split("s", "image", 2, 2)), "'s' takes channels 2..2 of 3"),
    (lambda: graph(Split("s", "image", 1, 4)), "'s' takes channels 1..4 of 3"),
    (lambda: graph(Upsample("u", "image", 1)), "'u' upsamples by 1; at least 2"),
    (
        lambda: graph(Lookup("t", "image", np.zeros(128), plain(3))),
        "'t' has a table of (128,) for 8-bit codes",
    ),
    (
        lambda: graph(Lookup("t", "image", np.full(256, 16), plain(3, bits=4))),
        "'t' has table entry 16 for 4-bit outputs",
    ),
    # Row ranges
    *(
        (reads_rows(node), CONV_ROW.replace("'rows'", f"'{node.name}'"))
        for node in (
            sample_conv(1, 6, 6, names=("c", "rows"))[0],
            Linear(
                "l", "rows", sample_weights(1, (4, 252, 1, 1)), np.zeros(4), single(), None, ROWS
            ),
            MaxPool("p", "rows", (2, 2), (1, 1), (0, 0, 0, 0)),
            AvgPool("m", "rows", (2, 2), (1, 1), single(), plain(6)),
            Add("a", ("rows", "rows"), (70000, 0), 1, 0, 255, plain(6)),
            Split("s", "rows", 0, 2),
            Upsample("u", "rows", 2),
            Requantize("r", "rows", single(), plain(6)),
            Lookup("t", "rows", np.zeros(256), plain(6)),
        )
    ),
]


@pytest.mark.parametrize(
    ("make", "message"), REFUSALS, ids=[re.sub(r"\W+", " ", m)[:60] for _, m in REFUSALS]
)
def test_refusals(make: Make, message: str) -> None:
    with refused(message):
        make()


def test_row_ranges_may_leave_the_graph() -> None:
    made = graph(ROWS_CONV)
    assert made.formats["out"] == ROWS


# Widths


def test_accumulator_interval_is_reached_and_never_left() -> None:
    node = conv()
    low, high = accumulator_interval(node, IMAGE_FORMAT)
    weights = node.weights.integers().reshape(6, -1)
    for f in range(6):
        terms = [int(w) for w in weights[f]]
        assert low[f] == int(node.bias[f]) + sum(255 * w for w in terms if w < 0)
        assert high[f] == int(node.bias[f]) + sum(255 * w for w in terms if w > 0)


@pytest.mark.parametrize("edge", [2**31 - 1, -(2**31)])
def test_accumulators_of_exactly_32_bits_are_legal(edge: int) -> None:
    base = conv()
    low, high = accumulator_interval(replace(base, bias=np.zeros(6)), IMAGE_FORMAT)
    reach = int(high.max()) if edge > 0 else int(low.min())
    fits = replace(base, bias=np.full(6, edge - reach))
    assert accumulator_bits(fits, IMAGE_FORMAT) == 32
    graph(fits)
    beyond = replace(base, bias=np.full(6, edge - reach + (1 if edge > 0 else -1)))
    assert accumulator_bits(beyond, IMAGE_FORMAT) == 33
    with pytest.raises(GraphError, match="needs a 33-bit accumulator"):
        graph(beyond)


def test_codebooks_widen_the_accumulator() -> None:
    node = conv()
    plain_bits = accumulator_bits(node, IMAGE_FORMAT)
    wide = TensorFormat(8, (RowRange(3, 1.0, 0),), (*range(255), 65535))
    assert accumulator_bits(node, wide) > plain_bits
