# SPDX-License-Identifier: Apache-2.0
"""Sweeps: many independent tasks in parallel processes or on a Dask cluster, resumable.

Every result is a JSON file in one folder as soon as it is there. A sweep that was interrupted, or
whose worker died, does again only what has no file yet.
"""

import json
import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from nibbleflow.folders import write_whole
from quant.errors import InputFileError, ToolError

RESTARTS = 3
"""Pools of processes that may break, one after the other, before a sweep gives up."""

DASK_FAILURES = 10
"""Workers that may die with the same task."""


@dataclass(frozen=True)
class Task:
    """One piece of work.

    Attributes:
        name: What people call it.
        function: A function of a module; it returns JSON values.
        arguments: Its keyword arguments, JSON values too.
    """

    name: str
    function: Callable[..., dict[str, Any]]
    arguments: Mapping[str, Any]

    @property
    def key(self) -> str:
        """Name of its file: a digest of function and arguments."""
        text = json.dumps([self.function.__module__, self.function.__name__, dict(self.arguments)])
        return sha256(text.encode()).hexdigest()[:16]


def run_sweep(
    tasks: Sequence[Task],
    folder: Path,
    *,
    scheduler: str | None = None,
    workers: int | None = None,
    done: Callable[[Task], None] = lambda _: None,
) -> list[dict[str, Any]]:
    """Return the results of ``tasks`` in their order; those with a file are not run again.

    Args:
        tasks: The work.
        folder: Where results are kept; made when missing.
        scheduler: Address of a Dask scheduler, ``tcp://HOST:PORT``, whose workers see the same
            files; without it processes of this machine.
        workers: Processes; by default one per core.
        done: Called after every task, also for those that were there.

    Raises:
        InputFileError: A kept result is damaged, or the scheduler cannot be reached.
        ToolError: Dask is not installed, or processes die again and again.
        NibbleflowError: What a task raises.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = {task.key: kept for task in tasks if (kept := _kept(folder, task)) is not None}
    for task in tasks:
        if task.key in found:
            done(task)
    left = [task for task in tasks if task.key not in found]
    run = _on_processes(left, workers) if scheduler is None else _on_dask(left, scheduler)
    for task, value in run:
        found[task.key] = value
        write_whole(_file(folder, task), json.dumps(value, indent=1, allow_nan=False) + "\n")
        done(task)
    return [found[task.key] for task in tasks]


def _file(folder: Path, task: Task) -> Path:
    return folder / f"{task.key}.json"


def _kept(folder: Path, task: Task) -> dict[str, Any] | None:
    path = _file(folder, task)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InputFileError(
            f"{path}, the result of '{task.name}', cannot be read ({error}); remove it"
        ) from None
    if not isinstance(value, dict):
        raise InputFileError(f"{path}, the result of '{task.name}', is no object; remove it")
    return value


def _on_processes(
    tasks: Sequence[Task], workers: int | None
) -> Iterator[tuple[Task, dict[str, Any]]]:
    """Yield tasks and results as they come; a broken pool is replaced by a new one."""
    left = {task.key: task for task in tasks}
    for _ in range(RESTARTS + 1):
        if not left:
            return
        count = min(workers or os.cpu_count() or 1, len(left))
        # Not forked: threads of numeric libraries do not survive a fork.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(count, mp_context=context) as pool:
            running: dict[Future[dict[str, Any]], Task] = {
                pool.submit(task.function, **task.arguments): task for task in left.values()
            }
            try:
                for future in as_completed(running):
                    value = future.result()
                    task = left.pop(running[future].key)
                    yield task, value
            except BrokenProcessPool:
                continue
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    if left:
        raise ToolError(
            f"processes of the sweep died {RESTARTS + 1} times, {len(left)} of {len(tasks)} tasks "
            "are left; is there memory enough? fewer at a time: --workers 1"
        )


def _on_dask(tasks: Sequence[Task], scheduler: str) -> Iterator[tuple[Task, dict[str, Any]]]:
    """Yield tasks and results as they come; tasks of a worker that died run on another."""
    try:
        from distributed import Client
        from distributed import as_completed as in_turn
    except ImportError:
        raise ToolError(
            "--scheduler needs Dask, which is not installed; pip install 'nibbleflow[dask]'"
        ) from None
    try:
        client = Client(scheduler, timeout="10s")
    except (OSError, ValueError) as error:
        raise InputFileError(
            f"no Dask scheduler answers at {scheduler} ({type(error).__name__}); start one with "
            "`dask scheduler`, or leave --scheduler out"
        ) from None
    with client:
        running = {
            client.submit(
                task.function, **task.arguments, key=task.key, pure=False, retries=DASK_FAILURES
            ): task
            for task in tasks
        }
        for future in in_turn(running):
            yield running[future], future.result()
