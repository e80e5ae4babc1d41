# SPDX-License-Identifier: Apache-2.0
"""One line about a node and its folding, for the comments of the generated top."""

from collections.abc import Sequence
from typing import assert_never

from hw.cell import Stream
from hw.cores import PLAIN_CORES
from hw.network import Network
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
    Split,
    Upsample,
)


def node_text(node: Node) -> str:
    """Return what ``node`` does, as ``Convolution 3x3, stride 2``."""
    match node:
        case Input():
            return "Input"
        case Conv():
            kernel = f"{node.weights.shape[2]}x{node.weights.shape[3]}"
            grouped = f", {node.groups} groups" if node.groups > 1 else ""
            weights = f", {node.weights.bits}-bit weights"
            return f"Convolution {kernel}{_stride(node.stride)}{grouped}{weights}"
        case Linear():
            return f"Linear layer, {node.weights.bits}-bit weights"
        case MaxPool():
            return f"Max pool {node.kernel[0]}x{node.kernel[1]}{_stride(node.stride)}"
        case AvgPool():
            return f"Average pool {node.kernel[0]}x{node.kernel[1]}{_stride(node.stride)}"
        case Add():
            return "Sum of two tensors"
        case Concat():
            return f"Concatenation of {len(node.sources)} tensors"
        case Split():
            return f"Channels {node.begin} to {node.end - 1}"
        case Upsample():
            return f"Nearest upsampling by {node.factor}"
        case Requantize():
            return "Change of format"
        case Lookup():
            return "Lookup table"
        case Output():
            return "Output"
        case _:
            assert_never(node)


def stream_text(stream: Stream) -> str:
    """Return shape, code width and lanes of a stream, as ``16x320x320, 4 x 8 bits a beat``."""
    channels, height, width = stream.shape
    return f"{channels}x{height}x{width}, {stream.lanes} x {stream.bits} bits a beat"


def cell_lines(network: Network, node: Node) -> Sequence[str]:
    """Return the lines about the node's cell: what it does, its streams, its folding."""
    cell = network.cells[node.name]
    folding = network.schedule.folding[node.name]
    lines = [node_text(node), f"at least {cell.interval:,} cycles a frame"]
    if isinstance(node, Conv | Linear):
        style = network.schedule.memory.get(f"{node.name}.weights", "auto")
        place = "from outside" if style == "external" else f"in {style} memory"
        core = "" if folding.core in PLAIN_CORES else f", core {folding.core}"
        lines[1] = f"PE {folding.pe}, SIMD {folding.simd}{core}, weights {place}, {lines[1]}"
    lines += [f"in:  {stream_text(stream)}" for stream in cell.inputs]
    return [*lines, f"out: {stream_text(cell.output)}"]


def _stride(stride: tuple[int, int]) -> str:
    if stride == (1, 1):
        return ""
    return f", stride {stride[0]}" if stride[0] == stride[1] else f", stride {stride}"
