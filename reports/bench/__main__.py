# SPDX-License-Identifier: Apache-2.0
"""``python -m reports.bench [NAME ...]``: run benchmarks, print and keep their figures.

Figures go to ``reports/results`` and, from there, into the README.
"""

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

from rich.console import Console
from rich.table import Table

from quant.errors import NibbleflowError
from reports import readme
from reports.bench import (
    calibration,
    deadlock,
    demo,
    estimates,
    explore,
    faults,
    fifos,
    floats,
    front,
    golden,
    gptqsize,
    granularity,
    hls,
    mobileone,
    network,
    packed,
    recipes,
    schemes,
    simspeed,
    study,
    sweep,
    synth,
    verify,
    yolov5n,
    yolov7,
    yolox_nano,
)
from reports.bench.benchmark import Benchmark
from reports.bench.record import BenchRecord, Figure, write_record
from reports.bench.runner import Runner
from reports.bench.surroundings import machine, versions

BENCHMARKS = (
    demo.BENCHMARK,
    floats.BENCHMARK,
    yolov5n.BENCHMARK,
    yolox_nano.BENCHMARK,
    mobileone.BENCHMARK,
    verify.BENCHMARK,
    study.BENCHMARK,
    yolov7.BENCHMARK,
    recipes.BENCHMARK,
    gptqsize.BENCHMARK,
    calibration.BENCHMARK,
    golden.BENCHMARK,
    hls.BENCHMARK,
    granularity.BENCHMARK,
    schemes.BENCHMARK,
    packed.BENCHMARK,
    estimates.BENCHMARK,
    synth.BENCHMARK,
    faults.BENCHMARK,
    network.BENCHMARK,
    simspeed.BENCHMARK,
    deadlock.BENCHMARK,
    fifos.BENCHMARK,
    explore.BENCHMARK,
    front.BENCHMARK,
    sweep.BENCHMARK,
)
CHECKOUT = Path(__file__).resolve().parents[2]
SCRATCH = Path("build/bench")
RESULTS = Path("reports/results")


def main(
    arguments: Sequence[str] | None = None,
    *,
    benchmarks: Sequence[Benchmark] = BENCHMARKS,
    root: Path = CHECKOUT,
    program: Sequence[str] | None = None,
) -> int:
    """Run the named benchmarks, all of them without a name.

    Args:
        arguments: Command line; that of the process when absent.
        benchmarks: What there is to run.
        root: The checkout; commands run there, results are written below it.
        program: What ``nibbleflow`` stands for; this environment's command when absent.

    Returns:
        0 when everything ran or was skipped for want of data, 1 after a failure, 2 for a name
        that is unknown.
    """
    console = Console()
    known = {b.name: b for b in benchmarks}
    parser = argparse.ArgumentParser(
        prog="python -m reports.bench", description="Run benchmarks; all of them without a name."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(known))
    names = parser.parse_args(arguments).names or list(known)
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"error: no benchmark '{unknown[0]}'; choose {', '.join(known)}", file=sys.stderr)
        return 2
    failed = False
    for name in names:
        missing = [path for path in known[name].needs if not (root / path).exists()]
        if missing:
            console.print(f"skipped {name}: needs {missing[0]}", markup=False, soft_wrap=True)
            continue
        try:
            record = run_benchmark(known[name], root, program)
        except NibbleflowError as error:
            print(f"error: benchmark {name}: {error}", file=sys.stderr)
            failed = True
            continue
        path = write_record(record, root / RESULTS)
        console.print(figures_table(record))
        console.print(f"{path.relative_to(root)} written", markup=False)
        # The README shows the results; a test refuses one that shows older ones.
        failed |= readme.main([], root=root) != 0
    return int(failed)


def run_benchmark(
    benchmark: Benchmark, root: Path, program: Sequence[str] | None = None
) -> BenchRecord:
    """Run one benchmark and return its record; nothing but its scratch folder is written.

    Raises:
        NibbleflowError: A command failed.
    """
    runner = Runner(root, SCRATCH / benchmark.name, program=program)
    date = datetime.now(UTC).date().isoformat()
    begin = perf_counter()
    found = benchmark.run(runner)
    lists = dict(found) if isinstance(found, dict) else {"figures": found}
    figures = lists.pop("figures")
    return BenchRecord(
        name=benchmark.name,
        title=benchmark.title,
        commands=tuple(runner.commands),
        date=date,
        versions=versions(root),
        machine=machine(),
        wall_seconds=round(perf_counter() - begin, 1),
        figures=tuple(figures),
        lists={name: tuple(rows) for name, rows in lists.items()},
    )


def figures_table(record: BenchRecord) -> Table:
    """Return the figures with one column per row of the record."""
    table = Table(title=record.title, box=None, show_header=False)
    table.add_column("figure", no_wrap=True)
    for _ in record.figures:
        table.add_column(justify="right", no_wrap=True)
    for key in dict.fromkeys(key for row in record.figures for key in row):
        table.add_row(key.replace("_", " "), *(figure_text(row.get(key)) for row in record.figures))
    return table


def figure_text(value: Figure) -> str:
    """Return a figure for people: thousands apart, three digits behind the point."""
    match value:
        case None:
            return "-"
        case bool() | str():
            return str(value)
        case int():
            return f"{value:,}"
        case float():
            return f"{value:,.3f}"


if __name__ == "__main__":
    sys.exit(main())
