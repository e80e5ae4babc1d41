# SPDX-License-Identifier: Apache-2.0
"""QGraph and Schedule to SystemVerilog, with the folding plan.

::

    schedule = plan_foldings(graph, max_macs_per_cycle=512)
    folding = schedule.folding[node.name]
    shape, source = graph.shapes[node.source], graph.formats[node.source]
    files = emit_conv(node, source, shape, folding, "conv3")   # conv3.sv and its .mem texts
    cells = rtl_sources()                                      # hand-written modules it needs
    conv_cycles(node, shape, folding)                          # exact interval and latency
    conv_geometry(node, shape, folding)                        # beats, lanes, memories
"""

from hw.conv import emit_conv, rtl_sources
from hw.cycles import ConvCycles, conv_cycles
from hw.geometry import ConvGeometry, conv_geometry
from hw.plan import plan_foldings

__all__ = [
    "ConvCycles",
    "ConvGeometry",
    "conv_cycles",
    "conv_geometry",
    "emit_conv",
    "plan_foldings",
    "rtl_sources",
]
