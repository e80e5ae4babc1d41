# SPDX-License-Identifier: Apache-2.0
"""Folders that appear complete or not at all: written beside the target, then renamed."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from quant.errors import BundleError


def write_folder(
    directory: Path,
    files: Iterable[tuple[str, bytes]],
    *,
    suffixes: tuple[str, ...],
    force: bool,
) -> tuple[Path, ...]:
    """Write a folder of files; a half-written one never appears under ``directory``.

    Args:
        directory: Folder to make; its parents are made too.
        files: Name and content of each file.
        suffixes: Endings of the names; a folder that holds any other file is never replaced.
        force: Replace an existing folder. The old one stays until the new one is complete.

    Returns:
        The files written, in order.

    Raises:
        BundleError: The folder exists and ``force`` is off, it holds other files, or it cannot be
            written.
    """
    _check_target(directory, suffixes, force)
    fresh = directory.with_name(f".{directory.name}.{os.getpid()}.new")
    written = []
    try:
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        for name, content in files:
            (fresh / name).write_bytes(content)
            written.append(directory / name)
        _move_into_place(fresh, directory)
    except OSError as error:
        raise BundleError(
            f"'{directory}' cannot be written ({error.strerror or error}); "
            "choose a folder with room and write permission"
        ) from None
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return tuple(written)


def _check_target(directory: Path, suffixes: tuple[str, ...], force: bool) -> None:
    if not directory.exists():
        return
    if not directory.is_dir():
        raise BundleError(f"'{directory}' is a file; name a folder")
    if not force:
        raise BundleError(f"'{directory}' exists; choose another folder or replace it with --force")
    foreign = sorted(p.name for p in directory.iterdir() if not p.name.endswith(suffixes))
    if foreign:
        raise BundleError(
            f"'{directory}' holds '{foreign[0]}', which nibbleflow did not write there; "
            "it is not replaced, choose another folder"
        )


def _move_into_place(fresh: Path, directory: Path) -> None:
    if not directory.exists():
        fresh.rename(directory)
        return
    # Folders cannot be swapped portably: the old one steps aside, and back if the new one fails.
    old = directory.with_name(f".{directory.name}.{os.getpid()}.old")
    shutil.rmtree(old, ignore_errors=True)
    directory.rename(old)
    try:
        fresh.rename(directory)
    except OSError:
        old.rename(directory)
        raise
    shutil.rmtree(old, ignore_errors=True)
