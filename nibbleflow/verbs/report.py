# SPDX-License-Identifier: Apache-2.0
"""``nibbleflow report``: tables, plots and JSON of a build."""

from pathlib import Path

from rich.text import Text

from hw.network_cycles import network_cycles
from hw.planning import complete_schedule
from nibbleflow.folders import BuildFolder, whole_folder
from nibbleflow.foldings import default_schedule
from nibbleflow.result import Result
from quant.bundle import load_bundle
from quant.floatstore import load_float
from reports.network import NetworkSummary
from reports.summary import summarise
from reports.tables import summary_tables
from reports.write import write_report


def report(build: str | Path) -> Result:
    """Write the report of a build into ``BUILD/report``.

    Args:
        build: A build folder.

    Returns:
        ``values`` has ``memory`` (``honest_ratio``, ``published_ratio``, ``bits``), ``macs`` and
        ``layers``.

    Raises:
        NibbleflowError: The build cannot be read.
    """
    folder = BuildFolder.existing(build)
    bundle = load_bundle(folder.bundle)
    float_graph, _ = load_float(folder.floats)
    schedule = default_schedule(bundle.graph)
    summary = summarise(bundle, schedule)
    plan = complete_schedule(bundle.graph, schedule)
    network = NetworkSummary(plan.fifos, network_cycles(bundle.graph, plan.schedule))
    with whole_folder(folder.report, force=True) as target:
        write_report(summary, bundle, float_graph, target, network=network)
    written = Text(f"tables and plots in {folder.report}")
    return Result("report", summary.to_json(), (*summary_tables(summary), written))
