# SPDX-License-Identifier: Apache-2.0
"""``nibbleflow explore``: the best plan for a board or a rate, or plans to choose from."""

from collections.abc import Sequence
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hw.explore import (
    Budget,
    Exploration,
    Network,
    NoPlan,
    Uses,
    nearest,
    network_tables,
    shortages,
)
from hw.explore.search import bandwidth_interval
from hw.explore.streaming import moving_cycles
from nibbleflow.folders import BuildFolder, write_whole
from nibbleflow.foldings import Aim
from nibbleflow.fronts import best_plans, budget_of, front_tasks, plan_values
from nibbleflow.plans import NetworkPlan, keep_plan
from nibbleflow.progress import progress_bar
from nibbleflow.result import Result
from nibbleflow.sweep import run_sweep
from quant.bundle import load_bundle
from quant.errors import InputFileError, PlanError
from reports.exactplan import ExactPlan, chosen, settled_plan
from reports.figures import render
from reports.pareto import pareto_plot

FIFO_NOTE = "FIFOs of estimated size"
COST = "the sum of the shares of all resources"


def explore(
    build: str | Path,
    *,
    fps: float | None = None,
    board: str | None = None,
    clock_mhz: float | None = None,
    fill: int = 80,
    front: bool = False,
    beside: Sequence[str | Path] = (),
    variants: Sequence[str] = (),
    calib: Sequence[str | Path] = (),
    folder: str | Path | None = None,
    scheduler: str | None = None,
    workers: int | None = None,
    external: bool | None = None,
) -> Result:
    """Find the best plan of a build, or the front of plans of builds or of a model's variants.

    Args:
        build: A build folder; with ``variants`` a MODEL.
        fps: Frames per second to reach at the lowest cost; without it the fastest plan that fits
            the board.
        board: Board, or ``FILE.toml`` that describes one.
        clock_mhz: Planned clock; by default that of the board, or 200 MHz.
        fill: Most of the board's lookup tables and flip-flops that a plan may take, in percent.
        front: Whether to list the plans that no other one beats in every respect, in place of one.
        beside: Further builds of the same network in the front: other bits, other schemes.
        variants: ``w4a8-affine`` and the like: quantize the model so and put it into the front.
        calib: Calibration images of the variants.
        folder: Where a front keeps its results, and goes on after an interruption; by default
            ``explore`` beside the build or in the working folder.
        scheduler: Dask scheduler that a front runs on.
        workers: Processes that a front runs on.
        external: Whether weights may come from the memory on the board; when left out only where
            one plan is asked for and nothing fits with all of them on the chip.

    Returns:
        ``values`` has ``plans`` (``fps``, ``bits``, resources, ``sqnr_db``), ``objective``,
        ``bound``, ``optimal``, ``seconds``. One plan is kept in the build; a front is drawn
            into ``plot``.

    Raises:
        NibbleflowError: A build cannot be read, an option contradicts another, or nothing fits.
    """
    aim = Aim(fps, board, clock_mhz)
    begin, begin_cpu = perf_counter(), process_time()
    if variants or beside:
        front = True
    if not front:
        if fps is None and board is None:
            raise InputFileError(
                "what to explore for? give --board for the fastest plan that fits it, --fps for "
                "the cheapest that reaches it, or --front for all between which to choose"
            )
        one = _one(BuildFolder.existing(build), aim, fill, external, begin, begin_cpu)
        return _kept(one, build, board, "plan")
    settings: dict[str, Any] = {"fps": fps, "board": board, "clock_mhz": clock_mhz, "fill": fill}
    if external:
        budget_of(board, clock_mhz, fill, external=True)
        settings["external"] = True
    kept = Path(folder) if folder is not None else _front_folder(build, variants)
    tasks = front_tasks(build, beside, variants, calib, kept, settings)
    with progress_bar("exploring", len(tasks)) as advance:
        found = run_sweep(
            tasks, kept, scheduler=scheduler, workers=workers, done=lambda _: advance(1)
        )
    return _kept(_front_result(found, kept / "front.svg", begin), build, board, "front")


def _kept(
    result: Result, build: str | Path, board: str | None, what: Literal["plan", "front"]
) -> Result:
    """Return ``result``, which is kept for the report when it is of a build."""
    folder = BuildFolder(Path(build))
    if folder.bundle.is_dir():
        digest = load_bundle(folder.bundle).graph.digest
        values = {**result.values, "board": board, "digest": digest}
        write_whole(folder.exploration / f"{what}.json", Result("explore", values).to_json())
    return result


