# SPDX-License-Identifier: Apache-2.0
"""The real command line in this process, and one small build for all tests."""

import contextlib
import io
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import pytest

from nibbleflow.cli import main
from quant.zoo.shapes import shapes_sample

CALIBRATION_IMAGES = 8


@dataclass(frozen=True)
class Ran:
    """A finished command: exit code and what it printed."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line on standard error that begins with ``error:``, and it is the last."""
        lines = self.err.splitlines()
        assert [line for line in lines if "error" in line.lower()] == lines[-1:], self.err
        assert lines[-1].startswith("error: "), self.err
        assert "Traceback" not in self.err + self.out
        return lines[-1].removeprefix("error: ")


Cli = Callable[..., Ran]


def run_cli(*arguments: object) -> Ran:
    """Run ``nibbleflow ARGUMENTS`` as the installed command does."""
    out, err = io.StringIO(), io.StringIO()
    before, sys.argv = sys.argv, ["nibbleflow", *map(str, arguments)]
    code = 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.argv = before
    return Ran(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def cli() -> Cli:
    return run_cli


@pytest.fixture(scope="session", autouse=True)
def _wide_terminal() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "200")
        yield


@pytest.fixture(scope="session")
def kept_build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A quantized demo that no test may change."""
    build = tmp_path_factory.mktemp("kept") / "demo"
    done = run_cli("quantize", "demo", "-o", build, "--limit", CALIBRATION_IMAGES)
    assert done.code == 0, done.err
    return build


@pytest.fixture
def build(kept_build: Path, tmp_path: Path) -> Path:
    """A copy of that build."""
    return Path(shutil.copytree(kept_build, tmp_path / "build"))


@pytest.fixture(scope="session")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated image with shapes, larger than the network's input."""
    path = tmp_path_factory.mktemp("picture") / "shapes.png"
    image, _, _ = shapes_sample(99, 0, (240, 320))
    cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return path


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder of three small JPEG files for calibration."""
    folder = tmp_path / "images"
    folder.mkdir()
    for index in range(3):
        image, _, _ = shapes_sample(5, index, (160, 160))
        cv2.imwrite(str(folder / f"{index}.jpg"), image)
    return folder


@pytest.fixture(scope="session")
def tree() -> Callable[[Path], dict[str, bytes]]:
    """Every file below a folder with its bytes."""

    def read(folder: Path) -> dict[str, bytes]:
        files = sorted(p for p in folder.rglob("*") if p.is_file())
        return {str(p.relative_to(folder)): p.read_bytes() for p in files}

    return read
