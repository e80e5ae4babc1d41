# SPDX-License-Identifier: Apache-2.0
"""Where a benchmark ran: versions of the tools, the machine, the commit."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

from quant.errors import ToolError
from sim.rtl import find_verilator

PACKAGES = ("numpy", "torch", "hls4ml", "cocotb")
# The results themselves and the tables made from them do not change what is measured.
_NO_SOURCE = (":!reports/results", ":!README.md")


def versions(root: Path) -> dict[str, str | None]:
    """Return the version of every tool that takes part; null for one that is not there.

    Args:
        root: The checkout; its commit carries ``+changes`` when tracked sources differ from it.
    """
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    try:
        found["verilator"] = find_verilator().version
    except ToolError:
        found["verilator"] = None
    found["nibbleflow_commit"] = _commit(root)
    return found


def machine() -> dict[str, str | int]:
    """Return the number of cores and the processor's name."""
    return {"cores": os.cpu_count() or 1, "cpu": _cpu_model()}


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _commit(root: Path) -> str | None:
    commit = _git(root, "rev-parse", "--short=12", "HEAD")
    if commit is None:
        return None
    changes = _git(root, "status", "--porcelain", "--untracked-files=no", "--", ".", *_NO_SOURCE)
    return commit + ("+changes" if changes else "")


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=root, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
