# SPDX-License-Identifier: Apache-2.0
"""One look for every progress bar."""

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

PIPED_WIDTH = 120


def result_console() -> Console:
    """Return the console of results: as wide as the terminal; into a pipe or file at least 120.

    A pipe has no width of its own; cutting table cells to 80 columns there would lose figures.
    """
    console = Console()
    return console if console.is_terminal else Console(width=max(console.width, PIPED_WIDTH))


@contextlib.contextmanager
def progress_bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar on standard error and yield the function that advances it."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(what, total=total)
        yield lambda count: progress.advance(task, count)
