# SPDX-License-Identifier: Apache-2.0
"""Fuses batch normalisation and parallel linear branches into single convolutions, in float64.

The convolution behind a Focus layer absorbs it.

Found by structure, not by class name: a sum of convolutions or normalisations of one tensor is one
convolution, whatever the block is called (RepVGG, MobileOne, YOLOv7's RepConv, ACNet).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from quant.floatgraph import FloatAdd, FloatConcat, FloatConv, FloatLinear, FloatOp
from quant.ptq.draft import Draft, DraftConv, DraftLinear, DraftNorm, DraftPhase, step_sources
from quant.ptq.renamed import with_sources


@dataclass(frozen=True, eq=False)
class Fused:
    """The fused operations.

    Attributes:
        ops: In topological order.
        renamed: Final tensor of every draft tensor that still exists in some form.
    """

    ops: tuple[FloatOp, ...]
    renamed: dict[str, str]


def fuse(drafts: Sequence[Draft], outputs: Sequence[str]) -> Fused:
    """Fuse everything that can be; what remains of a normalisation is a 1x1 depthwise convolution.

    Args:
        drafts: Operations in topological order, all needed by an output.
        outputs: Draft tensors that leave.

    Returns:
        The operations of the float graph, float32.
    """
    work = _Work(drafts, outputs)
    for draft in drafts:
        if isinstance(draft, DraftNorm):
            work.fold_norm(draft.name)
        elif isinstance(draft, FloatAdd):
            work.fold_sum(draft.name)
        elif isinstance(draft, FloatConcat):
            work.fold_focus(draft.name)
    ops = tuple(_finished(d) for d in work.drafts.values())
    return Fused(ops, {d.name: work.final(d.name) for d in drafts})


class _Work:
    """Draft operations while they are being replaced."""

    def __init__(self, drafts: Sequence[Draft], outputs: Sequence[str]) -> None:
        self.drafts: dict[str, Draft] = {d.name: d for d in drafts}
        self._outputs = list(outputs)
        self._alias: dict[str, str] = {}

    def final(self, name: str) -> str:
        while name in self._alias:
            name = self._alias[name]
        return name

    def fold_norm(self, name: str) -> None:
        """Fold a normalisation into the layer before it, where nothing else reads that layer."""
        norm = self.drafts[name]
        layer = self.drafts[norm.source] if isinstance(norm, DraftNorm) else None
        if not isinstance(norm, DraftNorm) or not isinstance(layer, DraftConv | DraftLinear):
            return
        if not self._only_reader(layer.name):
            return
        gain = norm.gain.reshape(-1, *(1,) * (layer.weight.ndim - 1))
        folded = replace(
            layer, weight=layer.weight * gain, bias=layer.bias * norm.gain + norm.offset
        )
        self._replace((layer.name,), name, folded)

    def fold_sum(self, name: str) -> None:
        """Replace a sum of two parallel linear branches of one tensor by one convolution."""
        add = self.drafts[name]
        if not isinstance(add, FloatAdd) or add.sources[0] == add.sources[1]:
            return
        branches = [self.drafts[s] for s in add.sources]
        if not all(self._only_reader(b.name) for b in branches):
            return
        first, second = branches
        if not isinstance(first, DraftConv | DraftNorm) or not isinstance(
            second, DraftConv | DraftNorm
        ):
            return
        if first.source != second.source:
            return
        merged = _merged(first, second)
        if merged is not None:
            self._replace((first.name, second.name), name, merged)

    def fold_focus(self, name: str) -> None:
        """Fold a concat of pixel phases into the convolution behind it (a Focus layer)."""
        concat = self.drafts[name]
        if not isinstance(concat, FloatConcat) or not self._only_reader(name):
            return
        phases = [d for d in (self.drafts[s] for s in concat.sources) if isinstance(d, DraftPhase)]
        conv = next((d for d in self.drafts.values() if name in step_sources(d)), None)
        if len(phases) != len(concat.sources) or not isinstance(conv, DraftConv):
            return
        if conv.groups != 1 or not all(self._only_reader(p.name) for p in phases):
            return
        if len({(p.source, p.step) for p in phases}) == 1:
            merged = _over_phases(conv, phases)
            self._replace((*(p.name for p in phases), name), conv.name, merged)

    def _only_reader(self, name: str) -> bool:
        reads = sum(step_sources(d).count(name) for d in self.drafts.values())
        return reads + [self.final(o) for o in self._outputs].count(name) == 1

    def _replace(self, old: tuple[str, ...], position: str, new: Draft) -> None:
        """Put ``new`` where ``position`` stood, without the ``old`` operations before it."""
        result: dict[str, Draft] = {}
        for draft in self.drafts.values():
            if draft.name == position:
                result[new.name] = new
            elif draft.name not in old:
                sources = step_sources(draft)
                if position in sources:
                    changed = tuple(new.name if s == position else s for s in sources)
                    draft = with_sources(draft, changed)
                result[draft.name] = draft
        self.drafts = result
        for name in (*old, position):
            if name != new.name:
                self._alias[name] = new.name


def _merged(first: DraftConv | DraftNorm, second: DraftConv | DraftNorm) -> DraftConv | None:
    """Return the one convolution that equals the sum, or ``None`` where there is none."""
    groups = next((b.groups for b in (first, second) if isinstance(b, DraftConv)), None)
    a = _as_conv(first, groups)
    b = _as_conv(second, groups)
    if a is None or b is None or a.stride != b.stride or a.groups != b.groups:
        return None
    if a.weight.shape[:2] != b.weight.shape[:2]:
        return None
    pads = tuple(max(p, q) for p, q in zip(a.padding, b.padding, strict=True))
    kernel = [_span(c, pads) for c in (a, b)]
    sizes = [c.weight.shape[2:] for c in (a, b)]
    largest = tuple(max(s[axis] for s in sizes) for axis in (0, 1))
    # Both kernels, shifted by their padding, must cover the same window, no larger than the larger.
    if kernel[0] != kernel[1] or kernel[0] != largest:
        return None
    weight = np.zeros((*a.weight.shape[:2], *largest))
    for conv in (a, b):
        top, left = pads[0] - conv.padding[0], pads[1] - conv.padding[1]
        height, width = conv.weight.shape[2:]
        weight[:, :, top : top + height, left : left + width] += conv.weight
    named = a if sizes[0] >= sizes[1] else b
    return replace(
        named, weight=weight, bias=a.bias + b.bias, padding=(pads[0], pads[1], pads[2], pads[3])
    )


def _over_phases(conv: DraftConv, phases: Sequence[DraftPhase]) -> DraftConv:
    """Return the convolution of the full image that equals ``conv`` of its phases side by side."""
    step, channels = phases[0].step, phases[0].channels
    filters, _, height, width = conv.weight.shape
    weight = np.zeros((filters, channels, height * step, width * step))
    for index, phase in enumerate(phases):
        part = conv.weight[:, index * channels : (index + 1) * channels]
        weight[:, :, phase.row :: step, phase.column :: step] += part
    top, left, bottom, right = (step * p for p in conv.padding)
    return replace(
        conv,
        source=phases[0].source,
        weight=weight,
        stride=(step * conv.stride[0], step * conv.stride[1]),
        padding=(top, left, bottom, right),
    )


def _phase_conv(phase: DraftPhase) -> DraftConv:
    """Return a phase that nothing absorbed as a depthwise convolution with a single one."""
    weight = np.zeros((phase.channels, 1, phase.step, phase.step))
    weight[:, 0, phase.row, phase.column] = 1.0
    bias = np.zeros(phase.channels)
    stride = (phase.step, phase.step)
    return DraftConv(phase.name, phase.source, weight, bias, stride, (0, 0, 0, 0), phase.channels)


def _span(conv: DraftConv, pads: tuple[int, ...]) -> tuple[int, int]:
    """Return the window that ``conv`` covers once its padding is raised to ``pads``."""
    height, width = conv.weight.shape[2:]
    grow = [p - q for p, q in zip(pads, conv.padding, strict=True)]
    return height + grow[0] + grow[2], width + grow[1] + grow[3]


def _as_conv(branch: DraftConv | DraftNorm, groups: int | None) -> DraftConv | None:
    """Return a branch as a convolution of ``groups`` groups (depthwise where free)."""
    if isinstance(branch, DraftConv):
        return branch
    channels = len(branch.gain)
    parts = channels if groups is None else groups
    if channels % parts:
        return None
    per_group = channels // parts
    weight = np.zeros((channels, per_group, 1, 1))
    index = np.arange(channels)
    weight[index, index % per_group, 0, 0] = branch.gain
    return DraftConv(branch.name, branch.source, weight, branch.offset, (1, 1), (0, 0, 0, 0), parts)


def _finished(draft: Draft) -> FloatOp:
    """Return the float32 operation of a draft."""
    if isinstance(draft, DraftNorm):
        draft = _depthwise(draft)
    if isinstance(draft, DraftPhase):
        draft = _phase_conv(draft)
    if isinstance(draft, DraftConv):
        return FloatConv(
            draft.name,
            draft.source,
            draft.weight.astype(np.float32),
            draft.bias.astype(np.float32),
            draft.stride,
            draft.padding,
            draft.groups,
        )
    if isinstance(draft, DraftLinear):
        return FloatLinear(
            draft.name,
            draft.source,
            draft.weight.astype(np.float32),
            draft.bias.astype(np.float32),
        )
    return draft


def _depthwise(norm: DraftNorm) -> DraftConv:
    gain = norm.gain.reshape(-1, 1, 1, 1)
    return DraftConv(
        norm.name, norm.source, gain, norm.offset, (1, 1), (0, 0, 0, 0), len(norm.gain)
    )
