# SPDX-License-Identifier: Apache-2.0
"""The complete plan of a build: kept in it, and made anew when it is for something else.

``BUILD/schedule.json`` is the schedule, ``BUILD/fifos.json`` where its FIFO depths come from and
the cycles that follow. They are used as long as graph, foldings and the code that planned them are
the same.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from time import perf_counter

from rich.console import Console

import hw
from hw.devices import Device, find_device
from hw.fifo_depths import FifoPlan, planning_parts
from hw.network_cycles import NetworkCycles, network_cycles
from hw.planning import complete_schedule
from hw.planstore import parse_plan, plan_value
from nibbleflow.folders import BuildFolder, write_whole
from nibbleflow.foldings import Aim, plan_schedule
from nibbleflow.progress import progress_bar
from quant.errors import InputFileError
from quant.graph import QGraph
from quant.schedule import Schedule
from quant.schedulestore import parse_schedule, schedule_text


@dataclass(frozen=True, eq=False)
class NetworkPlan:
    """Everything that is planned of a network.

    Attributes:
        schedule: The complete schedule, with the FIFO depths that keep full throughput.
        fifos: Least and throughput depths, with the proof.
        cycles: Cycles with the throughput depths.
        seconds: Time that the planning of FIFOs took.
        device: Board that it was planned for, if for any.
    """

    schedule: Schedule
    fifos: FifoPlan
    cycles: NetworkCycles
    seconds: float
    device: Device | None = None

    @property
    def ultra_filled(self) -> bool:
        """Whether the bitstream of the board fills ultra RAM; nothing is in it without one."""
        return self.device is not None and self.device.ultra_initial_contents


def network_plan(
    folder: BuildFolder,
    graph: QGraph,
    aim: Aim,
    *,
    replace_saved: bool = False,
    say: Callable[[str], None] | None = None,
) -> NetworkPlan:
    """Return the plan kept in a build when it is the one for ``aim``, else plan anew.

    Without any aim the kept plan is used, whatever it was made for: ``explore`` leaves one. A new
    plan is kept when there is none, or with ``replace_saved``.

    Args:
        folder: The build.
        graph: Its graph.
        aim: What to plan for.
        replace_saved: Whether a plan for another aim is replaced.
        say: Told which plan is used; standard error when left out.

    Raises:
        InputFileError: A kept plan is damaged.
        PlanError: The aim cannot be met, or the board is unknown.
    """
    tell = say or Console(stderr=True, highlight=False).print
    kept = kept_plan(folder, graph)
    if kept is not None and aim == Aim():
        board = "" if kept.device is None else f" for board {kept.device.name}"
        tell(f"plan of {folder.schedule}{board}")
        return kept
    foldings = plan_schedule(graph, aim)
    device = None if aim.board is None else find_device(aim.board)
    if kept is not None and _text_of(kept.schedule) == _text_of(foldings):
        tell(f"plan of {folder.schedule}")
        return replace(kept, device=device)
    other = folder.schedule.exists() and not replace_saved
    tell("planned anew" + (f"; {folder.schedule} is for another aim or version" if other else ""))
    begin = perf_counter()
    with progress_bar("planning FIFOs", planning_parts(graph)) as advance:
        complete = complete_schedule(graph, foldings, progress=lambda: advance(1))
    cycles = network_cycles(graph, complete.schedule, complete.fifos.alone)
    plan = NetworkPlan(complete.schedule, complete.fifos, cycles, perf_counter() - begin, device)
    if not other:
        keep_plan(folder, plan, graph)
    return plan


def kept_plan(folder: BuildFolder, graph: QGraph) -> NetworkPlan | None:
    """Return the plan in the build, whatever its aim; ``None`` without one of this graph.

    Args:
        folder: The build.
        graph: Its graph.

    Raises:
        InputFileError: The plan is damaged.
    """
    try:
        text = folder.schedule.read_text(encoding="utf-8")
        value = json.loads(folder.fifos.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InputFileError(f"{folder.fifos} cannot be read ({error}); remove it") from None
    if not isinstance(value, dict) or any(
        value.get(key) != found for key, found in _origin(graph, text).items()
    ):
        return None
    schedule = parse_schedule(text, graph, str(folder.schedule))
    fifos, cycles = parse_plan(value, str(folder.fifos))
    try:
        seconds = float(value["seconds"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputFileError(f"{folder.fifos} has no seconds ({error}); remove it") from None
    try:
        device = None if value["device"] is None else Device(**value["device"])
    except (KeyError, TypeError) as error:
        raise InputFileError(f"{folder.fifos} has no device ({error}); remove it") from None
    return NetworkPlan(schedule, fifos, cycles, seconds, device)


def _text_of(schedule: Schedule) -> str:
    """Return what a schedule says of everything but FIFOs."""
    return schedule_text(replace(schedule, fifo_depth={}))


def keep_plan(folder: BuildFolder, plan: NetworkPlan, graph: QGraph) -> None:
    """Write the plan into the build."""
    text = schedule_text(plan.schedule)
    value = {
        **_origin(graph, text),
        "seconds": round(plan.seconds, 2),
        "device": None if plan.device is None else asdict(plan.device),
        **plan_value(plan.fifos, plan.cycles),
    }
    write_whole(folder.schedule, text)
    write_whole(folder.fifos, json.dumps(value, indent=1, allow_nan=False) + "\n")


def _origin(graph: QGraph, schedule: str) -> dict[str, str]:
    """Return what a kept plan belongs to: graph, schedule, and the sources of the planner."""
    sources = sha256()
    folder = Path(hw.__file__).parent
    for path in sorted(p for p in folder.rglob("*") if p.suffix in (".py", ".sv")):
        sources.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return {
        "graph_digest": graph.digest,
        "schedule_digest": sha256(schedule.encode()).hexdigest(),
        "planner_digest": sources.hexdigest(),
    }
