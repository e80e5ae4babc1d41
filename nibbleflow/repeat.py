# SPDX-License-Identifier: Apache-2.0
"""The TOML that repeats a run: written by every run that has a build folder."""

import inspect
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import nibbleflow
from nibbleflow.folders import write_whole
from quant.errors import InputFileError

RUN_FILE_SUFFIX = ".run.toml"
VERBS = tuple(verb for verb in nibbleflow.__all__ if verb != "doctor")  # doctor has no arguments


def write_run(path: Path, verb: str, given: Mapping[str, Any]) -> None:
    """Write the arguments of a run; those that are ``None`` are left out.

    Args:
        path: File to write.
        verb: Name of the verb.
        given: Its keyword arguments: text, paths, numbers, truth values and lists of these.
    """
    lines = ["# Repeat with: nibbleflow repeat FILE", f"[{verb}]"]
    lines += [f"{key} = {_value(value)}" for key, value in given.items() if value is not None]
    write_whole(path, "\n".join(lines) + "\n")


def read_run(path: Path) -> tuple[str, dict[str, Any]]:
    """Read a run file.

    Returns:
        The verb and its keyword arguments.

    Raises:
        InputFileError: The file is missing, is not TOML, or names no verb.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputFileError(f"{path} cannot be read as TOML: {error}") from None
    if len(content) != 1 or next(iter(content)) not in VERBS:
        raise InputFileError(
            f"{path} must have one table named after a verb ({', '.join(VERBS)}), "
            f"not {', '.join(content) or 'nothing'}"
        )
    verb, given = next(iter(content.items()))
    if not isinstance(given, dict):
        raise InputFileError(f"{path}: '{verb}' must be a table of arguments")
    return verb, given


def check_given(verb: Callable[..., object], given: Mapping[str, Any], path: Path) -> None:
    """Refuse arguments that the verb does not take: a run file may have been edited.

    Args:
        verb: The function.
        given: Its keyword arguments.
        path: The run file, for the message.

    Raises:
        InputFileError: An argument is unknown, missing, or of another type.
    """
    parameters = inspect.signature(verb).parameters
    hints = get_type_hints(verb)
    name = verb.__name__
    for key, value in given.items():
        if key not in parameters:
            raise InputFileError(
                f"{path}: '{name}' takes no '{key}'; it takes {', '.join(parameters)}"
            )
        if not _is_of(value, hints[key]):
            raise InputFileError(f"{path}: '{key}' of '{name}' is {value!r}, which is of no use")
    for key, parameter in parameters.items():
        if parameter.default is inspect.Parameter.empty and key not in given:
            raise InputFileError(f"{path}: '{name}' needs '{key}'; add the line")


def _is_of(value: object, hint: Any) -> bool:  # noqa: ANN401 - any type hint of a verb
    """Whether a TOML value is what a parameter's type hint means."""
    origin = get_origin(hint)
    if origin in (Sequence, tuple):
        return isinstance(value, list) and all(_is_of(v, get_args(hint)[0]) for v in value)
    if origin is not None:  # a union
        return any(_is_of(value, option) for option in get_args(hint))
    if hint is float:
        return type(value) in (int, float)
    return type(value) is hint


def _value(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case Path():
            return _text(str(value.resolve()))
        case str():
            return _text(value)
        case list() | tuple():
            return "[" + ", ".join(_value(v) for v in value) + "]"
        case _:
            raise TypeError(f"{type(value).__name__} has no TOML form here")


def _text(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
