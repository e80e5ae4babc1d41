# SPDX-License-Identifier: Apache-2.0
"""Emit a whole network: one SystemVerilog top, which instantiates and wires, and memory images."""

import numpy as np

from hw.network import Network, build_network
from hw.network_text import NetworkText
from hw.rtl_project import RtlProject, Tap
from quant.bundle.names import unique_stems
from quant.graph import QGraph
from quant.schedule import Schedule


def emit_rtl(
    graph: QGraph,
    schedule: Schedule,
    name: str | None = None,
    *,
    ultra_initial_contents: bool = False,
) -> RtlProject:
    """Emit the complete network.

    Ports of the top: ``ap_clk``, ``ap_rst_n`` (synchronous, active low), ``s_axis_0_*`` for the
    image, ``m_axis_<k>_*`` for output k, padded to whole bytes, ``tlast`` on the last beat of a
    frame. When weights lie in ultra RAM that the bitstream cannot fill, also ``s_axis_load_*`` of
    32 bits: it takes ``load_words`` once after power-up, and ``s_axis_0_tready`` is low until then.
    Per layer whose weights come from outside ``s_axis_weights_<k>_*``, in graph order: its words
    (``Cell.streamed``) from the first to the last, over and over, from reset on. Frames and words
    are counted: ``tlast`` of the inputs is ignored.

    Args:
        graph: The integer graph.
        schedule: Its complete plan.
        name: Name of the top module and its file; by default ``<graph>_top``.
        ultra_initial_contents: Whether the device's bitstream fills ultra RAM.

    Returns:
        The project; equal arguments give equal bytes.

    Raises:
        PlanError: The schedule does not fit the graph, or a cell does not build a node.
    """
    network = build_network(graph, schedule, ultra_initial_contents=ultra_initial_contents)
    return emit_network(network, name)


def emit_network(network: Network, name: str | None = None) -> RtlProject:
    """Emit the top of ``network``; see ``emit_rtl``."""
    top = name or f"{unique_stems([network.graph.name])[network.graph.name]}_top"
    writer = NetworkText(network, top)
    files = {f"{top}.sv": writer.text()}
    for cell in network.cells.values():
        files |= cell.files
    loads = [cell.load.words for cell in network.cells.values() if cell.load is not None]
    return RtlProject(
        top=top,
        files=files,
        taps={node: Tap(network.stems[node], stream) for node, stream in network.streams.items()},
        arrivals=tuple(writer.arrivals),
        load_words=np.concatenate([np.zeros(0, np.uint32), *loads]),
        network=network,
    )
