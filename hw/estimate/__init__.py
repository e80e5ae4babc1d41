# SPDX-License-Identifier: Apache-2.0
"""Estimates of what hardware takes of a device, before any synthesis.

    resources(cell)                        any cell: lookup tables, flip-flops, DSP blocks, memories
    module_resources(module, parameters)   the same from parameters, before memory files exist
    conv_weights(parameters)               the weight memories of a convolution
    weight_resources(bits, depth, kind)    the same by shape
    weight_queue(bits, memories)           what stands in their place for weights from outside
    memory_resources(bits, depth, kind, role)   exact counts of one memory

Lookup tables and flip-flops are fitted to Yosys, which is not Vivado.
"""

from hw.estimate.memory import MemoryKind, MemoryRole, memory_resources
from hw.estimate.model import (
    BASIS,
    coefficients_version,
    conv_weights,
    module_resources,
    resources,
    weight_queue,
    weight_resources,
)
from hw.estimate.primitives import Resources, total

__all__ = [
    "BASIS",
    "MemoryKind",
    "MemoryRole",
    "Resources",
    "coefficients_version",
    "conv_weights",
    "memory_resources",
    "module_resources",
    "resources",
    "total",
    "weight_queue",
    "weight_resources",
]
