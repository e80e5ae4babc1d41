# SPDX-License-Identifier: Apache-2.0
"""Outcome of a verification and the first difference."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sim.verify.case import Case


@dataclass(frozen=True)
class Difference:
    """The first wrong value of one engine at one node, in stream order of its frame.

    Attributes:
        node: Node name.
        engine: Engine name.
        frame: Index of the frame.
        channel: Output channel.
        row: Output row.
        column: Output column.
        expected: Golden code.
        got: The engine's code.
        accumulator: Golden accumulator before requantization; ``None`` for nodes without one.
        wrong: Number of wrong values.
        values: Number of values compared.
        cycle: Clock cycle of the wrong beat where the engine has cycles.
        replay: Command that repeats only this.
    """

    node: str
    engine: str
    frame: int
    channel: int
    row: int
    column: int
    expected: int
    got: int
    accumulator: int | None
    wrong: int
    values: int
    cycle: int | None
    replay: str

    def __str__(self) -> str:
        """Return the one line that a user reads."""
        when = "" if self.cycle is None else f"; at cycle {self.cycle:,}"
        total = "" if self.accumulator is None else f", accumulator {self.accumulator}"
        return (
            f"'{self.node}'[{self.frame}, {self.channel}, {self.row}, {self.column}]: "
            f"{self.engine} {self.got}, golden {self.expected}{total} "
            f"({self.wrong:,} of {self.values:,} differ{when}); replay: {self.replay}"
        )


@dataclass(frozen=True)
class Verdict:
    """One engine on one case.

    Attributes:
        name: Node name.
        engine: ``golden``, ``hls`` or ``rtl``.
        case: Size of the stimulus.
        values: Number of output values compared.
        mismatches: Number of wrong ones.
        distinct: Number of distinct expected codes.
        saturated: Number of expected codes at the ends of their range.
        cycles: Clock cycles simulated, where the engine has a clock.
        planned_interval: Planned cycles per frame at full speed, or ``None``.
        counted_interval: Counted ones.
        seconds: Wall time, build included.
        failure: Why the engine gave no complete answer, or ``None``.
        first: The first wrong value, or ``None``.
    """

    name: str
    engine: str
    case: str
    values: int
    mismatches: int
    distinct: int
    saturated: int
    cycles: int | None
    planned_interval: int | None
    counted_interval: int | None
    seconds: float
    failure: str | None
    first: Difference | None

    @property
    def ok(self) -> bool:
        """Whether every value is equal and nothing failed."""
        return self.mismatches == 0 and self.failure is None

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)


def judge(
    case: Case,
    engine: str,
    outputs: npt.NDArray[np.integer] | None,
    *,
    replay: str,
    seconds: float,
    cycles: int | None = None,
    planned_interval: int | None = None,
    counted_interval: int | None = None,
    beat_cycles: npt.NDArray[np.int64] | None = None,
    failure: str | None = None,
) -> Verdict:
    """Compare an engine's outputs with the golden ones.

    Args:
        case: Stimulus and golden answer.
        engine: Engine name.
        outputs: Codes [N, F, oh, ow], or ``None`` when the engine failed.
        replay: Command that repeats only this.
        seconds: Wall time.
        cycles: Clock cycles simulated.
        planned_interval: Planned cycles per frame.
        counted_interval: Counted cycles per frame.
        beat_cycles: Cycle of every value, [N, F, oh, ow].
        failure: Why the answer is incomplete.
    """
    first = None
    values = int(case.expected.size)
    mismatches = values
    if outputs is not None and outputs.shape == case.expected.shape:
        wrong = outputs.astype(np.int64) != case.expected.astype(np.int64)
        mismatches = int(wrong.sum())
        if mismatches:
            # Stream order: frame, row, column, then channel.
            n, row, column, channel = (int(i[0]) for i in np.nonzero(wrong.transpose(0, 2, 3, 1)))
            place = (n, channel, row, column)
            first = Difference(
                case.node.name,
                engine,
                n,
                channel,
                row,
                column,
                int(case.expected[place]),
                int(outputs[place]),
                int(case.accumulators[place]),
                mismatches,
                values,
                None if beat_cycles is None else int(beat_cycles[place]),
                replay,
            )
    elif failure is None:
        got = None if outputs is None else outputs.shape
        failure = f"gave outputs of shape {got}, expected {case.expected.shape}"
    return Verdict(
        name=case.node.name,
        engine=engine,
        case=case.label,
        values=values,
        mismatches=mismatches,
        distinct=len(np.unique(case.expected)),
        saturated=case.saturated,
        cycles=cycles,
        planned_interval=planned_interval,
        counted_interval=counted_interval,
        seconds=seconds,
        failure=failure,
        first=first,
    )
