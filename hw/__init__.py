# SPDX-License-Identifier: Apache-2.0
"""QGraph and Schedule to SystemVerilog, with the plan of foldings, memories and FIFOs.

The whole network::

    schedule = plan(graph, fps=30, device=find_device("zcu104"))
    project = emit_rtl(graph, schedule)         # project.files: the top and its .mem texts
    cells = rtl_sources()                       # hand-written modules it needs
    network = build_network(graph, schedule)    # cells and edges, with their token-level models

One convolution::

    schedule = plan_foldings(graph, max_macs_per_cycle=512)
    folding = schedule.folding[node.name]
    shape, source = graph.shapes[node.source], graph.formats[node.source]
    files = emit_conv(node, source, shape, folding, "conv3")   # conv3.sv and its .mem texts
    conv_cycles(node, shape, folding)                          # exact interval and latency
    conv_geometry(node, shape, folding)                        # beats, lanes, memories
"""

from hw.conv import emit_conv, rtl_sources
from hw.cycles import ConvCycles, conv_cycles
from hw.devices import DEVICES, Device, find_device
from hw.emit_network import emit_network, emit_rtl
from hw.foldings import plan_foldings
from hw.geometry import ConvGeometry, conv_geometry
from hw.network import Edge, Network, build_network
from hw.plan_network import plan_network
from hw.planning import CompletePlan, complete_schedule, plan
from hw.rtl_project import RtlProject, Tap

__all__ = [
    "DEVICES",
    "CompletePlan",
    "ConvCycles",
    "ConvGeometry",
    "Device",
    "Edge",
    "Network",
    "RtlProject",
    "Tap",
    "build_network",
    "complete_schedule",
    "conv_cycles",
    "conv_geometry",
    "emit_conv",
    "emit_network",
    "emit_rtl",
    "find_device",
    "plan",
    "plan_foldings",
    "plan_network",
    "rtl_sources",
]
