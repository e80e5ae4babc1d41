# SPDX-License-Identifier: Apache-2.0
"""``nibbleflow report``: tables, plots and JSON of a build."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.text import Text

from hls import emit_network
from hw.devices import Device
from nibbleflow.folders import BuildFolder, whole_folder
from nibbleflow.foldings import Aim
from nibbleflow.plans import network_plan
from nibbleflow.progress import progress_bar
from nibbleflow.repeat import RUN_FILE_SUFFIX
from nibbleflow.result import Result
from quant.bundle import Bundle, load_bundle
from quant.bundle.weights import is_weights_bundle, load_weights
from quant.errors import InputFileError
from quant.floatstore import load_float
from reports.cores import core_rows, core_table
from reports.hardware import HardwareEstimate, network_estimate
from reports.network import NetworkSummary
from reports.resourcetable import resource_tables, resource_values
from reports.summary import Summary, summarise
from reports.tables import summary_tables
from reports.traffic import TrafficFigures, traffic_parts, traffic_values
from reports.vendor import planned_intervals, read_vendor_report, vendor_json, vendor_tables
from reports.weightsonly import weights_report, weights_tables, write_weights_report
from reports.write import PAGE, report_plots, write_report

# Verbs whose runs made what the page shows, in the order to repeat them.
_MAKING = ("demo", "quantize", "explore", "evaluate", "generate", "synth", "verify")


def report(
    build: str | Path,
    *,
    vendor: Sequence[str | Path] = (),
    fps: float | None = None,
    board: str | None = None,
    clock_mhz: float | None = None,
    max_macs: int | None = None,
    core: str | None = None,
    stream_weights: str | None = None,
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
        stream_weights: Layers, joined by commas, whose weights come from outside.

    Returns:
        ``values`` has ``memory`` (``honest_ratio``, ``published_ratio``, ``bits``), ``macs``,
        ``layers``, ``cores`` (packed ones that are left), ``resources`` (estimated) and ``page``,
        the HTML file, if Jinja2 is there to make it; with vendor reports also ``vendor``, with
        weights from outside ``external``.

    Raises:
        NibbleflowError: The build or a report cannot be read, or the aims cannot be met.
    """
    folder = BuildFolder.existing(build)
    if is_weights_bundle(folder.bundle):
        aims = (fps, board, clock_mhz, max_macs, core, stream_weights)
        if vendor or any(aim is not None for aim in aims):
            raise InputFileError(
                f"{build} is of kind weights: there is no hardware to plan or compare; leave "
                "--vendor, --fps, --board, --clock, --max-macs, --core and --stream-weights out"
            )
        return _report_weights(folder)
    bundle = load_bundle(folder.bundle)
    float_graph, _ = load_float(folder.floats)
    found = [read_vendor_report(path) for given in vendor for path in _report_files(Path(given))]
    aim = Aim(fps, board, clock_mhz, max_macs, core, stream_weights)
    plan = network_plan(folder, bundle.graph, aim)
    summary = summarise(bundle, plan.schedule)
    network = NetworkSummary(plan.fifos, plan.cycles)
    layers = (
        emit_network(bundle.graph, plan.schedule).layers
        if any(entry.kind == "hls" for entry in found)
        else ()
    )
    planned = planned_intervals(bundle.graph, plan.cycles, layers)
    values = summary.to_json()
    device = plan.device
    estimate = network_estimate(
        bundle.graph, plan.schedule, ultra_initial_contents=plan.ultra_filled
    )
    values["resources"] = resource_values(estimate)
    figures = TrafficFigures(
        estimate.traffic, plan.cycles.interval_cycles, plan.schedule.clock_hz, device
    )
    if estimate.traffic.weights:
        values["external"] = traffic_values(figures)
    page = _page(folder, bundle, summary, network, estimate, plan.schedule.clock_hz, device)
    plots = report_plots(summary, bundle, float_graph, network)
    with (
        whole_folder(folder.report, force=True) as target,
        progress_bar("drawing", len(plots)) as advance,
    ):
        write_report(
            *(summary, bundle, float_graph, target),
            network=network,
            page=page,
            progress=lambda: advance(1),
        )
        if found:
            values["vendor"] = vendor_json(found, planned)
            text = json.dumps(values["vendor"], indent=1, allow_nan=False) + "\n"
            (target / "vendor.json").write_text(text, encoding="utf-8")
    if page is None:
        written = Text(
            f"tables and plots in {folder.report}; no page, as Jinja2 is not installed: run pip "
            "install -e '.[reports]' in nibbleflow's folder",
            style="yellow",
        )
    else:
        values["page"] = str(folder.report / PAGE)
        written = Text(f"tables and plots in {folder.report}; page: {folder.report / PAGE}")
    cores = core_rows(bundle.graph)
    values["cores"] = [row.to_json() for row in cores]
    tables = (
        core_table(cores),
        *summary_tables(summary),
        *resource_tables(estimate, device),
        *traffic_parts(figures),
    )
    return Result("report", values, (*tables, *vendor_tables(found, planned), written))


def _page(
    folder: BuildFolder,
    bundle: Bundle,
    summary: Summary,
    network: NetworkSummary,
    estimate: HardwareEstimate,
    clock_hz: int,
    device: Device | None,
) -> Callable[[Mapping[str, bytes]], str] | None:
    """Return what makes the page from its pictures; ``None`` without Jinja2."""
    try:
        from reports.page import (
            Hardware,
            PageInput,
            RunFile,
            installed_versions,
            page_html,
            report_page,
        )
    except ModuleNotFoundError:
        return None
    verification = _record(folder.verification, "verify")
    synthesis = _record(folder.synthesis, "synth")
    plan = _record(folder.exploration / "plan.json", "explore")
    front = _record(folder.exploration / "front.json", "explore")
    paths = [folder.path / f"{verb}{RUN_FILE_SUFFIX}" for verb in _MAKING]
    runs = tuple(RunFile(p.name, _text(p)) for p in paths if p.is_file())

    def page(pictures: Mapping[str, bytes]) -> str:
        given = PageInput(
            summary=summary,
            breakpoints=bundle.record.breakpoints,
            hardware=Hardware(network, estimate, clock_hz, device),
            pictures=pictures,
            verification=verification,
            synthesis=synthesis,
            explored_plan=plan,
            explored_front=front,
            runs=runs,
            versions=installed_versions(),
        )
        return page_html(report_page(given))

    return page


def _record(path: Path, verb: str) -> dict[str, Any] | None:
    """Return the record that a verb left in the build, if it did."""
    if not path.is_file():
        return None
    try:
        value = json.loads(_text(path))
    except ValueError as error:
        raise InputFileError(f"{path} is damaged ({error}); run nibbleflow {verb} again") from None
    if not isinstance(value, dict):
        raise InputFileError(f"{path} is no record; run nibbleflow {verb} again")
    return value


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputFileError(f"{path} cannot be read: {error}") from None


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
