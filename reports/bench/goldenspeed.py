# SPDX-License-Identifier: Apache-2.0
"""``python -m reports.bench.goldenspeed BUILD --json FILE``: time the golden model on one core.

A program of its own, because the numeric libraries read their thread settings when they load; the
caller sets them to one thread.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path
from time import perf_counter

import numpy as np
import numpy.typing as npt

from quant.bundle import Bundle, load_bundle
from quant.errors import InputFileError, NibbleflowError
from quant.graph import macs_of
from sim.golden import GoldenModel
from sim.host import input_codes

ROUNDS = 8


def main(arguments: list[str] | None = None) -> int:
    """Measure and write the figures; return the exit code."""
    parser = argparse.ArgumentParser(description="Time the golden model of a build on one core.")
    parser.add_argument("build", type=Path, help="build folder")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="timed frames, at least 1")
    parser.add_argument("--json", type=Path, required=True, help="file to write")
    given = parser.parse_args(arguments)
    if given.rounds < 1:
        parser.error(f"--rounds {given.rounds} must be at least 1")
    try:
        figures = measure(given.build, given.rounds)
    except NibbleflowError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    given.json.write_text(json.dumps(figures, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return 0


def measure(build: Path, rounds: int) -> dict[str, float | int]:
    """Return the speed of the golden model on the build's kept calibration frames.

    Args:
        build: Build folder.
        rounds: Timed frames, after one that prepares the layers.

    Raises:
        NibbleflowError: The build cannot be read.
    """
    bundle = load_bundle(build / "bundle")
    frames = kept_frames(build / "float" / "frames.npy", bundle)
    model = GoldenModel(bundle.graph)
    model.run(frames[:1])
    seconds = []
    for index in range(rounds):
        frame = frames[index % len(frames)][None]
        begin = perf_counter()
        model.run(frame)
        seconds.append(perf_counter() - begin)
    macs = sum(macs_of(bundle.graph, node.name) for node in bundle.graph.nodes)
    best, median = min(seconds), statistics.median(seconds)
    return {
        "rounds": rounds,
        "macs_per_frame": macs,
        "best_seconds_per_frame": round(best, 4),
        "median_seconds_per_frame": round(median, 4),
        "best_gmacs_per_second": round(macs / best / 1e9, 2),
        "median_gmacs_per_second": round(macs / median / 1e9, 2),
    }


def kept_frames(path: Path, bundle: Bundle) -> npt.NDArray[np.uint8]:
    """Return input codes, uint8 [N, C, H, W], of the frames that ``quantize`` kept.

    Args:
        path: Where they are.
        bundle: Of the same build.

    Raises:
        InputFileError: The file cannot be read.
    """
    try:
        canvases = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputFileError(f"{path} cannot be read ({error}); quantize again") from None
    fmt = bundle.graph.input.output
    return np.stack([input_codes(c, bundle.host, fmt.scale, fmt.zero_point) for c in canvases])


if __name__ == "__main__":
    sys.exit(main())
