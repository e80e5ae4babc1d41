# SPDX-License-Identifier: Apache-2.0
"""From the codes that an integer network puts out to real values."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from quant.graph import QGraph
from sim.host.detector import dequantize


def real_outputs(
    graph: QGraph, codes: Mapping[str, NDArray[np.integer]]
) -> dict[str, NDArray[np.float32]]:
    """Return the real values of tensors of an integer network.

    Args:
        graph: The network that made them.
        codes: Codes [C, H, W] by tensor name, each in the range of the tensor's format.

    Returns:
        float32 [C, H, W] by tensor name.

    Raises:
        GraphError: The codes have other rows than the format.
    """
    real = {}
    for name, tensor in codes.items():
        fmt = graph.formats[name]
        decoded = tensor.astype(np.int64)
        if fmt.codebook is not None:
            decoded = np.asarray(fmt.codebook)[decoded]
        real[name] = dequantize(decoded, fmt.scale_per_row, fmt.zero_point_per_row)
    return real
