# SPDX-License-Identifier: Apache-2.0
"""FIFO depths, their proof and the cycles of a network as JSON values, and back."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from hw.fifo_depths import FifoPlan, FifoRow, ThroughputDepths
from hw.fifo_minimum import FrameProof, MinimalDepths
from hw.network_cycles import NetworkCycles, NodeCycles
from hw.tokens import Deadlock, EdgeKey, Wait
from quant.errors import InputFileError


def plan_value(fifos: FifoPlan, cycles: NetworkCycles) -> dict[str, Any]:
    """Return everything in ``fifos`` and ``cycles`` as JSON values."""
    fast = fifos.throughput
    return {
        "rows": [asdict(row) for row in fifos.rows],
        "proof": asdict(fifos.minimal.proof),
        "stalls": [
            {"key": key, "waits": [asdict(wait) for wait in stall.waits]}
            for key, stall in fifos.minimal.stalls.items()
        ],
        "target_cycles": fast.target_cycles,
        "interval_cycles": fast.interval_cycles,
        "bottleneck": fast.bottleneck,
        "alone": dict(fifos.alone),
        "cycles": asdict(cycles),
    }


def parse_plan(value: Mapping[str, Any], name: str) -> tuple[FifoPlan, NetworkCycles]:
    """Return what ``plan_value`` wrote.

    Args:
        value: The JSON values.
        name: Name of the file, for messages.

    Raises:
        InputFileError: A value is missing, unknown or of another kind.
    """
    try:
        rows = tuple(FifoRow(**(row | {"key": _key(row["key"])})) for row in value["rows"])
        stalls = {_key(entry["key"]): _deadlock(entry["waits"]) for entry in value["stalls"]}
        minimal = MinimalDepths(
            {row.key: row.minimal for row in rows}, FrameProof(**value["proof"]), stalls
        )
        fast = ThroughputDepths(
            {row.key: row.throughput for row in rows},
            value["target_cycles"],
            value["interval_cycles"],
            value["bottleneck"],
        )
        nodes = {node: NodeCycles(**entry) for node, entry in value["cycles"]["nodes"].items()}
        cycles = NetworkCycles(**(value["cycles"] | {"nodes": nodes}))
        return FifoPlan(rows, minimal, fast, dict(value["alone"])), cycles
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputFileError(f"{name} is no plan of a network ({error}); remove it") from None


def _key(value: list[str]) -> EdgeKey:
    producer, consumer = value
    return producer, consumer


def _deadlock(waits: list[dict[str, Any]]) -> Deadlock:
    return Deadlock(
        tuple(
            Wait(**(wait | {"edge": None if wait["edge"] is None else _key(wait["edge"])}))
            for wait in waits
        )
    )
