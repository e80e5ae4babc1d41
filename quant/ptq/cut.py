# SPDX-License-Identifier: Apache-2.0
"""Finds where the integer graph ends: everything before the detection head's decoding.

The integer region is every operation whose ancestors are all supported. It may end by itself only
where nothing trained lies behind; otherwise the operation that blocks is an error.
"""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from quant.errors import UnsupportedLayerError
from quant.floatgraph import FloatActivation, FloatConcat, FloatInput
from quant.hostspec import HostSpec
from quant.ptq.draft import (
    Blocked,
    DraftConv,
    DraftLinear,
    DraftNorm,
    Step,
    Unsupported,
    step_sources,
)
from quant.ptq.scales import MismatchedScaleError, by_stride
from quant.ptq.translate import Translation


@dataclass(frozen=True)
class Ending:
    """Where the integer graph ends.

    Attributes:
        output: Tensor that leaves.
        reason: Why it ends there.
    """

    output: str
    reason: str


@dataclass(frozen=True)
class Cut:
    """The integer region's border.

    Attributes:
        scales: Per output scale (or per output, without a detector), the tensors that leave.
        endings: One per tensor that leaves, in the same order.
        unsupported: What blocks: unsupported and something trained depends on it, or outputs that
            do not match the detector.
    """

    scales: tuple[tuple[str, ...], ...]
    endings: tuple[Ending, ...]
    unsupported: tuple[Unsupported, ...]

    @property
    def outputs(self) -> tuple[str, ...]:
        """All tensors that leave, in port order."""
        return tuple(name for scale in self.scales for name in scale)


def find_cut(
    translation: Translation, host: HostSpec, outputs: tuple[str, ...] | None = None
) -> Cut:
    """Find the outputs of the integer graph.

    Args:
        translation: All steps of the network.
        host: Decode kind and strides; a detector's outputs are ordered by its strides.
        outputs: Names that the user chose: operations, or modules (their result).

    Returns:
        The cut. With ``unsupported`` not empty it is only where the region would end.

    Raises:
        UnsupportedLayerError: A chosen name does not exist.
    """
    if outputs is not None:
        return _chosen_cut(translation, host, outputs)
    steps = {s.name: s for s in translation.steps}
    needed = ancestors(steps, translation.returned)
    inside = _inside(translation.steps)
    unsupported = _blocking(translation.steps, needed, inside)
    readers: dict[str, list[Step]] = {name: [] for name in steps}
    for step in translation.steps:
        if step.name in needed:
            for source in dict.fromkeys(step_sources(step)):
                readers[source].append(step)
    frontier: list[str] = []
    reasons: dict[str, str] = {}
    for step in translation.steps:
        outer = [r for r in readers[step.name] if r.name not in inside]
        leaves = outer or step.name in translation.returned
        if step.name not in needed & inside or not leaves or isinstance(step, FloatInput):
            continue
        frontier.append(step.name)
        reasons[step.name] = _reason(outer)
    # What forward returns comes in its own order.
    order = {name: i for i, name in enumerate(translation.returned)}
    frontier.sort(key=lambda name: order.get(name, len(order)))
    if not frontier and not unsupported:
        unsupported = (_no_region(translation),)
    parts: list[tuple[str, ...]] = [(name,) for name in frontier]
    if host.finds_boxes:
        parts = [_peel(name, steps, readers, inside) for name in frontier]
        for name, part in zip(frontier, parts, strict=True):
            reasons.update(dict.fromkeys(part, reasons[name]))
    return _ordered(parts, translation, host, reasons, unsupported)


def ancestors(steps: dict[str, Step], names: Sequence[str]) -> set[str]:
    """Return ``names`` and everything that they are computed from."""
    found: set[str] = set()
    stack = list(names)
    while stack:
        name = stack.pop()
        if name not in found:
            found.add(name)
            stack.extend(step_sources(steps[name]))
    return found


def _chosen_cut(translation: Translation, host: HostSpec, outputs: tuple[str, ...]) -> Cut:
    steps = {s.name: s for s in translation.steps}
    names = [_resolve(name, steps, translation) for name in outputs]
    repeated = [n for i, n in enumerate(names) if n in names[:i]]
    if repeated or not names:
        raise UnsupportedLayerError(
            f"--outputs names '{repeated[0]}' twice; name every output once"
            if repeated
            else "--outputs is empty; name at least one operation"
        )
    needed = ancestors(steps, names)
    blocked = tuple(
        s.problem for s in translation.steps if isinstance(s, Blocked) and s.name in needed
    )
    parts = [tuple(names)] if host.finds_boxes else [(name,) for name in names]
    return _ordered(
        parts, translation, host, dict.fromkeys(names, "chosen with --outputs"), blocked
    )


