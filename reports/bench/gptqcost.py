# SPDX-License-Identifier: Apache-2.0
"""``python -m reports.bench.gptqcost MODEL --json FILE``: time and memory of one GPTQ command.

The command runs in a process of its own, so that the memory is its own.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from quant.errors import NibbleflowError, ToolError
from reports.bench.record import Row
from reports.bench.runner import nibbleflow_program


def main(arguments: Sequence[str] | None = None, program: Sequence[str] | None = None) -> int:
    """Measure and write the figures; return the exit code.

    Args:
        arguments: Command line; that of the process when absent.
        program: What ``nibbleflow`` stands for; this environment's command when absent.
    """
    parser = argparse.ArgumentParser(description="Time and memory of quantize --recipe gptq.")
    parser.add_argument("model", help="what quantize takes")
    parser.add_argument("--calib", action="append", required=True, help="folder; may repeat")
    parser.add_argument("--seed", type=int, help="of a model without weights")
    parser.add_argument("--images", type=int, required=True, help="that GPTQ reads")
    parser.add_argument("--columns", type=int, required=True, help="per layer over all images")
    parser.add_argument("--weights-only", action="store_true", help="activations stay float")
    parser.add_argument("--json", type=Path, required=True, help="file to write")
    given = parser.parse_args(arguments)
    options = [argument for folder in given.calib for argument in ("--calib", folder)]
    options += [] if given.seed is None else ["--seed", str(given.seed)]
    options += ["--limit", str(given.images), "--weight-bits", "4"]
    options += ["--weights-only"] if given.weights_only else []
    command = [*(nibbleflow_program() if program is None else program), "quantize", given.model]
    try:
        row = measure([*command, *options], given.images, given.columns)
    except NibbleflowError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    given.json.write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")
    return 0


def measure(command: Sequence[str], images: int, columns: int) -> Row:
    """Return wall time, processor time and the most memory of a command with a GPTQ recipe.

    Args:
        command: The command, but for its recipe and its output.
        images: Calibration images that GPTQ reads.
        columns: Columns of a layer's statistics over all images.

    Raises:
        ToolError: The command failed.
    """
    with tempfile.TemporaryDirectory(prefix="nibbleflow-gptq-") as folder:
        recipe = Path(folder) / "gptq.toml"
        recipe.write_text(
            f'[[stage]]\nkind = "gptq"\nimages = {images}\ncolumns = {columns}\n', encoding="utf-8"
        )
        begin = perf_counter()
        done = subprocess.run(
            [*command, "--recipe", str(recipe), "-o", str(Path(folder) / "build")],
            stdin=subprocess.DEVNULL,
            check=False,
        )
        wall = perf_counter() - begin
    if done.returncode:
        raise ToolError(f"'{' '.join(command)}' ended with exit code {done.returncode}")
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "images": images,
        "columns": columns,
        "seconds": round(wall, 1),
        "cpu_seconds": round(spent.ru_utime + spent.ru_stime, 1),
        "peak_mib": round(spent.ru_maxrss / 1024, 1),
    }


if __name__ == "__main__":
    sys.exit(main())
