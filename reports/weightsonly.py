# SPDX-License-Identifier: Apache-2.0
"""The report of a build of kind weights: memory and weight errors; there is nothing to run."""

import json
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from quant.bundle.folder import write_folder
from quant.bundle.layout import MemoryKind
from quant.bundle.weights import WeightsBundle
from quant.errors import GraphError
from quant.floatgraph import FloatConv, FloatGraph, FloatLinear, float_macs_of
from quant.memory import MemorySummary
from quant.weightsonly import weights_memory
from reports.breakpoints import breakpoint_plot, breakpoint_table
from reports.figures import render
from reports.summary import key_of
from reports.tables import text_of
from reports.write import SUFFIXES

Json = dict[str, Any]


def weights_report(bundle: WeightsBundle, floats: FloatGraph) -> Json:
    """Return every figure about a bundle of kind weights as JSON values.

    Args:
        bundle: Stored weights, host spec and record.
        floats: The float network beside it; gives the work per frame.

    Raises:
        GraphError: The float network belongs to another build.
    """
    layers = [op for op in floats.ops if isinstance(op, FloatConv | FloatLinear)]
    macs = {op.name: float_macs_of(floats, op) for op in layers}
    model, record = bundle.model, bundle.record
    if set(macs) != {layer.name for layer in model.layers}:
        raise GraphError(
            f"the weights of '{model.name}' and the float network '{floats.name}' have different "
            "layers; quantize the model again"
        )
    memory = weights_memory(model.layers)
    by_layer: dict[str, dict[MemoryKind, int]] = {}
    for line in memory.lines:
        by_layer.setdefault(line.node, {})[line.kind] = line.bits
    records = {layer.name: layer for layer in record.layers}
    return {
        "name": model.name,
        "model": record.model,
        "kind": "weights",
        "parameters": {"source": record.source_parameters, "fused": record.fused_parameters},
        "macs": sum(macs.values()),
        "memory": _memory(memory),
        "layers": [
            {
                "name": layer.name,
                "shape": list(layer.weights.shape),
                "macs": macs[layer.name],
                "weights": int(layer.weights.codes.size),
                "weight_bits": layer.weights.bits,
                "scheme": layer.weights.scheme,
                "granularity": str(layer.weights.granularity),
                "groups": layer.weights.groups,
                "tables": int(layer.weights.tables.shape[0]),
                "multiplier_bits": layer.weights.multiplier_bits,
                "weight_sqnr_db": records[layer.name].weight_sqnr_db,
                "dead_filters": records[layer.name].dead_filters,
                "memory_bits": {key_of(k): v for k, v in by_layer[layer.name].items()},
            }
            for layer in model.layers
        ],
        "settings": dict(record.settings),
        "notes": list(record.notes),
    }


def weights_tables(found: Json, bundle: WeightsBundle) -> tuple[Table, ...]:
    """Return what the terminal shows of ``weights_report``'s values."""
    memory = found["memory"]
    whole = Table(title=Text(f"{found['name']} ({found['model']}), weights only"), box=None)
    whole.add_column("figure", style="bold", no_wrap=True)
    whole.add_column("value")
    published = memory["published_ratio"]
    whole.add_row("memory saving, honest", f"{memory['honest_ratio']:.3f}x")
    whole.add_row("as published", "no figure" if published is None else f"{published:.3f}x")
    for kind, bits in memory["bits"].items():
        whole.add_row(kind.replace("_", " "), f"{bits:,} bits")
    layers = Table(title="layers", box=None)
    for name in ("layer", "scheme", "granularity"):
        layers.add_column(name, no_wrap=True)
    for name in ("bits", "groups", "tables", "M bits", "dB", "KiB"):
        layers.add_column(name, no_wrap=True, justify="right")
    for layer in found["layers"]:
        layers.add_row(
            Text(layer["name"]),
            layer["scheme"],
            layer["granularity"],
            str(layer["weight_bits"]),
            f"{layer['groups']:,}",
            str(layer["tables"]),
            str(layer["multiplier_bits"]),
            f"{layer['weight_sqnr_db']:.1f}",
            f"{sum(layer['memory_bits'].values()) / 8192:,.1f}",
        )
    points = bundle.record.breakpoints
    return (whole, layers, *((breakpoint_table(points),) if points else ()))


def write_weights_report(found: Json, bundle: WeightsBundle, directory: Path) -> None:
    """Write ``summary.json``, ``tables.txt`` and, of PWLQ, ``breakpoints.png``.

    Args:
        found: What ``weights_report`` returned.
        bundle: The bundle.
        directory: The report folder; an older report in it is replaced.

    Raises:
        BundleError: The folder holds files that are no report's, or cannot be written.
    """
    files = {
        "summary.json": (json.dumps(found, indent=1, allow_nan=False) + "\n").encode(),
        "tables.txt": text_of(weights_tables(found, bundle)).encode(),
    }
    points = bundle.record.breakpoints
    if points:
        files["breakpoints.png"] = render(lambda: breakpoint_plot(found["name"], points), "png")
    write_folder(directory, files.items(), suffixes=SUFFIXES, force=True)


def _memory(memory: MemorySummary) -> Json:
    bits = {key_of(kind): memory.bits_of(kind) for kind in MemoryKind}
    return {
        "honest_ratio": memory.honest_ratio,
        "published_ratio": memory.published_ratio,
        "bits": {key: value for key, value in bits.items() if value},
        "honest_bits": memory.bits,
        "published_bits": memory.published_bits,
        "fp16_bits": memory.fp16_bits,
        "published_fp16_bits": memory.published_fp16_bits,
    }
