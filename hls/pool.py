# SPDX-License-Identifier: Apache-2.0
"""Kernels of the pools."""

from hls.convolution import codebook_array
from hls.kernel import LEAST_DEPTH, Kernel
from hls.requant import requantizer_constants
from hls.streams import Stream
from quant.formats import TensorFormat
from quant.nodes import AvgPool, MaxPool
from quant.weights import signed_bits


def maxpool_kernel(node: MaxPool, source: Stream, out_shape: tuple[int, int, int]) -> Kernel:
    """Return the separable maximum pool of a stream."""
    output = Stream(out_shape, source.lanes, source.bits)
    (kernel_h, kernel_w), (stride_h, stride_w) = node.kernel, node.stride
    narrowed = Stream((source.shape[0], source.shape[1], out_shape[2]), source.lanes, source.bits)
    return Kernel(
        function="nf::maxpool",
        header="nf_maxpool.h",
        inputs=(source,),
        outputs=(output,),
        constants={
            "channels": source.shape[0],
            "in_height": source.shape[1],
            "in_width": source.shape[2],
            "out_height": out_shape[1],
            "out_width": out_shape[2],
            "kernel_h": kernel_h,
            "kernel_w": kernel_w,
            "stride_h": stride_h,
            "stride_w": stride_w,
            "pad_top": node.padding[0],
            "pad_left": node.padding[1],
            "pe": source.lanes,
            "bits": source.bits,
            "narrowed_depth": LEAST_DEPTH,
        },
        interval_cycles=max(source.beats, narrowed.beats * kernel_w, output.beats * kernel_h),
    )


def avgpool_kernel(
    node: AvgPool, fmt: TensorFormat, source: Stream, out_shape: tuple[int, int, int]
) -> Kernel:
    """Return the average pool of a stream; over the whole plane without a line buffer."""
    output = Stream(out_shape, source.lanes, node.output.bits)
    whole = node.kernel == source.shape[1:]
    count = node.kernel[0] * node.kernel[1]
    offset = -count * fmt.zero_point
    channels = source.shape[0]
    return Kernel(
        function="nf::globalpool" if whole else "nf::avgpool",
        header="nf_avgpool.h",
        inputs=(source,),
        outputs=(output,),
        constants={
            "channels": channels,
            "in_channels": channels,
            "filters": channels,
            "groups": channels,
            "in_height": source.shape[1],
            "in_width": source.shape[2],
            "out_height": out_shape[1],
            "out_width": out_shape[2],
            "kernel_h": node.kernel[0],
            "kernel_w": node.kernel[1],
            "stride_h": node.stride[0],
            "stride_w": node.stride[1],
            "pad_top": 0,
            "pad_left": 0,
            "pe": source.lanes,
            "simd": 1,
            "pixels_per_beat": 1,
            "in_bits": fmt.bits,
            "has_codebook": int(fmt.codebook is not None),
            "acc_bits": signed_bits(offset, count * fmt.max_decoded),
            "offset": offset,
            "out_bits": node.output.bits,
            **requantizer_constants(node.requant),
        },
        interval_cycles=source.beats if whole else max(source.beats, output.beats * count),
        arrays=(codebook_array(fmt.codebook),),
    )
