# SPDX-License-Identifier: Apache-2.0
"""Run a compiled bench: frames in, beats with their cycles out."""

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from quant.errors import ToolError
from sim.rtl.build import (
    HERE,
    BuildOptions,
    Ports,
    bench_text,
    compile_bench,
    first_error,
)
from sim.rtl.verilator import run_tool
from sim.stream import BeatArray, StreamError, mem_text

CycleArray = npt.NDArray[np.int64]

DRAIN_CYCLES = 64
"""Cycles after the last beat in which a surplus beat would still be seen."""

_REASONS = {
    2: "no beat moves any more",
    3: "max_cycles reached",
    4: "a beat came after the last frame",
}

_VIOLATIONS = {
    1: "tvalid fell before the beat was taken",
    2: "tdata or tlast changed while the beat waited",
    3: "tlast is not on the last beat of the frame, and only there",
    4: "a beat came after the last frame",
}


@dataclass(frozen=True)
class Pattern:
    """How a source idles or a sink stalls: a two-state chain, drawn every cycle.

    Attributes:
        pause: Chance per cycle to begin a pause, 0..1; 0 is full speed.
        resume: Chance per cycle to end it, above 0.
    """

    pause: float = 0.0
    resume: float = 1.0

    def __post_init__(self) -> None:
        """Check the chances.

        Raises:
            StreamError: A chance out of range.
        """
        if not (0 <= self.pause <= 1 and 2**-16 <= self.resume <= 1):
            raise StreamError(
                f"pattern pauses with {self.pause} and resumes with {self.resume}; "
                "limits 0..1 and 2**-16..1"
            )

    @classmethod
    def random(cls, share: float) -> "Pattern":
        """Return pauses of independent cycles, ``share`` (0..1, exclusive 1) of all."""
        return cls(share, 1 - share)

    @classmethod
    def bursts(cls, run: float, pause: float) -> "Pattern":
        """Return runs and pauses of random length, ``run`` and ``pause`` cycles in the mean."""
        return cls(1 / run, 1 / pause)

    def line(self) -> str:
        """Return the two chances of 65536, as the bench reads them."""
        return f"{round(self.pause * 65536)} {round(self.resume * 65536)}"


ALWAYS = Pattern()
"""Full speed: never a pause."""


@dataclass(frozen=True, eq=False)
class AxisRun:
    """What a simulation gave. Cycle 0 is the first after reset; counts are of handshakes.

    Attributes:
        outputs: Beats per output port and frame, uint8 [beats, bytes]; the last frame is short
            when the run stalled.
        output_cycles: Cycle of every beat, per port and frame, int64 [beats].
        first_input_cycle: Cycle of the first beat taken; None when none was.
        last_input_cycles: Cycle of each frame's last beat taken, latest over the input ports; only
            frames taken whole.
        last_output_cycles: Cycle of each frame's last beat given, latest over the output ports;
            only frames given whole.
        input_beats: Beats taken per input port.
        cycles: Cycles of the whole run, without the drain.
        seconds: Wall time of the simulation process.
        stalled: Why it ended before every beat came; None when it did not.
        violation: First breach of the stream protocol by the device; None when there is none.
        folder: Where it ran; running the bench's executable there repeats it.
    """

    outputs: tuple[tuple[BeatArray, ...], ...]
    output_cycles: tuple[tuple[CycleArray, ...], ...]
    first_input_cycle: int | None
    last_input_cycles: tuple[int, ...]
    last_output_cycles: tuple[int, ...]
    input_beats: tuple[int, ...]
    cycles: int
    seconds: float
    stalled: str | None
    violation: str | None
    folder: Path

    @property
    def frames(self) -> tuple[BeatArray, ...]:
        """Beats per frame of the first output port."""
        return self.outputs[0]

    @property
    def latency_cycles(self) -> int | None:
        """Cycles from the first beat taken to the last of the first frame given, both counted."""
        if self.first_input_cycle is None or not self.last_output_cycles:
            return None
        return self.last_output_cycles[0] - self.first_input_cycle + 1

    @property
    def interval_cycles(self) -> int | None:
        """Cycles between the last beats of the last two frames; None with one frame."""
        ends = self.last_output_cycles
        return ends[-1] - ends[-2] if len(ends) > 1 else None


