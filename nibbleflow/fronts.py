# SPDX-License-Identifier: Apache-2.0
"""Fronts: plans of builds and of a model's variants that no other plan beats in every respect."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hw.devices import find_device
from hw.explore import (
    Budget,
    Exploration,
    NoPlan,
    Uses,
    cheapest_plan,
    fastest_plan,
    network_tables,
    shortages,
)
from hw.foldings import DEFAULT_CLOCK_HZ
from nibbleflow.folders import BuildFolder, is_random
from nibbleflow.sweep import Task
from quant.bundle import Bundle, load_bundle
from quant.errors import InputFileError
from quant.nodes import Output

POINTS = 6
"""Plans of one build in a front: the fastest, the slowest, and steps between them."""


def budget_of(
    board: str | None, clock_mhz: float | None, fill: int, *, external: bool = False
) -> tuple[Budget, int]:
    """Return what a plan may take, and its clock in Hz.

    Args:
        board: Name or file; ``None``: nothing is limited.
        clock_mhz: Planned clock; by default that of the board.
        fill: Most of its lookup tables and flip-flops, in percent.
        external: Whether weights may come from the memory on the board.

    Raises:
        NibbleflowError: The board is unknown, its file is wrong, or it has no memory for weights.
    """
    device = None if board is None else find_device(board)
    clock_hz = DEFAULT_CLOCK_HZ if device is None else device.clock_hz
    if clock_mhz is not None:
        clock_hz = round(clock_mhz * 1e6)
        if device is not None:  # what its memory moves in a cycle depends on it
            device = replace(device, clock_hz=clock_hz)
    if external and (device is None or not device.external_bytes_per_second):
        which = "none is named with --board" if device is None else f"'{device.name}' has none"
        raise InputFileError(
            f"--external takes weights from the memory on the board, and {which}; leave it out"
        )
    return Budget(device, fill, streaming=external), clock_hz


def plan_values(
    found: Exploration, uses: Uses, bundle: Bundle, clock_hz: int, build: str
) -> dict[str, Any]:
    """Return a plan as JSON values.

    Args:
        found: What is proved of it.
        uses: What it takes.
        bundle: Its network.
        clock_hz: Planned clock.
        build: Folder of the build.
    """
    settings = bundle.record.settings
    interval = found.selection.interval
    return {
        "build": build,
        "fps": clock_hz / interval,
        "interval_cycles": interval,
        "bits": f"W{settings.get('weight_bits')}A{settings.get('act_bits')}",
        "scheme": settings.get("scheme"),
        **dict(zip(Uses._fields, uses, strict=True)),
        "cost": found.selection.cost / 1e9,
        "cost_bound": found.cost_bound / 1e9,
        "optimal": found.cheapest_proved,
        "sqnr_db": _sqnr(bundle),
    }


def front_of_build(
    build: str,
    digest: str,
    fps: float | None,
    board: str | None,
    clock_mhz: float | None,
    fill: int,
    external: bool = False,
) -> dict[str, Any]:
    """Return plans of one build from the fastest that fits to the cheapest of all.

    Args:
        build: The build folder.
        digest: Digest of its graph: results of another build of that name do not count.
        fps: Fewest frames per second.
        board: As ``explore``.
        clock_mhz: As ``explore``.
        fill: As ``explore``.
        external: Whether weights may come from the memory on the board.
    """
    bundle = load_bundle(BuildFolder.existing(build).bundle)
    if bundle.graph.digest != digest:
        raise InputFileError(f"{build} has changed while it was explored; start again")
    budget, clock_hz = budget_of(board, clock_mhz, fill, external=external)
    network = network_tables(bundle.graph, budget)
    fastest = (
        cheapest_plan(network, network.problem.fastest_interval)
        if board is None
        else fastest_plan(network)
    )
    if isinstance(fastest, NoPlan):
        return {
            "build": build,
            "plans": [],
            "lacks": [str(s) for s in shortages(network, fastest.interval)],
        }
    first = fastest.selection.interval
    intervals = sorted({first, *(n for n in network.problem.intervals if n > first)})
    last = intervals[-1]
    if fps is not None:
        last = min(last, int(clock_hz // fps))
    plans = []
    for step in range(POINTS):
        aimed = round(first * (last / first) ** (step / (POINTS - 1)))
        target = max(n for n in intervals if n <= max(aimed, first))
        found = fastest if target == first else cheapest_plan(network, target)
        if isinstance(found, Exploration):
            plans.append(plan_values(found, found.selection.uses, bundle, clock_hz, build))
    return {"build": build, "plans": plans}


def quantized_front(
    model: str, variant: str, calib: list[str], build: str, settings: dict[str, Any]
) -> dict[str, Any]:
    """Quantize a model as ``variant`` says, once, and return its plans.

    Args:
        model: MODEL of ``quantize``.
        variant: As ``w4a8-affine``.
        calib: Calibration images.
        build: The build to make, or that an earlier run made.
        settings: The further arguments of ``front_of_build``.
    """
    from nibbleflow.verbs.quantize import quantize

    weight_bits, act_bits, scheme = _variant(variant)
    if not Path(build).is_dir():
        quantize(
            model,
            output=build,
            calib=calib,
            weight_bits=weight_bits,
            act_bits=act_bits,
            scheme=scheme,
        )
    digest = load_bundle(BuildFolder.existing(build).bundle).graph.digest
    return front_of_build(build, digest, **settings)


def front_tasks(
    build: str | Path,
    beside: Sequence[str | Path],
    variants: Sequence[str],
    calib: Sequence[str | Path],
    kept: Path,
    settings: dict[str, Any],
) -> list[Task]:
    """Return the tasks of a front: one per build or variant.

    Args:
        build: A build; with variants a MODEL.
        beside: Further builds.
        variants: As ``w4a8-affine``.
        calib: Calibration images of the variants.
        kept: Where their builds are made.
        settings: Further arguments of ``front_of_build``.

    Raises:
        InputFileError: Both builds and variants, or a variant that is none.
    """
    if variants:
        if beside:
            raise InputFileError("--variants and --beside are two ways to a front; give one")
        for variant in variants:
            _variant(variant)
        # Workers may have another working folder.
        folders = [str(c) if is_random(c) else str(Path(c).resolve()) for c in calib]
        return [
            Task(
                variant,
                quantized_front,
                {
                    "model": str(build),
                    "variant": variant,
                    "calib": folders,
                    "build": str((kept / variant).resolve()),
                    "settings": settings,
                },
            )
            for variant in variants
        ]
    tasks = []
    for each in (build, *beside):
        folder = BuildFolder.existing(each)
        digest = load_bundle(folder.bundle).graph.digest
        values = {"build": str(folder.path.resolve()), "digest": digest, **settings}
        tasks.append(Task(str(each), front_of_build, values))
    return tasks


@dataclass(frozen=True)
class _Respect:
    """One respect in which plans are compared.

    Attributes:
        key: Figure of a plan.
        sign: 1 where more is better, else -1.
    """

    key: str
    sign: int


_RESPECTS = (
    _Respect("fps", 1),
    _Respect("sqnr_db", 1),
    *(_Respect(key, -1) for key in Uses._fields if key != "ff"),
)


def best_plans(plans: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the plans that no other one beats or equals in every respect, in their order.

    Frames per second, SQNR, lookup tables, DSP blocks, block and ultra RAMs count. A plan without
    a measured SQNR has the worst.
    """

    def figures(plan: dict[str, Any]) -> list[float]:
        # Plans of earlier versions took no weights from outside.
        found = ((plan.get(r.key, 0), r.sign) for r in _RESPECTS)
        return [float("-inf") if value is None else sign * value for value, sign in found]

    rows = [figures(plan) for plan in plans]
    kept = []
    for k, row in enumerate(rows):
        beaten = any(
            all(a >= b for a, b in zip(other, row, strict=True)) and (other != row or j < k)
            for j, other in enumerate(rows)
            if j != k
        )
        if not beaten:
            kept.append(plans[k])
    return kept


def _sqnr(bundle: Bundle) -> float | None:
    """Return the SQNR of the worst output against the float network; ``None``: not measured."""
    ends = {node.source for node in bundle.graph.nodes if isinstance(node, Output)}
    layers = bundle.record.layers
    found = [x.sqnr_db for x in layers if x.name in ends and x.sqnr_db is not None]
    return min(found, default=None)


def _variant(text: str) -> tuple[int, int, str]:
    """Return weight bits, activation bits and scheme of ``w4a8-affine``.

    Raises:
        InputFileError: The text is no variant.
    """
    bits, _, scheme = text.partition("-")
    weight, _, act = bits.removeprefix("w").partition("a")
    if not (bits.startswith("w") and weight.isdecimal() and act.isdecimal() and scheme):
        raise InputFileError(
            f"variant '{text}' is not wBITSaBITS-SCHEME; write w4a8-affine or w4a4-pwlq"
        )
    return int(weight), int(act), scheme
