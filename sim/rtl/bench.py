# SPDX-License-Identifier: Apache-2.0
"""Run a compiled bench: frames in, beats with their cycles out."""

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from quant.errors import ToolError
from sim.rtl.axisrun import DRAIN_CYCLES, AxisRun, read_run
from sim.rtl.build import HERE, BuildOptions, compile_bench, first_error
from sim.rtl.pattern import ALWAYS, Pattern, plan_text
from sim.rtl.probe import Probe, bind_text, read_probes
from sim.rtl.verilator import run_tool
from sim.rtl.wrapper import Ports, bench_text
from sim.stream import BeatArray, StreamError, mem_text

NEVER = 1 << 62
"""A cycle that no run reaches."""


@dataclass(frozen=True)
class Bench:
    """A compiled bench; it can run any number of times, also in parallel in different folders.

    Attributes:
        executable: The simulation.
        top: Module under test.
        ports: Its port names.
        in_bytes: Bytes of tdata per input stream, in the order of ``ports.fed``.
        out_bytes: Bytes of tdata per output stream.
        waves: Whether it can record ``dump.vcd``.
        probes: Streams inside the device that it records.
    """

    executable: Path
    top: str
    ports: Ports
    in_bytes: tuple[int, ...]
    out_bytes: tuple[int, ...]
    waves: bool
    probes: tuple[Probe, ...] = ()

    def run(
        self,
        work_dir: Path,
        inputs: Sequence[Sequence[BeatArray]],
        output_beats: Sequence[int],
        *,
        loads: Sequence[BeatArray] = (),
        repeats: Sequence[tuple[BeatArray, int]] = (),
        idle: Pattern | Sequence[Pattern] = ALWAYS,
        stall: Pattern | Sequence[Pattern] = ALWAYS,
        seed: int = 1,
        files: Mapping[str, str | bytes] | None = None,
        max_cycles: int = NEVER,
        watchdog_cycles: int = 100_000,
        waves_from: int | None = None,
    ) -> AxisRun:
        """Simulate ``inputs`` from reset to the last beat, or until it stalls.

        Args:
            work_dir: Folder to run in, made when missing; what an earlier run left is replaced.
            inputs: Beats per input port and frame, uint8 [beats, in_bytes]; the frames of a port
                have equal lengths.
            output_beats: Beats of one frame per output port.
            loads: Beats per load port, fed once, uint8 [beats, in_bytes].
            repeats: Per repeating port the beats of a round, uint8 [beats, in_bytes], and how many
                rounds a frame takes; they come over and over, from reset to the end.
            idle: Pauses of the sources, one pattern or one per frame (used in turn).
            stall: Back-pressure of the sinks, likewise.
            seed: Of every random draw, unset registers included.
            files: Name to content of the files that the device reads (``$readmemh``).
            max_cycles: End after so many.
            watchdog_cycles: End after so many cycles without a beat moving anywhere.
            waves_from: Record ``dump.vcd`` from this cycle to the end of the run; the build must
                be made for it.

        Raises:
            StreamError: Frames that do not fit the ports.
            ToolError: The simulation itself failed.
        """
        frames = self._check(inputs, loads, repeats, output_beats)
        if waves_from is not None and not self.waves:
            raise ToolError(f"the bench of '{self.top}' records no waves; build it with waves=True")
        _prepare(work_dir, files or {})
        if self.waves:
            first = NEVER if waves_from is None else waves_from
            (work_dir / "nf_waves.cfg").write_text(f"{first}\n", encoding="ascii")
        fed = (*inputs, *([load] for load in loads))
        for port, beats in enumerate(fed):
            data = "".join(mem_text(beat) for beat in beats)
            (work_dir / f"nf_in_{port}.mem").write_text(data, encoding="ascii")
            plan = plan_text(len(beats), beats[0].shape[0], idle, seed, 2 * port)
            (work_dir / f"nf_in_{port}.cfg").write_text(plan, encoding="ascii")
        for port, (round_, rounds) in enumerate(repeats, len(fed)):
            (work_dir / f"nf_in_{port}.mem").write_text(mem_text(round_), encoding="ascii")
            plan = plan_text(frames, len(round_) * rounds, idle, seed, 2 * port)
            (work_dir / f"nf_in_{port}.cfg").write_text(plan, encoding="ascii")
        for port, count in enumerate(output_beats):
            plan = plan_text(frames, count, stall, seed, 2 * port + 1)
            (work_dir / f"nf_out_{port}.cfg").write_text(plan, encoding="ascii")
        (work_dir / "nf_bench.cfg").write_text(f"{max_cycles} {watchdog_cycles} {DRAIN_CYCLES}\n")
        begin = time.perf_counter()
        result = self._simulate(work_dir, seed)
        seconds = time.perf_counter() - begin
        run = read_run(work_dir, result, self.ports, self.out_bytes, frames, output_beats, seconds)
        return replace(run, probes=read_probes(work_dir, self.probes))

    def _check(
        self,
        inputs: Sequence[Sequence[BeatArray]],
        loads: Sequence[BeatArray],
        repeats: Sequence[tuple[BeatArray, int]],
        output_beats: Sequence[int],
    ) -> int:
        ports = self.ports
        if len(inputs) != len(ports.inputs) or len(output_beats) != len(self.out_bytes):
            raise StreamError(
                f"'{self.top}' has {len(ports.inputs)} input and {len(self.out_bytes)} output "
                f"streams, got data for {len(inputs)} and {len(output_beats)}"
            )
        if len(loads) != len(ports.loads):
            raise StreamError(
                f"'{self.top}' has {len(ports.loads)} load streams, got data for {len(loads)}"
            )
        if len(repeats) != len(ports.repeats):
            raise StreamError(
                f"'{self.top}' has {len(ports.repeats)} repeating streams, got data for "
                f"{len(repeats)}"
            )
        counts = {len(beats) for beats in inputs}
        if len(counts) != 1 or counts == {0} or min(output_beats) < 1:
            raise StreamError(f"'{self.top}' needs as many frames, at least 1, on every stream")
        fed = (*inputs, *([load] for load in loads), *([beats] for beats, _ in repeats))
        for port, (beats, width) in enumerate(zip(fed, self.in_bytes, strict=True)):
            shapes = {beat.shape for beat in beats}
            if len(shapes) != 1 or beats[0].ndim != 2 or beats[0].shape[1] != width:
                raise StreamError(
                    f"input {port} of '{self.top}' takes frames of equal shape [beats, {width}], "
                    f"got {sorted(shapes)}"
                )
            if not beats[0].shape[0]:
                raise StreamError(f"input {port} of '{self.top}' has frames without a beat")
        return len(inputs[0])

    def _simulate(self, work_dir: Path, seed: int) -> dict[str, int]:
        environment = _cocotb_environment(seed)
        command = [
            str(self.executable),
            "+verilator+rand+reset+2",
            f"+verilator+seed+{seed % 0x7FFFFFFF + 1}",
        ]
        done = run_tool(command, work_dir, environment)
        (work_dir / "nf_bench.out").write_text(done.stdout, encoding="utf-8")
        trouble = _memory_trouble(done.stdout)
        if trouble is not None:
            raise ToolError(
                f"a memory of '{self.top}' was not loaded: {trouble}; pass the file in 'files'"
            )
        try:
            result: dict[str, int] = json.loads((work_dir / "nf_result.json").read_text())
        except (OSError, ValueError):
            raise ToolError(
                f"the simulation of '{self.top}' ended with code {done.returncode}: "
                f"{first_error(done.stdout)}; see {work_dir / 'nf_bench.out'}"
            ) from None
        return result


