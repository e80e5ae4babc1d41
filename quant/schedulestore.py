# SPDX-License-Identifier: Apache-2.0
"""A Schedule as JSON text, and back."""

import json
from typing import Any, get_args

from quant.errors import InputFileError, PlanError
from quant.graph import QGraph
from quant.schedule import Core, Folding, MemoryStyle, Schedule

_KEYS = {"graph_digest", "clock_hz", "folding", "fifo_depth", "memory"}
_FOLDING_KEYS = {"pe", "simd", "pixels_per_beat", "core"}


def schedule_text(schedule: Schedule) -> str:
    """Return ``schedule`` as indented JSON text; FIFO depths are [producer, consumer, beats]."""
    value = {
        "graph_digest": schedule.graph_digest,
        "clock_hz": schedule.clock_hz,
        "folding": {
            name: {
                "pe": f.pe,
                "simd": f.simd,
                "pixels_per_beat": f.pixels_per_beat,
                "core": f.core,
            }
            for name, f in schedule.folding.items()
        },
        "fifo_depth": [[*edge, depth] for edge, depth in schedule.fifo_depth.items()],
        "memory": dict(schedule.memory),
    }
    return json.dumps(value, indent=1) + "\n"


def parse_schedule(text: str, graph: QGraph, name: str) -> Schedule:
    """Return the schedule that ``schedule_text`` wrote.

    Args:
        text: JSON text.
        graph: The graph that it must belong to.
        name: Name of the file, for messages.

    Raises:
        InputFileError: The text is no schedule.
        PlanError: It belongs to another graph, or a value is out of range.
    """
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputFileError(f"{name} is not JSON (line {error.lineno}: {error.msg})") from None
    if not isinstance(value, dict) or set(value) != _KEYS:
        raise InputFileError(f"{name} is no schedule; it needs the keys {', '.join(sorted(_KEYS))}")
    digest = value["graph_digest"]
    if digest != graph.digest:
        raise PlanError(
            f"{name} belongs to graph {str(digest)[:12]}, not to '{graph.name}' "
            f"{graph.digest[:12]}; plan this graph again"
        )
    return Schedule(
        graph_digest=graph.digest,
        clock_hz=_count(value["clock_hz"], name, "clock_hz"),
        folding={
            node: _folding(entry, name, node)
            for node, entry in _mapping(value["folding"], name, "folding").items()
        },
        fifo_depth=dict(_fifo(entry, name) for entry in _list(value["fifo_depth"], name)),
        memory={
            memory: _style(style, name, memory)
            for memory, style in _mapping(value["memory"], name, "memory").items()
        },
    )


def _folding(entry: Any, name: str, node: str) -> Folding:  # noqa: ANN401 - parsed JSON
    if not isinstance(entry, dict) or set(entry) != _FOLDING_KEYS:
        raise InputFileError(
            f"{name}: the folding of '{node}' needs the keys {', '.join(sorted(_FOLDING_KEYS))}"
        )
    core = entry["core"]
    if core not in get_args(Core):
        raise InputFileError(
            f"{name}: '{node}' has core {core!r}; known are {', '.join(get_args(Core))}"
        )
    pe, simd, pixels = (
        _count(entry[key], name, f"{key} of '{node}'") for key in ("pe", "simd", "pixels_per_beat")
    )
    return Folding(pe, simd, pixels, core)


def _fifo(entry: Any, name: str) -> tuple[tuple[str, str], int]:  # noqa: ANN401 - parsed JSON
    match entry:
        case [str() as producer, str() as consumer, depth]:
            return (producer, consumer), _count(depth, name, f"FIFO '{producer}' to '{consumer}'")
        case _:
            raise InputFileError(f"{name}: FIFO {entry!r} is not [producer, consumer, beats]")


def _style(style: Any, name: str, memory: str) -> MemoryStyle:  # noqa: ANN401 - parsed JSON
    if style not in get_args(MemoryStyle):
        raise InputFileError(
            f"{name}: memory '{memory}' has style {style!r}; known are "
            f"{', '.join(get_args(MemoryStyle))}"
        )
    found: MemoryStyle = style
    return found


def _count(value: Any, name: str, what: str) -> int:  # noqa: ANN401 - parsed JSON
    if type(value) is not int or value < 0:
        raise InputFileError(f"{name}: {what} is {value!r}; it must be a whole number >= 0")
    return value


def _mapping(value: Any, name: str, what: str) -> dict[str, Any]:  # noqa: ANN401 - parsed JSON
    if not isinstance(value, dict):
        raise InputFileError(f"{name}: {what} must map names to values")
    return value


def _list(value: Any, name: str) -> list[Any]:  # noqa: ANN401 - parsed JSON
    if not isinstance(value, list):
        raise InputFileError(f"{name}: fifo_depth must be a list of [producer, consumer, beats]")
    return value
