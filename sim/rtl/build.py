# SPDX-License-Identifier: Apache-2.0
"""Compile a device under test with the bench around it; builds are cached by their texts.

The bench's top is generated, because its ports and widths follow the device; everything that does
something is hand-written: ``nf_axis_source.sv``, ``nf_axis_sink.sv``, ``nf_bench_control.sv``.
"""

import fcntl
import hashlib
import importlib.metadata
import importlib.util
import re
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from quant.errors import ToolError
from sim.rtl.verilator import RUNTIME_LEVEL, Verilator, cache_root, find_verilator, run_tool

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).resolve().parent
BENCH_SOURCES = tuple(
    HERE / name for name in ("nf_axis_source.sv", "nf_axis_sink.sv", "nf_bench_control.sv")
)
EXECUTABLE = "nf_bench"

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


@dataclass(frozen=True)
class BuildOptions:
    """What changes the compiled model beside its sources.

    Attributes:
        waves: Compile in the recording of ``dump.vcd``.
        optimise: Compile with ``-O3``: for long runs.
        parameters: (name, value) of the device's parameters; strings are file names.
        jobs: Compiler processes at once; changes no result.
    """

    waves: bool = False
    optimise: bool = False
    parameters: tuple[tuple[str, int | str], ...] = ()
    jobs: int = 1


def bench_text(
    top: str, ports: Ports, in_bytes: Sequence[int], out_bytes: Sequence[int], options: BuildOptions
) -> str:
    """Return the text of module ``nf_bench``: sources, device, sinks and control, wired.

    Args:
        top: Module under test.
        ports: Its port names.
        in_bytes: Bytes of tdata per input stream.
        out_bytes: Bytes of tdata per output stream.
        options: Parameters to set.
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
        "      .clk_i(clk), .rst_ni(rst_n), .moved_i(|in_moved || |out_moved),",
        "      .done_i(&in_done && &out_done), .surplus_i(|out_surplus),",
        "      .cycle_o(cycle), .reason_o(reason), .finished_o(finished));",
    ]
    for index, width in enumerate(in_bytes):
        lines += [
            f"  nf_axis_source #(.Bytes({width}), .Port({index})) source_{index} (",
            "      .clk_i(clk), .rst_ni(rst_n), .cycle_i(cycle),",
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
            "      .clk_i(clk), .rst_ni(rst_n), .cycle_i(cycle),",
            f"      .tdata_i(out_{index}_tdata), .tvalid_i(out_{index}_tvalid),",
            f"      .tlast_i(out_{index}_tlast), .tready_o(out_{index}_tready),",
            f"      .moved_o(out_moved[{index}]), .done_o(out_done[{index}]),",
            f"      .surplus_o(out_surplus[{index}]),",
            f"      .count_o(out_count[{64 * index} +: 64]),",
            f"      .violation_o(out_{index}_violation),",
            f"      .violation_cycle_o(out_{index}_violation_cycle));",
        ]
    return "\n".join([*lines, *_device(top, ports, options), "endmodule", ""])


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


def _device(top: str, ports: Ports, options: BuildOptions) -> list[str]:
    reset = "rst_n" if ports.reset_active_low else "~rst_n"
    wires = [f".{ports.clock}(clk)", f".{ports.reset}({reset})"]
    for side, prefixes in (("in", ports.inputs), ("out", ports.outputs)):
        has_last = ports.input_tlast if side == "in" else ports.output_tlast
        signals = (
            ("tdata", "tvalid", "tready", "tlast") if has_last else ("tdata", "tvalid", "tready")
        )
        for index, prefix in enumerate(prefixes):
            wires += [f".{prefix}_{signal}({side}_{index}_{signal})" for signal in signals]
    values = [(n, f'"{v}"' if isinstance(v, str) else str(v)) for n, v in options.parameters]
    sets = ", ".join(f".{name}({value})" for name, value in values)
    head = f"  {top} #({sets}) dut (" if sets else f"  {top} dut ("
    return [head, "      " + ",\n      ".join(wires) + ");"]


def public_text() -> str:
    """Return the control file that lets cocotb see the bench's own signals and nothing else."""
    kinds = {"rw": "public_flat_rw", "rd": "public_flat_rd"}
    lines = [f'{kinds[kind]} -module "nf_bench" -var "{name}"' for name, kind in _PUBLIC]
    return "\n".join(["`verilator_config", *lines, ""])


