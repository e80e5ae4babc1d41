# SPDX-License-Identifier: Apache-2.0
"""The RTL of a whole network as a folder that a synthesis tool or a simulator takes."""

from pathlib import Path

from hw.conv import rtl_sources
from hw.emit_network import emit_rtl
from hw.rtl_project import RtlProject
from quant.graph import QGraph
from quant.schedule import Schedule

FILE_LIST = "files.f"


def write_network(
    graph: QGraph, schedule: Schedule, ultra_initial_contents: bool, folder: Path
) -> RtlProject:
    """Write top, memory images, hand-written modules, a file list and a README.

    Args:
        graph: The integer graph.
        schedule: Its complete plan.
        ultra_initial_contents: Whether the device's bitstream fills ultra RAM.
        folder: Existing folder to write into.
    """
    project = emit_rtl(graph, schedule, ultra_initial_contents=ultra_initial_contents)
    for name, text in project.files.items():
        (folder / name).write_text(text, encoding="utf-8")
    cells = folder / "cells"
    cells.mkdir()
    sources = rtl_sources()
    for source in sources:
        (cells / source.name).write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    names = [f"cells/{source.name}" for source in sources] + [f"{project.top}.sv"]
    (folder / FILE_LIST).write_text("\n".join([*names, ""]), encoding="ascii")
    if project.load_words.size:
        words = "".join(f"{word:08x}\n" for word in project.load_words.tolist())
        (folder / "load.mem").write_text(words, encoding="ascii")
    (folder / "README.md").write_text(_readme(project), encoding="utf-8")
    return project


def _readme(project: RtlProject) -> str:
    network = project.network
    source = network.input
    lines = [
        f"# {project.top}",
        "",
        f"The network `{network.graph.name}` in SystemVerilog, written by nibbleflow.",
        f"Graph {network.graph.digest}.",
        "",
        f"- `{project.top}.sv`: the top. It only instantiates and wires the modules in `cells/`.",
        f"- `{FILE_LIST}`: every source in order (`verilator -f`, or read them into a project).",
        "- `*.mem`: weights, tables, requantizers; `$readmemh` finds them in the folder that the",
        "  tool runs in, so run it here or add this folder to its search path.",
        "- `vivado/`: scripts, an IP, an example system and a host program for users of Vivado.",
        "",
        "Clock `ap_clk`, synchronous reset `ap_rst_n` (active low). Streams are AXI4-Stream: row,",
        "pixel, channel group; codes fill a beat from bit 0; `tlast` on the last beat of a frame.",
        "",
        "| port | tensor | C x H x W | channels per beat | bits of a code | beats per frame |",
        "|---|---|---|---|---|---|",
    ]
    rows = [("s_axis_0", network.input_node, source)]
    rows += [(f"m_axis_{k}", *item) for k, item in enumerate(network.outputs.items())]
    for port, name, stream in rows:
        shape = " x ".join(map(str, stream.shape))
        lines.append(
            f"| `{port}` | `{name}` | {shape} | {stream.lanes} | {stream.bits} | {stream.beats:,} |"
        )
    if project.load_words.size:
        lines += [
            "",
            f"`s_axis_load` takes the {project.load_words.size:,} words of `load.mem` once after",
            "reset: the weights in ultra RAM. `s_axis_0_tready` is low until they are in.",
        ]
    return "\n".join([*lines, ""])
