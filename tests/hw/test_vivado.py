# SPDX-License-Identifier: Apache-2.0
"""The files for Vivado: their facts, and their syntax with Tcl, Verilator and Python."""

import dataclasses
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from hw.cell import Stream
from hw.conv import rtl_sources
from hw.devices import DEVICES, find_device
from hw.emit_network import emit_rtl
from hw.plan_network import plan_network
from hw.vivado import AxiStream, VivadoDesign, vivado_design, vivado_files
from hw.vivado.block_design import LARGEST_DMA_BYTES
from hw.vivado.boards import vivado_board
from quant.errors import PlanError
from quant.samples import sample_graph
from sim.rtl import find_verilator
from tests.tcl import tcl

GRAPH = sample_graph(1)


def project_of(**changes):
    planned = plan_network(GRAPH, target_interval_cycles=3000)
    return emit_rtl(GRAPH, dataclasses.replace(planned, **changes))


@pytest.fixture(scope="module")
def project():
    return project_of()


def design_of(project, board: str | None) -> VivadoDesign:
    sources = [*(f"cells/{p.name}" for p in rtl_sources()), f"{project.top}.sv"]
    return vivado_design(project, sources, None if board is None else find_device(board))


@pytest.fixture(scope="module")
def loaded():
    """A network whose first convolution is loaded at start."""
    conv = GRAPH.convs[0].name
    return project_of(memory={f"{conv}.weights": "ultra"})


# Every command of Vivado that the scripts use; each notes its words and returns one word.
COMMANDS = re.findall(
    r"\S+",
    """
    add_files apply_bd_automation assign_bd_address close_project connect_bd_intf_net
    connect_bd_net create_bd_cell create_bd_design create_clock create_project current_bd_design
    current_fileset current_project get_bd_cells get_bd_intf_pins get_bd_pins get_board_parts
    get_files get_ipdefs get_ports get_runs launch_runs make_wrapper open_run read_mem
    read_verilog read_xdc regenerate_bd_layout report_timing_summary report_utilization
    save_bd_design set_property synth_design update_compile_order update_ip_catalog
    validate_bd_design wait_on_run write_checkpoint
    ipx::associate_bus_interfaces ipx::check_integrity ipx::create_xgui_files ipx::current_core
    ipx::get_bus_interfaces ipx::infer_bus_interface ipx::package_project ipx::save_core
    ipx::update_checksums
""",
)


def stand_in(files: dict[str, str], folder: Path, name: str, arguments: str = "") -> list[str]:
    """Run a script with stand-ins for Vivado's commands; return one line per command."""
    here = folder / "vivado"
    here.mkdir(exist_ok=True)
    for file, text in files.items():
        (here / file).write_text(text)
    stubs = "\n".join(
        f"proc {command} {{args}} {{ puts [list {command} {{*}}$args]; return {command}_made }}"
        for command in COMMANDS
    )
    script = f"""
namespace eval ipx {{}}
{stubs}
proc get_property {{args}} {{
  puts [list get_property {{*}}$args]
  return [expr {{[lindex $args 0] eq "PROGRESS" ? "100%" : "{folder}"}}]
}}
rename glob tcl_glob
proc glob {{args}} {{ return handoff.hwh }}
rename file tcl_file
proc file {{command args}} {{
  if {{$command eq "copy"}} {{ puts [list copy {{*}}$args]; return }}
  return [tcl_file $command {{*}}$args]
}}
set argv [list {arguments}]
if {{[catch {{source {{{here / name}}}}} message]}} {{ puts "error: $message" }}
"""
    return tcl(script).splitlines()


@pytest.mark.parametrize("board", [None, *DEVICES])
def test_scripts_are_complete_tcl(project, board):
    files = vivado_files(design_of(project, board))
    scripts = [name for name in files if name.endswith((".tcl", ".xdc"))]
    known = None if board is None else vivado_board(find_device(board))
    zynq = known is not None and known.processing_system is not None
    assert ("block_design.tcl" in scripts) == zynq
    for name in scripts:
        assert tcl(f"puts [info complete {{{files[name]}}}]").strip() == "1", name
        assert "Untested here" in files[name].splitlines()[1]
    for name in files:
        assert "Untested here" in files[name], name


