# SPDX-License-Identifier: Apache-2.0
"""Run a packed core in Verilator on its DSP48E2 path and compare every accumulator."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hw.packed_sources import packed_sources
from sim.packed.core import FLAGS, PackedCore, core_top
from sim.packed.stimulus import IntArray, Stimulus, expected, random_stimulus
from sim.rtl import ALWAYS, Pattern, build_bench
from sim.stream import BeatArray

TOP = "packed_core"
FOLD_TAPS = (1, 2, 3, 5)
"""Taps of the folds, drawn at random."""

FRAMES = 2
"""Frames of a run: the end flag comes back, and nothing of one reaches the next."""


@dataclass(frozen=True)
class CoreRun:
    """What a run gave.

    Attributes:
        outputs: Accumulators compared.
        mismatches: Those that differ.
        distinct: Different values among the expected ones.
        cycles: Cycles simulated.
        latencies: Cycles from the last tap of each fold to its results, distinct values, sorted;
            empty when the source pauses.
        trouble: Standstill or breach of the stream protocol, lost end flags among them; ``None``
            without.
    """

    outputs: int
    mismatches: int
    distinct: int
    cycles: int
    latencies: tuple[int, ...]
    trouble: str | None


def check_core(
    core: PackedCore,
    folder: Path,
    cache: Path,
    *,
    outputs: int,
    seed: int,
    idle: Pattern = ALWAYS,
    limits: tuple[IntArray, IntArray] | None = None,
    optimise: bool = False,
) -> CoreRun:
    """Simulate ``core`` and compare with ``expected``.

    Args:
        core: The core.
        folder: Folder to work in, made when missing.
        cache: Folder of compiled benches.
        outputs: Accumulators to compare, at least.
        seed: Of every draw.
        idle: Pauses between taps.
        limits: Smallest and largest weight of every column; all of its bits when left out.
        optimise: Compile for a long run.

    Raises:
        ToolError: Verilator refuses the sources or the simulation fails.
    """
    rng = np.random.default_rng(seed)
    if limits is None:
        half = 1 << (core.operand_bits - 1)
        limits = np.full(core.columns, -half), np.full(core.columns, half - 1)
    groups = -(-outputs // (FRAMES * core.folds * core.pixels * core.pe))
    lengths = rng.choice(FOLD_TAPS, (groups, core.folds))
    rows = rng.random(groups) < 0.2
    rows[0] = True
    frames = [random_stimulus(core, lengths, rows, rng, limits) for _ in range(FRAMES)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{TOP}.sv").write_text(core_top(core, TOP), encoding="utf-8")
    bench = build_bench(
        [*packed_sources(), folder / f"{TOP}.sv"],
        TOP,
        -(-core.in_bits // 8),
        -(-core.out_bits // 8),
        cache,
        optimise=optimise,
    )
    beats = [_beats(core, frame) for frame in frames]
    run = bench.run(folder / "run", [beats], [lengths.size], idle=idle, seed=seed)
    wanted = [expected(core, frame) for frame in frames]
    wrong = wanted[0].size * FRAMES
    latencies: tuple[int, ...] = ()
    if run.stalled is None:
        found = [_accumulators(core, frame) for frame in run.frames]
        wrong = sum(int(np.sum(a != b)) for a, b in zip(found, wanted, strict=True))
        if idle == ALWAYS:
            assert run.first_input_cycle is not None
            taken = np.flatnonzero(np.concatenate([frame.last for frame in frames]))
            given = np.concatenate(run.output_cycles[0]) - run.first_input_cycle
            latencies = tuple(sorted(set((given - taken).tolist())))
    # A source that loses a beat is no fault of the core.
    lost = FRAMES * len(frames[0].first) - run.input_beats[0]
    return CoreRun(
        outputs=wanted[0].size * FRAMES,
        mismatches=wrong,
        distinct=len(np.unique(np.concatenate([w.reshape(-1) for w in wanted]))),
        cycles=run.cycles,
        latencies=latencies,
        trouble=run.stalled or run.violation or (f"{lost} beats were not fed" if lost else None),
    )


def _beats(core: PackedCore, given: Stimulus) -> BeatArray:
    """Return the input beats of a frame, uint8 [taps, bytes]."""
    taps = len(given.first)
    end = np.zeros(taps, np.int64)
    end[np.flatnonzero(given.last)[-1] :] = 1
    flags = np.stack([given.first, given.last, given.row, end], axis=1).astype(np.int64)
    fields = (
        (flags, 1),
        (given.acts.reshape(taps, -1), core.act_bits),
        (given.weights.reshape(taps, -1), core.operand_bits),
    )
    columns = [
        ((values[:, :, None] >> np.arange(bits)) & 1).reshape(taps, -1).astype(np.uint8)
        for values, bits in fields
    ]
    assert flags.shape[1] == FLAGS
    return np.packbits(np.concatenate(columns, axis=1), axis=1, bitorder="little")


def _accumulators(core: PackedCore, beats: BeatArray) -> IntArray:
    """Return the accumulators of a frame, int64 [folds, pixels, pe]."""
    bits = np.unpackbits(beats, axis=1, bitorder="little", count=core.out_bits)
    lanes = bits.reshape(len(beats), core.pixels, core.pe, core.acc_bits).astype(np.int64)
    weight = 1 << np.arange(core.acc_bits, dtype=np.int64)
    weight[-1] = -weight[-1]
    return lanes @ weight
