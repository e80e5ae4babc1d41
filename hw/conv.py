# SPDX-License-Identifier: Apache-2.0
"""Emit one convolution: a SystemVerilog top that sets parameters, and its memory contents."""

from importlib import resources
from pathlib import Path

import numpy as np

from hw.geometry import ConvGeometry, conv_geometry
from hw.memories import (
    filter_tables,
    is_affine,
    lanes_text,
    mem_text,
    requant_text,
    shift_range,
    weight_words,
)
from quant.formats import TensorFormat
from quant.nodes import Conv
from quant.schedule import Folding
from quant.weights import signed_bits
from quant.widths import accumulator_bits

Parameter = int | str


def rtl_sources() -> tuple[Path, ...]:
    """Return the hand-written cells, sorted by name; every emitted top needs them."""
    folder = resources.files("hw") / "rtl"
    return tuple(sorted(Path(str(f)) for f in folder.iterdir() if f.name.endswith(".sv")))


def emit_conv(
    node: Conv,
    source: TensorFormat,
    in_shape: tuple[int, int, int],
    folding: Folding,
    name: str,
    *,
    file_prefix: str | None = None,
    digest: str | None = None,
) -> dict[str, str]:
    """Emit a convolution as one module with AXI4-Stream ports.

    Ports: ``ap_clk``, ``ap_rst_n``, ``s_axis_0_*`` with beats of ``in_lanes`` channels and
    ``m_axis_0_*`` with beats of PE filters, padded to whole bytes (``conv_geometry``).

    Args:
        node: The convolution.
        source: Format of its input codes.
        in_shape: (C, H, W) of its input.
        folding: PE and SIMD.
        name: Name of the module and of its file.
        file_prefix: Begins the names of the memory files; ``name_`` when left out.
        digest: Digest of the graph for the header comment. Leave it out, and give a common name
            and prefix, to let convolutions of equal parameters share one simulation build.

    Returns:
        File name to text: ``<name>.sv`` and the ``.mem`` files, which the simulation finds in its
        working folder.

    Raises:
        PlanError: The folding does not fit, or the cell does not build this layer.
    """
    prefix = f"{name}_" if file_prefix is None else file_prefix
    geometry = conv_geometry(node, in_shape, folding)
    memories = _memories(node, source, geometry)
    parameters = _parameters(node, source, geometry)
    for key, file in (
        ("WeightFile", "weights.mem"),
        ("DecodeFile", "decode.mem"),
        ("SelectFile", "select.mem"),
        ("RequantFile", "requant.mem"),
        ("CodebookFile", "codebook.mem"),
        ("TableFile", "table.mem"),
    ):
        parameters[key] = prefix + file if file in memories else ""
    files = {f"{name}.sv": _top_text(name, geometry, source, node, parameters, digest)}
    return files | {prefix + file: text for file, text in memories.items()}


def _memories(node: Conv, source: TensorFormat, geometry: ConvGeometry) -> dict[str, str]:
    """Return the memory contents by plain file name."""
    tables, numbers = filter_tables(node)
    bits = accumulator_bits(node, source)
    texts = {
        "weights.mem": lanes_text(weight_words(node.weights, geometry), node.weights.bits),
        "requant.mem": requant_text(node.requant, node.bias, bits, geometry),
    }
    select_bits, affine = _selection(node)
    operand_bits = signed_bits(int(tables.min()), int(tables.max()))
    if affine:
        texts["select.mem"] = lanes_text(tables[numbers, 0].reshape(-1, geometry.pe), select_bits)
    else:
        # Unused table numbers repeat the last table: any value would do.
        rows = np.minimum(np.arange(1 << select_bits), len(tables) - 1)
        texts["decode.mem"] = mem_text([(tables[rows].reshape(-1), operand_bits)])
        if select_bits:
            texts["select.mem"] = lanes_text(numbers.reshape(-1, geometry.pe), select_bits)
    if source.codebook is not None:
        texts["codebook.mem"] = mem_text([(source.codebook, source.decoded_bits)])
    if node.table is not None:
        texts["table.mem"] = mem_text([(node.table.astype(np.int64), node.output.bits)])
    return texts


