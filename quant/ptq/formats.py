# SPDX-License-Identifier: Apache-2.0
"""One format per tensor: which tensors share one, and where a requantize node is needed instead.

Max pool, split and upsample keep their source's format; concat needs one format for all sources.
A source of a concat that has other readers and a much smaller range than its neighbours keeps its
own finer format and is requantized on the way into the concat; all others are retargeted.
"""

from dataclasses import dataclass, replace

from quant.floatgraph import FloatConcat, FloatGraph, FloatInput, FloatMaxPool, FloatSplit
from quant.floatgraph import FloatUpsample as FloatUp
from quant.formats import RowRange, TensorFormat
from quant.hostspec import HostSpec
from quant.ptq.calibrate import Statistics
from quant.ptq.observers import Observer, RealRange, uniform_grid
from quant.ptq.settings import QuantizeSettings
from quant.ptq.steps import Step

# A concat source keeps its own format when its range is below this share of the widest source.
OWN_FORMAT_SHARE = 0.5
TABLE_OUTPUT_BITS = 8


@dataclass(frozen=True)
class FormatPlan:
    """Formats of all tensors.

    Attributes:
        formats: By step name, the format of its output.
        requantized: Edges (source step, concat step) that need a requantize node.
        classes: Step names that share one format, in graph order; without the input's and those of
            outputs with row ranges.
        notes: Decisions in words.
    """

    formats: dict[str, TensorFormat]
    requantized: frozenset[tuple[str, str]]
    classes: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


