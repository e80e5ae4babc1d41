# SPDX-License-Identifier: Apache-2.0
"""Sweeps: order, resuming, dead processes, a Dask cluster that loses a worker."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from nibbleflow.sweep import Task, run_sweep
from quant.errors import InputFileError, PlanError, ToolError


def square(number: int, folder: str) -> dict[str, int]:
    Path(folder, f"ran{number}.{os.getpid()}.{time.monotonic_ns()}").touch()
    return {"square": number * number}


def refuse(number: int) -> dict[str, int]:
    raise PlanError(f"{number} does not fit; give another")


def die_once(number: int, folder: str) -> dict[str, int]:
    marker = Path(folder, "died")
    if number == 1 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return square(number, folder)


def tell_and_wait(number: int, folder: str) -> dict[str, int]:
    Path(folder, f"worker{number}.{os.getpid()}").touch()
    while not Path(folder, "go").exists():
        time.sleep(0.02)
    return square(number, folder)


def die(number: int) -> dict[str, int]:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def tasks(function, count, **more):
    return [Task(f"task {k}", function, {"number": k, **more}) for k in range(count)]


def test_order_and_resuming(tmp_path):
    work, kept = tmp_path / "work", tmp_path / "kept"
    work.mkdir()
    told = []
    first = run_sweep(tasks(square, 3, folder=str(work)), kept, workers=2, done=told.append)
    assert first == [{"square": 0}, {"square": 1}, {"square": 4}]
    assert len(told) == 3
    assert len(list(work.iterdir())) == 3
    more = run_sweep(tasks(square, 4, folder=str(work)), kept, workers=2)
    assert more == [*first, {"square": 9}]
    assert len(list(work.iterdir())) == 4


def test_a_task_that_fails(tmp_path):
    with pytest.raises(PlanError) as caught:
        run_sweep(tasks(refuse, 1), tmp_path, workers=1)
    assert str(caught.value) == "0 does not fit; give another"


def test_a_process_that_dies(tmp_path):
    found = run_sweep(tasks(die_once, 3, folder=str(tmp_path)), tmp_path / "kept", workers=1)
    assert found == [{"square": 0}, {"square": 1}, {"square": 4}]
    assert (tmp_path / "died").exists()


def test_processes_that_always_die(tmp_path):
    with pytest.raises(ToolError) as caught:
        run_sweep(tasks(die, 1), tmp_path, workers=1)
    assert str(caught.value) == (
        "processes of the sweep died 4 times, 1 of 1 tasks are left; is there memory enough? "
        "fewer at a time: --workers 1"
    )


def test_a_damaged_result(tmp_path):
    task = tasks(square, 1, folder=str(tmp_path))[0]
    path = tmp_path / f"{task.key}.json"
    path.write_text("[]")
    with pytest.raises(InputFileError) as caught:
        run_sweep([task], tmp_path)
    assert str(caught.value) == f"{path}, the result of 'task 0', is no object; remove it"


def test_no_scheduler(tmp_path):
    pytest.importorskip("distributed", reason="Dask is not installed")
    with pytest.raises(InputFileError) as caught:
        run_sweep(tasks(square, 1, folder=str(tmp_path)), tmp_path, scheduler="nowhere")
    assert str(caught.value).startswith("no Dask scheduler answers at nowhere (")


def test_dask_with_a_worker_killed_in_the_middle(tmp_path):
    distributed = pytest.importorskip("distributed", reason="Dask is not installed")
    work = tmp_path / "work"
    work.mkdir()
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50
    ) as cluster:
        own = {worker.pid for worker in cluster.workers.values()}
        killed = []

        jobs = [
            Task("quick", square, {"number": 7, "folder": str(work)}),
            *tasks(tell_and_wait, 4, folder=str(work)),
        ]

        def watch(_: Task) -> None:
            if killed:
                return
            until = time.monotonic() + 60
            while time.monotonic() < until:
                sitting = [int(p.name.partition(".")[2]) for p in work.glob("worker*")]
                if sitting:
                    assert sitting[0] in own
                    os.kill(sitting[0], signal.SIGKILL)
                    killed.append(sitting[0])
                    (work / "go").touch()
                    return
                time.sleep(0.02)

        found = run_sweep(jobs, tmp_path / "kept", scheduler=cluster.scheduler_address, done=watch)
    assert killed
    assert found == [{"square": 49}, *({"square": k * k} for k in range(4))]
    kept = [json.loads(p.read_text()) for p in (tmp_path / "kept").iterdir()]
    assert sorted(v["square"] for v in kept) == [0, 1, 4, 9, 49]
