# SPDX-License-Identifier: Apache-2.0
"""Blocks and stages of a network, found by its structure alone.

A block is what calibration reconstructs at once: everything between a tensor that forks and the
tensor where all its ways meet again (a residual unit, C3, ELAN, SPPF, SPPCSPC), with the layer that
reads a concatenation there; a depthwise convolution with the pointwise one behind it; any other
layer alone. So RepVGG and MobileOne come apart into their merged blocks, YOLOv5, v6, v7 and YOLOX
into the modules of their papers. Every block has one output.

A stage is a chain of blocks at one resolution: each reads the one before and nothing else, and
nothing else reads that one. A change of stride, a merge of the neck and a tensor with further
readers begin a new stage.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from quant.floatgraph import (
    FloatConcat,
    FloatConv,
    FloatGraph,
    FloatInput,
    FloatLinear,
    FloatUpsample,
    float_sources_of,
)
from quant.ptq.steps import Step

# The way out of the network: what every output runs into.
_OUT = ""


@dataclass(frozen=True)
class Block:
    """A part of the network that is reconstructed at once.

    Attributes:
        steps: Names of its steps, in graph order.
        sources: Steps outside that it reads, in graph order.
        output: The step whose tensor leaves it.
        stage: Number of its stage.
        place: Its place in the stage, from 1.
        length: Blocks of the stage.
    """

    steps: tuple[str, ...]
    sources: tuple[str, ...]
    output: str
    stage: int
    place: int
    length: int


class StepGraph:
    """Who reads whom among the steps of a network."""

    def __init__(self, graph: FloatGraph, steps: tuple[Step, ...]) -> None:
        """Read the steps.

        Args:
            graph: The float network; gives shapes.
            steps: Its steps.
        """
        name_of = {s.result: s.name for s in steps}
        self.steps = {s.name: s for s in steps}
        self.place = {s.name: number for number, s in enumerate(steps)}
        self.shape = {s.name: graph.shapes[s.result] for s in steps}
        self.sources = {s.name: tuple(name_of[t] for t in float_sources_of(s.op)) for s in steps}
        readers: dict[str, list[str]] = {s.name: [] for s in steps}
        for name, sources in self.sources.items():
            for source in dict.fromkeys(sources):
                readers[source].append(name)
        self.readers = {name: tuple(found) for name, found in readers.items()}

    def is_layer(self, name: str) -> bool:
        """Whether a step has weights."""
        return isinstance(self.steps[name].op, FloatConv | FloatLinear)

    def in_order(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return the names in graph order, each once."""
        return tuple(sorted(set(names), key=self.place.__getitem__))

    def meetings(self) -> dict[str, str]:
        """Return, per step, the step that every way from it to an output passes first.

        It is the immediate post-dominator; the empty name where there is none.
        """
        order = list(self.steps)
        depth = {_OUT: 0}
        found: dict[str, str] = {}
        for name in reversed(order):
            ways = [*self.readers[name], *([_OUT] if self.steps[name].is_output else [])] or [_OUT]
            meeting = ways[0]
            for other in ways[1:]:
                while meeting != other:
                    if depth[meeting] >= depth[other]:
                        meeting = found[meeting]
                    else:
                        other = found[other]
            found[name] = meeting
            depth[name] = depth[meeting] + 1
        return found


def find_blocks(graph: FloatGraph, steps: tuple[Step, ...]) -> tuple[Block, ...]:
    """Return the blocks of a network in an order in which they can run.

    Args:
        graph: The float network.
        steps: Its steps; every one but the input is in exactly one block.
    """
    lines = StepGraph(graph, steps)
    block_of: dict[str, int] = {}
    groups: list[list[str]] = []

    def make(names: Iterable[str]) -> None:
        block_of.update(dict.fromkeys(names, len(groups)))
        groups.append(list(names))

    for region in _regions(lines):
        if not any(name in block_of for name in region):
            make(region)
    for add in (_closing, _opening):
        for number, names in enumerate(groups):
            name = add(lines, names)
            if name is not None and name not in block_of:
                names.append(name)
                block_of[name] = number
    for name in lines.steps:
        if name not in block_of and lines.is_layer(name):
            make(_with_pointwise(lines, name, block_of))
    for name in reversed(lines.steps):  # steps without weights go where they are read
        if name in block_of or isinstance(lines.steps[name].op, FloatInput):
            continue
        readers = {block_of[r] for r in lines.readers[name]}
        if len(readers) == 1 and not lines.steps[name].is_output:
            number = readers.pop()
            block_of[name] = number
            groups[number].append(name)
        else:
            make([name])
    return staged(lines, [lines.in_order(names) for names in groups])