def owner_steps(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Return the steps that choose their own format (all but input and format-keeping ones)."""
    keep = (FloatInput, FloatConcat, FloatMaxPool, FloatSplit, FloatUp)
    return tuple(s for s in steps if not isinstance(s.op, keep))


def row_stops_of(
    steps: tuple[Step, ...], host: HostSpec, graph: FloatGraph
) -> dict[str, tuple[int, ...]]:
    """Return, per head output, where its box, objectness and class rows end.

    Args:
        steps: The steps of the graph.
        host: Its ``decode`` tells the row layout; YOLOv5 and YOLOv7 heads repeat
            4 box rows, 1 objectness row and the class rows per anchor.
        graph: For channel counts.
    """
    if host.decode not in ("yolov5", "yolov7"):
        return {}
    stops: dict[str, tuple[int, ...]] = {}
    for step in owner_steps(steps):
        if not step.is_output or step.readers or step.activation is not None:
            continue
        channels = graph.shapes[step.result][0]
        row = 5 + len(host.class_names)
        if channels % row == 0:
            ends = [a * row + e for a in range(channels // row) for e in (4, 5, row)]
            stops[step.result] = tuple(dict.fromkeys(ends))
    return stops


def plan_formats(
    graph: FloatGraph,
    steps: tuple[Step, ...],
    statistics: Statistics,
    settings: QuantizeSettings,
    input_format: TensorFormat,
    row_stops: dict[str, tuple[int, ...]],
) -> FormatPlan:
    """Choose every tensor's format.

    Args:
        graph: The float network.
        steps: Its steps.
        statistics: Observed ranges.
        settings: Bits and range method.
        input_format: Format of the input codes, given by the host.
        row_stops: Head outputs with row ranges, by float tensor name.

    Returns:
        The plan.
    """
    by_result = {s.result: s for s in steps}
    stem = _stem_name(steps)
    bits = {
        s.name: _output_bits(s, settings)
        if s.is_output and not s.readers
        else settings.act_bits_of(s.name, stem=s.name == stem)
        for s in owner_steps(steps)
    }
    ranges = {
        s.name: statistics.observers[s.result].real_range(
            settings.range_method, bits[s.name], settings.percentile
        )
        for s in owner_steps(steps)
        if s.result in statistics.observers
    }
    classes = _Classes()
    requantized: set[tuple[str, str]] = set()
    notes: list[str] = []
    for step in steps:
        op = step.op
        if isinstance(op, FloatMaxPool | FloatSplit | FloatUp):
            classes.tie(step.name, by_result[op.source].name)
        elif isinstance(op, FloatConcat):
            sources = list(dict.fromkeys(by_result[name].name for name in op.sources))
            cut = _concat_cuts(sources, classes, ranges, bits, {s.name: s for s in steps})
            for source in sources:
                if source in cut:
                    requantized.add((source, step.name))
                    notes.append(
                        f"'{step.name}': '{source}' keeps its own format and is requantized"
                    )
                else:
                    classes.tie(step.name, source)
    formats, shared = _class_formats(graph, steps, classes, ranges, bits, input_format, notes)
    for result, stops in row_stops.items():
        step = by_result[result]
        formats[step.name] = _row_format(stops, statistics.rows[result], settings)
    return FormatPlan(formats, frozenset(requantized), shared, tuple(notes))


def format_of(real: RealRange, bits: int, channels: int) -> TensorFormat:
    """Return the plain format whose codes cover ``real`` (0 is a code).

    Args:
        real: Range to cover; an empty one gives unit steps over 0..1.
        bits: Bits of the codes.
        channels: Channels of the tensor.
    """
    scale, zero = uniform_grid(real, bits)
    return TensorFormat.plain(bits, scale, zero, channels)


def merged_rows(plan: FormatPlan) -> FormatPlan:
    """Return the plan with one range for all rows of a head output, as wide as the widest need.

    Args:
        plan: Its outputs may have row ranges.
    """
    formats = dict(plan.formats)
    for name, fmt in plan.formats.items():
        if not fmt.uniform:
            top = (1 << fmt.bits) - 1
            low = min(-r.zero_point * r.scale for r in fmt.ranges)
            high = max((top - r.zero_point) * r.scale for r in fmt.ranges)
            formats[name] = format_of(RealRange(low, high), fmt.bits, fmt.channels)
    return replace(plan, formats=formats)


class _Classes:
    """Union-find over step names; ties are transitive."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def root(self, name: str) -> str:
        while self._parent.get(name, name) != name:
            name = self._parent[name]
        return name

    def tie(self, a: str, b: str) -> None:
        self._parent[self.root(a)] = self.root(b)

    def members(self, name: str, names: list[str]) -> list[str]:
        root = self.root(name)
        return [n for n in names if self.root(n) == root]


def _output_bits(step: Step, settings: QuantizeSettings) -> int:
    """Return the bits of a graph output; a table would grow with every bit, so it has at most 8."""
    return (
        min(settings.output_bits, TABLE_OUTPUT_BITS) if step.needs_table else settings.output_bits
    )


def _stem_name(steps: tuple[Step, ...]) -> str:
    return next((s.name for s in owner_steps(steps)), "")


def _concat_cuts(
    sources: list[str],
    classes: _Classes,
    ranges: dict[str, RealRange],
    bits: dict[str, int],
    steps: dict[str, Step],
) -> set[str]:
    """Return the sources that keep their own format before a concat."""
    owners = list(ranges)
    widths: dict[str, float] = {}
    source_bits: dict[str, int] = {}
    for source in sources:
        members = classes.members(source, owners)
        widths[source] = max((ranges[m].width for m in members), default=0.0)
        source_bits[source] = max((bits[m] for m in members), default=8)
    widest, most_bits = max(widths.values()), max(source_bits.values())
    cut = set()
    for source in sources:
        if not classes.members(source, owners):  # the network's own input keeps its bytes
            cut.add(source)
            continue
        differs = widths[source] < OWN_FORMAT_SHARE * widest or source_bits[source] != most_bits
        if differs and steps[source].readers > 1:
            cut.add(source)
    if len(cut) == len(sources):
        cut.discard(max(sources, key=lambda s: (widths[s], source_bits[s])))
    return cut


def _class_formats(
    graph: FloatGraph,
    steps: tuple[Step, ...],
    classes: _Classes,
    ranges: dict[str, RealRange],
    bits: dict[str, int],
    input_format: TensorFormat,
    notes: list[str],
) -> tuple[dict[str, TensorFormat], tuple[tuple[str, ...], ...]]:
    """Return every tensor's format, and the names that share one."""
    owners = list(ranges)
    inputs = [s.name for s in steps if isinstance(s.op, FloatInput)]
    formats: dict[str, TensorFormat] = {}
    shared: dict[str, list[str]] = {}
    for step in steps:
        channels = graph.shapes[step.result][0]
        members = classes.members(step.name, owners)
        if classes.root(step.name) in {classes.root(i) for i in inputs}:
            formats[step.name] = input_format.with_channels(channels)
            continue
        if not members:
            continue  # a head with row ranges: filled in by the caller
        real = ranges[members[0]]
        for member in members[1:]:
            real = real.union(ranges[member])
        class_bits = max(bits[m] for m in members)
        formats[step.name] = format_of(real, class_bits, channels)
        shared.setdefault(classes.root(step.name), []).append(step.name)
        if len(members) > 1 and step.name == members[0]:
            notes.append(f"{len(members)} tensors share one format: {', '.join(members)}")
    return formats, tuple(tuple(names) for names in shared.values())


def _row_format(
    stops: tuple[int, ...], observers: tuple[Observer, ...], settings: QuantizeSettings
) -> TensorFormat:
    ranges = []
    for stop, observer in zip(stops, observers, strict=True):
        scale, zero = uniform_grid(observer.extremes, settings.output_bits)
        ranges.append(RowRange(stop, scale, zero))
    return TensorFormat(settings.output_bits, tuple(ranges))
