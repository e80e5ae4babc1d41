# SPDX-License-Identifier: Apache-2.0
"""Everything a report says about one bundle, as one record; tables and plots only show it."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from quant.bundle import Bundle, MemoryKind
from quant.graph import QGraph, Shape, macs_of
from quant.memory import MemorySummary, memory_summary
from quant.nodes import Conv, Linear, Node, Output
from quant.record import LayerRecord
from quant.schedule import Schedule
from quant.widths import accumulator_bits
from reports.cycles import PLANNED, PlannedCycles, planned_cycles

Json = dict[str, Any]


@dataclass(frozen=True)
class LayerSummary:
    """One node of the graph.

    Attributes:
        name: Node name.
        kind: Node kind in lower case.
        shape: (C, H, W) of the output.
        macs: Multiply-accumulates per frame; 0 for nodes without weights.
        weights: Number of weights.
        weight_bits: Stored bits of a weight code; 0 without weights.
        act_bits: Bits of an output code.
        decoded_bits: Bits of the largest value that a code decodes to; more behind a codebook.
        scheme: Weight scheme; empty without weights.
        granularity: Weight granularity; empty without weights.
        weight_sqnr_db: Weight SQNR; null where it was not measured.
        sqnr_db: SQNR of the output against the float network; null where it was not measured.
        dead_filters: Filters whose weights all became zero.
        memory_bits: Stored bits by kind; kinds that are absent store nothing.
        accumulator_bits: Proven signed accumulator width; null without weights.
        cycles: Planned folding and cycles; null without a schedule or for other nodes.
    """

    name: str
    kind: str
    shape: Shape
    macs: int
    weights: int
    weight_bits: int
    act_bits: int
    decoded_bits: int
    scheme: str
    granularity: str
    weight_sqnr_db: float | None
    sqnr_db: float | None
    dead_filters: int
    memory_bits: Mapping[MemoryKind, int]
    accumulator_bits: int | None
    cycles: PlannedCycles | None

    @property
    def stored_bits(self) -> int:
        """All stored bits of the node."""
        return sum(self.memory_bits.values())

    def to_json(self) -> Json:
        """Return the fields as JSON values; planned figures carry the word in their name."""
        plan = self.cycles
        return {
            "name": self.name,
            "kind": self.kind,
            "shape": list(self.shape),
            "macs": self.macs,
            "weights": self.weights,
            "weight_bits": self.weight_bits,
            "act_bits": self.act_bits,
            "decoded_bits": self.decoded_bits,
            "scheme": self.scheme,
            "granularity": self.granularity,
            "weight_sqnr_db": self.weight_sqnr_db,
            "sqnr_db": self.sqnr_db,
            "dead_filters": self.dead_filters,
            "memory_bits": {key_of(k): v for k, v in self.memory_bits.items()},
            "accumulator_bits": self.accumulator_bits,
            "pe": plan.pe if plan else None,
            "simd": plan.simd if plan else None,
            "core": plan.core if plan else None,
            "planned_interval_cycles": plan.interval_cycles if plan else None,
            "planned_latency_cycles": plan.latency_cycles if plan else None,
        }


@dataclass(frozen=True)
class CycleSummary:
    """What the plan says about speed. Nothing here was measured.

    Attributes:
        clock_hz: Planned clock.
        bottleneck: Slowest node.
        interval_cycles: Its planned cycles per frame.
    """

    clock_hz: int
    bottleneck: str
    interval_cycles: int

    @property
    def estimated_fps(self) -> float:
        """Frames per second when the slowest node is never kept waiting."""
        return self.clock_hz / self.interval_cycles

    def to_json(self) -> Json:
        """Return the figures as JSON values."""
        return {
            "basis": PLANNED,
            "clock_hz": self.clock_hz,
            "bottleneck": self.bottleneck,
            "planned_interval_cycles": self.interval_cycles,
            "estimated_fps": self.estimated_fps,
        }


@dataclass(frozen=True)
class Summary:
    """What a report says.

    Attributes:
        name: Name of the network.
        model: What the user named at quantization.
        digest: Digest of the graph.
        input_shape: (C, H, W) of a frame.
        source_parameters: Parameters of the model as published, before fusion.
        fused_parameters: Weights and biases of the fused model.
        memory: Both memory accountings.
        layers: One row per node but the outputs, in graph order.
        cycles: Planned speed; null without a schedule.
        settings: Settings of the quantization, JSON values.
        notes: Decisions of the quantization and remarks of the report.
    """

    name: str
    model: str
    digest: str
    input_shape: Shape
    source_parameters: int
    fused_parameters: int
    memory: MemorySummary
    layers: tuple[LayerSummary, ...]
    cycles: CycleSummary | None
    settings: Mapping[str, Any]
    notes: tuple[str, ...]

    @property
    def macs(self) -> int:
        """Multiply-accumulates per frame."""
        return sum(layer.macs for layer in self.layers)

    @property
    def dead_filters(self) -> int:
        """Filters whose weights all became zero."""
        return sum(layer.dead_filters for layer in self.layers)

    @property
    def weight_bits(self) -> dict[int, int]:
        """Number of weights by stored bits, fewest bits first."""
        counts: Counter[int] = Counter()
        for layer in self.layers:
            counts[layer.weight_bits] += layer.weights
        return {bits: counts[bits] for bits in sorted(counts) if bits}

    @property
    def act_bits(self) -> dict[int, int]:
        """Number of tensors by bits of their codes, fewest bits first."""
        return dict(sorted(Counter(layer.act_bits for layer in self.layers).items()))

    def bits_by_kind(self) -> dict[MemoryKind, int]:
        """Return the stored bits of every kind that is there, in the kinds' order."""
        return {k: bits for k in MemoryKind if (bits := self.memory.bits_of(k))}

    def worst_layers(self, count: int = 5) -> tuple[LayerSummary, ...]:
        """Return the ``count`` nodes of lowest measured output SQNR, worst first."""
        measured = [(x.sqnr_db, i) for i, x in enumerate(self.layers) if x.sqnr_db is not None]
        return tuple(self.layers[i] for _, i in sorted(measured)[:count])

    def to_json(self) -> Json:
        """Return the whole summary as JSON values (no NaN, no infinity)."""
        memory = self.memory
        return {
            "name": self.name,
            "model": self.model,
            "digest": self.digest,
            "input_shape": list(self.input_shape),
            "parameters": {"source": self.source_parameters, "fused": self.fused_parameters},
            "macs": self.macs,
            "weights_by_bits": {str(k): v for k, v in self.weight_bits.items()},
            "tensors_by_act_bits": {str(k): v for k, v in self.act_bits.items()},
            "dead_filters": self.dead_filters,
            "memory": {
                "honest_ratio": memory.honest_ratio,
                "published_ratio": memory.published_ratio,
                "bits": {key_of(k): v for k, v in self.bits_by_kind().items()},
                "honest_bits": memory.bits,
                "published_bits": memory.published_bits,
                "fp16_bits": memory.fp16_bits,
                "published_fp16_bits": memory.published_fp16_bits,
            },
            "cycles": self.cycles.to_json() if self.cycles else None,
            "layers": [layer.to_json() for layer in self.layers],
            "settings": dict(self.settings),
            "notes": list(self.notes),
        }


