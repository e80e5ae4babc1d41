# SPDX-License-Identifier: Apache-2.0
"""Runs command lines of this environment and reads the JSON they write."""

import json
import os
import resource
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from quant.errors import ToolError

Json = dict[str, Any]

ONE_CORE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
RUSAGE_FIELDS = 16
_SHOWN_LINES = 5


def nibbleflow_program() -> list[str]:
    """Return the command of this environment: the script beside Python, else the module."""
    script = Path(sys.executable).with_name("nibbleflow")
    return [str(script)] if script.is_file() else [sys.executable, "-m", "nibbleflow.cli"]


class Runner:
    """Runs the commands of one benchmark from the checkout's folder and remembers them.

    Attributes:
        folder: Scratch folder of the benchmark, relative to the checkout.
        commands: Command lines run so far, as a user types them.
        spent: What the last one used: processor time of all its threads, most memory in KiB.
    """

    def __init__(
        self,
        root: Path,
        folder: Path,
        *,
        program: Sequence[str] | None = None,
        say: Callable[[str], None] = print,
    ) -> None:
        """Make the scratch folder.

        Args:
            root: The checkout.
            folder: Scratch folder, relative to it.
            program: What ``nibbleflow`` stands for; this environment's command when absent.
            say: Called with every command line before it runs.
        """
        self.folder = folder
        self.commands: list[str] = []
        self.spent = resource.struct_rusage([0] * RUSAGE_FIELDS)
        self._root = root
        self._program = list(program) if program is not None else nibbleflow_program()
        self._say = say
        (root / folder).mkdir(parents=True, exist_ok=True)

    def path(self, relative: str | Path) -> Path:
        """Return where ``relative``, a path as commands name it, lies on this machine."""
        return self._root / relative

    def nibbleflow(self, verb: str, *arguments: str | Path) -> Json:
        """Run one verb and return its JSON.

        Raises:
            ToolError: It failed, or wrote no JSON.
        """
        return self._run(self._program, "nibbleflow", [verb, *map(str, arguments)], verb, {})

    def module(self, name: str, *arguments: str | Path, one_core: bool = False) -> Json:
        """Run ``python -m name`` and return its JSON.

        Args:
            name: Module that understands ``--json FILE``.
            arguments: Its arguments.
            one_core: Whether the numeric libraries may use one thread only.

        Raises:
            ToolError: It failed, or wrote no JSON.
        """
        program = [sys.executable, "-m", name]
        short = name.rpartition(".")[2]
        settings = ONE_CORE if one_core else {}
        return self._run(program, f"python -m {name}", list(map(str, arguments)), short, settings)

    def _run(
        self,
        program: list[str],
        shown: str,
        arguments: list[str],
        label: str,
        settings: dict[str, str],
    ) -> Json:
        stem = self.folder / f"{len(self.commands) + 1:02d}-{label}"
        result = stem.with_suffix(".json")
        arguments = [*arguments, "--json", str(result)]
        line = " ".join([*(f"{k}={v}" for k, v in settings.items()), shown, shlex.join(arguments)])
        self.commands.append(line)
        self._say(line)
        self.path(result).unlink(missing_ok=True)
        with self.path(stem.with_suffix(".log")).open("w", encoding="utf-8") as log:
            process = subprocess.Popen(
                [*program, *arguments],
                cwd=self._root,
                env=os.environ | settings,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            _, status, self.spent = os.wait4(process.pid, 0)
            code = process.returncode = os.waitstatus_to_exitcode(status)
        if code:
            raise ToolError(
                f"'{line}' ended with exit code {code}: "
                f"{_last_lines(self.path(stem.with_suffix('.log')))}"
            )
        return self._read(result, line)

    def _read(self, result: Path, line: str) -> Json:
        try:
            value = json.loads(self.path(result).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ToolError(f"'{line}' wrote no JSON to {result}: {error}") from None
        if not isinstance(value, dict):
            raise ToolError(f"'{line}' wrote {type(value).__name__} to {result}, not an object")
        return value


def _last_lines(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    return " | ".join([line.strip() for line in lines if line.strip()][-_SHOWN_LINES:])