def compile_bench(
    sources: Sequence[Path],
    top: str,
    bench: str,
    cache: Path,
    options: BuildOptions,
) -> Path:
    """Compile the bench around ``top``, or find it compiled.

    Two processes that want the same build wait for each other; different builds run in parallel.

    Args:
        sources: SystemVerilog of the device, packages before their users; ``.svh`` files are not
            compiled by themselves, but their folders are searched and their texts count.
        top: Module under test, for the name of the build.
        bench: Text of ``nf_bench``.
        cache: Folder of builds; made when missing.
        options: Compiler options.

    Returns:
        The executable.

    Raises:
        ToolError: A tool is missing, or Verilator or the compiler refuses the sources.
    """
    verilator = find_verilator()
    cocotb = _cocotb_version()
    key = hashlib.sha256()
    for part in (verilator.version, str(verilator.root), cocotb, str(_cocotb_folder()), bench):
        key.update(part.encode() + b"\0")
    key.update(repr((options.waves, options.optimise)).encode())
    for source in (*BENCH_SOURCES, *sources):
        try:
            key.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
        except OSError as error:
            raise ToolError(f"{source} cannot be read: {error.strerror}") from None
    target = cache / f"{top}-{key.hexdigest()[:16]}"
    executable = target / EXECUTABLE
    if executable.is_file():
        return executable
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / f".{target.name}.lock"):
        if not executable.is_file():
            work = Path(tempfile.mkdtemp(dir=cache, prefix=f".{top}-"))
            try:
                built = _compile(verilator, sources, bench, work, options)
                done = work / "done"
                done.mkdir()
                built.rename(done / EXECUTABLE)
                (done / "nf_bench.sv").write_text(bench, encoding="utf-8")
                done.rename(target)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    return executable


@contextmanager
def _locked(path: Path) -> "Iterator[None]":
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _cocotb_version() -> str:
    try:
        return importlib.metadata.version("cocotb")
    except importlib.metadata.PackageNotFoundError:
        raise ToolError(
            "cocotb is not installed; it conducts RTL simulations; run pip install -e '.[sim]' in "
            "nibbleflow's folder"
        ) from None


def _cocotb_folder() -> Path:
    # Found without importing cocotb, which would read the environment and set up its logging.
    spec = importlib.util.find_spec("cocotb")
    if spec is None or spec.origin is None:
        raise ToolError("cocotb is damaged; run pip install --force-reinstall cocotb==2.1.0")
    return Path(spec.origin).resolve().parent


def _compile(
    verilator: Verilator, sources: Sequence[Path], bench: str, work: Path, options: BuildOptions
) -> Path:
    (work / "nf_bench.sv").write_text(bench, encoding="utf-8")
    (work / "nf_bench.vlt").write_text(public_text(), encoding="ascii")
    model = work / "model"
    libs = _cocotb_folder() / "libs"
    arguments = [
        *("--cc", "--exe", "--vpi", "--prefix", "Vtop", "--top-module", "nf_bench"),
        *("-Mdir", str(model), "-o", EXECUTABLE, "--no-timing", "-Wno-fatal"),
        # Undriven and unset values are random, another set for each seed: they cannot hide.
        *("--x-assign", "unique", "--x-initial", "unique", "-O3"),
        *("-LDFLAGS", f"-Wl,-rpath,{libs} -L{libs} -lcocotbvpi_verilator"),
        *(("--trace",) if options.waves else ()),
        *sorted({f"-I{source.parent.resolve()}" for source in sources}),
        str(work / "nf_bench.vlt"),
        *(str(source.resolve()) for source in sources if source.suffix != ".svh"),
        *(str(source) for source in BENCH_SOURCES),
        str(work / "nf_bench.sv"),
        str(_cocotb_folder() / "share" / "lib" / "verilator" / "verilator.cpp"),
    ]
    done = verilator.run(arguments, work)
    if done.returncode:
        raise ToolError(f"Verilator refuses the sources: {first_error(done.stdout)}")
    make = [
        *("make", "-j", str(options.jobs), "-C", str(model), "-f", "Vtop.mk"),
        *(f"VM_TRACE={int(options.waves)}",),
        *verilator.make_settings(optimise=options.optimise),
    ]
    shared = _runtime_folder(verilator, options)
    fetched = _fetch_runtime(shared, model)
    done = run_tool(make, work, verilator.environment())
    if done.returncode:
        raise ToolError(f"compiling the simulation failed: {first_error(done.stdout)}")
    if not fetched:
        _keep_runtime(model, shared)
    return model / EXECUTABLE


def _runtime_folder(verilator: Verilator, options: BuildOptions) -> Path:
    """Return where Verilator's own objects are kept: alike for every design, 12 s to compile."""
    compiler = run_tool(["g++", "-v"], Path("/"), verilator.environment()).stdout
    text = repr((verilator.version, str(verilator.root), compiler, RUNTIME_LEVEL, options.waves))
    return cache_root() / f"runtime-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _fetch_runtime(shared: Path, model: Path) -> bool:
    if not shared.is_dir():
        return False
    for path in sorted(shared.glob("*.o")):
        # Copied without its times: make must see it as newer than its source.
        shutil.copyfile(path, model / path.name)
    return True


def _keep_runtime(model: Path, shared: Path) -> None:
    # Best effort: without a writable cache every build compiles them again. Whoever comes first
    # stays; both are the same.
    with suppress(OSError):
        shared.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=shared.parent, prefix=".runtime-") as folder:
            work = Path(folder) / "objects"
            work.mkdir()
            for path in sorted(model.glob("verilated*.o")):
                shutil.copyfile(path, work / path.name)
            work.rename(shared)


def first_error(text: str) -> str:
    """Return the first line that names an error, else the last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    wanted = [line for line in lines if re.search(r"%Error|error:|Error \d|undefined", line)]
    return (wanted or lines or ["no output"])[0 if wanted else -1]
