# SPDX-License-Identifier: Apache-2.0
"""One case through the HLS C++ cell, compiled with g++."""

import shutil
import time
from pathlib import Path

from hls import compile_csim, emit_conv_hls, run_csim, write_project
from quant.errors import NibbleflowError
from quant.schedule import Folding
from sim.verify.case import Case
from sim.verify.verdict import Verdict, judge

ENGINE = "hls"


def run_hls(case: Case, folding: Folding, work: Path, replay: str) -> Verdict:
    """Write the project of one case, compile it, run its frames and compare.

    Args:
        case: Stimulus and golden answer.
        folding: PE and SIMD.
        work: Scratch folder of this case; removed when everything is equal.
        replay: Command that repeats only this.
    """
    started = time.perf_counter()
    outputs, failure = None, None
    project_dir = work / "project"
    try:
        shutil.rmtree(work, ignore_errors=True)
        project = emit_conv_hls(case.node, case.source, case.in_shape, folding)
        write_project(project, project_dir)
        run = run_csim(compile_csim(project_dir), case.frames, case.expected, work / "run")
        outputs = run.outputs
        if bool(run.mismatches) != bool((outputs != case.expected).any()):
            failure = f"its own test bench counted {run.mismatches} differences, wrongly"
    except NibbleflowError as error:
        failure = str(error)
    verdict = judge(
        case,
        ENGINE,
        outputs,
        replay=replay,
        seconds=time.perf_counter() - started,
        failure=failure,
    )
    if verdict.ok:
        shutil.rmtree(work, ignore_errors=True)
    return verdict
