# SPDX-License-Identifier: Apache-2.0
"""Bias correction on the integer network itself.

Rounding of weights and clipping of activations shift the mean of a layer's output, and later
layers add the shifts up. Going through the integer graph once, in order, each bias is moved so that
its layer's mean accumulator per filter equals the float network's mean before the activation, on
the same images and with all earlier layers already quantized and corrected.

Source: empirical bias correction, Nagel et al., Data-Free Quantization Through Weight Equalization
and Bias Correction, ICCV 2019, section 4.2.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from quant.floatgraph import FloatConv, FloatGraph, FloatLinear
from quant.formats import TensorFormat
from quant.graph import QGraph
from quant.nodes import Conv, Input, Linear, Node, sources_of
from quant.ptq.executor import FloatExecutor, last_readers
from quant.ptq.lowered import apply_node, layer_sums

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.uint16]


def float_means(graph: FloatGraph, images: npt.NDArray[np.float32]) -> dict[str, Floats]:
    """Return the mean of every layer's output before its activation.

    Args:
        graph: The float network.
        images: float32 [N, C, H, W].

    Returns:
        By layer name, float64 [F].
    """
    layers = {op.name for op in graph.ops if isinstance(op, FloatConv | FloatLinear)}
    sums: dict[str, Floats] = {}

    def visit(name: str, tensor: torch.Tensor) -> None:
        if name in layers:
            flat = tensor.reshape(*tensor.shape[:2], -1)
            mean = flat.mean(dim=(0, 2), dtype=torch.float64).numpy()
            sums[name] = sums.get(name, np.zeros(len(mean))) + mean

    executor = FloatExecutor(graph)
    for image in images:
        executor.run(image[None], visit)
    return {name: total / len(images) for name, total in sums.items()}


def correct_biases(
    graph: QGraph, means: Mapping[str, Floats], codes: npt.NDArray[np.uint8]
) -> QGraph:
    """Return the graph with every layer's bias corrected.

    Memory holds the live tensors of all images as codes, and the sums of one image.

    Args:
        graph: The lowered graph.
        means: ``float_means`` of the same images.
        codes: Input codes of the images, uint8 [N, C, H, W].
    """
    free = last_readers([(n.name, sources_of(n)) for n in graph.nodes])
    live: dict[str, Codes] = {graph.input.name: codes.astype(np.uint16)}
    nodes: list[Node] = []
    with torch.inference_mode():
        for original in graph.nodes:
            node = original
            if not isinstance(node, Input):
                names = sources_of(node)
                formats = [graph.formats[s] for s in names]
                if isinstance(node, Conv | Linear):
                    node = _corrected(node, live[node.source], formats[0], means[node.name])
                live[node.name] = np.stack(
                    [
                        apply_node(node, [_tensor(live[s][i]) for s in names], formats)[0]
                        .numpy()
                        .astype(np.uint16)
                        for i in range(len(codes))
                    ]
                )
            nodes.append(node)
            for name in free[original.name]:
                live.pop(name, None)
    return QGraph(graph.name, tuple(nodes))


def _corrected(
    node: Conv | Linear, codes: Codes, source: TensorFormat, wanted: Floats
) -> Conv | Linear:
    total = np.zeros(len(wanted), np.int64)
    count = 0
    for image in codes:
        sums = layer_sums(node, _tensor(image), source)
        total += sums.sum(dim=(0, 2, 3)).numpy()
        count += sums.shape[2] * sums.shape[3]
    step = np.broadcast_to(node.weights.scale.astype(np.float64), wanted.shape) * source.scale
    shift = np.floor(wanted / step - total / count + 0.5).astype(np.int64)
    return replace(node, bias=node.bias + shift)


def _tensor(codes: Codes) -> torch.Tensor:
    return torch.from_numpy(codes.astype(np.int64))[None]
