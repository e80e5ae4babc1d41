# SPDX-License-Identifier: Apache-2.0
"""The bench's generated top: sources, device under test, sinks and control, wired.

It is generated because its ports and widths follow the device; everything that does something is
hand-written: ``nf_axis_source.sv``, ``nf_axis_sink.sv``, ``nf_bench_control.sv``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# What cocotb touches; everything else stays private, or Verilator cannot optimise.
_PUBLIC = (
    ("clk", "rw"),
    ("rst_n", "rw"),
    ("finished", "rd"),
    ("reason", "rd"),
    ("cycle", "rd"),
    ("violation", "rd"),
    ("violation_port", "rd"),
    ("violation_cycle", "rd"),
    ("in_count", "rd"),
    ("out_count", "rd"),
)


@dataclass(frozen=True)
class Ports:
    """Names of the device's ports.

    Attributes:
        inputs: Prefixes of the input streams (``_tdata``, ``_tvalid``, ``_tready``, ``_tlast``).
        outputs: Prefixes of the output streams.
        loads: Prefixes of input streams that are fed once, before the first frame (weights).
        repeats: Prefixes of input streams that bring the same beats over and over (weights).
        clock: Clock.
        reset: Synchronous reset.
        reset_active_low: Whether 0 resets.
        input_tlast: Whether the input streams have ``_tlast``.
        output_tlast: Whether the output streams have ``_tlast``; it is checked then.
    """

    inputs: tuple[str, ...] = ("s_axis_0",)
    outputs: tuple[str, ...] = ("m_axis_0",)
    clock: str = "ap_clk"
    reset: str = "ap_rst_n"
    reset_active_low: bool = True
    input_tlast: bool = True
    output_tlast: bool = True
    loads: tuple[str, ...] = ()
    repeats: tuple[str, ...] = ()

    @property
    def fed(self) -> tuple[str, ...]:
        """Every stream with a source: inputs, then loads, then repeats."""
        return self.inputs + self.loads + self.repeats


def bench_text(
    top: str,
    ports: Ports,
    in_bytes: Sequence[int],
    out_bytes: Sequence[int],
    parameters: Mapping[str, int | str],
    *,
    waves: bool = False,
) -> str:
    """Return the text of module ``nf_bench``: sources, device, sinks and control, wired.

    Args:
        top: Module under test.
        ports: Its port names.
        in_bytes: Bytes of tdata per input stream, as ``ports.fed``.
        out_bytes: Bytes of tdata per output stream.
        parameters: Parameters of ``top`` to set; strings are file names.
        waves: Put the recorder of ``dump.vcd`` in.
    """
    ins, outs = len(in_bytes), len(out_bytes)
    lines = [
        "// SPDX-License-Identifier: Apache-2.0",
        f"// Generated bench around {top}; see nf_axis_source, nf_axis_sink, nf_bench_control.",
        "module nf_bench (",
        "    input  logic        clk,",
        "    input  logic        rst_n,",
        "    output logic        finished,",
        "    output logic [2:0]  reason,",
        "    output logic [63:0] cycle,",
        "    output logic [2:0]  violation,",
        "    output logic [7:0]  violation_port,",
        "    output logic [63:0] violation_cycle,",
        f"    output logic [{64 * ins - 1}:0] in_count,",
        f"    output logic [{64 * outs - 1}:0] out_count",
        ");",
        # Registers start random, the simulator's memory of the clock too: an edge before the first
        # reset is none.
        "  logic awake, run;",
        "  initial awake = 1'b0;",
        "  always_ff @(posedge clk) if (!rst_n) awake <= 1'b1;",
        "  assign run = rst_n && awake;",
        f"  logic [{ins - 1}:0] in_moved, in_done;",
        f"  logic [{outs - 1}:0] out_moved, out_done, out_surplus;",
    ]
    for index, width in enumerate(in_bytes):
        lines += _stream_wires("in", index, width)
    for index, width in enumerate(out_bytes):
        lines += [*_stream_wires("out", index, width), f"  logic [2:0] out_{index}_violation;"]
        lines += [f"  logic [63:0] out_{index}_violation_cycle;"]
    lines += _first_violation(outs)
    lines += [
        "  nf_bench_control control (",
        "      .clk_i(clk), .rst_ni(run), .moved_i(|in_moved || |out_moved),",
        "      .done_i(&in_done && &out_done), .surplus_i(|out_surplus),",
        "      .cycle_o(cycle), .reason_o(reason), .finished_o(finished));",
    ]
    for index, (prefix, width) in enumerate(zip(ports.fed, in_bytes, strict=True)):
        repeat = int(prefix in ports.repeats)
        lines += [
            f"  nf_axis_source #(.Bytes({width}), .Port({index}), .Repeat({repeat})) "
            f"source_{index} (",
            "      .clk_i(clk), .rst_ni(run), .cycle_i(cycle),",
            f"      .tdata_o(in_{index}_tdata), .tvalid_o(in_{index}_tvalid),",
            f"      .tlast_o(in_{index}_tlast), .tready_i(in_{index}_tready),",
            f"      .moved_o(in_moved[{index}]), .done_o(in_done[{index}]),",
            f"      .count_o(in_count[{64 * index} +: 64]));",
        ]
    for index, width in enumerate(out_bytes):
        has_last = int(ports.output_tlast)
        if not has_last:
            lines.append(f"  assign out_{index}_tlast = 1'b0;")
        lines += [
            f"  nf_axis_sink #(.Bytes({width}), .Port({index}), .HasLast({has_last})) "
            f"sink_{index} (",
            "      .clk_i(clk), .rst_ni(run), .cycle_i(cycle),",
            f"      .tdata_i(out_{index}_tdata), .tvalid_i(out_{index}_tvalid),",
            f"      .tlast_i(out_{index}_tlast), .tready_o(out_{index}_tready),",
            f"      .moved_o(out_moved[{index}]), .done_o(out_done[{index}]),",
            f"      .surplus_o(out_surplus[{index}]),",
            f"      .count_o(out_count[{64 * index} +: 64]),",
            f"      .violation_o(out_{index}_violation),",
            f"      .violation_cycle_o(out_{index}_violation_cycle));",
        ]
    if waves:
        lines.append("  nf_bench_waves waves (.clk_i(clk), .rst_ni(run), .cycle_i(cycle));")
    return "\n".join([*lines, *_device(top, ports, parameters), "endmodule", ""])


def _stream_wires(side: str, index: int, width: int) -> list[str]:
    name = f"{side}_{index}"
    return [
        f"  logic [{8 * width - 1}:0] {name}_tdata;",
        f"  logic {name}_tvalid, {name}_tready, {name}_tlast;",
    ]


def _first_violation(outs: int) -> list[str]:
    choices = [
        f"    if (out_{index}_violation != 3'd0) begin violation = out_{index}_violation; "
        f"violation_port = 8'd{index}; violation_cycle = out_{index}_violation_cycle; end"
        for index in reversed(range(outs))
    ]
    start = "    violation = 3'd0; violation_port = 8'd0; violation_cycle = 64'd0;"
    return ["  always_comb begin", start, *choices, "  end"]


def _device(top: str, ports: Ports, parameters: Mapping[str, int | str]) -> list[str]:
    reset = "rst_n" if ports.reset_active_low else "~rst_n"
    wires = [f".{ports.clock}(clk)", f".{ports.reset}({reset})"]
    for side, prefixes in (("in", ports.fed), ("out", ports.outputs)):
        has_last = ports.input_tlast if side == "in" else ports.output_tlast
        signals = (
            ("tdata", "tvalid", "tready", "tlast") if has_last else ("tdata", "tvalid", "tready")
        )
        for index, prefix in enumerate(prefixes):
            wires += [f".{prefix}_{signal}({side}_{index}_{signal})" for signal in signals]
    values = [
        (n, f'"{v}"' if isinstance(v, str) else str(v)) for n, v in sorted(parameters.items())
    ]
    sets = ", ".join(f".{name}({value})" for name, value in values)
    head = f"  {top} #({sets}) dut (" if sets else f"  {top} dut ("
    return [head, "      " + ",\n      ".join(wires) + ");"]


def public_text() -> str:
    """Return the control file that lets cocotb see the bench's own signals and nothing else."""
    kinds = {"rw": "public_flat_rw", "rd": "public_flat_rd"}
    lines = [f'{kinds[kind]} -module "nf_bench" -var "{name}"' for name, kind in _PUBLIC]
    return "\n".join(["`verilator_config", *lines, ""])
