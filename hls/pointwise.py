# SPDX-License-Identifier: Apache-2.0
"""Kernels that compute one code from the codes at the same place."""

from hls.convolution import codebook_array
from hls.kernel import ConstantArray, Kernel
from hls.requant import requantizer_constants
from hls.streams import Stream
from quant.formats import TensorFormat
from quant.nodes import Add, Lookup, Requantize
from quant.weights import signed_bits


def add_kernel(
    node: Add, formats: tuple[TensorFormat, TensorFormat], sources: tuple[Stream, Stream]
) -> Kernel:
    """Return the sum of two streams."""
    first, second = formats
    output = Stream(sources[0].shape, sources[0].lanes, node.output.bits)
    return Kernel(
        function="nf::add",
        header="nf_add.h",
        inputs=sources,
        outputs=(output,),
        constants={
            "beats": output.beats,
            "pe": output.lanes,
            "in_bits0": first.bits,
            "in_bits1": second.bits,
            "has_codebook0": int(first.codebook is not None),
            "has_codebook1": int(second.codebook is not None),
            "zero0": first.zero_point,
            "zero1": second.zero_point,
            "multiplier0": node.multipliers[0],
            "multiplier1": node.multipliers[1],
            "shift": node.shift,
            "low": node.low,
            "high": node.high,
            "out_zero": node.output.zero_point,
            "out_bits": node.output.bits,
        },
        interval_cycles=output.beats,
        arrays=(
            codebook_array(first.codebook, "codebook0"),
            codebook_array(second.codebook, "codebook1"),
        ),
    )


def requantize_kernel(node: Requantize, fmt: TensorFormat, source: Stream) -> Kernel:
    """Return the change of a stream's format."""
    zero = fmt.zero_point
    return Kernel(
        function="nf::retarget",
        header="nf_pointwise.h",
        inputs=(source,),
        outputs=(Stream(source.shape, source.lanes, node.output.bits),),
        constants={
            "beats": source.beats,
            "pe": source.lanes,
            "in_bits": fmt.bits,
            "has_codebook": int(fmt.codebook is not None),
            "in_zero": zero,
            "acc_bits": signed_bits(-zero, fmt.max_decoded),
            "out_bits": node.output.bits,
            **requantizer_constants(node.requant),
        },
        interval_cycles=source.beats,
        arrays=(codebook_array(fmt.codebook),),
    )


def lookup_kernel(node: Lookup, source: Stream) -> Kernel:
    """Return the table of an activation."""
    return Kernel(
        function="nf::lookup",
        header="nf_pointwise.h",
        inputs=(source,),
        outputs=(Stream(source.shape, source.lanes, node.output.bits),),
        constants={"beats": source.beats, "pe": source.lanes, "in_bits": source.bits},
        interval_cycles=source.beats,
        arrays=(ConstantArray("table", "unsigned short", node.table, "lookup"),),
    )