def test_boards_are_those_of_the_plans():
    for device in DEVICES.values():
        board = vivado_board(device)
        if device.family == "ecp5":
            assert board is None
        else:
            assert board.part.startswith(device.part)


def test_clock(project):
    design = design_of(project, None)
    for hertz, period in ((200_000_000, "5.000"), (300_000_000, "3.333"), (1_000_000, "1000.000")):
        text = vivado_files(dataclasses.replace(design, clock_hz=hertz))["clock.xdc"]
        assert f"create_clock -name ap_clk -period {period} [get_ports ap_clk]\n" in text


def test_synthesis_reads_every_file(project, tmp_path):
    design = design_of(project, "zcu104")
    lines = stand_in(vivado_files(design), tmp_path, "synth_ooc.tcl")
    (read,) = [line for line in lines if line.startswith("read_verilog")]
    names = [Path(word.strip("{}")).name for word in read.split()[2:]]
    assert names == [Path(s).name for s in design.sources]
    (read,) = [line for line in lines if line.startswith("read_mem")]
    memories = {Path(word.strip("{}")).name for word in read.split()[1:]}
    assert memories == {name for name in project.files if name.endswith(".mem")}
    assert any(
        line.startswith(f"synth_design -top {design.top} -part xczu7ev-ffvc1156-2-e")
        for line in lines
    )
    reports = [line for line in lines if line.startswith("report_")]
    assert len(reports) == 3


def test_part_is_asked_for_without_board(project, tmp_path):
    files = vivado_files(design_of(project, None))
    lines = stand_in(files, tmp_path, "synth_ooc.tcl")
    assert lines == [
        "error: no part: give one (make PART=xczu7ev-ffvc1156-2-e), or generate with --board"
    ]
    lines = stand_in(files, tmp_path, "synth_ooc.tcl", "xc7z020clg400-1")
    assert any("-part xc7z020clg400-1" in line for line in lines)


def test_package_associates_every_stream(loaded, tmp_path):
    design = design_of(loaded, "zcu104")
    assert [p.name for p in design.streams][:2] == ["s_axis_load", "s_axis_0"]
    lines = stand_in(vivado_files(design), tmp_path, "package_ip.tcl")
    clocked = [line.split()[2] for line in lines if "associate" in line and "-busif" in line]
    assert clocked == [p.name for p in design.streams]
    assert any("-clock ap_clk -reset ap_rst_n" in line for line in lines)


def chain(lines: list[str], start: str) -> list[str]:
    """Follow the connections of interfaces from a port, cell by cell."""
    pins = [re.fullmatch(r"get_bd_intf_pins (\S+)", line) for line in lines]
    names = [match.group(1) for match in pins if match]
    joined = dict(zip(names[::2], names[1::2], strict=True))
    found = [start]
    while (end := joined.get(found[-1])) is not None:
        found.append(end)
        if end.endswith("/S_AXIS"):
            found.append(end.replace("/S_AXIS", "/M_AXIS"))
    return found