def build_bench(
    sources: Sequence[Path],
    top: str,
    in_bytes: int | Sequence[int],
    out_bytes: int | Sequence[int],
    cache: Path,
    *,
    waves: bool = False,
    optimise: bool = False,
    large: bool = False,
    ports: Ports | None = None,
    parameters: Mapping[str, int | str] | None = None,
    probes: Sequence[Probe] = (),
    jobs: int = 1,
) -> Bench:
    """Compile a bench around module ``top``, or take it from the cache.

    Args:
        sources: SystemVerilog files, packages before their users (``.svh`` are only searched).
        top: Module under test.
        in_bytes: Bytes of tdata of the input stream, or of each, in the order of ``ports.fed``.
        out_bytes: Bytes of tdata of the output stream, or of each.
        cache: Folder of builds, keyed by all texts and options.
        waves: Be able to record ``dump.vcd`` (slower).
        optimise: Compile with ``-O3`` for this processor: nearly twice as long to build, faster
            where wide multiply-accumulate takes the time.
        large: A whole network: many C++ files, which ``jobs`` compiles side by side.
        ports: Port names; by default ``s_axis_<k>``, ``m_axis_<k>``, ``ap_clk``, ``ap_rst_n``.
        parameters: Parameters of ``top`` to set: integers, or names of files.
        probes: Streams inside the device to record, named in the scope of ``top``.
        jobs: Compiler processes at once, for large devices; different benches may also be built
            from several threads or processes.

    Raises:
        ToolError: A tool is missing, or refuses the sources.
        StreamError: Widths that do not fit the ports.
    """
    ins = (in_bytes,) if isinstance(in_bytes, int) else tuple(in_bytes)
    outs = (out_bytes,) if isinstance(out_bytes, int) else tuple(out_bytes)
    if ports is None:
        ports = Ports(
            tuple(f"s_axis_{port}" for port in range(len(ins))),
            tuple(f"m_axis_{port}" for port in range(len(outs))),
        )
    if (
        len(ports.fed) != len(ins)
        or len(ports.outputs) != len(outs)
        or not ports.inputs
        or not outs
    ):
        raise StreamError(
            f"'{top}' has ports {ports.fed} and {ports.outputs}, got widths {ins} and {outs}"
        )
    if min(*ins, *outs) < 1:
        raise StreamError(f"'{top}' has stream widths {ins} and {outs} bytes; at least 1")
    text = bench_text(top, ports, ins, outs, parameters or {}, waves=waves)
    binds = bind_text(top, ports, probes) if probes else ""
    options = BuildOptions(waves, optimise, large, jobs)
    executable = compile_bench(sources, top, text, cache, options, binds)
    return Bench(executable, top, ports, ins, outs, waves, tuple(probes))


