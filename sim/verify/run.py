# SPDX-License-Identifier: Apache-2.0
"""Verify: every engine on every case, two at a time."""

import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from quant.schedule import Folding
from sim.verify.case import Case
from sim.verify.hls_engine import run_hls
from sim.verify.rtl_engine import run_rtl
from sim.verify.verdict import Verdict

WORKERS = 2


@dataclass(frozen=True)
class Job:
    """One case on one engine.

    Attributes:
        case: Stimulus and golden answer.
        engine: ``hls`` or ``rtl``.
        folding: PE and SIMD.
        work: Scratch folder.
        cache: Compiled benches.
        seed: Of the stalls.
        replay: Command that repeats only this.
        waves: Record a waveform (RTL only).
    """

    case: Case
    engine: str
    folding: Folding
    work: Path
    cache: Path
    seed: int
    replay: str
    waves: bool

    def run(self) -> Verdict:
        """Run it."""
        if self.engine == "hls":
            return run_hls(self.case, self.folding, self.work, self.replay)
        return run_rtl(
            self.case, self.folding, self.work, self.cache, self.seed, self.replay, self.waves
        )


def verify_cases(
    cases: Sequence[Case],
    engines: Sequence[str],
    foldings: Mapping[str, Folding],
    work: Path,
    *,
    seed: int,
    replay: Callable[[str, str], str],
    waves: bool = False,
    progress: Callable[[Verdict], None] | None = None,
) -> tuple[Verdict, ...]:
    """Run every case on every engine in two processes.

    Args:
        cases: What to run.
        engines: Of ``hls`` and ``rtl``.
        foldings: Folding of each node.
        work: Scratch folder.
        seed: Of the stalls.
        replay: Node name and engine to the command that repeats only that.
        waves: Record waveforms.
        progress: Called after each.

    Returns:
        One verdict per case and engine, in the order of the cases.
    """
    jobs = [
        Job(
            case,
            engine,
            foldings[case.node.name],
            work / f"{engine}-{index}",
            work / "benches",
            seed,
            replay(case.node.name, engine),
            waves,
        )
        for index, case in enumerate(cases)
        for engine in engines
    ]
    verdicts: dict[int, Verdict] = {}
    # Longest first, so that the two workers end together.
    order = sorted(range(len(jobs)), key=lambda i: -jobs[i].case.frames.size)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(WORKERS, mp_context=context) as pool:
        futures = {pool.submit(jobs[i].run): i for i in order}
        for future in as_completed(futures):
            verdict = future.result()
            verdicts[futures[future]] = verdict
            if progress:
                progress(verdict)
    return tuple(verdicts[i] for i in range(len(jobs)))
