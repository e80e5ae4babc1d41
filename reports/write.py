# SPDX-License-Identifier: Apache-2.0
"""The report folder: JSON, tables as text, plots; there whole or not at all."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from quant.bundle import Bundle
from quant.bundle.folder import write_folder
from quant.floatgraph import FloatGraph
from reports.breakpoints import breakpoint_plot
from reports.figures import ImageFormat, render_all
from reports.histograms import chosen_layers, histogram_plot
from reports.network import NetworkSummary, cycle_plot, cycle_table, fifo_plot, fifo_table
from reports.plots import cycles_plot, memory_plot, sqnr_plot
from reports.summary import Summary
from reports.tables import summary_tables, text_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE = "index.html"
SUFFIXES = (".json", ".txt", ".png", ".svg", ".html")


def write_report(
    summary: Summary,
    bundle: Bundle,
    float_graph: FloatGraph,
    directory: Path,
    *,
    network: NetworkSummary | None = None,
    formats: tuple[ImageFormat, ...] = ("png",),
    page: Callable[[Mapping[str, bytes]], str] | None = None,
    progress: Callable[[], None] = lambda: None,
) -> tuple[Path, ...]:
    """Write the report of a bundle; an older report in ``directory`` is replaced.

    Args:
        summary: Every figure about the bundle.
        bundle: The bundle; its weights are drawn.
        float_graph: The fused float network beside it.
        directory: The report folder.
        network: FIFO depths and cycles of the whole network, or ``None``: nothing is said of them.
        formats: Image formats of the plots.
        page: Makes the text of ``index.html`` from the plots as SVG, by name; ``None``: no page.
        progress: Called after each of ``report_plots``.

    Returns:
        The files: ``summary.json``, ``tables.txt``, one image per plot and format, the page.

    Raises:
        BundleError: The folder holds files that are no report's, or cannot be written.
        GraphError: The float network belongs to another build.
    """
    files = report_files(summary, bundle, float_graph, formats, network, page, progress)
    return write_folder(directory, files.items(), suffixes=SUFFIXES, force=True)


def report_files(
    summary: Summary,
    bundle: Bundle,
    float_graph: FloatGraph,
    formats: tuple[ImageFormat, ...] = ("png",),
    network: NetworkSummary | None = None,
    page: Callable[[Mapping[str, bytes]], str] | None = None,
    progress: Callable[[], None] = lambda: None,
) -> dict[str, bytes]:
    """Return the files of the report by name: the same input gives the same bytes.

    Raises:
        GraphError: The float network belongs to another build.
    """
    files = {
        "summary.json": json_text(summary).encode(),
        "tables.txt": text_of(summary_tables(summary)).encode(),
    }
    if network is not None:
        files["network.json"] = (json.dumps(network.to_json(), indent=1) + "\n").encode()
        files["network.txt"] = text_of((fifo_table(network), cycle_table(network))).encode()
    wanted: tuple[ImageFormat, ...] = formats
    if page is not None and "svg" not in formats:
        wanted = (*formats, "svg")
    vectors: dict[str, bytes] = {}
    for name, draw in report_plots(summary, bundle, float_graph, network).items():
        made = render_all(draw, wanted)
        files |= {f"{name}.{image_format}": made[image_format] for image_format in formats}
        if page is not None:
            vectors[name] = made["svg"]
        progress()
    if page is not None:
        files[PAGE] = page(vectors).encode()
    return files


def json_text(summary: Summary) -> str:
    """Return the summary as indented JSON text; there is no NaN in it."""
    return json.dumps(summary.to_json(), indent=1, allow_nan=False) + "\n"


def report_plots(
    summary: Summary,
    bundle: Bundle,
    float_graph: FloatGraph,
    network: NetworkSummary | None = None,
) -> dict[str, "Callable[[], Figure]"]:
    """Return what draws each plot, by file name; plots without data are left out."""
    names = chosen_layers(summary)
    found: dict[str, Callable[[], Figure]] = {
        "weights": lambda: histogram_plot(
            bundle.graph, float_graph, names, bundle.record.breakpoints
        ),
        "memory": lambda: memory_plot(summary),
    }
    if summary.worst_layers(1):
        found["sqnr"] = lambda: sqnr_plot(summary)
    if bundle.record.breakpoints:
        found["breakpoints"] = lambda: breakpoint_plot(summary.name, bundle.record.breakpoints)
    if summary.cycles is not None:
        found["cycles"] = lambda: cycles_plot(summary)
    if network is not None:
        found["utilisation"] = lambda: cycle_plot(network)
        if any(row.throughput for row in network.fifos.rows):
            found["fifos"] = lambda: fifo_plot(network)
    return found
