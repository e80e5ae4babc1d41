# SPDX-License-Identifier: Apache-2.0
"""``python -m reports.bench.killedworker FOLDER --json FILE``: a front that loses a worker.

The same front of plans runs in processes of this machine and on a Dask cluster of two workers, of
which one is killed while it works on a variant and another variant is done. Nothing may be lost: as
many results as variants, the same plans.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from shutil import rmtree
from time import perf_counter, sleep
from typing import Any

from quant.errors import NibbleflowError, ToolError
from reports.bench.record import Row
from reports.bench.runner import nibbleflow_program

VARIANTS = ("w8a8-affine", "w4a8-affine", "w4a4-affine", "w4a4-symmetric")
WORKERS = 2
_LOOK_SECONDS, _MOST_SECONDS = 0.05, 3600


def main(arguments: Sequence[str] | None = None) -> int:
    """Run both fronts and write what came out; return the exit code."""
    parser = argparse.ArgumentParser(description="A front on Dask with a killed worker.")
    parser.add_argument("folder", type=Path, help="folder to work in")
    parser.add_argument("--json", type=Path, required=True, help="file to write")
    given = parser.parse_args(arguments)
    try:
        found = measure(given.folder.absolute())
    except NibbleflowError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    given.json.write_text(json.dumps(found, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return 0


def measure(folder: Path) -> Row:
    """Return the figures of a front in processes and of one whose worker is killed.

    Args:
        folder: Emptied and worked in.

    Raises:
        ToolError: Dask is not installed, a front fails, or no worker could be killed in time.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise ToolError(
            "a cluster needs Dask, which is not installed; pip install 'nibbleflow[dask]'"
        ) from None
    rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    begin = perf_counter()
    with _front(folder / "processes", "--workers", str(WORKERS)) as process:
        plans = _plans(process, folder / "processes")
    alone = perf_counter() - begin
    with LocalCluster(
        n_workers=WORKERS, threads_per_worker=1, dashboard_address=None, silence_logs=50
    ) as cluster:
        begin = perf_counter()
        kept = folder / "dask"
        with (
            Client(cluster) as client,
            _front(kept, "--scheduler", cluster.scheduler_address) as process,
        ):
            pids = {worker.worker_address: worker.pid for worker in cluster.workers.values()}

            def busy() -> list[int]:
                return [pids[address] for address, tasks in client.processing().items() if tasks]

            done = _kill_one(busy, process, kept)
            again = _plans(process, kept)
        together = perf_counter() - begin
    return {
        "variants": len(VARIANTS),
        "workers": WORKERS,
        "results_before_the_kill": done,
        "results": len(_results(kept)),
        "lost": len(VARIANTS) - len(_results(kept)),
        "plans": len(again),
        "plans_equal": again == plans,
        "seconds": round(together, 1),
        "seconds_in_processes": round(alone, 1),
    }


def _front(kept: Path, *options: str) -> subprocess.Popen[bytes]:
    """Start the front of all variants of the built-in detector."""
    kept.mkdir()
    command = [*nibbleflow_program(), "explore", "demo", "--variants", ",".join(VARIANTS)]
    command += ["--folder", str(kept), "--json", str(kept.with_suffix(".json")), *options]
    with kept.with_suffix(".log").open("wb") as log:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )


def _plans(process: subprocess.Popen[bytes], kept: Path) -> list[dict[str, Any]]:
    """Return the plans of a front when it has ended, without the folders of their builds.

    Raises:
        ToolError: It failed.
    """
    if process.wait():
        raise ToolError(
            f"explore ended with exit code {process.returncode}; see {kept.with_suffix('.log')}"
        )
    found = json.loads(kept.with_suffix(".json").read_text(encoding="utf-8"))
    return [{k: v for k, v in plan.items() if k != "build"} for plan in found["plans"]]


def _kill_one(busy: Callable[[], list[int]], process: subprocess.Popen[bytes], kept: Path) -> int:
    """Kill a worker that is at work as soon as there is a result; return the number of results.

    Args:
        busy: Gives the processes of the workers that are at work.
        process: The front.
        kept: Folder of its results.

    Raises:
        ToolError: The front ended before.
    """
    begin = perf_counter()
    while process.poll() is None and perf_counter() - begin < _MOST_SECONDS:
        done, workers = len(_results(kept)), busy()
        if done and workers:
            os.kill(workers[0], signal.SIGKILL)
            return done
        sleep(_LOOK_SECONDS)
    process.kill()
    raise ToolError(f"no worker was at work when a result was there; see {kept}")


def _results(kept: Path) -> list[Path]:
    return list(kept.glob("*.json"))


if __name__ == "__main__":
    sys.exit(main())
