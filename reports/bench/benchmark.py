# SPDX-License-Identifier: Apache-2.0
"""What a benchmark is."""

from collections.abc import Callable
from dataclasses import dataclass

from reports.bench.record import Row
from reports.bench.runner import Runner


@dataclass(frozen=True)
class Benchmark:
    """One named benchmark.

    Attributes:
        name: Name on the command line and of the result file.
        title: What is measured, one line.
        needs: Files or folders that must exist, relative to the checkout.
        run: Runs the commands and returns rows of figures, units in the keys; or rows by name,
            ``figures`` among them.
    """

    name: str
    title: str
    needs: tuple[str, ...]
    run: Callable[[Runner], list[Row] | dict[str, list[Row]]]
