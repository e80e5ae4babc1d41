# SPDX-License-Identifier: Apache-2.0
"""Runs Tcl scripts in tclsh or, without it, in Python's own interpreter."""

import shutil
import subprocess

import pytest


def tcl(script: str) -> str:
    """Run a script in the Tcl that is here, and return what it prints."""
    found = shutil.which("tclsh")
    if found is None:
        return python_tcl(script)
    return subprocess.run(
        [found], input=script, capture_output=True, text=True, check=True, timeout=60
    ).stdout


def python_tcl(script: str) -> str:
    tkinter = pytest.importorskip("tkinter", reason="no Tcl here: neither tclsh nor tkinter")
    lines: list[str] = []
    interpreter = tkinter.Tcl()
    interpreter.createcommand("puts", lambda *words: lines.append(words[-1]))
    interpreter.eval(script)
    return "".join(f"{line}\n" for line in lines)
