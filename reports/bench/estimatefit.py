# SPDX-License-Identifier: Apache-2.0
"""``python -m reports.bench.estimatefit FOLDER``: fit the prices of the estimates to Yosys' runs.

Synthesises the drawn cells of every kind (results are kept in FOLDER, so that a run goes on where
the last one stopped), writes what came out to ``estimate_runs.json`` beside this file and the
prices to ``hw/estimate/coefficients.json``. Without FOLDER the fit is made from the kept data.

Prices are never negative. They minimise squared relative errors over the cells that are fitted to;
where those say little about a price, it stays near a rough one that anyone would write down.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import hw.estimate
from hw.estimate.cells import cell_work, price_kind
from hw.estimate.model import COEFFICIENTS, coefficients_version
from hw.estimate.work import FF_FEATURES, LUT_FEATURES
from quant.errors import NibbleflowError
from reports.bench.estimategrid import FIT_SEED, KINDS
from reports.bench.estimateruns import Run, measured_runs, read_runs, write_runs

Array = npt.NDArray[np.float64]

ROUGH_LUT = {
    "cells": 5.0,
    "counters": 1.5,
    "pixels": 6.0,
    "addresses": 8.0,
    "corners": 2.0,
    "gates": 1.0,
    "products": 1.0,
    "decodes": 1.0,
    "regions": 0.5,
    "curves": 1.0,
    "adders": 1.0,
    "biases": 1.0,
    "shifts": 0.5,
    "clips": 0.4,
    "muxes": 0.4,
    "tables": 1.0,
    "remainders": 70.0,
}
"""Lookup tables per unit: an adder's bit takes one, four-way multiplexers half one per input."""

ROUGH_FF = dict.fromkeys(FF_FEATURES, 1.0) | {"cells": 0.0}

# Ends and loaders of a network: a few counters each.
_NOT_DRAWN = ("axis_end", "load_gate", "rom_load")

# Weight of the rough prices beside one fitted cell, and cells below which errors count absolute.
_TRUST, _SMALL = 0.02, 20
_SWEEPS = 4000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is missing, fit, write; return the exit code."""
    parser = argparse.ArgumentParser(description="Fit the estimates to runs of Yosys.")
    parser.add_argument("folder", type=Path, nargs="?", help="folder of kept results")
    given = parser.parse_args(arguments)
    try:
        if given.folder is None:
            runs = read_runs()
        else:
            done = 0

            def tell(count: int) -> None:
                nonlocal done
                done += count
                print(f"{done} cells", flush=True)

            runs = measured_runs(given.folder, given.folder / "run", list(KINDS), tell)
            write_runs(runs)
    except NibbleflowError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    path = Path(hw.estimate.__file__).with_name(COEFFICIENTS)
    found = {
        "version": coefficients_version() + 1,
        "basis": "Yosys synth_xilinx -family xcup -flatten; not Vivado",
        "kinds": fitted_prices(runs),
    }
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


def fitted_prices(runs: Sequence[Run]) -> dict[str, Any]:
    """Return the prices of every kind from the runs that are there to fit to.

    ``cells`` counts the runs; without any the prices are the rough ones.
    """
    chosen: dict[str, list[Run]] = {kind: [] for kind in (*map(price_kind, KINDS), *_NOT_DRAWN)}
    for run in runs:
        if run.seed == FIT_SEED:
            chosen[price_kind(run.kind)].append(run)
    prices: dict[str, Any] = {}
    for kind, some in chosen.items():
        cells = [run.cell() for run in some]
        work = [cell_work(cell.module, cell.parameters) for cell in cells]
        prices[kind] = {"cells": len(some)}
        for what, names, rough in (
            ("lut", LUT_FEATURES, ROUGH_LUT),
            ("ff", FF_FEATURES, ROUGH_FF),
        ):
            found = np.array([rough[name] for name in names])
            if some:
                features = np.array([[getattr(w, name) for name in names] for w in work], float)
                counted = np.array([getattr(run.counted, what) for run in some], float)
                found = fit(features, counted, found)
            prices[kind][what] = _named(names, found)
    return prices


def fit(features: Array, counted: Array, rough: Array) -> Array:
    """Return the prices of features, none negative; 0 of a feature that no cell has.

    Args:
        features: float64 [cells, features].
        counted: float64 [cells].
        rough: float64 [features], what prices tend to.
    """
    scale = 1 / np.maximum(counted, _SMALL)
    rows, target = features * scale[:, None], counted * scale
    used = features.any(axis=0)
    trust = _TRUST * len(rows) * (rows**2).mean(axis=0)
    square = rows.T @ rows + np.diag(trust)
    pull = rows.T @ target + trust * rough
    prices = np.where(used, rough, 0.0)
    for _ in range(_SWEEPS):
        for k in np.flatnonzero(used):
            step = (pull[k] - square[k] @ prices) / square[k, k]
            prices[k] = max(0.0, prices[k] + step)
    return prices


def _named(names: Sequence[str], prices: Array) -> dict[str, float]:
    return {n: round(float(p), 4) for n, p in zip(names, prices, strict=True) if p > 0}


if __name__ == "__main__":
    sys.exit(main())
