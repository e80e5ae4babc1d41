# SPDX-License-Identifier: Apache-2.0
"""Importing and asking for help load nothing heavy, in a fresh process."""

import os
import subprocess
import sys

import pytest

import nibbleflow

HEAVY = ("torch", "hls4ml", "matplotlib", "cocotb", "cv2", "pycocotools", "numpy", "safetensors")


def fresh(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_is_light():
    names = fresh("import sys, nibbleflow; print(*sys.modules)").split()
    assert "nibbleflow" in names
    assert [name for name in HEAVY if name in names] == []


def test_command_line_is_light():
    names = fresh("import sys, nibbleflow.cli; print(*sys.modules)").split()
    assert "typer" in names
    assert [
        name for name in ("torch", "hls4ml", "matplotlib", "cocotb", "cv2") if name in names
    ] == []


def test_import_of_the_core_never_loads_torch():
    names = fresh("import sys, quant, quant.bundle, sim.golden; print(*sys.modules)").split()
    assert "numpy" in names
    assert [name for name in ("torch", "hls4ml", "matplotlib", "cocotb") if name in names] == []


def test_every_verb_is_a_function_and_a_command():
    for name in nibbleflow.__all__:
        assert getattr(nibbleflow, name).__name__ == name
    with pytest.raises(AttributeError, match=r"^module 'nibbleflow' has no verb 'fly'$"):
        _ = nibbleflow.fly


def test_help_lists_every_verb_quickly(cli):
    done = cli("--help")
    assert done.code == 0
    listed = [line.split()[0] for line in done.out.split("Commands:")[1].splitlines() if line]
    assert sorted(listed) == sorted([*nibbleflow.__all__, "repeat"])


def test_help_is_quick_in_a_fresh_process():
    begin = os.times().children_user
    fresh(
        "import sys; sys.argv = ['nibbleflow', '--help']\nfrom nibbleflow.cli import main\nmain()"
    )
    assert os.times().children_user - begin < 1.0  # 0.1 s measured; loading torch takes 2 s