def test_weights_from_outside_are_streams_of_the_ip_without_an_example_system(tmp_path):
    first, second = (conv.name for conv in GRAPH.convs[:2])
    streamed = project_of(memory={f"{n}.weights": "external" for n in (first, second)})
    design = design_of(streamed, "zcu104")
    assert design.streamed == (first, second)
    files = vivado_files(design)
    assert "block_design.tcl" not in files
    assert "pynq_driver.py" not in files
    lines = stand_in(files, tmp_path, "package_ip.tcl")
    clocked = [line.split()[2] for line in lines if "associate" in line and "-busif" in line]
    assert clocked == [p.name for p in design.streams]
    assert {"s_axis_weights_0", "s_axis_weights_1"} <= set(clocked)
    assert ".s_axis_weights_1_tready(s_axis_weights_1_tready)" in files[f"{design.ip}.v"]
    reason = (
        f"the example system has no engine that repeats a buffer, as the weights of {first}, "
        f"{second} need; take the IP into an own one"
    )
    assert f'@echo "error: {reason}"; exit 1' in files["Makefile"]
    words = streamed.network.cells[first].streamed.words
    row = f"| `s_axis_weights_0` | weights of {first}, over and over | {len(words):,} "
    assert f"{row}| {words.shape[1]} | {words.shape[1]} |" in files["README.md"]
    assert "There is no host program" in files["README.md"]


@pytest.mark.parametrize("board", ["pynq-z2", "zcu104"])
def test_block_design_joins_every_stream(loaded, board, tmp_path):
    design = design_of(loaded, board)
    lines = stand_in(vivado_files(design), tmp_path, "block_design.tcl")
    made = [line.split()[-1] for line in lines if line.startswith("create_bd_cell")]
    assert len(set(made)) == len(made)
    for number, port in enumerate(design.streams):
        dma = f"dma_{port.name}"
        assert dma in made
        if port.role == "output":
            ends = chain(lines, f"network/{port.name}")[-1], f"{dma}/S_AXIS_S2MM"
        else:
            ends = chain(lines, f"{dma}/M_AXIS_MM2S")[-1], f"network/{port.name}"
        assert ends[0] == ends[1]
        assert (f"bridge_{port.name}" in made) == (port.beat_bytes != port.memory_bytes)
        assert chain(lines, f"control/M{number:02d}_AXI") == [
            f"control/M{number:02d}_AXI",
            f"{dma}/S_AXI_LITE",
        ]
    # Every pin named on a cell belongs to a cell that was made.
    cells = {m.group(1) for line in lines if (m := re.match(r"get_bd_(?:intf_)?pins (\w+)/", line))}
    assert cells == set(made)
    copied = [line.split()[-1] for line in lines if line.startswith("copy")]
    assert [Path(c).name for c in copied] == [f"{design.top}.bit", f"{design.top}.hwh"]


def port_of(beat_bytes: int, role="output", beats=10) -> AxiStream:
    stream = Stream((beat_bytes, 1, beats), beat_bytes, 8)
    return AxiStream("m_axis_0", role, "t", stream, beat_bytes, beats)


@pytest.mark.parametrize(
    ("beat_bytes", "bridge", "width"),
    [
        (1, False, False),
        (3, True, False),
        (128, False, False),
        (129, True, True),
        (512, False, True),
    ],
)
def test_bridges_of_odd_widths(project, beat_bytes, bridge, width, tmp_path):
    base = design_of(project, "zcu104")
    for role in ("input", "output"):
        port = port_of(beat_bytes, role)
        assert port.memory_bytes >= beat_bytes > port.memory_bytes // 2
        design = dataclasses.replace(base, streams=(port, base.streams[0]))
        text = vivado_files(design)["block_design.tcl"]
        assert ("add_ip axis_subset_converter bridge_m_axis_0" in text) == bridge
        assert ("add_ip axis_dwidth_converter width_m_axis_0" in text) == width
        if bridge:
            zeros = 8 * (port.memory_bytes - beat_bytes)
            codes = f"tdata[{8 * beat_bytes - 1}:0]"
            remap = codes if role == "input" else f"{zeros}'b{'0' * zeros},{codes}"
            assert f"CONFIG.TDATA_REMAP {{{remap}}}" in text
        wide = 8 * max(4, min(port.memory_bytes, LARGEST_DMA_BYTES))
        assert f"_data_width {{{wide}}} " in text
        if width:
            sides = (128, port.memory_bytes) if role == "input" else (port.memory_bytes, 128)
            assert (
                f"CONFIG.S_TDATA_NUM_BYTES {{{sides[0]}}} \\\n  CONFIG.M_TDATA_NUM_BYTES " in text
            )


