# SPDX-License-Identifier: Apache-2.0
"""The figures of a report as texts for the ``metadata_props`` of an ONNX file."""

from collections.abc import Mapping

from hw.network_cycles import NetworkCycles
from reports.summary import LayerSummary, Summary

PREFIX = "nibbleflow."

Texts = dict[str, str]


def node_figures(
    summary: Summary,
    cycles: NetworkCycles | None = None,
    more: Mapping[str, Mapping[str, object]] | None = None,
) -> dict[str, Texts]:
    """Return the figures of every node as texts, by node name.

    Args:
        summary: Every figure about the bundle.
        cycles: Cycles of the planned network; without it those figures are left out.
        more: Further figures by node name and key.

    Returns:
        Key to text per node; the keys carry the unit and begin with ``nibbleflow.``; figures that
        are not known are left out.
    """
    found = {}
    for layer in summary.layers:
        figures = _layer_figures(layer)
        if cycles is not None and layer.name in cycles.nodes:
            node = cycles.nodes[layer.name]
            figures["planned_interval_cycles"] = node.alone_cycles
            figures["planned_latency_cycles"] = node.latency_cycles
            figures["busy_percent"] = round(100 * node.utilisation, 1)
        figures |= (more or {}).get(layer.name, {})
        found[layer.name] = _texts(figures)
    return found


def model_figures(summary: Summary, cycles: NetworkCycles | None = None) -> Texts:
    """Return the figures of the whole network as texts."""
    memory = summary.memory
    figures: dict[str, object] = {
        "graph_digest": summary.digest,
        "model": summary.model,
        "macs": summary.macs,
        "fused_parameters": summary.fused_parameters,
        "stored_bits": memory.bits,
        "fp16_bits": memory.fp16_bits,
        "ratio_to_fp16": round(memory.honest_ratio, 3),
    }
    if cycles is not None:
        figures |= {
            "planned_interval_cycles": cycles.interval_cycles,
            "planned_latency_cycles": cycles.latency_cycles,
            "slowest_node": cycles.bottleneck,
        }
    return _texts(figures)


def _layer_figures(layer: LayerSummary) -> dict[str, object]:
    plan = layer.cycles
    return {
        "kind": layer.kind,
        "shape": "x".join(map(str, layer.shape)),
        "macs": layer.macs or None,
        "weight_bits": layer.weight_bits or None,
        "activation_bits": layer.act_bits,
        "scheme": layer.scheme or None,
        "granularity": layer.granularity or None,
        "weight_sqnr_db": _decibels(layer.weight_sqnr_db),
        "output_sqnr_db": _decibels(layer.sqnr_db),
        "stored_bits": layer.stored_bits,
        "accumulator_bits": layer.accumulator_bits,
        "pe": plan.pe if plan else None,
        "simd": plan.simd if plan else None,
    }


def _decibels(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def _texts(figures: Mapping[str, object]) -> Texts:
    return {PREFIX + key: str(value) for key, value in figures.items() if value is not None}
