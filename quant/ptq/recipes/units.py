# SPDX-License-Identifier: Apache-2.0
"""What is reconstructed at once, and by which errors: blocks, and a detector's head by task.

RepAPQ takes block after block. TASKQ does the same in the backbone; in neck and head its units also
answer for detections, and the head comes apart by scale and task (STAHQ): whatever reaches one
scale's box, objectness or class rows alone is one unit. A head of one shared 1x1 convolution per
scale is one such unit with an error per task: its filters, given their inputs, share nothing.

Source: RepAPQ, arXiv 2402.16121; TASKQ, ICRA 2026; see ``blockstages``.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import StrEnum

from quant.floatgraph import FloatUpsample
from quant.hostspec import HostSpec
from quant.ptq.recipes.blocks import Block, StepGraph, exits, rest_of_stage
from quant.ptq.recipes.blockstages import RepApq, TaskQ


class Task(StrEnum):
    """What rows of a detector's output say."""

    BOX = "box"
    OBJECTNESS = "objectness"
    CLASSES = "classes"


@dataclass(frozen=True)
class TaskRows:
    """Rows of one output tensor that serve one task.

    Attributes:
        task: The task.
        scale: Number of the scale.
        begin: First row of every anchor's.
        end: Row after the last.
        fields: Rows of an anchor in this tensor.
    """

    task: Task
    scale: int
    begin: int
    end: int
    fields: int


@dataclass(frozen=True)
class Unit:
    """What is reconstructed at once.

    Attributes:
        steps: Names of its steps, in graph order.
        sources: Steps outside that it reads, in graph order.
        outputs: Steps whose tensors leave it, in graph order.
        stage_rest: Later steps of its stage, up to ``stage_output``.
        stage_output: Output of its stage; the unit's own at the end of one.
        stage_weight: Weight of the stage's error beside the unit's own, 0..1.
        detects: Whether it answers for detections.
        tasks: Per output that is the head's own, its rows by task; others compare whole.
    """

    steps: tuple[str, ...]
    sources: tuple[str, ...]
    outputs: tuple[str, ...]
    stage_rest: tuple[str, ...]
    stage_output: str
    stage_weight: float
    detects: bool
    tasks: dict[str, tuple[TaskRows, ...]]

    @property
    def name(self) -> str:
        """Name of its last step, which no other unit has."""
        return self.steps[-1]


def units_of(
    lines: StepGraph, blocks: tuple[Block, ...], host: HostSpec, stage: RepApq | TaskQ
) -> tuple[Unit, ...]:
    """Return the units of a network in an order in which they can run.

    Args:
        lines: Of the network.
        blocks: Its blocks.
        host: Says what the outputs mean; its output names are those of float tensors.
        stage: Which method.
    """
    units = [_block_unit(blocks, block, stage) for block in blocks]
    if not isinstance(stage, TaskQ) or not host.finds_boxes:
        return tuple(units)
    name_of = {s.result: s.name for s in lines.steps.values()}
    rows = {name_of[t]: found for t, found in task_rows(lines, host).items()}
    reach = _reached(lines, rows)
    late = _late(lines)
    parted: dict[frozenset[tuple[int, Task]], list[Unit]] = {}
    found: list[Unit] = []
    for unit in units:
        reached = frozenset().union(*(reach[name] for name in unit.outputs))
        head = [name for name in unit.outputs if name in rows]
        unit = replace(
            unit,
            detects=stage.dtr and (bool(head) or not late.isdisjoint(unit.steps)),
            tasks={name: rows[name] for name in head} if stage.stahq else {},
        )
        if stage.stahq and _is_part(reached, rows.values()):
            parted.setdefault(reached, []).append(unit)
        else:
            found.append(unit)
    found += [_merged(lines, parts) for parts in parted.values()]
    return _runnable(lines, found)


def task_rows(lines: StepGraph, host: HostSpec) -> dict[str, tuple[TaskRows, ...]]:
    """Return the rows by task of every head output, by float tensor name.

    Args:
        lines: Of the network; gives channel counts.
        host: Decode kind, anchors, classes and outputs.
    """
    classes = len(host.class_names)
    box = (Task.BOX, 4)
    layout = (
        [(Task.CLASSES, classes), box]
        if host.decode == "yolov6"
        else [box, (Task.OBJECTNESS, 1), (Task.CLASSES, classes)]
    )
    shapes = {s.result: lines.shape[s.name] for s in lines.steps.values()}
    found: dict[str, tuple[TaskRows, ...]] = {}
    for scale, names in enumerate(host.outputs):
        before = 0
        for name in names:
            fields = shapes[name][0] // host.anchors_of(scale)
            parts, start = [], 0
            for task, count in layout:
                begin, end = max(start, before), min(start + count, before + fields)
                if begin < end:
                    parts.append(TaskRows(task, scale, begin - before, end - before, fields))
                start += count
            found[name] = tuple(parts)
            before += fields
    return found


def _block_unit(blocks: tuple[Block, ...], block: Block, stage: RepApq | TaskQ) -> Unit:
    last = next(b for b in blocks if b.stage == block.stage and b.place == block.length)
    weight = block.place / block.length if stage.stage_term else 0.0
    rest = rest_of_stage(blocks, block) if stage.stage_term else ()
    return Unit(block.steps, block.sources, (block.output,), rest, last.output, weight, False, {})


def _reached(
    lines: StepGraph, rows: dict[str, tuple[TaskRows, ...]]
) -> dict[str, frozenset[tuple[int, Task]]]:
    """Return, per step, the scales and tasks that it serves."""
    found: dict[str, frozenset[tuple[int, Task]]] = {}
    for name in reversed(list(lines.steps)):
        own = frozenset((r.scale, r.task) for r in rows.get(name, ()))
        found[name] = own.union(*(found[reader] for reader in lines.readers[name]))
    return found


def _late(lines: StepGraph) -> set[str]:
    """Return the steps of the neck: upsampling and all that comes behind it."""
    found: set[str] = set()
    for name, step in lines.steps.items():
        if isinstance(step.op, FloatUpsample) or not found.isdisjoint(lines.sources[name]):
            found.add(name)
    return found


def _is_part(reached: frozenset[tuple[int, Task]], rows: Collection[tuple[TaskRows, ...]]) -> bool:
    """Whether something serves one scale, and not all of its tasks."""
    scales = {scale for scale, _ in reached}
    if len(scales) != 1:
        return False
    everything = {r.task for parts in rows for r in parts if r.scale in scales}
    return {task for _, task in reached} < everything


def _runnable(lines: StepGraph, units: list[Unit]) -> tuple[Unit, ...]:
    """Return the units in an order in which what each reads is there."""
    left = sorted(units, key=lambda u: lines.place[u.outputs[-1]])
    made_by = {name: unit.name for unit in units for name in unit.steps}
    done: set[str] = set()
    order: list[Unit] = []
    while left:
        unit = next(u for u in left if all(made_by.get(s) in {None, *done} for s in u.sources))
        left.remove(unit)
        done.add(unit.name)
        order.append(unit)
    return tuple(order)


def _merged(lines: StepGraph, parts: list[Unit]) -> Unit:
    """Return one unit of several; what leaves it is compared, and no stage beyond it."""
    steps = lines.in_order(name for part in parts for name in part.steps)
    inside = set(steps)
    outputs = exits(lines, steps)
    return Unit(
        steps,
        lines.in_order(s for part in parts for s in part.sources if s not in inside),
        outputs,
        (),
        outputs[-1],
        0.0,
        any(part.detects for part in parts),
        {name: rows for part in parts for name, rows in part.tasks.items()},
    )