def test_too_many_streams(project):
    base = design_of(project, "zcu104")
    many = tuple(dataclasses.replace(base.streams[0], name=f"m{k}") for k in range(17))
    with pytest.raises(
        PlanError,
        match=f"^'{base.top}' has 17 streams; the example block design joins 16; end the graph in "
        "fewer outputs$",
    ):
        vivado_files(dataclasses.replace(base, streams=many))


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (
            Stream((1024, 2, 2), 1024, 8),
            "'s_axis_0' has beats of 1,024 bytes; Vivado's stream converters take 512; plan with "
            "fewer lanes (--max-macs, --fps)",
        ),
        (
            Stream((3, 4096, 4096), 3, 8),
            "a frame on 's_axis_0' takes 67,108,864 bytes in memory; a DMA transfer has at most "
            "67,108,863; use a smaller input",
        ),
    ],
)
def test_streams_that_no_dma_moves(project, stream, message):
    streams = {**project.network.streams, project.network.input_node: stream}
    network = dataclasses.replace(project.network, streams=streams)
    with pytest.raises(PlanError) as caught:
        design_of(dataclasses.replace(project, network=network), None)
    assert str(caught.value) == message


def test_wrapper_is_the_top(loaded, tmp_path):
    design = design_of(loaded, "zcu104")
    (tmp_path / f"{design.top}.sv").write_text(loaded.files[f"{design.top}.sv"])
    wrapper = tmp_path / f"{design.ip}.v"
    wrapper.write_text(vivado_files(design)[wrapper.name])
    command = [str(find_verilator().command), "--lint-only", "-Wall", "--top-module", design.ip]
    command += [str(p) for p in rtl_sources()]
    command += [str(tmp_path / f"{design.top}.sv"), str(wrapper)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    # Attributes are unknown words to a linter; everything else is clean.
    assert done.returncode == 0, done.stderr
    text = wrapper.read_text()
    for port in design.streams:
        assert text.count(f"axis:1.0 {port.name} T") == 4
    buses = ":".join(port.name for port in design.streams)
    assert f'"ASSOCIATED_BUSIF {buses}, ASSOCIATED_RESET ap_rst_n"' in text


def test_driver_names_the_streams(loaded):
    design = design_of(loaded, "zcu104")
    text = vivado_files(design)["pynq_driver.py"]
    compile(text, "pynq_driver.py", "exec")
    assert f"load_words={loaded.load_words.size}," in text
    for port in design.streams:
        if port.stream is not None:
            assert f"OverlayStream('{port.name}', '{port.tensor}', {port.stream.shape}" in text
    assert np.array_equal(
        [p.tensor for p in design.streams if p.role == "output"],
        [o.source for o in GRAPH.outputs],
    )


def test_makefile_says_what_is_missing(project, tmp_path):
    files = vivado_files(design_of(project, "u250"))
    (tmp_path / "Makefile").write_text(files["Makefile"])

    def make(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["make", "-C", tmp_path, *words], capture_output=True, text=True, timeout=60
        )

    done = make("synth", "VIVADO=no-such-vivado")
    assert done.returncode != 0
    assert (
        "error: no-such-vivado is not on PATH; source the settings of Vivado first" in done.stdout
    )
    done = make("bitstream")
    assert done.returncode != 0
    assert "error: there is no example system for u250; take the IP into an own one" in done.stdout
    # A stand-in for Vivado sees the script and the part.
    done = make("synth", "VIVADO=echo", "PART=xc7z020clg400-1")
    assert done.returncode == 0, done.stderr
    assert "-source ../synth_ooc.tcl -tclargs xc7z020clg400-1" in done.stdout


def test_same_bytes(project):
    again = vivado_files(design_of(project_of(), "zcu104"))
    assert again == vivado_files(design_of(project, "zcu104"))
