# SPDX-License-Identifier: Apache-2.0
"""The example of our layers in a user's hls4ml model runs and compares equal."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.hls
@pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not on PATH")
def test_own_model(tmp_path: Path) -> None:
    pytest.importorskip("hls4ml")
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "hls4ml_layers" / "own_model.py", tmp_path / "p"],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "0 of 200 values differ"
    top = (tmp_path / "p" / "firmware" / "own_model.cpp").read_text()
    assert "nf::conv<config2>(image, int4_conv_stream, int4_conv_weights," in top
    assert "nnet::pooling2d_cl" in top
