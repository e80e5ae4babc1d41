# SPDX-License-Identifier: Apache-2.0
"""Each scheme at each granularity in hardware: stored bits, cells, cycles, packed cores.

A measured pair is kept in the scratch folder while the sources that it depends on stay what they
were, so the benchmark goes on where it was stopped.
"""

from functools import partial
from typing import TYPE_CHECKING

from quant.weights import Granularity
from reports.bench.benchmark import Benchmark
from reports.bench.kept import CHECKOUT, kept_row, sources_digest
from reports.bench.record import Row
from reports.bench.runner import Runner

if TYPE_CHECKING:  # the rest of the package need not load torch
    from quant.ptq.weightquant import SchemeName

SCHEMES: "dict[SchemeName, int]" = {"affine": 4, "symmetric": 4, "pwlq": 5}
"""Stored bits of each scheme of the study."""
MODULE = "reports.bench.groupcost"
# What a kept row depends on.
SOURCES = ("hw", "quant", MODULE.replace(".", "/") + ".py", "reports/cellsynth.py")


def run(runner: Runner) -> list[Row]:
    """Quantize, synthesise with Yosys and try every packed core."""
    digest = sources_digest(CHECKOUT, SOURCES)
    return [
        kept_row(
            runner,
            f"{scheme}-{granularity}",
            digest,
            partial(
                runner.module,
                *(MODULE, "--scheme", scheme, "--granularity", str(granularity)),
                one_core=True,
            ),
        )
        for scheme in SCHEMES
        for granularity in Granularity
    ]


BENCHMARK = Benchmark(
    "granularity",
    "each scheme and granularity in hardware: a cell of 8 multiply-accumulates per cycle in Yosys, "
    "weight memories left out",
    (),
    run,
)