def staged(lines: StepGraph, groups: list[tuple[str, ...]]) -> tuple[Block, ...]:
    """Return groups of steps as blocks, in an order in which they can run, with their stages.

    Args:
        lines: Of the network.
        groups: Steps of every block, in graph order, with one output each.
    """
    made = sorted((_bare(lines, names) for names in groups), key=lambda b: lines.place[b.output])
    by_output = {block.output: block for block in made}
    readers: dict[str, int] = {}
    for block in made:
        for source in block.sources:
            readers[source] = readers.get(source, 0) + 1
    chains: list[list[Block]] = []
    chain_of: dict[str, list[Block]] = {}
    for block in made:
        before = by_output.get(block.sources[0]) if len(block.sources) == 1 else None
        follows = (
            before is not None
            and readers[before.output] == 1
            and not lines.steps[before.output].is_output
            and lines.shape[before.output][1:] == lines.shape[block.output][1:]
        )
        chain = chain_of[before.output] if before is not None and follows else []
        if not chain:
            chains.append(chain)
        chain.append(block)
        chain_of[block.output] = chain
    place = {
        block.output: (number, index + 1, len(chain))
        for number, chain in enumerate(chains)
        for index, block in enumerate(chain)
    }
    return tuple(Block(b.steps, b.sources, b.output, *place[b.output]) for b in made)


def rest_of_stage(blocks: tuple[Block, ...], block: Block) -> tuple[str, ...]:
    """Return the steps of the later blocks of a block's stage, in an order in which they run."""
    later = [b for b in blocks if b.stage == block.stage and b.place > block.place]
    return tuple(name for b in sorted(later, key=lambda b: b.place) for name in b.steps)


def _bare(lines: StepGraph, names: tuple[str, ...]) -> Block:
    inside = set(names)
    sources = lines.in_order(s for n in names for s in lines.sources[n] if s not in inside)
    return Block(names, sources, exits(lines, names)[0], 0, 1, 1)


def exits(lines: StepGraph, names: Iterable[str]) -> tuple[str, ...]:
    """Return the steps of a group whose tensors leave it, in graph order."""
    inside = set(names)
    return tuple(
        name
        for name in lines.in_order(inside)
        if lines.steps[name].is_output or any(r not in inside for r in lines.readers[name])
    )


def _regions(lines: StepGraph) -> list[tuple[str, ...]]:
    """Return what lies between forks and their meetings, the meeting included, largest first."""
    meetings = lines.meetings()
    found = []
    for fork, readers in lines.readers.items():
        meeting = meetings[fork]
        if len(readers) < 2 or meeting == _OUT:
            continue
        region = _between(lines, readers, meeting)
        # A way down and up again is the network's own shape, no block of it.
        if not any(isinstance(lines.steps[name].op, FloatUpsample) for name in region):
            found.append(lines.in_order(region))
    return sorted(found, key=lambda region: (-len(region), lines.place[region[0]]))


def _between(lines: StepGraph, begin: Iterable[str], end: str) -> set[str]:
    reached, left = {end}, list(begin)
    while left:
        name = left.pop()
        if name not in reached:
            reached.add(name)
            left.extend(lines.readers[name])
    return reached


def _closing(lines: StepGraph, names: list[str]) -> str | None:
    """Return the layer that alone reads the concatenation at a block's end."""
    readers = lines.readers[names[-1]]
    concat = isinstance(lines.steps[names[-1]].op, FloatConcat) and len(readers) == 1
    return readers[0] if concat and lines.is_layer(readers[0]) else None


def _opening(lines: StepGraph, names: list[str]) -> str | None:
    """Return the 1x1 convolution to fewer channels that a block forks from."""
    inside = set(names)
    sources = {s for name in names for s in lines.sources[name]} - inside
    opening = sources.pop() if len(sources) == 1 else ""
    op = lines.steps[opening].op if opening else None
    return opening if isinstance(op, FloatConv) and _narrows(op) else None


def _narrows(op: FloatConv) -> bool:
    filters, channels, height, width = op.weight.shape
    return op.groups == 1 and (height, width) == (1, 1) and filters < channels


def _with_pointwise(lines: StepGraph, name: str, block_of: Mapping[str, int]) -> tuple[str, ...]:
    """Return a layer, and behind a depthwise convolution the pointwise one that alone reads it."""
    op, readers = lines.steps[name].op, lines.readers[name]
    depthwise = isinstance(op, FloatConv) and op.groups > 1 and op.weight.shape[1] == 1
    if not depthwise or len(readers) != 1 or lines.steps[name].is_output:
        return (name,)
    follow = lines.steps[readers[0]].op
    pointwise = (
        isinstance(follow, FloatConv)
        and follow.groups == 1
        and follow.weight.shape[2:] == (1, 1)
        and readers[0] not in block_of
    )
    return (name, readers[0]) if pointwise else (name,)