def _prepare(work_dir: Path, files: Mapping[str, str | bytes]) -> None:
    work_dir.mkdir(parents=True, exist_ok=True)
    for old in work_dir.glob("nf_*"):
        old.unlink()
    for name, content in files.items():
        path = work_dir / name
        if path.resolve().parent != work_dir.resolve() or name.startswith("nf_"):
            raise StreamError(f"file '{name}' must be a plain name that does not begin with 'nf_'")
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def _memory_trouble(text: str) -> str | None:
    # Verilator only warns, and the memory then holds random bits.
    return next((line.strip() for line in text.splitlines() if "$readmem" in line), None)


def _cocotb_environment(seed: int) -> dict[str, str]:
    import find_libpython  # comes with cocotb, an optional extra
    from cocotb_tools import config

    result = {k: v for k, v in os.environ.items() if not k.startswith(("COCOTB", "GPI_", "PYGPI"))}
    library = find_libpython.find_libpython()
    if library is None:
        raise ToolError(
            "this Python has no shared library, which cocotb needs; use a Python built with "
            "--enable-shared (Debian's and the official images are)"
        )
    return result | {
        "PYTHONPATH": os.pathsep.join([str(HERE / "conductor"), *filter(None, sys.path)]),
        "PYGPI_PYTHON_BIN": sys.executable,
        "GPI_USERS": f"{library};{config.pygpi_entry_point()}",
        "COCOTB_TOPLEVEL": "nf_bench",
        "COCOTB_TEST_MODULES": "nf_conductor",
        "COCOTB_RESULTS_FILE": "nf_results.xml",
        "COCOTB_RANDOM_SEED": str(seed),
        "COCOTB_LOG_LEVEL": "WARNING",
        "COCOTB_ANSI_OUTPUT": "0",
        "COCOTB_REWRITE_ASSERTION_FILES": "",  # else pytest's plugins are loaded: 0.15 s
        "COCOTB_TRUST_INERTIAL_WRITES": "1",
        "TOPLEVEL_LANG": "verilog",
    }
