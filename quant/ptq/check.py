# SPDX-License-Identifier: Apache-2.0
"""What importing a network would do, told before any work.

The figures are those of the integer region; of a network that cannot be quantized but runs in
float, those of the float network.
"""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any, Literal, assert_never

from quant.floatgraph import (
    FloatActivation,
    FloatAdd,
    FloatAvgPool,
    FloatConcat,
    FloatConv,
    FloatGraph,
    FloatInput,
    FloatLinear,
    FloatMaxPool,
    FloatMultiply,
    FloatOp,
    FloatShuffle,
    FloatSplit,
    FloatUpsample,
    float_macs_of,
)
from quant.ptq.analysis import Analysis, analyse
from quant.ptq.cut import Ending
from quant.ptq.draft import Unsupported
from quant.zoo.loaded import LoadedModel

Region = Literal["integer graph", "float network", "none"]


@dataclass(frozen=True)
class CheckReport:
    """Facts about a network and its integer region.

    Attributes:
        name: Network.
        region: What the figures are of: the part that would be quantized, or of a network that
            runs in float only the whole, or nothing where neither works.
        parameters: Parameters as published, before any fusion.
        fused_parameters: Weights and biases of the integer region after fusion.
        macs: Multiply-accumulates of the integer region for one frame.
        operations: Number of operations of the region by kind, after fusion.
        shapes: (C, H, W) of every tensor of the region.
        outputs: Per scale, the tensors at which the integer graph ends.
        endings: The same tensors with the reason why it ends there.
        unsupported: Everything that blocks the import; empty when it works.
    """

    name: str
    region: Region
    parameters: int
    fused_parameters: int
    macs: int
    operations: dict[str, int]
    shapes: dict[str, tuple[int, int, int]]
    outputs: tuple[tuple[str, ...], ...]
    endings: tuple[Ending, ...]
    unsupported: tuple[Unsupported, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values; each unsupported entry also has its ``message``."""
        value = asdict(self)
        value["unsupported"] = [{**asdict(u), "message": u.message} for u in self.unsupported]
        return value


def check_model(loaded: LoadedModel, outputs: tuple[str, ...] | None = None) -> CheckReport:
    """Tell what importing would do; everything unsupported is listed, none of it raises.

    Args:
        loaded: Network and host spec.
        outputs: Where the graph shall end; found by itself when ``None``.

    Raises:
        UnsupportedLayerError: The network does not run at all, or a chosen output does not exist.
    """
    return report_of(loaded.name, analyse(loaded, outputs))


def report_of(name: str, analysis: Analysis) -> CheckReport:
    """Return the report of an analysed network."""
    graph = analysis.graph
    renamed = analysis.renamed
    endings = tuple(Ending(renamed.get(e.output, e.output), e.reason) for e in analysis.cut.endings)
    if graph is None:
        return CheckReport(
            name, "none", analysis.parameters, 0, 0, {}, {}, analysis.cut.scales, endings,
            analysis.cut.unsupported,
        )  # fmt: skip
    whole = analysis.cut.unsupported and not analysis.blocks_float
    return CheckReport(
        name,
        "float network" if whole else "integer graph",
        analysis.parameters,
        parameters_of(graph),
        sum(float_macs_of(graph, op) for op in graph.ops),
        dict(sorted(Counter(kind_of(op) for op in graph.ops[1:]).items())),
        dict(graph.shapes),
        analysis.scales,
        endings,
        analysis.cut.unsupported,
    )


def parameters_of(graph: FloatGraph) -> int:
    """Return the number of weights and biases of a fused graph."""
    layers = [op for op in graph.ops if isinstance(op, FloatConv | FloatLinear)]
    return sum(int(op.weight.size) + int(op.bias.size) for op in layers)


def kind_of(op: FloatOp) -> str:
    """Return the kind of an operation as reports name it."""
    match op:
        case FloatInput():
            return "input"
        case FloatConv():
            return "conv"
        case FloatLinear():
            return "linear"
        case FloatActivation():
            return op.kind
        case FloatMaxPool():
            return "max_pool"
        case FloatAvgPool():
            return "avg_pool"
        case FloatAdd():
            return "add"
        case FloatConcat():
            return "concat"
        case FloatSplit():
            return "split"
        case FloatUpsample():
            return "upsample"
        case FloatMultiply():
            return "multiply"
        case FloatShuffle():
            return "channel_shuffle"
        case _:
            assert_never(op)
