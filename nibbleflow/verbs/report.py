# SPDX-License-Identifier: Apache-2.0
"""``nibbleflow report``: tables, plots and JSON of a build."""

import json
from collections.abc import Sequence
from pathlib import Path

from rich.text import Text

from hls import emit_network
from nibbleflow.folders import BuildFolder, whole_folder
from nibbleflow.foldings import Aim
from nibbleflow.plans import network_plan
from nibbleflow.result import Result
from quant.bundle import load_bundle
from quant.bundle.weights import is_weights_bundle, load_weights
from quant.errors import InputFileError
from quant.floatstore import load_float
from reports.network import NetworkSummary
from reports.summary import summarise
from reports.tables import summary_tables
from reports.vendor import planned_intervals, read_vendor_report, vendor_json, vendor_tables
from reports.weightsonly import weights_report, weights_tables, write_weights_report
from reports.write import write_report


def report(
    build: str | Path,
    *,
    vendor: Sequence[str | Path] = (),
    fps: float | None = None,
    board: str | None = None,
    clock_mhz: float | None = None,
    max_macs: int | None = None,
    core: str | None = None,
) -> Result:
    """Write the report of a build into ``BUILD/report``.

    Args:
        build: A build folder.
        vendor: Reports of vendor tools, or folders of them, to print beside the plan; plan with
            the aims that the hardware was generated with.
        fps: Frames per second to fold the network for.
        board: Board whose clock and ultra RAM it is planned with.
        clock_mhz: Planned clock.
        max_macs: Multiply-accumulates per cycle to fold the network for.
        core: What multiplies: a core's name, or ``auto``; ``plain_lut`` when left out.

    Returns:
        ``values`` has ``memory`` (``honest_ratio``, ``published_ratio``, ``bits``), ``macs`` and
        ``layers``; with vendor reports also ``vendor``.

    Raises:
        NibbleflowError: The build or a report cannot be read, or the aims cannot be met.
    """
    folder = BuildFolder.existing(build)
    if is_weights_bundle(folder.bundle):
        if vendor or any(aim is not None for aim in (fps, board, clock_mhz, max_macs, core)):
            raise InputFileError(
                f"{build} is of kind weights: there is no hardware to plan or compare; leave "
                "--vendor, --fps, --board, --clock, --max-macs and --core out"
            )
        return _report_weights(folder)
    bundle = load_bundle(folder.bundle)
    float_graph, _ = load_float(folder.floats)
    found = [read_vendor_report(path) for given in vendor for path in _report_files(Path(given))]
    plan = network_plan(folder, bundle.graph, Aim(fps, board, clock_mhz, max_macs, core))
    summary = summarise(bundle, plan.schedule)
    network = NetworkSummary(plan.fifos, plan.cycles)
    layers = (
        emit_network(bundle.graph, plan.schedule).layers
        if any(entry.kind == "hls" for entry in found)
        else ()
    )
    planned = planned_intervals(bundle.graph, plan.cycles, layers)
    values = summary.to_json()
    with whole_folder(folder.report, force=True) as target:
        write_report(summary, bundle, float_graph, target, network=network)
        if found:
            values["vendor"] = vendor_json(found, planned)
            text = json.dumps(values["vendor"], indent=1, allow_nan=False) + "\n"
            (target / "vendor.json").write_text(text, encoding="utf-8")
    written = Text(f"tables and plots in {folder.report}")
    tables = (*summary_tables(summary), *vendor_tables(found, planned))
    return Result("report", values, (*tables, written))


def _report_files(given: Path) -> list[Path]:
    """Return the report that ``given`` is, or those in the folder that it is.

    Of a folder of HLS that is the summary of all modules, of others every ``.rpt``.
    """
    if not given.is_dir():
        return [given]
    summary = given / "csynth.xml"
    found = [summary] if summary.is_file() else sorted(given.glob("*.rpt"))
    if not found:
        raise InputFileError(f"{given} holds neither csynth.xml nor a .rpt; give report files")
    return found


def _report_weights(folder: BuildFolder) -> Result:
    """Report a build of kind weights: it has memory and errors, no hardware."""
    bundle = load_weights(folder.bundle)
    float_graph, _ = load_float(folder.floats)
    found = weights_report(bundle, float_graph)
    with whole_folder(folder.report, force=True) as target:
        write_weights_report(found, bundle, target)
    written = Text(f"tables and plots in {folder.report}")
    return Result("report", found, (*weights_tables(found, bundle), written))
