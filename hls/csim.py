# SPDX-License-Identifier: Apache-2.0
"""C simulation of a written project with g++: the firmware as Vitis HLS sees it, and our bench."""

import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hls.testbench import DIFFERENT, EQUAL
from hls.vectors import Codes, read_frames, write_frames
from quant.errors import ToolError

# One network is one translation unit, compiled and run on the same machine.
SPEED_FLAGS = ("-O3",)
COMPILE_SECONDS = 600.0
RUN_SECONDS = 1800.0

# All warnings are errors, except what C++ outside a vendor tool cannot know or ap_types cannot
# avoid: HLS pragmas, and ap_int's default constructor, which reads itself when it is inlined.
WARNING_FLAGS = (
    "-Wall",
    "-Werror",
    "-Wno-unknown-pragmas",
    "-Wno-uninitialized",
    "-Wno-maybe-uninitialized",
)
# hls4ml's and the vendor's headers are read first and as system headers, so that the flags above
# judge only our own.
FOREIGN_HEADERS = ("ap_fixed.h", "ap_int.h", "hls_stream.h", "nnet_utils/nnet_code_gen.h")


@dataclass(frozen=True, eq=False)
class CsimRun:
    """Result of one C simulation.

    Attributes:
        outputs: Output codes, uint16 [N, F, OH, OW].
        mismatches: Codes that differ from the expected ones as the C++ bench counted them; ``None``
            when nothing was expected.
        first_difference: The bench's line about the first one; ``None`` when there is none.
        seconds: Wall time of the bench, files included.
    """

    outputs: npt.NDArray[np.uint16]
    mismatches: int | None
    first_difference: str | None
    seconds: float


def compile_csim(
    project_dir: Path,
    *,
    flags: Sequence[str] = SPEED_FLAGS,
    plain: bool = False,
    bounded: bool = False,
) -> Path:
    """Compile firmware and test bench of a project.

    Args:
        project_dir: A folder made by ``write_project``, or a tree made by ``write_network``.
        flags: Further g++ flags.
        plain: Compile the cell with native integers instead of ``ap_int`` (faster to run; only
            ``ap_int`` proves the widths).
        bounded: Give every stream its depth and let all processes run side by side, so that the
            program stands still where hardware would; a tree of a network only.

    Returns:
        The program, inside the project.

    Raises:
        ToolError: g++ is missing, the folder is not a project, or the code does not compile.
    """
    compiler = shutil.which("g++")
    if compiler is None:
        raise ToolError("g++ is not on PATH; the C simulation needs it; install g++ 9 or newer")
    benches = sorted(project_dir.glob("*_test.cpp"))
    if len(benches) != 1:
        raise ToolError(
            f"'{project_dir.name}' has {len(benches)} test benches; an HLS project has 1; "
            "write it with write_project"
        )
    name = benches[0].name.removesuffix("_test.cpp")
    stem = name + ("_plain" if plain else "") + ("_bounded" if bounded else "")
    program = project_dir / "csim" / stem
    program.parent.mkdir(exist_ok=True)
    partial = program.with_name(program.name + ".partial")
    # One translation unit: ap_types are parsed once, which halves the time.
    command = [compiler, "-std=c++11", *WARNING_FLAGS, *flags, *(["-DNF_PLAIN"] if plain else [])]
    if bounded:
        command += ["-I", "bounded"]
    for folder in ("firmware", "firmware/ap_types"):
        command += ["-isystem", folder]
    for header in (*FOREIGN_HEADERS, f"{'bounded' if bounded else 'firmware'}/{name}.cpp"):
        command += ["-include", header]
    command += [benches[0].name, "-o", str(partial.relative_to(project_dir))]
    result = run_command(command, project_dir, COMPILE_SECONDS, f"g++ on '{name}'")
    if result.returncode != 0:
        lines = [line for line in result.stderr.splitlines() if "error" in line][:3]
        raise ToolError(
            f"g++ cannot compile '{name}': {' | '.join(lines) or result.stderr[-300:]}; "
            "is the project as it was generated?"
        )
    partial.replace(program)
    return program


def run_csim(
    program: Path,
    inputs: Codes,
    expected: Codes | None,
    work_dir: Path,
    *,
    timeout_seconds: float = RUN_SECONDS,
) -> CsimRun:
    """Run frames through a compiled project, one after the other without a reset.

    Args:
        program: What ``compile_csim`` returned.
        inputs: Input codes [N, C, H, W].
        expected: Golden output codes [N, F, OH, OW]; ``None`` compares nothing.
        work_dir: Folder for the vector files; made when missing.
        timeout_seconds: Limit of the bench.

    Raises:
        ToolError: The bench refused its files, broke, or ran too long.
    """
    work_dir.mkdir(parents=True, exist_ok=True)
    files = [work_dir / f"{what}.dat" for what in ("input", "expected", "output")]
    started = time.perf_counter()
    write_frames(files[0], inputs)
    if expected is not None:
        write_frames(files[1], expected)
    files[2].unlink(missing_ok=True)
    second = str(files[1].resolve()) if expected is not None else "-"
    result = run_command(
        [str(program.resolve()), str(files[0].resolve()), second, str(files[2].resolve())],
        work_dir,
        timeout_seconds,
        f"the C simulation '{program.name}'",
    )
    shape = re.search(r"^frames (\d+) filters (\d+) rows (\d+) columns (\d+)$", result.stdout, re.M)
    if result.returncode not in (EQUAL, DIFFERENT) or shape is None:
        last = (result.stdout + result.stderr).strip().splitlines()[-1:] or ["no message"]
        raise ToolError(
            f"C simulation '{program.name}' stopped with code {result.returncode}: {last[0]}; "
            "check the shapes and bits of the frames"
        )
    n, f, h, w = (int(v) for v in shape.groups())
    outputs = read_frames(files[2], (n, f, h, w))
    seconds = time.perf_counter() - started
    if expected is None:
        return CsimRun(outputs, None, None, seconds)
    counted = re.search(r"^(\d+) of \d+ codes differ$", result.stdout, re.M)
    mismatches = int(counted.group(1)) if counted else -1
    if (mismatches == 0) != (result.returncode == EQUAL):
        raise ToolError(
            f"C simulation '{program.name}' exits with {result.returncode} but counts {mismatches} "
            "differences; is the test bench as it was generated?"
        )
    if expected.shape != outputs.shape or mismatches != np.count_nonzero(outputs != expected):
        raise ToolError(
            f"C simulation '{program.name}' made codes {outputs.shape} with {mismatches} counted "
            f"differences, which does not fit the expected codes {expected.shape}; "
            "is the program that of this layer?"
        )
    first = re.search(r"^first difference: (.*)$", result.stdout, re.M)
    return CsimRun(outputs, mismatches, first.group(1) if first else None, seconds)


def run_command(
    command: Sequence[str], folder: Path, timeout_seconds: float, what: str
) -> subprocess.CompletedProcess[str]:
    """Run a program and return what it printed.

    Args:
        command: Program and arguments.
        folder: Where it runs.
        timeout_seconds: Its limit.
        what: What it is, for messages.

    Raises:
        ToolError: It cannot be started or ran too long.
    """
    try:
        return subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ToolError(
            f"{what} ran longer than {timeout_seconds:g} s; use a smaller layer or a wider folding"
        ) from error
    except OSError as error:
        raise ToolError(f"{what} cannot be started: {error}; compile it again") from error
