# SPDX-License-Identifier: Apache-2.0
"""One case through the SystemVerilog cell in Verilator, with and without stalls."""

import shutil
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hw.conv import emit_conv, rtl_sources
from hw.cycles import conv_cycles
from hw.geometry import conv_geometry
from quant.errors import NibbleflowError
from quant.schedule import Folding
from sim.rtl import ALWAYS, AxisRun, Pattern, build_bench
from sim.stream import beat_bytes, beat_count, pack_beats, unpack_beats
from sim.verify.case import FULL_SIZE, Case
from sim.verify.verdict import Verdict, judge

ENGINE = "rtl"
TOP = "dut"
# More than any layer needs for one output beat.
WATCHDOG_CYCLES = 2_000_000

# Frame by frame, no reset between: sub-maps four times at full speed (by the fourth frame the
# interval has settled, so that planned and counted cycles compare), then with idle sources and
# back-pressure; full-size frames once at full speed and once with stalls.
RANDOM_IDLE, RANDOM_STALL = Pattern.random(0.3), Pattern.random(0.4)
BURSTY_IDLE, BURSTY_STALL = Pattern.bursts(20, 10), Pattern.bursts(15, 8)
SUB_MAP_REPEATS = 3
SUB_MAP_IDLE = (ALWAYS, ALWAYS, ALWAYS, ALWAYS, RANDOM_IDLE, BURSTY_IDLE)
SUB_MAP_STALL = (ALWAYS, ALWAYS, ALWAYS, ALWAYS, BURSTY_STALL, RANDOM_STALL)
FULL_IDLE = (ALWAYS, Pattern.random(0.1))
FULL_STALL = (ALWAYS, Pattern.bursts(200, 20))


def run_rtl(
    case: Case, folding: Folding, work: Path, cache: Path, seed: int, replay: str, waves: bool
) -> Verdict:
    """Emit, build, simulate and compare one case.

    Args:
        case: Stimulus and golden answer, two frames.
        folding: PE and SIMD.
        work: Scratch folder of this case; removed when everything is equal.
        cache: Folder of compiled benches, shared between cases of equal parameters.
        seed: Of the stalls and of unset registers.
        replay: Command that repeats only this.
        waves: Record a waveform (``dump.vcd`` in ``work``).
    """
    started = time.perf_counter()
    outputs, cycles, counted, planned, beat_cycles, failure = None, None, None, None, None, None
    expected = case
    try:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        plan = conv_cycles(case.node, case.in_shape, folding)
        full = case.label == FULL_SIZE
        expected = _repeated(case, 1 if full else SUB_MAP_REPEATS)
        run = _simulate(expected, folding, work, cache, seed, waves)
        cycles = run.cycles
        failure = run.violation or run.stalled
        if failure is None:
            outputs, beat_cycles = _codes(expected, folding, run)
            failure = _cycle_fault("latency", run.latency_cycles, plan.latency_cycles)
        if failure is None and not full:
            planned = plan.interval_cycles
            counted = run.last_output_cycles[3] - run.last_output_cycles[2]
            failure = _cycle_fault("interval", counted, planned)
    except NibbleflowError as error:
        failure = str(error)
    verdict = judge(
        expected,
        ENGINE,
        outputs,
        replay=replay,
        seconds=time.perf_counter() - started,
        cycles=cycles,
        planned_interval=planned,
        counted_interval=counted,
        beat_cycles=beat_cycles,
        failure=failure,
    )
    if verdict.ok and not waves:
        shutil.rmtree(work, ignore_errors=True)
    return verdict


def _cycle_fault(what: str, counted: int | None, planned: int) -> str | None:
    """Return in words that counted cycles are not the planned ones."""
    return None if counted == planned else f"{what} counted {counted} cycles, planned {planned}"


def _repeated(case: Case, repeats: int) -> Case:
    """Return the case with its frames sent ``repeats`` times."""
    return Case(
        case.node,
        case.source,
        case.label,
        np.concatenate([case.frames] * repeats),
        np.concatenate([case.expected] * repeats),
        np.concatenate([case.accumulators] * repeats),
    )


def _simulate(
    case: Case, folding: Folding, work: Path, cache: Path, seed: int, waves: bool
) -> AxisRun:
    files = emit_conv(case.node, case.source, case.in_shape, folding, TOP)
    sources = list(rtl_sources())
    for name, text in files.items():
        if name.endswith(".sv"):
            path = work / "rtl" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            sources.append(path)
    lanes = conv_geometry(case.node, case.in_shape, folding).in_lanes
    full = case.label == FULL_SIZE
    bits_in, bits_out = case.source.bits, case.node.output.bits
    beats = [pack_beats(f, bits_in, lanes, zero_code=case.source.zero_code) for f in case.frames]
    bench = build_bench(
        sources,
        TOP,
        in_bytes=beat_bytes(bits_in, lanes),
        out_bytes=beat_bytes(bits_out, folding.pe),
        cache=cache,
        waves=waves,
        optimise=full,
    )
    return bench.run(
        work / "run",
        [beats],
        [beat_count(_out_shape(case), folding.pe)],
        idle=FULL_IDLE if full else SUB_MAP_IDLE,
        stall=FULL_STALL if full else SUB_MAP_STALL,
        seed=seed,
        files={name: text for name, text in files.items() if name.endswith(".mem")},
        waves=waves,
        watchdog_cycles=WATCHDOG_CYCLES,
    )


def _out_shape(case: Case) -> tuple[int, int, int]:
    _, f, h, w = case.expected.shape
    return f, h, w


def _codes(
    case: Case, folding: Folding, run: AxisRun
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return codes and the cycle of each code, both [N, F, oh, ow]."""
    shape = _out_shape(case)
    bits, pe = case.node.output.bits, folding.pe
    codes = np.stack([unpack_beats(f, shape, bits, pe) for f in run.frames])
    f, h, w = shape
    cycles = np.stack(
        [
            np.repeat(c.reshape(h, w, f // pe), pe, axis=2).transpose(2, 0, 1)
            for c in run.output_cycles[0]
        ]
    )
    return codes, cycles
