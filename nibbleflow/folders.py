# SPDX-License-Identifier: Apache-2.0
"""The build folder, and folders that appear whole or not at all."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from quant.errors import InputFileError

RANDOM = "random"


def is_random(folder: str | Path) -> bool:
    """Whether a ``--calib`` value means random images (a folder of that name: ``./random``)."""
    return str(folder).partition(":")[0] == RANDOM


@dataclass(frozen=True)
class BuildFolder:
    """Paths inside a BUILD.

    Attributes:
        path: The folder.
    """

    path: Path

    @property
    def bundle(self) -> Path:
        """The integer bundle."""
        return self.path / "bundle"

    @property
    def floats(self) -> Path:
        """Fused float weights and graph."""
        return self.path / "float"

    @property
    def frames(self) -> Path:
        """A few letterboxed calibration images, uint8 [n, H, W, 3]."""
        return self.path / "float" / "frames.npy"

    @property
    def schedule(self) -> Path:
        """The complete plan of the network."""
        return self.path / "schedule.json"

    @property
    def fifos(self) -> Path:
        """Where the plan's FIFO depths come from, and the cycles that follow."""
        return self.path / "fifos.json"

    @property
    def biases(self) -> Path:
        """Biases that a recipe moved, of a build of kind weights; else there is no such file."""
        return self.path / "float" / "biases.safetensors"

    @property
    def rtl(self) -> Path:
        """Generated SystemVerilog."""
        return self.path / "rtl"

    @property
    def hls(self) -> Path:
        """Generated HLS projects."""
        return self.path / "hls"

    @property
    def vectors(self) -> Path:
        """Golden vectors for a user's own hardware."""
        return self.path / "vectors"

    @property
    def export(self) -> Path:
        """The bundle's tensors as ``.mem`` files and C headers."""
        return self.path / "export"

    @property
    def sim(self) -> Path:
        """Scratch of simulations and the last verification's record."""
        return self.path / "sim"

    @property
    def verification(self) -> Path:
        """The last verification's record."""
        return self.sim / "verify.json"

    @property
    def synth(self) -> Path:
        """Kept results of synthesis, and its scratch."""
        return self.path / "synth"

    @property
    def synthesis(self) -> Path:
        """What the last synthesis of the cells counted."""
        return self.synth / "cells.json"

    @property
    def exploration(self) -> Path:
        """What was explored: ``plan.json``, ``front.json`` and the parts of the front."""
        return self.path / "explore"

    @property
    def report(self) -> Path:
        """Tables, plots and JSON."""
        return self.path / "report"

    @classmethod
    def existing(cls, path: str | Path) -> "BuildFolder":
        """Return the build at ``path``.

        Raises:
            InputFileError: There is no build there.
        """
        folder = cls(Path(path))
        if not folder.bundle.is_dir():
            raise InputFileError(
                f"{path} is not a build folder (no bundle/ inside); make one with "
                "'nibbleflow quantize MODEL --calib DIR -o BUILD'"
            )
        return folder


def recipe_folder(build: Path) -> Path:
    """Return the folder beside a build to be where a recipe keeps what it has finished."""
    return build.parent / f".{build.name}.recipe"


@contextlib.contextmanager
def whole_folder(path: Path, *, force: bool) -> Iterator[Path]:
    """Yield an empty folder beside ``path`` that takes its name when the block succeeds.

    Args:
        path: The folder to make.
        force: Whether an existing one may be replaced.

    Yields:
        The temporary folder; it is removed when the block raises.

    Raises:
        InputFileError: ``path`` exists and ``force`` is not given, or it cannot be made.
    """
    if path.exists() and not force:
        raise InputFileError(f"{path} exists already; give --force to replace it")
    if path.exists() and not path.is_dir():
        raise InputFileError(f"{path} is a file; name a folder")
    partial = path.parent / f".{path.name}.partial-{os.getpid()}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
    except OSError as error:
        raise InputFileError(f"cannot make {path} ({error.filename}: {error.strerror})") from None
    try:
        yield partial
        old = path.parent / f".{path.name}.old-{os.getpid()}"
        if path.exists():
            path.rename(old)
        partial.rename(path)
        shutil.rmtree(old, ignore_errors=True)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def write_whole(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` so that the file appears whole or not at all.

    Raises:
        InputFileError: It cannot be written.
    """
    partial = path.parent / f".{path.name}.partial-{os.getpid()}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise InputFileError(f"cannot write {path} ({error.filename}: {error.strerror})") from None
