# SPDX-License-Identifier: Apache-2.0
"""Average pool as a cell: windows over a line buffer, or one sum per channel for a whole plane."""

import numpy as np

from hw.cell import Cell, Parameter, Stream
from hw.divisors import divisors
from hw.lanes import equal_lanes
from hw.memories import mem_text
from hw.process import Port, Process
from hw.window import Window
from quant.errors import PlanError
from quant.formats import TensorFormat
from quant.nodes import AvgPool
from quant.schedule import Folding
from quant.weights import signed_bits
from quant.widths import ACCUMULATOR_LIMIT_BITS

# Cycles from the last tap of a beat to its offer besides the requantizer's steps: buffer read,
# decoder, sum, requantizer (7), queue; the last step ends one cycle before.
WINDOW_LATENCY = 10
# Cycles from a beat of the last pixel to the offer of its sum: decoder, queue.
SUM_LATENCY = 2
# Cycles from the last step of a sum to the offer of its codes: requantizer (7), queue.
MEAN_LATENCY = 8
# nf_requant takes no narrower accumulators.
_MIN_BITS = 2


def avgpool_cell(
    node: AvgPool,
    in_shape: tuple[int, int, int],
    source: TensorFormat,
    folding: Folding,
    prefix: str,
) -> Cell:
    """Return the cell of an average pool.

    Args:
        node: The average pool; it has no padding.
        in_shape: (C, H, W) of its input.
        source: Format of its input codes.
        folding: PE = SIMD, the channels of a beat; divides C.
        prefix: Begins the names of the memory files.

    Returns:
        A cell of module ``nf_globalpool`` when the kernel is the whole plane, which then needs no
        line buffer, else of ``nf_avgpool``.

    Raises:
        PlanError: The folding does not fit, or the sums do not fit the accumulator.
    """
    lanes = equal_lanes(node.name, folding, in_shape[0])
    files = {}
    if source.codebook is not None:
        files[f"{prefix}codebook.mem"] = mem_text([(source.codebook, source.decoded_bits)])
    requant = node.requant
    arithmetic: dict[str, Parameter] = {
        "InBits": source.bits,
        "ActBits": source.decoded_bits if files else source.bits,
        "ZeroIn": source.zero_point,
        "AccBits": _accumulator_bits(node, source),
        "Multiplier": int(requant.multiplier[0]),
        "Shift": int(requant.shift[0]),
        "ZeroOut": int(requant.zero_point[0]),
        "Low": requant.low,
        "High": requant.high,
        "OutBits": requant.bits,
        "CodebookFile": next(iter(files), ""),
    }
    if node.kernel == in_shape[1:]:
        return _global_cell(node, in_shape, lanes, arithmetic, files)
    return _window_cell(node, in_shape, lanes, arithmetic, files)


def _window_cell(
    node: AvgPool,
    in_shape: tuple[int, int, int],
    lanes: int,
    arithmetic: dict[str, Parameter],
    files: dict[str, str],
) -> Cell:
    channels, height, width = in_shape
    window = Window(height, width, node.kernel, node.stride, (0, 0, 0, 0))
    folds = channels // lanes
    requant_lanes = _requant_lanes(lanes, window.taps)
    latency = WINDOW_LATENCY + lanes // requant_lanes
    process = Process(
        cycles=window.taps,
        ports=(window.port(folds, folds),),
        emits=np.ones(window.out_height * window.out_width * folds, np.bool_),
        latency=latency,
        queue=_places(latency, window.taps),
    )
    return Cell(
        module="nf_avgpool",
        parameters={
            "Channels": channels,
            "Lanes": lanes,
            "Height": height,
            "Width": width,
            "KernelH": node.kernel[0],
            "KernelW": node.kernel[1],
            "StrideH": node.stride[0],
            "StrideW": node.stride[1],
            "BufferPixels": window.buffer_pixels,
            "RequantLanes": requant_lanes,
        }
        | arithmetic,
        inputs=(Stream(in_shape, lanes, int(arithmetic["InBits"])),),
        output=Stream(
            (channels, window.out_height, window.out_width), lanes, int(arithmetic["OutBits"])
        ),
        stages=(process,),
        files=files,
    )


def _global_cell(
    node: AvgPool,
    in_shape: tuple[int, int, int],
    lanes: int,
    arithmetic: dict[str, Parameter],
    files: dict[str, str],
) -> Cell:
    channels, height, width = in_shape
    folds, pixels = channels // lanes, height * width
    requant_lanes = _requant_lanes(lanes, pixels)
    steps = lanes // requant_lanes
    # Shared requantizers empty the queue slowly, while the next frame comes in: it holds a frame's
    # sums, and those that are on their way.
    sum_beats = _places(SUM_LATENCY, 1) if steps == 1 else folds + SUM_LATENCY
    beats = folds * pixels
    add = Process(
        cycles=1,
        ports=(Port(beats=beats, capacity=0, needed=np.arange(1, beats + 1)),),
        emits=np.arange(beats) >= beats - folds,
        latency=SUM_LATENCY,
        queue=sum_beats,
    )
    finish = Process(
        cycles=steps,
        ports=(Port(beats=folds, capacity=0, needed=np.arange(1, folds + 1)),),
        emits=np.ones(folds, np.bool_),
        latency=MEAN_LATENCY,
        queue=_places(MEAN_LATENCY, steps),
    )
    return Cell(
        module="nf_globalpool",
        parameters={
            "Channels": channels,
            "Lanes": lanes,
            "Pixels": pixels,
            "RequantLanes": requant_lanes,
            "SumBeats": sum_beats,
        }
        | arithmetic,
        inputs=(Stream(in_shape, lanes, int(arithmetic["InBits"])),),
        output=Stream((channels, 1, 1), lanes, int(arithmetic["OutBits"])),
        stages=(add, finish),
        files=files,
    )


def _requant_lanes(lanes: int, cycles: int) -> int:
    """Return the fewest requantizers that finish a beat of ``lanes`` sums in ``cycles``."""
    return next(count for count in divisors(lanes) if lanes // count <= cycles)


def _places(latency: int, cycles: int) -> int:
    """Return the places of a queue that never holds a beat up while its reader is ready.

    The beat that leaves and those under way, as the modules count them.
    """
    return 1 + -(-latency // cycles)


def _accumulator_bits(node: AvgPool, source: TensorFormat) -> int:
    """Return the signed bits of ``sum(a) - n * zero_point``.

    Raises:
        PlanError: They exceed the requantizer's limit.
    """
    count = node.kernel[0] * node.kernel[1]
    zero = source.zero_point
    bits = max(_MIN_BITS, signed_bits(-count * zero, count * (source.max_decoded - zero)))
    if bits > ACCUMULATOR_LIMIT_BITS:
        raise PlanError(
            f"'{node.name}' sums {count} values up to {source.max_decoded}, which needs a "
            f"{bits}-bit accumulator; limit {ACCUMULATOR_LIMIT_BITS}; pool in two steps"
        )
    return bits
