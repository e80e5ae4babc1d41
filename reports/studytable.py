# SPDX-License-Identifier: Apache-2.0
"""The study's rows: packed cores that weights leave possible, and the table of everything."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from quant.floatgraph import FloatGraph
from quant.weightsonly import LayerWeights
from reports.cores import possible_cores

ACT_BITS = (4, 8)
"""Widths of activations whose possible cores are counted."""


def core_values(graph: FloatGraph, layers: Sequence[LayerWeights]) -> dict[str, Any]:
    """Return the packed cores that weights leave possible, and how densely they multiply.

    Args:
        graph: The float network.
        layers: Its stored weights.

    Returns:
        For activations of 4 and 8 bits: ``cores_a4``, layers by core, and ``mac_per_dsp_a4``.
    """
    weights = {layer.name: layer.weights for layer in layers}
    values: dict[str, Any] = {}
    for bits, row in zip(ACT_BITS, possible_cores(graph, weights, ACT_BITS), strict=True):
        values[f"cores_a{bits}"], values[f"mac_per_dsp_a{bits}"] = row
    return values


def study_table(values: Mapping[str, Any], keys: Sequence[str]) -> Table:
    """Return the rows of a study as a table.

    Args:
        values: What ``nibbleflow study`` gives.
        keys: Which figures of accuracy there are, perhaps none.
    """
    table = Table(
        title=f"{values['model']}: weights only",
        caption="MAC/DSP: densest packed core that the weights leave; with group multipliers the "
        "RTL has plain cores",
        box=None,
    )
    for name in ("scheme", "bits", "granularity"):
        table.add_column(name, no_wrap=True)
    columns = ["groups", "published", "honest", "SQNR dB", "stored dB"]
    columns += [*(f"MAC/DSP A{bits}" for bits in ACT_BITS), "CPU s"]
    for name in (*columns, *keys):
        table.add_column(name, justify="right", no_wrap=True)
    if values["float"]:
        cells = (f"{values['float'][key]:.2f}" for key in keys)
        table.add_row("float", "", "", *[""] * len(columns), *cells)
    for row in values["rows"]:
        published = row["published_ratio"]
        densities = [row.get(f"mac_per_dsp_a{bits}") for bits in ACT_BITS]  # none in old rows
        table.add_row(
            row["scheme"],
            str(row["bits"]),
            row["granularity"],
            f"{row['groups']:,}",
            "-" if published is None else f"{published:.3f}x",
            f"{row['honest_ratio']:.3f}x",
            f"{row['sqnr_db']:.2f}",
            f"{row['stored_sqnr_db']:.2f}",
            *("-" if density is None else f"{density:.2f}" for density in densities),
            f"{row['cpu_seconds']:.1f}",
            *(f"{row[key]:.2f}" for key in keys),
        )
    return table
