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

# Frame by frame, no reset between. Sub-maps come several times: first at full speed (by the
# fourth frame the interval has settled, so that planned and counted cycles compare), then with idle
# sources and back-pressure. Full-size frames come once, the first at full speed, the rest stalled.
SETTLED_FRAMES = 4
LEAST_FRAMES = 6
STALLS = (
    (Pattern.random(0.3), Pattern.bursts(15, 8)),
    (Pattern.bursts(20, 10), Pattern.random(0.4)),
)
FULL_SIZE_STALL = (Pattern.random(0.1), Pattern.bursts(200, 20))


def _patterns(frames: int, *, full: bool) -> tuple[list[Pattern], list[Pattern]]:
    """Return the idle and the stall pattern of every frame."""
    fast = 1 if full else SETTLED_FRAMES
    kinds = (FULL_SIZE_STALL,) if full else STALLS
    pairs = [(ALWAYS, ALWAYS)] * fast + [kinds[i % len(kinds)] for i in range(frames - fast)]
    return [idle for idle, _ in pairs], [stall for _, stall in pairs]


def run_rtl(
    case: Case, folding: Folding, work: Path, cache: Path, seed: int, replay: str, waves: bool
) -> Verdict:
    """Emit, build, simulate and compare one case.

    Args:
        case: Stimulus and golden answer.
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
        plan = conv_cycles(case.node, case.in_shape, folding, case.source)
        full = case.label == FULL_SIZE
        expected = _repeated(case, 1 if full else -(-LEAST_FRAMES // len(case.frames)))
        run = _simulate(expected, folding, work, cache, seed, waves)
        cycles = run.cycles
        failure = run.violation or run.stalled
        if failure is None:
            outputs, beat_cycles = _codes(expected, folding, run)
            failure = _cycle_fault("latency", run.latency_cycles, plan.latency_cycles)
        if failure is None and not full:
            planned = plan.interval_cycles
            last = SETTLED_FRAMES - 1
            counted = run.last_output_cycles[last] - run.last_output_cycles[last - 1]
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
    g = conv_geometry(case.node, case.in_shape, folding, case.source)
    full = case.label == FULL_SIZE
    idle, stall = _patterns(len(case.frames), full=full)
    bits_in, bits_out = case.source.bits, case.node.output.bits
    beats = [
        pack_beats(f, bits_in, g.in_lanes, zero_code=case.source.zero_code) for f in case.frames
    ]
    bench = build_bench(
        sources,
        TOP,
        in_bytes=beat_bytes(bits_in, g.in_lanes),
        out_bytes=beat_bytes(bits_out, g.out_lanes),
        cache=cache,
        waves=waves,
        optimise=full,
    )
    return bench.run(
        work / "run",
        [beats],
        [beat_count(_out_shape(case), g.out_lanes)],
        idle=idle,
        stall=stall,
        seed=seed,
        files={name: text for name, text in files.items() if name.endswith(".mem")},
        waves_from=0 if waves else None,
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
    bits = case.node.output.bits
    lanes = conv_geometry(case.node, case.in_shape, folding, case.source).out_lanes
    codes = np.stack([unpack_beats(f, shape, bits, lanes) for f in run.frames])
    f, h, w = shape
    cycles = np.stack(
        [
            np.repeat(c.reshape(h, w, f // lanes), lanes, axis=2).transpose(2, 0, 1)
            for c in run.output_cycles[0]
        ]
    )
    return codes, cycles
