# SPDX-License-Identifier: Apache-2.0
"""A command becomes a verb's run: its result printed and kept, its errors one line."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

import nibbleflow
from nibbleflow.folders import write_whole
from nibbleflow.progress import result_console
from nibbleflow.repeat import RUN_FILE_SUFFIX, write_run
from nibbleflow.result import Result
from quant.errors import NibbleflowError


def run(name: str, given: dict[str, Any], json: Path | None, build: Path | None) -> None:
    """Run a verb, keep what repeats the run, print the result.

    Args:
        name: Name of the verb.
        given: Its keyword arguments.
        json: File that the result is written to as JSON.
        build: Folder that the run belongs to, if any.

    Raises:
        NibbleflowError: What the verb raises.
        Exit: The result is not as it should be: exit code 1.
    """
    result = find_verb(name)(**given)
    if build is not None and build.is_dir():  # a model that was evaluated has no folder
        write_run(build / f"{name}{RUN_FILE_SUFFIX}", name, given)
    result_console().print(result.table())
    if json is not None:
        write_whole(json, result.to_json())
    if not result.ok:
        raise typer.Exit(1)


def find_verb(name: str) -> Callable[..., Result]:
    """Return the verb's function; its module is loaded now."""
    return getattr(nibbleflow, name)  # type: ignore[no-any-return]


def run_app(app: typer.Typer) -> None:
    """Run the command line; user errors are one line and exit code 1."""
    try:
        app()
    except NibbleflowError as error:
        _say(str(error))
        sys.exit(1)
    except OSError as error:  # a full disk, a folder that may not be written
        _say(f"{error.strerror or error}: {error.filename}" if error.filename else str(error))
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def _say(message: str) -> None:
    Console(stderr=True).print(
        f"error: {message}", style="red", markup=False, highlight=False, soft_wrap=True
    )
