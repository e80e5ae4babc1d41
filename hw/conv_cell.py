# SPDX-License-Identifier: Apache-2.0
"""The convolution and the linear layer as cells: parameters, memory images, token-level model."""

from hw.cell import Cell, Parameter, Stream
from hw.conv_contents import (
    conv_file_parameters,
    conv_files,
    conv_load_image,
    conv_parameters,
    conv_weight_stream,
    weight_files,
)
from hw.conv_process import conv_stages
from hw.geometry import conv_geometry
from hw.groups import kernel_weights
from quant.formats import TensorFormat
from quant.nodes import Conv, Linear
from quant.schedule import Folding, MemoryStyle


def conv_cell(
    node: Conv,
    in_shape: tuple[int, int, int],
    source: TensorFormat,
    folding: Folding,
    prefix: str,
    weight_memory: MemoryStyle = "auto",
    *,
    load: bool = False,
) -> Cell:
    """Return the cell of a convolution.

    Args:
        node: The convolution.
        in_shape: (C, H, W) of its input.
        source: Format of its input codes.
        folding: PE and SIMD.
        prefix: Begins the names of the memory files.
        weight_memory: Style of the weight memory; ``external``: there is none, its words come
            from outside.
        load: Whether its words come through the load stream at start; only with ``ultra``.

    Returns:
        A cell of module ``nf_conv``.

    Raises:
        PlanError: The folding does not fit, or the cell does not build this layer.
    """
    geometry = conv_geometry(node, in_shape, folding, source)
    files = conv_files(node, source, geometry, prefix)
    streamed = weight_memory == "external"
    if load or streamed:
        for name in weight_files(geometry):
            del files[f"{prefix}{name}"]
    shape = (geometry.filters, geometry.out_height, geometry.out_width)
    memory: dict[str, Parameter] = {"WeightStyle": weight_memory, "LoadWeights": int(load)}
    return Cell(
        module="nf_conv",
        parameters=conv_parameters(node, source, geometry)
        | conv_file_parameters(files, prefix)
        | memory,
        inputs=(Stream(in_shape, geometry.in_lanes, source.bits),),
        output=Stream(shape, geometry.out_lanes, node.output.bits),
        stages=conv_stages(geometry),
        files=files,
        load=conv_load_image(node, geometry) if load else None,
        streamed=conv_weight_stream(node, geometry) if streamed else None,
    )


def linear_cell(
    node: Linear,
    in_shape: tuple[int, int, int],
    source: TensorFormat,
    folding: Folding,
    prefix: str,
    weight_memory: MemoryStyle = "auto",
    *,
    load: bool = False,
) -> Cell:
    """Return the cell of a linear layer: a convolution whose kernel is the whole picture.

    Arguments, result and errors as ``conv_cell``.
    """
    conv = linear_as_conv(node, in_shape)
    return conv_cell(conv, in_shape, source, folding, prefix, weight_memory, load=load)


def linear_as_conv(node: Linear, in_shape: tuple[int, int, int]) -> Conv:
    """Return the convolution with a kernel of the size of the picture that equals ``node``.

    Args:
        node: The linear layer.
        in_shape: (C, H, W) of the picture.
    """
    return Conv(
        name=node.name,
        source=node.source,
        weights=kernel_weights(node.weights, in_shape),
        bias=node.bias,
        stride=(1, 1),
        padding=(0, 0, 0, 0),
        groups=1,
        requant=node.requant,
        table=node.table,
        output=node.output,
    )
