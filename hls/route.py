# SPDX-License-Identifier: Apache-2.0
"""Kernels that move codes and change none."""

import math
from dataclasses import replace

from hls.kernel import Kernel
from hls.streams import Shape, Stream
from quant.nodes import Split, Upsample

_HEADER = "nf_route.h"


def fork_kernel(source: Stream, readers: int) -> Kernel:
    """Return the copy of a stream to several readers (one: a plain port)."""
    return Kernel(
        function="nf::fork",
        header=_HEADER,
        inputs=(source,),
        outputs=(source,) * readers,
        constants={"beats": source.beats},
        interval_cycles=source.beats,
    )


def concat_kernel(sources: tuple[Stream, ...], out_shape: Shape) -> Kernel:
    """Return the channels of all sources one after the other."""
    output = replace(sources[0], shape=out_shape)
    kernel = fork_kernel(output, 1)
    if len(sources) == 1:
        return kernel
    return replace(
        kernel,
        function="nf::concat",
        inputs=sources,
        constants={"pixels": output.pixels, "channels": out_shape[0], "pe": output.lanes},
        arguments=tuple(source.folds for source in sources),
    )


def split_kernel(node: Split, source: Stream, out_shape: Shape) -> Kernel:
    """Return a slice of the channels."""
    return Kernel(
        function="nf::split",
        header=_HEADER,
        inputs=(source,),
        outputs=(replace(source, shape=out_shape),),
        constants={
            "pixels": source.pixels,
            "channels": source.shape[0],
            "begin": node.begin,
            "end": node.end,
            "pe": source.lanes,
        },
        interval_cycles=source.beats,
    )


def upsample_kernel(node: Upsample, source: Stream, out_shape: Shape) -> Kernel:
    """Return the repetition of pixels."""
    output = replace(source, shape=out_shape)
    return Kernel(
        function="nf::upsample",
        header=_HEADER,
        inputs=(source,),
        outputs=(output,),
        constants={
            "channels": source.shape[0],
            "in_height": source.shape[1],
            "in_width": source.shape[2],
            "factor": node.factor,
            "pe": source.lanes,
        },
        interval_cycles=output.beats,
    )


def width_kernel(source: Stream, lanes: int) -> Kernel:
    """Return the change of a stream's lanes."""
    output = replace(source, lanes=lanes)
    return Kernel(
        function="nf::width",
        header=_HEADER,
        inputs=(source,),
        outputs=(output,),
        constants={
            "pixels": source.pixels,
            "channels": source.shape[0],
            "in_lanes": source.lanes,
            "out_lanes": lanes,
            "unit": math.gcd(source.lanes, lanes),
        },
        interval_cycles=max(source.beats, output.beats),
    )