def _resolve(name: str, steps: dict[str, Step], translation: Translation) -> str:
    found = name if name in steps else translation.modules.get(name)
    if found is not None and not isinstance(steps[found], FloatInput):
        return found
    known = list(dict.fromkeys([*steps, *translation.modules]))
    near = difflib.get_close_matches(name, known, n=5, cutoff=0.5)
    near += [k for k in known if name in k and k not in near][: 5 - len(near)]
    raise UnsupportedLayerError(
        f"--outputs names '{name}', which is no operation of the network; near it: "
        f"{', '.join(near) or ', '.join(known[-5:])}"
    )


def _inside(steps: Sequence[Step]) -> set[str]:
    inside: set[str] = set()
    for step in steps:
        if not isinstance(step, Blocked) and inside.issuperset(step_sources(step)):
            inside.add(step.name)
    return inside


def _blocking(steps: Sequence[Step], needed: set[str], inside: set[str]) -> tuple[Unsupported, ...]:
    """Return the unsupported steps that are trained themselves or feed something trained."""
    trained_behind: set[str] = set()
    found: list[Unsupported] = []
    trained_later = False
    for step in reversed(steps):
        trained = isinstance(step, DraftConv | DraftLinear | DraftNorm) or (
            isinstance(step, Blocked) and step.parameterised
        )
        relevant = step.name in needed
        if isinstance(step, Blocked) and step.steers and trained_later:
            found.append(
                Unsupported(
                    step.name,
                    step.problem.kind,
                    f"turns tensor values into Python numbers ({step.problem.kind}) before the "
                    "last trained layer; nibbleflow builds a fixed graph",
                    "remove the branch that depends on the image",
                )
            )
        if relevant and (trained or step.name in trained_behind):
            trained_behind.update(step_sources(step))
            trained_later = trained_later or trained
            if isinstance(step, Blocked):
                found.append(step.problem)
    return tuple(reversed(found))


def _reason(outer: list[Step]) -> str:
    if not outer:
        return "forward returns it"
    first = outer[0]
    if isinstance(first, Blocked):
        return f"'{first.name}' {first.problem.reason.split(';')[0]}"
    return f"'{first.name}' also reads what the integer graph has no meaning for"


def _peel(
    name: str, steps: dict[str, Step], readers: dict[str, list[Step]], inside: set[str]
) -> tuple[str, ...]:
    """Walk from a border tensor back over the decode's own sigmoid and concat.

    The sigmoid of a head is applied by the decoder on the host, and parts that are joined only to
    be decoded keep their own scales when they leave apart.
    """
    step = steps[name]
    if any(r.name in inside for r in readers[name]):
        return (name,)
    if isinstance(step, FloatActivation) and step.kind == "sigmoid":
        return _peel_below(step.source, name, steps, readers, inside)
    if isinstance(step, FloatConcat) and len(set(step.sources)) == len(step.sources):
        parts = [_peel_below(s, name, steps, readers, inside) for s in step.sources]
        return tuple(n for part in parts for n in part)
    return (name,)


def _peel_below(
    source: str,
    reader: str,
    steps: dict[str, Step],
    readers: dict[str, list[Step]],
    inside: set[str],
) -> tuple[str, ...]:
    rest = {**readers, source: [r for r in readers[source] if r.name != reader]}
    return _peel(source, steps, rest, inside)


def _no_region(translation: Translation) -> Unsupported:
    for step in translation.steps:
        if isinstance(step, Blocked):
            return step.problem
    name = translation.steps[0].name
    return Unsupported(name, "input", "is returned as it came", "give a network that computes")


def _ordered(
    parts: Sequence[tuple[str, ...]],
    translation: Translation,
    host: HostSpec,
    reasons: dict[str, str],
    unsupported: tuple[Unsupported, ...],
) -> Cut:
    """Return the cut with the outputs of a detector in the order of its strides."""
    scales = tuple(parts)
    if host.finds_boxes and not unsupported:
        try:
            scales = by_stride(parts, translation, host)
        except MismatchedScaleError as error:
            unsupported = (error.problem,)
    endings = tuple(Ending(n, reasons[n]) for scale in scales for n in scale)
    return Cut(scales, endings, unsupported)
