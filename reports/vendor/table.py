# SPDX-License-Identifier: Apache-2.0
"""Vendor reports beside our plan: the tool's figures, and the intervals that were planned."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, assert_never

from rich.table import Table
from rich.text import Text

from hls.layer import Layer
from hw.network import node_stems
from hw.network_cycles import NetworkCycles
from quant.graph import QGraph
from reports.vendor.records import Resources, VendorModule, VendorReport

_RESOURCES = ("lut", "ff", "dsp", "bram18", "bram36", "uram")


_FIRST_CONFIG = 2
"""hls4ml numbers layers from 1, the input port; a layer's configuration carries its number."""


@dataclass(frozen=True, eq=False)
class PlannedIntervals:
    """What the plan says of the modules of a network.

    Attributes:
        network: Cycles per frame of the whole network in RTL.
        nodes: Per instance name in the generated top (``u_<node>``): the node and the cycles per
            frame of its cell alone.
        layers: The layers of the HLS project, in its order; empty when no report needs them.
    """

    network: int
    nodes: Mapping[str, tuple[str, int]]
    layers: tuple[Layer, ...] = ()

    def __post_init__(self) -> None:
        """Make the mapping read-only."""
        object.__setattr__(self, "nodes", MappingProxyType(dict(self.nodes)))

    def of(self, report: VendorReport, module: VendorModule) -> tuple[str, int] | None:
        """Return node or layer and planned interval of a module; the name is empty for the top."""
        top = module is report.modules[0]
        match report.kind:
            case "hls" if top:
                slowest = max((x.kernel.interval_cycles for x in self.layers), default=None)
                return None if slowest is None else ("", slowest)
            case "hls":
                return self._layer(module.name)
            case "utilization" | "timing":
                if top:
                    return "", self.network
                return self.nodes.get(module.name.removeprefix("u_network/"))
            case _:
                assert_never(report.kind)

    def _layer(self, module: str) -> tuple[str, int] | None:
        """Return the layer that is ``<function>_config<number>…``; its loops are no layers."""
        match = re.match(r"([a-z]\w*?)_(?:\w+_)?config(\d+)(_|$)", module)
        if match is None or "_Pipeline_" in module:
            return None
        index = int(match.group(2)) - _FIRST_CONFIG
        if not 0 <= index < len(self.layers):
            return None
        layer = self.layers[index]
        if layer.kernel.function.removeprefix("nf::") != match.group(1):
            return None
        return layer.name, layer.kernel.interval_cycles


def planned_intervals(
    graph: QGraph, cycles: NetworkCycles, layers: Sequence[Layer] = ()
) -> PlannedIntervals:
    """Return the planned intervals of ``graph`` by the names that RTL and HLS give the nodes.

    Args:
        graph: The network.
        cycles: Cycles of its RTL.
        layers: The layers of its HLS project.
    """
    stems = node_stems(graph)
    nodes = {f"u_{stems[name]}": (name, node.alone_cycles) for name, node in cycles.nodes.items()}
    return PlannedIntervals(cycles.interval_cycles, nodes, tuple(layers))


def vendor_tables(reports: Sequence[VendorReport], planned: PlannedIntervals) -> tuple[Table, ...]:
    """Return one table per report."""
    return tuple(_table(report, planned) for report in reports)


def vendor_json(reports: Sequence[VendorReport], planned: PlannedIntervals) -> list[dict[str, Any]]:
    """Return the reports as JSON values; each module has the node and the planned interval."""
    found = []
    for report in reports:
        values = asdict(report)
        for module, entry in zip(report.modules, values["modules"], strict=True):
            node, interval = planned.of(report, module) or (None, None)
            entry |= {"node": node, "planned_interval_cycles": interval}
        found.append(values)
    return found


def _table(report: VendorReport, planned: PlannedIntervals) -> Table:
    title = Text(f"{report.file}: {report.top} on {report.part}, {report.tool}")
    table = Table(title=title, box=None, pad_edge=False, caption=_caption(report))
    table.add_column("module", no_wrap=True, max_width=36)
    for name in (*(n.upper() for n in _RESOURCES), "latency", "interval", "planned"):
        table.add_column(name, no_wrap=True, justify="right")
    for module in report.modules:
        plan = planned.of(report, module)
        name = module.name if plan is None else plan[0] or module.name
        counts = [*_counts(module.resources), module.latency_cycles, module.interval_cycles]
        counts.append(None if plan is None else plan[1])
        table.add_row(Text(name), *("-" if n is None else f"{n:,}" for n in counts))
    return table


def _counts(resources: Resources | None) -> list[int | None]:
    if resources is None:
        return [None] * len(_RESOURCES)
    return [getattr(resources, name) for name in _RESOURCES]


def _caption(report: VendorReport) -> str:
    parts = []
    if report.period_ns is not None:
        parts.append(f"clock {report.period_ns:.3f} ns asked for")
    if report.reached_ns is not None:
        word = "estimated" if report.kind == "hls" else "reached"
        parts.append(f"{report.reached_ns:.3f} ns {word}")
    if report.wns_ns is not None:
        parts.append(f"WNS {report.wns_ns:.3f} ns")
    basis = "iterations at II=1" if report.kind == "hls" else "exact model of the cells"
    parts.append(f"cycles per frame; planned: {basis}; -: not known")
    return "; ".join(parts)
