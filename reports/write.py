# SPDX-License-Identifier: Apache-2.0
"""The report folder: JSON, tables as text, plots; there whole or not at all."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from quant.bundle import Bundle
from quant.bundle.folder import write_folder
from quant.floatgraph import FloatGraph
from reports.breakpoints import breakpoint_plot
from reports.figures import ImageFormat, render
from reports.histograms import chosen_layers, histogram_plot
from reports.network import NetworkSummary, cycle_plot, cycle_table, fifo_plot, fifo_table
from reports.plots import cycles_plot, memory_plot, sqnr_plot
from reports.summary import Summary
from reports.tables import summary_tables, text_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".json", ".txt", ".png", ".svg", ".html")


def write_report(
    summary: Summary,
    bundle: Bundle,
    float_graph: FloatGraph,
    directory: Path,
    *,
    network: NetworkSummary | None = None,
    formats: tuple[ImageFormat, ...] = ("png",),
) -> tuple[Path, ...]:
    """Write the report of a bundle; an older report in ``directory`` is replaced.

    Args:
        summary: Every figure about the bundle.
        bundle: The bundle; its weights are drawn.
        float_graph: The fused float network beside it.
        directory: The report folder.
        network: FIFO depths and cycles of the whole network, or ``None``: nothing is said of them.
        formats: Image formats of the plots.

    Returns:
        The files: ``summary.json``, ``tables.txt`` and one image per plot and format.

    Raises:
        BundleError: The folder holds files that are no report's, or cannot be written.
        GraphError: The float network belongs to another build.
    """
    files = report_files(summary, bundle, float_graph, formats, network)
    return write_folder(directory, files.items(), suffixes=SUFFIXES, force=True)


def report_files(
    summary: Summary,
    bundle: Bundle,
    float_graph: FloatGraph,
    formats: tuple[ImageFormat, ...] = ("png",),
    network: NetworkSummary | None = None,
) -> dict[str, bytes]:
    """Return the files of the report by name: the same input gives the same bytes.

    Raises:
        GraphError: The float network belongs to another build.
    """
    files = {
        "summary.json": json_text(summary).encode(),
        "tables.txt": text_of(summary_tables(summary)).encode(),
    }
    plots = _plots(summary, bundle, float_graph)
    if network is not None:
        found = network
        files["network.json"] = (json.dumps(network.to_json(), indent=1) + "\n").encode()
        files["network.txt"] = text_of((fifo_table(network), cycle_table(network))).encode()
        plots["fifos"] = lambda: fifo_plot(found)
        plots["utilisation"] = lambda: cycle_plot(found)
    for name, draw in plots.items():
        for image_format in formats:
            files[f"{name}.{image_format}"] = render(draw, image_format)
    return files


def json_text(summary: Summary) -> str:
    """Return the summary as indented JSON text; there is no NaN in it."""
    return json.dumps(summary.to_json(), indent=1, allow_nan=False) + "\n"


def _plots(
    summary: Summary, bundle: Bundle, float_graph: FloatGraph
) -> dict[str, "Callable[[], Figure]"]:
    """Return what draws each plot, by file name; plots without data are left out."""
    names = chosen_layers(summary)
    found: dict[str, Callable[[], Figure]] = {
        "weights": lambda: histogram_plot(bundle.graph, float_graph, names),
        "memory": lambda: memory_plot(summary),
    }
    if summary.worst_layers(1):
        found["sqnr"] = lambda: sqnr_plot(summary)
    if bundle.record.breakpoints:
        found["breakpoints"] = lambda: breakpoint_plot(summary.name, bundle.record.breakpoints)
    if summary.cycles is not None:
        found["cycles"] = lambda: cycles_plot(summary)
    return found
