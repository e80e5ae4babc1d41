# SPDX-License-Identifier: Apache-2.0
"""The RTL of a whole network as a folder that a synthesis tool or a simulator takes."""

from pathlib import Path

from hw.conv import rtl_sources
from hw.emit_network import emit_rtl
from hw.estimate.model import WEIGHT_PLACES
from hw.rtl_project import RtlProject
from hw.traffic import WeightTraffic, bytes_per_second, network_traffic
from quant.graph import QGraph
from quant.schedule import Schedule

FILE_LIST = "files.f"


def write_network(
    graph: QGraph,
    schedule: Schedule,
    ultra_initial_contents: bool,
    interval_cycles: int,
    folder: Path,
) -> RtlProject:
    """Write top, memory images, hand-written modules, a file list and a README.

    Words of weights that come from outside are in ``weights_<k>.bin``, as they lie in memory.

    Args:
        graph: The integer graph.
        schedule: Its complete plan.
        ultra_initial_contents: Whether the device's bitstream fills ultra RAM.
        interval_cycles: Planned cycles of a frame.
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
        load = "".join(f"{word:08x}\n" for word in project.load_words.tolist())
        (folder / "load.mem").write_text(load, encoding="ascii")
    for part in network_traffic(project.network).weights:
        words = project.network.cells[part.node].streamed
        assert words is not None
        (folder / _words_file(part)).write_bytes(words.words.tobytes())
    text = _readme(project, interval_cycles)
    (folder / "README.md").write_text(text, encoding="utf-8")
    return project


def _words_file(part: WeightTraffic) -> str:
    return f"{part.port.removeprefix('s_axis_')}.bin"


def _readme(project: RtlProject, interval_cycles: int) -> str:
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
    return "\n".join([*lines, *_streams(project, interval_cycles), ""])


def _streams(project: RtlProject, interval_cycles: int) -> list[str]:
    """Return what has to feed the weights that come from outside; nothing without any."""
    traffic = network_traffic(project.network)
    if not traffic.weights:
        return []
    clock_hz = project.network.schedule.clock_hz
    lines = [
        "",
        "## Weights from outside",
        "",
        "These layers have no memory for their weights. From reset on each port takes the words of",
        "its file from the first to the last, over and over without an end: a DMA engine that",
        "repeats one buffer. A word is padded to whole bytes, the lowest byte first; `tlast` is",
        f"ignored. A cell waits while no word is there, {WEIGHT_PLACES} words wait in front of it.",
        "Reset the network and what feeds it together: the first word after a reset is word 0.",
        "",
        f"Planned: a frame in {interval_cycles:,} cycles at {clock_hz:,} Hz, with streams that",
        "never wait; a port then takes up to a word in every cycle.",
        "",
        "| port | layer | file | bytes of a word | words | bytes | times a frame | bytes/s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for part in traffic.weights:
        rate = bytes_per_second(part.frame_bytes, interval_cycles, clock_hz)
        lines.append(
            f"| `{part.port}` | `{part.node}` | `{_words_file(part)}` | {part.word_bytes} | "
            f"{part.words:,} | {part.memory_bytes:,} | {part.repeats:,} | {rate:,} |"
        )
    return lines
