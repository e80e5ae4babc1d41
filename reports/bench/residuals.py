# SPDX-License-Identifier: Apache-2.0
"""How far the estimates are from what Yosys counts on cells that were held out."""

from collections.abc import Sequence
from statistics import median

from hw.estimate import resources
from reports.bench.estimategrid import HELD_OUT_SEED
from reports.bench.estimateruns import Run
from reports.bench.record import Row


def residual_rows(runs: Sequence[Run], *, seed: int = HELD_OUT_SEED) -> list[Row]:
    """Return one row per kind of cell.

    Errors are those of the estimate in percent of the count, sign aside: lookup tables (of logic
    and of memories together) and flip-flops. DSP blocks and block RAMs: cells whose number is
    another one.

    Args:
        runs: What Yosys counted.
        seed: Of the runs that are compared; those held out when left out.
    """
    kinds = dict.fromkeys(run.kind for run in runs if run.seed == seed)
    return [_row(kind, [r for r in runs if (r.kind, r.seed) == (kind, seed)]) for kind in kinds]


def _row(kind: str, runs: Sequence[Run]) -> Row:
    pairs = []
    for run in runs:
        estimated = resources(run.cell(), weights=False)
        pairs.append((run.counted, estimated))
    row: Row = {
        "kind": kind,
        "cells": len(pairs),
        "lut_smallest": min(counted.all_luts for counted, _ in pairs),
        "lut_largest": max(counted.all_luts for counted, _ in pairs),
    }
    for name, field in (("lut", "all_luts"), ("ff", "ff")):
        errors = [
            100 * abs(getattr(estimated, field) - getattr(counted, field)) / getattr(counted, field)
            for counted, estimated in pairs
            if getattr(counted, field)
        ]
        row[f"{name}_median_percent"] = round(median(errors), 2)
        row[f"{name}_worst_percent"] = round(max(errors), 2)
    for name in ("dsp", "bram18", "uram"):
        row[f"{name}_wrong"] = sum(getattr(c, name) != getattr(e, name) for c, e in pairs)
    return row