def summarise(bundle: Bundle, schedule: Schedule | None = None) -> Summary:
    """Gather every figure about a bundle.

    Args:
        bundle: Graph, host spec and quantization record.
        schedule: Folding of the graph, or ``None``: then nothing is said about cycles.

    Raises:
        PlanError: The schedule belongs to another graph or lacks a convolution.
        QuantizationError: The graph has no weights, so that no ratio exists.
    """
    graph, record = bundle.graph, bundle.record
    memory = memory_summary(graph)
    plans = {} if schedule is None else planned_cycles(graph, schedule)
    records = {layer.name: layer for layer in record.layers}
    by_node: dict[str, dict[MemoryKind, int]] = {}
    for line in memory.lines:
        by_node.setdefault(line.node, {})[line.kind] = line.bits
    layers = tuple(
        _layer(graph, n, records.get(n.name), by_node.get(n.name, {}), plans.get(n.name))
        for n in graph.nodes
        if not isinstance(n, Output)
    )
    return Summary(
        name=graph.name,
        model=record.model,
        digest=graph.digest,
        input_shape=graph.input.shape,
        source_parameters=record.source_parameters,
        fused_parameters=record.fused_parameters,
        memory=memory,
        layers=layers,
        cycles=None if schedule is None else _slowest(plans, schedule.clock_hz),
        settings=record.settings,
        notes=(*record.notes, *_remarks(layers, memory)),
    )


def key_of(kind: MemoryKind) -> str:
    """Return the JSON key of a memory kind: its words joined by underscores."""
    return kind.value.replace(" ", "_")


def _layer(
    graph: QGraph,
    node: Node,
    record: LayerRecord | None,
    memory_bits: Mapping[MemoryKind, int],
    cycles: PlannedCycles | None,
) -> LayerSummary:
    owner = node if isinstance(node, Conv | Linear) else None
    return LayerSummary(
        name=node.name,
        kind=type(node).__name__.lower(),
        shape=graph.shapes[node.name],
        macs=macs_of(graph, node.name),
        weights=int(owner.weights.codes.size) if owner else 0,
        weight_bits=owner.weights.bits if owner else 0,
        act_bits=graph.formats[node.name].bits,
        decoded_bits=graph.formats[node.name].decoded_bits,
        scheme=owner.weights.scheme if owner else "",
        granularity=str(owner.weights.granularity) if owner else "",
        weight_sqnr_db=_finite(record.weight_sqnr_db) if record else None,
        sqnr_db=_finite(record.sqnr_db) if record else None,
        dead_filters=record.dead_filters if record else 0,
        memory_bits=memory_bits,
        accumulator_bits=accumulator_bits(owner, graph.formats[owner.source]) if owner else None,
        cycles=cycles,
    )


def _finite(value: float | None) -> float | None:
    """Return ``value``, or null for what JSON cannot carry (an exact layer has infinite SQNR)."""
    return value if value is not None and math.isfinite(value) else None


def _slowest(plans: Mapping[str, PlannedCycles], clock_hz: int) -> CycleSummary | None:
    if not plans:
        return None
    # The first of equally slow nodes, so that the same plan always names the same node.
    name = max(plans, key=lambda n: plans[n].interval_cycles)
    return CycleSummary(clock_hz, name, plans[name].interval_cycles)


def _remarks(layers: Iterable[LayerSummary], memory: MemorySummary) -> list[str]:
    remarks = []
    dead = [layer for layer in layers if layer.dead_filters]
    if dead:
        named = ", ".join(f"{layer.name} ({layer.dead_filters})" for layer in dead)
        remarks.append(f"filters whose weights all became zero: {named}")
    if memory.published_ratio is None:
        remarks.append("the published accounting has no figure for an encoding in this graph")
    return remarks