@dataclass(frozen=True)
class Bench:
    """A compiled bench; it can run any number of times, also in parallel in different folders.

    Attributes:
        executable: The simulation.
        top: Module under test.
        ports: Its port names.
        in_bytes: Bytes of tdata per input stream.
        out_bytes: Bytes of tdata per output stream.
        waves: Whether it can record ``dump.vcd``.
    """

    executable: Path
    top: str
    ports: Ports
    in_bytes: tuple[int, ...]
    out_bytes: tuple[int, ...]
    waves: bool

    def run(
        self,
        work_dir: Path,
        inputs: Sequence[Sequence[BeatArray]],
        output_beats: Sequence[int],
        *,
        idle: Pattern | Sequence[Pattern] = ALWAYS,
        stall: Pattern | Sequence[Pattern] = ALWAYS,
        seed: int = 1,
        files: Mapping[str, str | bytes] | None = None,
        max_cycles: int = 1 << 62,
        watchdog_cycles: int = 100_000,
        waves: bool = False,
    ) -> AxisRun:
        """Simulate ``inputs`` from reset to the last beat, or until it stalls.

        Args:
            work_dir: Folder to run in, made when missing; what an earlier run left is replaced.
            inputs: Beats per input port and frame, uint8 [beats, in_bytes]; the frames of a port
                have equal lengths.
            output_beats: Beats of one frame per output port.
            idle: Pauses of the sources, one pattern or one per frame (used in turn).
            stall: Back-pressure of the sinks, likewise.
            seed: Of every random draw, unset registers included.
            files: Name to content of the files that the device reads (``$readmemh``).
            max_cycles: End after so many.
            watchdog_cycles: End after so many cycles without a beat moving anywhere.
            waves: Record ``dump.vcd``; the build must be made for it.

        Raises:
            StreamError: Frames that do not fit the ports.
            ToolError: The simulation itself failed.
        """
        frames = self._check(inputs, output_beats)
        if waves and not self.waves:
            raise ToolError(f"the bench of '{self.top}' records no waves; build it with waves=True")
        _prepare(work_dir, files or {})
        for port, beats in enumerate(inputs):
            data = "".join(mem_text(beat) for beat in beats)
            (work_dir / f"nf_in_{port}.mem").write_text(data, encoding="ascii")
            plan = _plan(frames, beats[0].shape[0], idle, seed, 2 * port)
            (work_dir / f"nf_in_{port}.cfg").write_text(plan, encoding="ascii")
        for port, count in enumerate(output_beats):
            plan = _plan(frames, count, stall, seed, 2 * port + 1)
            (work_dir / f"nf_out_{port}.cfg").write_text(plan, encoding="ascii")
        (work_dir / "nf_bench.cfg").write_text(f"{max_cycles} {watchdog_cycles} {DRAIN_CYCLES}\n")
        begin = time.perf_counter()
        result = self._simulate(work_dir, seed, waves=waves)
        seconds = time.perf_counter() - begin
        return self._collect(work_dir, result, frames, output_beats, seconds)

    def _check(self, inputs: Sequence[Sequence[BeatArray]], output_beats: Sequence[int]) -> int:
        if len(inputs) != len(self.in_bytes) or len(output_beats) != len(self.out_bytes):
            raise StreamError(
                f"'{self.top}' has {len(self.in_bytes)} input and {len(self.out_bytes)} output "
                f"streams, got data for {len(inputs)} and {len(output_beats)}"
            )
        counts = {len(beats) for beats in inputs}
        if len(counts) != 1 or counts == {0} or min(output_beats) < 1:
            raise StreamError(f"'{self.top}' needs as many frames, at least 1, on every stream")
        for port, (beats, width) in enumerate(zip(inputs, self.in_bytes, strict=True)):
            shapes = {beat.shape for beat in beats}
            if len(shapes) != 1 or beats[0].ndim != 2 or beats[0].shape[1] != width:
                raise StreamError(
                    f"input {port} of '{self.top}' takes frames of equal shape [beats, {width}], "
                    f"got {sorted(shapes)}"
                )
            if not beats[0].shape[0]:
                raise StreamError(f"input {port} of '{self.top}' has frames without a beat")
        return len(inputs[0])

    def _simulate(self, work_dir: Path, seed: int, *, waves: bool) -> dict[str, int]:
        environment = _cocotb_environment(seed)
        command = [
            str(self.executable),
            "+verilator+rand+reset+2",
            f"+verilator+seed+{seed % 0x7FFFFFFF + 1}",
            *(("--trace",) if waves else ()),
        ]
        done = run_tool(command, work_dir, environment)
        (work_dir / "nf_bench.out").write_text(done.stdout, encoding="utf-8")
        try:
            result: dict[str, int] = json.loads((work_dir / "nf_result.json").read_text())
        except (OSError, ValueError):
            raise ToolError(
                f"the simulation of '{self.top}' ended with code {done.returncode}: "
                f"{first_error(done.stdout)}; see {work_dir / 'nf_bench.out'}"
            ) from None
        return result

    def _collect(
        self,
        work_dir: Path,
        result: Mapping[str, int],
        frames: int,
        output_beats: Sequence[int],
        seconds: float,
    ) -> AxisRun:
        outputs, cycles = [], []
        for port, count in enumerate(output_beats):
            when, data = _read_log(work_dir / f"nf_out_{port}.log", self.out_bytes[port])
            cuts = range(0, min(len(when), frames * count), count)
            outputs.append(tuple(data[cut : cut + count] for cut in cuts))
            cycles.append(tuple(when[cut : cut + count] for cut in cuts))
        taken = _unpack(result["in_count"], len(self.in_bytes))
        given = _unpack(result["out_count"], len(output_beats))
        ends = [_read_ends(work_dir / f"nf_in_{p}.log") for p in range(len(self.in_bytes))]
        firsts = [end[0][0] for end in ends if end]
        whole_in = min(len(end) for end in ends)
        whole_out = min(n // count for n, count in zip(given, output_beats, strict=True))
        whole_out = min(whole_out, frames)
        # With every beat there and one too many, the violation says it; nothing stalled.
        complete = result["reason"] == 4 and whole_in == whole_out == frames
        stalled = None
        if result["reason"] != 1 and not complete:
            why = _REASONS[result["reason"]]
            stalled = (
                f"{why} at cycle {result['cycle']}: beats taken {taken}, given {given} of "
                f"{[frames * count for count in output_beats]}"
            )
        violation = None
        if result["violation"]:
            violation = (
                f"{self.ports.outputs[result['violation_port']]} at cycle "
                f"{result['violation_cycle']}: {_VIOLATIONS[result['violation']]}"
            )
        drain = DRAIN_CYCLES if result["reason"] == 1 else 0
        return AxisRun(
            outputs=tuple(outputs),
            output_cycles=tuple(cycles),
            first_input_cycle=min(firsts) if firsts else None,
            last_input_cycles=tuple(max(e[f][1] for e in ends) for f in range(whole_in)),
            last_output_cycles=tuple(
                max(int(when[f][-1]) for when in cycles) for f in range(whole_out)
            ),
            input_beats=tuple(taken),
            cycles=result["cycle"] - drain,
            seconds=seconds,
            stalled=stalled,
            violation=violation,
            folder=work_dir,
        )


def build_bench(
    sources: Sequence[Path],
    top: str,
    in_bytes: int | Sequence[int],
    out_bytes: int | Sequence[int],
    cache: Path,
    *,
    waves: bool = False,
    optimise: bool = False,
    ports: Ports | None = None,
    parameters: Mapping[str, int | str] | None = None,
    jobs: int = 1,
) -> Bench:
    """Compile a bench around module ``top``, or take it from the cache.

    Args:
        sources: SystemVerilog files, packages before their users (``.svh`` are only searched).
        top: Module under test.
        in_bytes: Bytes of tdata of the input stream, or of each.
        out_bytes: Bytes of tdata of the output stream, or of each.
        cache: Folder of builds, keyed by all texts and options.
        waves: Be able to record ``dump.vcd`` (slower).
        optimise: Compile with ``-O3``: longer to build, about twice as fast to run.
        ports: Port names; by default ``s_axis_<k>``, ``m_axis_<k>``, ``ap_clk``, ``ap_rst_n``.
        parameters: Parameters of ``top`` to set: integers, or names of files.
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
    if len(ports.inputs) != len(ins) or len(ports.outputs) != len(outs) or not ins or not outs:
        raise StreamError(
            f"'{top}' has ports {ports.inputs} and {ports.outputs}, got widths {ins} and {outs}"
        )
    if min(*ins, *outs) < 1:
        raise StreamError(f"'{top}' has stream widths {ins} and {outs} bytes; at least 1")
    options = BuildOptions(waves, optimise, tuple(sorted((parameters or {}).items())), jobs)
    text = bench_text(top, ports, ins, outs, options)
    executable = compile_bench(sources, top, text, cache, options)
    return Bench(executable, top, ports, ins, outs, waves)


def _prepare(work_dir: Path, files: Mapping[str, str | bytes]) -> None:
    work_dir.mkdir(parents=True, exist_ok=True)
    for old in work_dir.glob("nf_*"):
        old.unlink()
    for name, content in files.items():
        path = work_dir / name
        if path.resolve().parent != work_dir.resolve() or name.startswith("nf_"):
            raise StreamError(f"file '{name}' must be a plain name that does not begin with 'nf_'")
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def _plan(
    frames: int, beats: int, patterns: Pattern | Sequence[Pattern], seed: int, stream: int
) -> str:
    given = (patterns,) if isinstance(patterns, Pattern) else tuple(patterns)
    if not given:
        raise StreamError("an empty list of patterns; give at least one")
    # Each stream draws its own numbers; the generator must not start at 0.
    draw = int(np.random.default_rng([seed, stream]).integers(1, 1 << 32))
    lines = [given[frame % len(given)].line() for frame in range(frames)]
    return "\n".join([f"{frames} {beats} {draw}", *lines, ""])


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


def _unpack(packed: int, count: int) -> list[int]:
    return [packed >> (64 * index) & (2**64 - 1) for index in range(count)]


def _read_log(path: Path, width: int) -> tuple[CycleArray, BeatArray]:
    """Read a sink's log: cycles, int64 [beats], and beats, uint8 [beats, width]."""
    line = 12 + 1 + 1 + 1 + 2 * width + 1
    raw = np.frombuffer(path.read_bytes(), np.uint8).reshape(-1, line)
    stamps = np.frombuffer(bytes.fromhex(raw[:, :12].tobytes().decode()), np.uint8)
    cycles = np.zeros((len(raw), 8), np.uint8)
    cycles[:, 2:] = stamps.reshape(-1, 6)
    digits = raw[:, 15 : 15 + 2 * width].tobytes().decode()
    beats = np.frombuffer(bytes.fromhex(digits), np.uint8).reshape(-1, width)[:, ::-1]
    return cycles.view(">i8").reshape(-1).astype(np.int64), beats.copy()


def _read_ends(path: Path) -> list[tuple[int, int]]:
    lines = path.read_text(encoding="ascii").splitlines()
    return [(int(first), int(last)) for first, last in (line.split() for line in lines)]
