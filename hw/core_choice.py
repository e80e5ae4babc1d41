# SPDX-License-Identifier: Apache-2.0
"""Which packed cores stay possible for a layer, group multipliers included.

A multiplier by filter and kernel position scales what a core has summed over the channels, so the
core itself meets table entries only. A core that takes three columns of a kernel row at once sums
them together: no multiplier may differ between them. A multiplier by channel widens activations.
"""

from dataclasses import replace

import numpy as np

from hw.cores import PACKED_CORES, ROW_CORES
from hw.groups import factor_place
from hw.packing import LaneProof, prove_core
from quant.errors import PlanError
from quant.formats import RowRange, TensorFormat
from quant.nodes import Conv
from quant.schedule import Core


def prove_group_core(node: Conv, source: TensorFormat, core: Core, simd: int) -> LaneProof:
    """Return the proof that ``core`` sums exactly what the group multipliers leave to it.

    Args:
        node: The convolution, of any granularity.
        source: Format of its input codes.
        core: A packed core.
        simd: Channels of a tap; divides the channels of a group.

    Raises:
        PlanError: The core does not build this layer, or no chain keeps its lanes.
    """
    weights = node.weights
    factors = weights.multipliers
    bare = replace(node, weights=replace(weights, multipliers=np.ones_like(factors)))
    match factor_place(weights):
        case "none":
            return prove_core(node, source, core, simd)
        case "parts":
            if core in ROW_CORES and (factors != factors[..., :1]).any():
                raise PlanError(
                    f"'{node.name}' has group multipliers that differ between the columns of a "
                    f"kernel row; core '{core}' sums three columns at once; use outer4"
                )
            return prove_core(bare, source, core, simd)
        case "acts":
            largest = source.max_decoded * int(factors.max())
            wide = TensorFormat(
                source.bits,
                (RowRange(source.channels, 1.0, 0),),
                tuple(np.linspace(0, largest, 1 << source.bits).astype(int).tolist()),
            )
            return prove_core(bare, wide, core, simd)


def cores_left(node: Conv, source: TensorFormat, simd: int) -> dict[Core, LaneProof | str]:
    """Return per packed core its proof for ``node``, or the reason why there is none.

    The plain cores take every layer.
    """
    found: dict[Core, LaneProof | str] = {}
    for core in PACKED_CORES:
        try:
            found[core] = prove_group_core(node, source, core, simd)
        except PlanError as error:
            found[core] = str(error)
    return found
