# SPDX-License-Identifier: Apache-2.0
"""One case through the SystemVerilog cell in Verilator, with and without stalls."""

import shutil
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hw import conv_cycles, emit_conv, rtl_sources
from quant.errors import NibbleflowError
from quant.schedule import Folding
from sim.rtl import ALWAYS, AxisRun, Pattern, build_bench
from sim.stream import beat_bytes, beat_count, pack_beats, unpack_beats
from sim.verify.case import Case
from sim.verify.verdict import Verdict, judge

ENGINE = "rtl"
TOP = "nf_dut"

# Frame by frame: the frames once at full speed (for the cycle count), then again with idle sources
# and back-pressure. No reset between.
IDLE = (ALWAYS, ALWAYS, Pattern.random(0.3), Pattern.bursts(20, 10))
STALL = (ALWAYS, ALWAYS, Pattern.bursts(15, 8), Pattern.random(0.4))
# Stalled frames of a full-size layer only add time.
FULL_SPEED_ONLY = 1 << 21


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
        planned = conv_cycles(case.node, case.in_shape, folding).interval_cycles
        repeats = 1 if planned > FULL_SPEED_ONLY else 2
        expected = _repeated(case, repeats)
        run = _simulate(expected, folding, work, cache, seed, waves)
        cycles = run.cycles
        if len(run.last_output_cycles) > 1:
            counted = run.last_output_cycles[1] - run.last_output_cycles[0]
        failure = run.violation or run.stalled
        if failure is None:
            outputs, beat_cycles = _codes(expected, folding, run)
        if failure is None and counted != planned:
            failure = f"a frame took {counted} cycles, planned {planned}"
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


def _lanes(case: Case, folding: Folding) -> int:
    """Channels per input beat: SIMD, or PE when each lane reads its own channel."""
    filters, channels, _, _ = case.node.weights.shape
    depthwise = channels == 1 and case.node.groups == filters and filters > 1
    return folding.pe if depthwise else folding.simd


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
    lanes = _lanes(case, folding)
    bits_in, bits_out = case.source.bits, case.node.output.bits
    beats = [pack_beats(f, bits_in, lanes, zero_code=case.source.zero_code) for f in case.frames]
    bench = build_bench(
        sources,
        TOP,
        in_bytes=beat_bytes(bits_in, lanes),
        out_bytes=beat_bytes(bits_out, folding.pe),
        cache=cache,
        waves=waves,
        optimise=case.label == "full size",
    )
    return bench.run(
        work / "run",
        [beats],
        [beat_count(_out_shape(case), folding.pe)],
        idle=IDLE,
        stall=STALL,
        seed=seed,
        files={name: text for name, text in files.items() if name.endswith(".mem")},
        waves=waves,
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
