# SPDX-License-Identifier: Apache-2.0
"""Command line of a benchmark whose rows have names: measure some of them alone."""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from reports.bench.record import Row

_Thing = TypeVar("_Thing")


def measure_named(
    arguments: Sequence[str] | None,
    program: str,
    kind: str,
    known: Mapping[str, _Thing],
    measure: Callable[[list[_Thing]], list[Row]],
) -> int:
    """Measure the things that the command line names, all of them without a name; print their rows.

    Args:
        arguments: Command line; that of the process when absent.
        program: Module that is run.
        kind: What a thing is called.
        known: The things by name.
        measure: Gives their rows.

    Returns:
        The exit code: 2 for an unknown name.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {program}")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(known))
    names = parser.parse_args(arguments).names or list(known)
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"error: no {kind} '{unknown[0]}'; choose {', '.join(known)}", file=sys.stderr)
        return 2
    for row in measure([known[name] for name in names]):
        print(json.dumps(row, indent=1))
    return 0
