# SPDX-License-Identifier: Apache-2.0
"""The bench of a sweep that loses a worker: whom it kills, and when nobody is there to kill."""

import signal
import subprocess
import sys

import pytest

from quant.errors import ToolError
from reports.bench.killedworker import _kill_one

SLEEP = (sys.executable, "-c", "import time; time.sleep(600)")


def test_a_worker_is_killed_when_there_is_a_result(tmp_path):
    (tmp_path / "a.json").write_text("{}")
    with subprocess.Popen(SLEEP) as front, subprocess.Popen(SLEEP) as worker:
        idle = iter([[], [worker.pid]])
        assert _kill_one(lambda: next(idle), front, tmp_path) == 1
        assert worker.wait() == -signal.SIGKILL
        assert front.poll() is None
        front.kill()


def test_a_front_that_ends_before(tmp_path):
    with subprocess.Popen((sys.executable, "-c", "")) as front:
        front.wait()
        with pytest.raises(ToolError) as caught:
            _kill_one(lambda: [front.pid], front, tmp_path)
    assert str(caught.value) == f"no worker was at work when a result was there; see {tmp_path}"