def _selection(node: Conv) -> tuple[int, bool]:
    """Return the bits of a filter's table selection, and whether it is an affine offset.

    One table is constant logic. Several affine tables differ by an offset, which the cell adds;
    other tables are chosen by number.
    """
    tables, _ = filter_tables(node)
    if len(tables) == 1:
        return 0, False
    if is_affine(tables):
        return signed_bits(int(tables[:, 0].min()), int(tables[:, 0].max())), True
    return (len(tables) - 1).bit_length(), False


def _parameters(node: Conv, source: TensorFormat, g: ConvGeometry) -> dict[str, Parameter]:
    """Return the parameters of ``nf_conv_axis`` besides the file names."""
    tables, _ = filter_tables(node)
    select_bits, affine = _selection(node)
    shift_low, shift_high = shift_range(node.requant)
    top, left, bottom, right = g.padding
    return {
        "Channels": g.channels,
        "Height": g.height,
        "Width": g.width,
        "Filters": g.filters,
        "Groups": g.groups,
        "KernelH": g.kernel[0],
        "KernelW": g.kernel[1],
        "StrideH": g.stride[0],
        "StrideW": g.stride[1],
        "PadTop": top,
        "PadLeft": left,
        "PadBottom": bottom,
        "PadRight": right,
        "Depthwise": int(g.depthwise),
        "Pe": g.pe,
        "Simd": g.simd,
        "PixelsPerBeat": 1,
        "UseDsp": int(g.use_dsp),
        "RequantLanes": g.requant_lanes,
        "BufferPixels": g.buffer_pixels,
        "InBits": source.bits,
        "ActBits": source.decoded_bits if source.codebook is not None else source.bits,
        "ZeroCode": source.zero_code,
        "WeightBits": node.weights.bits,
        "SelectBits": select_bits,
        "AffineSelect": int(affine),
        "OperandBits": signed_bits(int(tables.min()), int(tables.max())),
        "AccBits": accumulator_bits(node, source),
        "ShiftLow": shift_low,
        "ShiftHigh": shift_high,
        "PreBits": node.requant.bits,
        "Low": node.requant.low,
        "High": node.requant.high,
        "OutBits": node.output.bits,
    }


def _top_text(
    name: str,
    g: ConvGeometry,
    source: TensorFormat,
    node: Conv,
    parameters: dict[str, Parameter],
    digest: str | None,
) -> str:
    """Return the top: ports of constant width and one instance."""
    in_bits = -(-g.in_lanes * source.bits // 8) * 8
    out_bits = -(-g.pe * node.output.bits // 8) * 8
    values = ",\n".join(
        f'    .{key}("{value}")' if isinstance(value, str) else f"    .{key}({value})"
        for key, value in parameters.items()
    )
    graph = "" if digest is None else f"// Graph {digest}\n"
    return f"""// SPDX-License-Identifier: Apache-2.0
//
// Generated by nibbleflow: one convolution, {g.channels}x{g.height}x{g.width} to \
{g.filters}x{g.out_height}x{g.out_width}.
{graph}`default_nettype none

module {name} (
  input  wire logic         ap_clk,
  input  wire logic         ap_rst_n,
  input  wire logic [{in_bits - 1}:0] s_axis_0_tdata,
  input  wire logic         s_axis_0_tvalid,
  output logic              s_axis_0_tready,
  input  wire logic         s_axis_0_tlast,
  output logic [{out_bits - 1}:0] m_axis_0_tdata,
  output logic              m_axis_0_tvalid,
  input  wire logic         m_axis_0_tready,
  output logic              m_axis_0_tlast
);
  nf_conv_axis #(
{values}
  ) u_conv (
    .ap_clk,
    .ap_rst_n,
    .s_axis_0_tdata,
    .s_axis_0_tvalid,
    .s_axis_0_tready,
    .s_axis_0_tlast,
    .m_axis_0_tdata,
    .m_axis_0_tvalid,
    .m_axis_0_tready,
    .m_axis_0_tlast
  );
endmodule

`default_nettype wire
"""
