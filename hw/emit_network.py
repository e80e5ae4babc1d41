# SPDX-License-Identifier: Apache-2.0
"""Emit a whole network: one SystemVerilog top that instantiates and wires, and its memory images.

The text goes through the nodes in topological order. A node's section holds the FIFOs and width
converters in front of its inputs, its cell, and the fork behind it; nothing else is in the top.
"""

from collections.abc import Sequence

import numpy as np

from hw.cell import LoadImage
from hw.describe import cell_lines, stream_text
from hw.instance import instance_text
from hw.nets import axis_ports, nets, packed, port_bits
from hw.network import Edge, Network, build_network
from hw.rtl_project import RtlProject, Tap, Wire
from quant.bundle.names import shown, unique_stems
from quant.graph import QGraph
from quant.nodes import Conv, Input, Linear, Output
from quant.schedule import Schedule

_RULE = "  // " + "-" * 64


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
    Frames and words are counted: ``tlast`` of the inputs is ignored.

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
    writer = _Top(network, top)
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


def _title(name: str, lines: Sequence[str]) -> list[str]:
    return [f"{_RULE} {shown(name)}", *(f"  // {line}" for line in lines)]


class _Top:
    """The text of one top module, section by section."""

    def __init__(self, network: Network, top: str) -> None:
        self.network = network
        self.top = top
        self.taken = {stem.lower() for stem in network.stems.values()}
        self.wires: dict[tuple[str, int], Wire] = {}  # what each branch of a node offers
        self.arrivals: list[Wire] = []  # what reaches each port, in the order of the edges
        self.loads = [name for name, cell in network.cells.items() if cell.load is not None]
        self.load_stems = {n: self._new_stem(f"{network.stems[n]}_load") for n in self.loads}
        convs = [n for n, cell in network.cells.items() if cell.module == "nf_conv"]
        self.conv_number = {name: number for number, name in enumerate(convs)}

    def text(self) -> str:
        """Return the whole file."""
        sections = [self._input()]
        outputs = 0
        for node in self.network.graph.nodes:
            if isinstance(node, Output):
                sections.append(self._output(node, outputs))
                outputs += 1
            elif not isinstance(node, Input):
                sections.append(self._node(node.name))
        body = "\n\n".join(sections)
        return f"{self._header()}{body}\nendmodule\n\n`default_nettype wire\n"

    def _header(self) -> str:
        network, graph = self.network, self.network.graph
        foldings = network.schedule.folding
        macs = sum(
            foldings[n.name].pe * foldings[n.name].simd
            for n in graph.nodes
            if isinstance(n, Conv | Linear)
        )
        slowest = max(network.cells, key=lambda name: network.cells[name].interval)
        ports = [f"input  wire logic {'':<8} ap_clk", f"input  wire logic {'':<8} ap_rst_n"]
        if self.loads:
            ports += axis_ports("s_axis_load", 32, master=False)
        ports += axis_ports("s_axis_0", port_bits(network.input), master=False)
        for k, stream in enumerate(network.outputs.values()):
            ports += axis_ports(f"m_axis_{k}", port_bits(stream), master=True)
        head = ",\n  ".join(ports)
        return f"""// SPDX-License-Identifier: Apache-2.0
//
// Network '{shown(graph.name)}', generated by nibbleflow: it only instantiates and wires.
// Graph {graph.digest}
//
// {macs:,} multiply-accumulates per cycle, planned for {network.schedule.clock_hz:,} Hz. The
// slowest cell is '{shown(slowest)}': {network.cells[slowest].interval:,} cycles a frame.
`default_nettype none

module {self.top} (
  {head}
);
"""

    def _input(self) -> str:
        network, stream = self.network, self.network.input
        name = network.input_node
        stem = network.stems[name]
        lines = [
            *self._unused(),
            *_title(name, [f"Input: {stream_text(stream)}"]),
            *nets(stem, stream.beat_bits),
            "",
            f"  assign {stem}_data = s_axis_0_tdata[{stream.beat_bits - 1}:0];",
        ]
        if self.loads:
            images = [cell.load for cell in network.cells.values() if cell.load is not None]
            words = sum(image.words.size for image in images)
            wires = {
                "clk_i": "ap_clk",
                "rst_ni": "ap_rst_n",
                "load_valid_i": "s_axis_load_tvalid",
                "load_ready_o": "s_axis_load_tready",
                "word_valid_o": "load_valid",
                "loader_rst_no": "load_rst_n",
                "full_i": "load_full",
                "s_valid_i": "s_axis_0_tvalid",
                "s_ready_o": "s_axis_0_tready",
                "m_valid_o": f"{stem}_valid",
                "m_ready_i": f"{stem}_ready",
            }
            lines += [
                "",
                "  // Held back until the weights in ultra RAM are loaded.",
                "  logic load_valid, load_rst_n, load_full;",
                "",
                instance_text("nf_load_gate", "u_load_gate", {"Words": words}, wires),
            ]
        else:
            lines += [
                f"  assign {stem}_valid = s_axis_0_tvalid;",
                f"  assign s_axis_0_tready = {stem}_ready;",
            ]
        return "\n".join([*lines, *self._fork(name)])

    def _node(self, name: str) -> str:
        network = self.network
        cell, stem = network.cells[name], network.stems[name]
        node = network.graph.node(name)
        lines = _title(name, cell_lines(network, node))
        wires: list[Wire] = []
        for edge in network.sources(name):
            edge_lines, wire = self._edge(edge)
            lines += edge_lines
            wires.append(wire)
        ports = {
            "clk_i": "ap_clk",
            "rst_ni": "ap_rst_n",
            "s_data_i": packed([wire.data for wire in wires]),
            "s_valid_i": packed([wire.valid for wire in wires]),
            "s_ready_o": packed([wire.ready for wire in wires]),
            "m_data_o": f"{stem}_data",
            "m_valid_o": f"{stem}_valid",
            "m_ready_i": f"{stem}_ready",
        }
        if name in self.conv_number:
            ports["m_end_o"] = f"unused_end[{self.conv_number[name]}]"
        if cell.load is not None:
            lines += self._loader(name, cell.load)
            load = self.load_stems[name]
            ports |= {
                "load_write_i": f"{load}_write",
                "load_addr_i": f"{load}_addr",
                "load_data_i": f"{load}_data",
            }
        lines += [
            *nets(stem, cell.output.beat_bits),
            "",
            instance_text(cell.module, f"u_{stem}", cell.parameters, ports),
        ]
        return "\n".join([*lines, *self._fork(name)])

    def _edge(self, edge: Edge) -> tuple[list[str], Wire]:
        """Return the text of FIFO and converter of an edge, and the nets behind them."""
        wire = self.wires[edge.producer, edge.branch]
        stems = self.network.stems
        between = f"{stems[edge.producer]}_to_{stems[edge.consumer]}"
        lines: list[str] = []
        for what, cell in (("fifo", edge.fifo), ("width", edge.width)):
            if cell is None:
                continue
            stem = self._new_stem(f"{between}_{what}")
            ports = {
                "clk_i": "ap_clk",
                "rst_ni": "ap_rst_n",
                "s_data_i": wire.data,
                "s_valid_i": wire.valid,
                "s_ready_o": wire.ready,
                "m_data_o": f"{stem}_data",
                "m_valid_o": f"{stem}_valid",
                "m_ready_i": f"{stem}_ready",
            }
            lines += [
                *nets(stem, cell.output.beat_bits),
                "",
                instance_text(cell.module, f"u_{stem}", cell.parameters, ports),
                "",
            ]
            wire = Wire(f"{stem}_data", f"{stem}_valid", f"{stem}_ready")
        self.arrivals.append(wire)
        return lines, wire

    def _fork(self, name: str) -> list[str]:
        """Return the text of the fork behind a node, and note what its branches offer."""
        stem, stream = self.network.stems[name], self.network.streams[name]
        readers = self.network.readers(name)
        if len(readers) == 1:
            self.wires[name, 0] = Wire(f"{stem}_data", f"{stem}_valid", f"{stem}_ready")
            return []
        fork, count = self._new_stem(f"{stem}_fork"), len(readers)
        for edge in readers:
            branch = edge.branch
            self.wires[name, branch] = Wire(
                f"{fork}_data", f"{fork}_valid[{branch}]", f"{fork}_ready[{branch}]"
            )
        ports = {
            "clk_i": "ap_clk",
            "rst_ni": "ap_rst_n",
            "s_data_i": f"{stem}_data",
            "s_valid_i": f"{stem}_valid",
            "s_ready_o": f"{stem}_ready",
            "m_data_o": f"{fork}_data",
            "m_valid_o": f"{fork}_valid",
            "m_ready_i": f"{fork}_ready",
        }
        names = ", ".join(shown(edge.consumer) for edge in readers)
        return [
            "",
            f"  // Read by {names}.",
            f"  logic [{stream.beat_bits - 1}:0] {fork}_data;",
            f"  logic [{count - 1}:0] {fork}_valid, {fork}_ready;",
            "",
            instance_text(
                "nf_fork",
                f"u_{fork}",
                {"Branches": count, "BeatBits": stream.beat_bits},
                ports,
            ),
        ]

    def _loader(self, name: str, image: LoadImage) -> list[str]:
        """Return the text that fills a weight memory from the load stream."""
        load, number = self.load_stems[name], self.loads.index(name)
        before = "load" if number == 0 else self.load_stems[self.loads[number - 1]]
        last = number == len(self.loads) - 1
        chain = "unused_load" if last else load
        ports = {
            "clk_i": "ap_clk",
            "rst_ni": "load_rst_n",
            "s_valid_i": f"{before}_valid",
            "s_word_i": "s_axis_load_tdata" if number == 0 else f"{before}_word",
            "m_valid_o": f"{chain}_valid",
            "m_word_o": f"{chain}_word",
            "full_o": "load_full" if last else f"unused_full[{number}]",
            "write_o": f"{load}_write",
            "write_addr_o": f"{load}_addr",
            "write_data_o": f"{load}_data",
        }
        return [
            f"  logic [31:0] {chain}_word;",
            f"  logic {chain}_valid, {load}_write;",
            f"  logic [{max(1, (image.depth - 1).bit_length()) - 1}:0] {load}_addr;",
            f"  logic [{image.bits - 1}:0] {load}_data;",
            "",
            instance_text(
                "nf_rom_load",
                f"u_{load}",
                {"Bits": image.bits, "Depth": image.depth},
                ports,
            ),
            "",
        ]

    def _output(self, node: Output, k: int) -> str:
        (edge,) = self.network.sources(node.name)
        stream = self.network.outputs[node.name]
        lines = _title(node.name, [f"Output on m_axis_{k}: {stream_text(stream)}"])
        edge_lines, wire = self._edge(edge)
        stem = self.network.stems[node.name]
        ports = {
            "clk_i": "ap_clk",
            "rst_ni": "ap_rst_n",
            "valid_i": f"m_axis_{k}_tvalid",
            "ready_i": f"m_axis_{k}_tready",
            "last_o": f"m_axis_{k}_tlast",
        }
        lines += [
            *edge_lines,
            f"  assign m_axis_{k}_tdata = {port_bits(stream)}'({wire.data});",
            f"  assign m_axis_{k}_tvalid = {wire.valid};",
            f"  assign {wire.ready} = m_axis_{k}_tready;",
            "",
            instance_text("nf_axis_end", f"u_{stem}", {"Beats": stream.beats}, ports),
        ]
        return "\n".join(lines)

    def _unused(self) -> list[str]:
        """Return the nets that nothing reads: padding and ends of the inputs, open outputs."""
        inputs = ["s_axis_0_tdata", "s_axis_0_tlast"]
        inputs += ["s_axis_load_tlast"] if self.loads else []
        lines = [
            "  // Frames and words are counted; a beat is padded to whole bytes.",
            "  logic unused_inputs;",
            f"  assign unused_inputs = ^{{{', '.join(inputs)}}};",
        ]
        if self.conv_number:
            lines.append(f"  logic [{len(self.conv_number) - 1}:0] unused_end;")
        if len(self.loads) > 1:
            lines.append(f"  logic [{len(self.loads) - 2}:0] unused_full;")
        return [*lines, ""]

    def _new_stem(self, wish: str) -> str:
        """Return ``wish`` with as many underscores behind it as make it a new name."""
        while wish.lower() in self.taken:
            wish += "_"
        self.taken.add(wish.lower())
        return wish