def _one(
    folder: BuildFolder,
    aim: Aim,
    fill: int,
    external: bool | None,
    begin: float,
    begin_cpu: float,
) -> Result:
    """Return the one plan asked for, and keep it in the build."""
    bundle = load_bundle(folder.bundle)
    graph = bundle.graph
    budget, clock_hz = budget_of(aim.board, aim.clock_mhz, fill, external=bool(external))
    interval = None
    if aim.fps is not None:
        if aim.fps > clock_hz:
            raise PlanError(
                f"{aim.fps:g} frames per second at {clock_hz:,} Hz is more than one per cycle; "
                "give fewer"
            )
        interval = int(clock_hz // aim.fps)
    network = network_tables(graph, budget)
    found = chosen(network, interval)
    tell = Console(stderr=True, highlight=False).print
    beside = network.streaming if external is None else None
    if isinstance(found, NoPlan) and beside is not None:
        tell("nothing fits with all weights on the chip; some may come from the board's memory")
        network, budget = beside, beside.budget
        found = chosen(network, interval)
    seconds, cpu_seconds = perf_counter() - begin, process_time() - begin_cpu
    if isinstance(found, NoPlan):
        raise PlanError(_nothing(network, found, interval, clock_hz, aim))
    begin_exact = perf_counter()
    exact = settled_plan(network, found, interval, clock_hz, tell)
    plan = NetworkPlan(
        exact.schedule, exact.fifos, exact.cycles, perf_counter() - begin_exact, budget.device
    )
    keep_plan(folder, plan, graph)
    exploration = exact.exploration
    values = plan_values(exploration, exact.uses, bundle, clock_hz, str(folder.path))
    # What the memory on the board moves may take longer than the cells.
    moving = moving_cycles(budget, network.picture_bytes, exact.uses.external_kib)
    cycles = max(plan.cycles.interval_cycles, moving)
    values |= {"interval_cycles": cycles, "fps": clock_hz / cycles}
    lines = [*_proofs(exact, clock_hz), *_outside(exact)]
    lines.append(
        f"solved in {seconds:.1f} s, with exact FIFOs and cycles {perf_counter() - begin:.1f} s"
        + (f" and {exact.rounds} plans" if exact.rounds > 1 else "")
        + f"; kept in {folder.schedule}: generate and verify use it"
    )
    result = {
        "plans": [values],
        "objective": _objective(exploration),
        "bound": _bound(exploration, clock_hz),
        "optimal": exploration.optimal,
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu_seconds, 2),
        "rounds": exact.rounds,
        "kept_back": exact.reserved._asdict(),
    }
    shares = _budget_table(exact.uses, network.budget_at(cycles))
    return Result(
        "explore", result, (_plan_table([values], "estimated"), shares, Text("\n".join(lines)))
    )


def _outside(exact: ExactPlan) -> list[str]:
    """Return which layers' weights come from the memory on the board."""
    names = [
        name.removesuffix(".weights")
        for name, style in exact.schedule.memory.items()
        if style == "external"
    ]
    if not names:
        return []
    return [
        f"weights of {len(names)} layers come from the memory on the board, whose whole bandwidth "
        f"counts: {', '.join(names)}"
    ]


def _objective(found: Exploration) -> str:
    if found.aim == "fastest":
        return f"the shortest interval; of that interval {COST}"
    return f"{COST}, at the interval asked for"


def _bound(found: Exploration, clock_hz: int) -> dict[str, float]:
    return {
        "interval_cycles": found.interval_bound,
        "fps": clock_hz / found.interval_bound,
        "cost": found.cost_bound / 1e9,
    }


def _proofs(exact: ExactPlan, clock_hz: int) -> list[str]:
    """Return what is proved, in sentences; all of it for the cost tables and FIFO sizes."""
    lines = []
    if any(exact.reserved):
        lines.append(
            f"kept back from the board, since exact plans take more than the tables count: "
            f"{exact.reserved}; what is proved is proved of the rest"
        )
    found = exact.exploration
    interval = found.selection.interval
    if found.aim == "fastest":
        lines.append(
            f"proved: no plan that fits takes fewer than {interval:,} cycles"
            if found.fastest_proved
            else f"bound: no plan that fits takes fewer than {found.interval_bound:,} cycles "
            f"({clock_hz / found.interval_bound:.4g} frames per second); found {interval:,}"
        )
    cost, bound = found.selection.cost / 1e9, found.cost_bound / 1e9
    lines.append(
        f"proved: at this interval {COST} cannot be less than {cost:.4f}"
        if found.cheapest_proved
        else f"bound: {COST} is at least {bound:.4f}; found {cost:.4f}"
    )
    return lines


