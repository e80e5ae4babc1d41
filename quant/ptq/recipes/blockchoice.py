# SPDX-License-Identifier: Apache-2.0
"""Blocks that the user names instead of those found: where each ends, in words or in a file.

A block holds everything that its end needs and no earlier block has; outputs of the network end
blocks too. A file is TOML with one key::

    ends = ["model.4.cv3.conv", "model.9.cv2.conv"]
"""

import difflib
import tomllib
from pathlib import Path
from typing import Any

from quant.errors import InputFileError, QuantizationError
from quant.floatgraph import FloatGraph, FloatInput
from quant.ptq.recipes.blocks import Block, StepGraph, exits, find_blocks, staged
from quant.ptq.steps import Step

NEAR = 5


def chosen_blocks(
    graph: FloatGraph, steps: tuple[Step, ...], choice: str | None
) -> tuple[Block, ...]:
    """Return the blocks that the user chose, or those found by structure.

    Args:
        graph: The float network.
        steps: Its steps.
        choice: Names of steps, separated by commas, at which blocks end; or a TOML file; or
            ``None``.

    Raises:
        InputFileError: The file cannot be read or is not of the form.
        QuantizationError: A name is unknown or named twice, or a block has two ways out.
    """
    if choice is None:
        return find_blocks(graph, steps)
    lines = StepGraph(graph, steps)
    inputs = {s.name for s in steps if isinstance(s.op, FloatInput)}
    ends: list[str] = []
    for name in _ends_of(choice):
        if name not in lines.steps or name in inputs:
            raise QuantizationError(f"--blocks: no layer '{name}'; near: {_near(lines, name)}")
        if name in ends:
            raise QuantizationError(f"--blocks: '{name}' is named twice; a block ends there once")
        ends.append(name)
    outputs = [s.name for s in steps if s.is_output]
    taken = set(inputs)
    groups: list[tuple[str, ...]] = []
    for end in lines.in_order([*ends, *outputs]):
        names = lines.in_order(_needs(lines, end, taken))
        taken.update(names)
        groups.append(names)
    for names in groups:
        _check_ways_out(lines, names)
    return staged(lines, groups)


def _ends_of(choice: str) -> list[str]:
    if not choice.endswith(".toml"):
        names = [name.strip() for name in choice.split(",")]
        if not all(names):
            raise QuantizationError(
                f"--blocks '{choice}' has an empty name; write names with commas between them, or "
                "name a .toml file"
            )
        return names
    path = Path(choice)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputFileError(f"--blocks {path} cannot be read as TOML: {error}") from None
    ends: Any = content.get("ends")
    named = isinstance(ends, list) and bool(ends) and all(isinstance(e, str) for e in ends)
    if set(content) != {"ends"} or not named:
        raise InputFileError(f"--blocks {path} must hold ends = [names of layers], nothing else")
    return list(ends)


def _needs(lines: StepGraph, end: str, taken: set[str]) -> set[str]:
    found: set[str] = set()
    left = [end]
    while left:
        name = left.pop()
        if name not in taken and name not in found:
            found.add(name)
            left.extend(lines.sources[name])
    return found


def _check_ways_out(lines: StepGraph, names: tuple[str, ...]) -> None:
    ways = exits(lines, names)
    if len(ways) < 2:
        return
    inside = set(names)
    other = ways[0]
    reader = next((r for r in lines.readers[other] if r not in inside), "the network's output")
    raise QuantizationError(
        f"--blocks: the block that ends at '{ways[-1]}' would also be left at '{other}', which "
        f"'{reader}' reads; name '{other}' too"
    )


def _near(lines: StepGraph, name: str) -> str:
    layers = [n for n in lines.steps if lines.is_layer(n)]
    return ", ".join(difflib.get_close_matches(name, layers, NEAR, 0.4) or layers[:NEAR])
