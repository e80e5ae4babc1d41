# SPDX-License-Identifier: Apache-2.0
"""The C++ test bench must fail when anything is wrong, and say what."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from hls import compile_csim, emit_conv_hls, run_csim, write_project, write_vectors
from quant.errors import ToolError
from quant.samples import sample_codes, sample_conv
from quant.schedule import Folding

pytestmark = [
    pytest.mark.hls,
    pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not on PATH"),
]

SHAPE = (4, 5, 6)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A compiled project, three frames and its own outputs for them."""
    pytest.importorskip("hls4ml")
    folder = tmp_path_factory.mktemp("csim")
    node, source = sample_conv(2, 4, 8, act_bits=4)
    project = emit_conv_hls(node, source, SHAPE, Folding(4, 2), "demo")
    write_project(project, folder / "p")
    program = compile_csim(folder / "p", flags=("-O1",))
    frames = sample_codes(3, (3, *SHAPE), 4)
    run = run_csim(program, frames, None, folder / "run")
    assert run.mismatches is None
    assert run.first_difference is None
    return program, frames, run.outputs


def test_equal_outputs_pass(built, tmp_path: Path) -> None:
    program, frames, outputs = built
    run = run_csim(program, frames, outputs, tmp_path)
    assert (run.mismatches, run.first_difference) == (0, None)
    assert run.outputs.dtype == np.uint16
    assert np.array_equal(run.outputs, outputs)


def test_one_corrupted_expectation_is_found_and_named(built, tmp_path: Path) -> None:
    program, frames, outputs = built
    wrong = outputs.copy()
    wrong[1, 5, 2, 3] ^= 1
    run = run_csim(program, frames, wrong, tmp_path)
    assert run.mismatches == 1
    assert run.first_difference == (
        f"frame 1 channel 5 row 2 column 3: expected {wrong[1, 5, 2, 3]}, got {outputs[1, 5, 2, 3]}"
    )


def test_a_corrupted_weight_fails(built, tmp_path: Path) -> None:
    program, frames, outputs = built
    shutil.copytree(program.parent.parent, tmp_path / "p", ignore=shutil.ignore_patterns("csim"))
    header = tmp_path / "p" / "firmware" / "weights" / "demo_data.h"
    text = header.read_text()
    start = text.index("0x", text.index("demo_weights"))
    stop = text.index("}", start)
    flipped = int(text[start:stop], 16) ^ 0x7
    header.write_text(f"{text[:start]}{flipped:#x}{text[stop:]}")
    run = run_csim(compile_csim(tmp_path / "p"), frames, outputs, tmp_path / "run")
    assert run.mismatches is not None
    assert run.mismatches > 0


def test_exit_codes_are_real(built, tmp_path: Path) -> None:
    """As the Tcl scripts start it: no arguments, files in tb_data."""
    program, frames, outputs = built
    (tmp_path / "tb_data").mkdir()

    def start() -> subprocess.CompletedProcess[str]:
        return subprocess.run([program], cwd=tmp_path, capture_output=True, text=True, timeout=60)

    missing = start()
    assert missing.returncode == 2
    assert "ERROR: tb_data/tb_input_features.dat must hold frames of 120 codes" in missing.stdout
    write_vectors(tmp_path, frames, outputs)
    assert start().returncode == 0
    expected = tmp_path / "tb_data" / "tb_output_predictions.dat"
    text = expected.read_text()
    last = int(text.split()[-1])
    expected.write_text(text.rstrip()[: -len(str(last))] + f"{last ^ 1}\n")
    different = start()
    assert different.returncode == 1
    assert "1 of 720 codes differ" in different.stdout
    expected.write_text(text[: text.rindex(" ")])  # a truncated golden file is no success
    truncated = start()
    assert truncated.returncode == 2
    assert "must hold 3 frames of 240 codes; it has 719 codes" in truncated.stdout
    expected.write_text(text.replace(" ", " nan ", 1))
    assert start().returncode == 2


def test_wrong_frames_are_refused(built, tmp_path: Path) -> None:
    program, frames, _ = built
    with pytest.raises(ToolError) as caught:
        run_csim(program, frames[:, :, :4], None, tmp_path)
    assert str(caught.value) == (
        f"C simulation 'demo' stopped with code 2: ERROR: {tmp_path.resolve()}/input.dat must hold "
        "frames of 120 codes; it has 288 codes; check the shapes and bits of the frames"
    )
    with pytest.raises(ToolError, match=r"holds code 16; limit 4 bits"):
        run_csim(program, np.full((1, *SHAPE), 16), None, tmp_path)


def test_a_hanging_program_is_stopped(tmp_path: Path) -> None:
    program = tmp_path / "sleepy"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    with pytest.raises(ToolError) as caught:
        run_csim(program, np.zeros((1, 1, 1, 1), int), None, tmp_path, timeout_seconds=0.2)
    assert str(caught.value) == (
        "the C simulation 'sleepy' ran longer than 0.2 s; use a smaller layer or a wider folding"
    )


def test_a_missing_compiler_is_named(
    built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError) as caught:
        compile_csim(built[0].parent.parent)
    assert str(caught.value) == (
        "g++ is not on PATH; the C simulation needs it; install g++ 9 or newer"
    )


def test_compile_errors_show_their_first_lines(tmp_path: Path) -> None:
    (tmp_path / "firmware").mkdir()
    (tmp_path / "broken_test.cpp").write_text("int main() { return nothing; }\n")
    with pytest.raises(ToolError, match=r"^g\+\+ cannot compile 'broken': .*error"):
        compile_csim(tmp_path)
    with pytest.raises(ToolError) as caught:
        compile_csim(tmp_path / "firmware")
    assert str(caught.value) == (
        "'firmware' has 0 test benches; an HLS project has 1; write it with write_project"
    )


def test_our_headers_pass_wextra(built, tmp_path: Path) -> None:
    """-Wall and -Werror are always on; the cell also survives -Wextra and -Wshadow."""
    program, _, _ = built
    shutil.copytree(program.parent.parent, tmp_path / "p")
    compile_csim(tmp_path / "p", flags=("-O0", "-Wextra", "-Wshadow"), plain=True)


def test_hls4ml_builds_its_own_library_from_the_tree(built, tmp_path: Path) -> None:
    """hls4ml's bridge and build script work on the tree that its writer made."""
    program, _, _ = built
    shutil.copytree(program.parent.parent, tmp_path / "p")
    script = tmp_path / "p" / "build_lib.sh"
    subprocess.run(["bash", str(script)], cwd=script.parent, check=True, timeout=300)
    assert list((tmp_path / "p" / "firmware").glob("demo-*.so"))