def _nothing(network: Network, found: NoPlan, interval: int | None, clock_hz: int, aim: Aim) -> str:
    """Return why there is no plan, and what fits instead."""
    budget = network.budget
    where = "" if budget.device is None else f" on {budget.device.name}"
    rate = f"at {aim.fps:g} frames per second" if aim.fps is not None else "at any rate"
    name = network.graph.name
    fastest = network.problem.fastest_interval
    if interval is not None and interval < fastest:
        slow = max(network.options, key=lambda n: min(o.interval for o in network.options[n]))
        return (
            f"'{name}' {rate}: '{slow}' fully parallel takes {fastest:,} cycles a frame, there are "
            f"{interval:,}; at most {clock_hz / fastest:.4g} frames per second at "
            f"{clock_hz / 1e6:g} MHz; raise --clock or use a smaller image"
        )
    moved = bandwidth_interval(network)
    if interval is not None and interval < moved:
        return (
            f"'{name}'{where} {rate}: the board's memory moves a frame and its results in "
            f"{moved:,} cycles, there are {interval:,}; at most {clock_hz / moved:.4g} frames per "
            "second"
        )
    verdict = "does not fit" if found.proved else "found no plan that fits"
    lacks = "; ".join(str(s) for s in shortages(network, found.interval))
    lacks = lacks or "several resources together"
    instead = "; ".join(str(n) for n in nearest(network, clock_hz, interval))
    way = f"nearest that fits: {instead}" if instead else "nothing near it fits either"
    return f"'{name}' {verdict}{where} {rate}: {lacks}; {way}"


def _plan_table(plans: Sequence[dict[str, Any]], basis: str) -> Table:
    table = Table(title=f"plans ({basis})", box=None)
    for column in ("build", "bits", "scheme", "frames/s", "LUT", "FF", "DSP", "BRAM18", "URAM"):
        table.add_column(column, justify="left" if column in ("build", "bits") else "right")
    table.add_column("KiB from outside", justify="right")
    table.add_column("SQNR (dB)", justify="right")
    for p in plans:
        sqnr = "-" if p["sqnr_db"] is None else f"{p['sqnr_db']:.1f}"
        table.add_row(
            Path(p["build"]).name,
            p["bits"],
            str(p["scheme"]),
            f"{p['fps']:.4g}",
            *(f"{p[key]:,}" for key in Uses._fields),
            sqnr,
        )
    return table


def _budget_table(uses: Uses, budget: Budget) -> Table:
    table = Table(title="of the board" if budget.device else "no board", box=None)
    for column in ("resource", "taken", "limit", "share"):
        table.add_column(column, justify="left" if column == "resource" else "right")
    limit = budget.limit
    for key, count in zip(Uses._fields, uses, strict=True):
        most = None if limit is None else getattr(limit, key)
        share = f"{100 * count / most:.0f} %" if most else "-"
        table.add_row(key, f"{count:,}", "-" if most is None else f"{most:,}", share)
    return table


def _front_result(found: Sequence[dict[str, Any]], plot: Path, begin: float) -> Result:
    """Return the plans of the front, and draw them into ``plot``."""
    plans = [plan for each in found for plan in each["plans"]]
    best = sorted(best_plans(plans), key=lambda p: -p["fps"])
    lacking = [
        f"{each['build']} does not fit: {'; '.join(each['lacks']) or 'several resources together'}"
        for each in found
        if not each["plans"]
    ]
    if not best:
        raise PlanError("; ".join(lacking))
    basis = f"estimated, {FIFO_NOTE}"
    write_whole(plot, render(lambda: pareto_plot(best, basis), "svg").decode())
    values = {
        "plans": best,
        "plot": str(plot),
        "objective": f"{COST}, at every interval of the front",
        "bound": None,
        "optimal": all(plan["optimal"] for plan in best),
        "seconds": round(perf_counter() - begin, 2),
    }
    return Result(
        "explore",
        values,
        (_plan_table(best, basis), *(Text(line) for line in (*lacking, f"plot: {plot}"))),
    )


def _front_folder(build: str | Path, variants: Sequence[str]) -> Path:
    return Path("explore") if variants else BuildFolder(Path(build)).exploration
