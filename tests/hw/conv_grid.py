# SPDX-License-Identifier: Apache-2.0
"""Random convolutions through Verilator: values against the golden model, cycles against the plan.

The long form of test_conv_rtl.py, for ``make bench``: ``python tests/hw/conv_grid.py 100 --seed 7``
builds 100 devices (about 3 s each) and ends with code 1 when one of them differs.
"""

import argparse
import dataclasses
import itertools
import sys
import tempfile
from pathlib import Path

import numpy as np

from hw.conv import emit_conv, rtl_sources
from hw.cycles import conv_cycles
from hw.divisors import divisors
from hw.geometry import conv_geometry
from quant.samples import sample_codes, sample_conv
from quant.schedule import Folding
from quant.weights import Granularity
from sim.golden import run_conv
from sim.rtl import ALWAYS, Pattern, build_bench
from sim.stream import beat_bytes, pack_beats, unpack_beats

FRAMES = 4
PATTERNS = (
    (ALWAYS, ALWAYS),
    (Pattern.random(0.3), Pattern.random(0.4)),
    (Pattern.bursts(5, 20), Pattern.bursts(7, 9)),
)


@dataclasses.dataclass(frozen=True)
class Draw:
    """One random layer: arguments of sample_conv, picture and folding."""

    seed: int
    channels: int
    filters: int
    groups: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]
    size: tuple[int, int]
    folding: Folding
    options: dict[str, object]


def draw(seed: int) -> Draw:
    """Return a random layer that the cell builds; equal seeds give equal layers."""
    rng = np.random.default_rng(seed)

    def pick(*choices):
        return choices[rng.integers(len(choices))]

    kh = pick(1, 1, 2, 3, 3, 5, 6)
    kw = pick(kh, kh, kh, 1, 3)
    padding = tuple(int(rng.integers(0, k)) for k in (kh, kw, kh, kw))
    least = [max(1, k - padding[i] - padding[i + 2]) for i, k in enumerate((kh, kw))]
    size = tuple(int(rng.integers(n, n + 11)) for n in least)
    groups = pick(1, 1, 1, 2, 3)
    channels, filters = (groups * int(n) for n in rng.integers(1, 10, 2))
    if pick(0, 0, 0, 1):
        groups = filters = channels
    depthwise = groups > 1 and channels == groups and filters == channels
    weight_bits = pick(2, 3, 4, 4, 4, 5, 8)
    schemes = ("affine", "symmetric", "codebook") + (("pwlq",) if weight_bits in (4, 5) else ())
    return Draw(
        seed,
        channels,
        filters,
        groups,
        (kh, kw),
        pick((1, 1), (1, 1), (2, 2), (1, 2), (2, 1), (3, 3)),
        padding,
        size,
        Folding(
            int(pick(*divisors(channels if depthwise else filters // groups))),
            int(pick(*divisors(channels // groups))),
            core=pick("plain_lut", "plain_dsp"),
        ),
        {
            "weight_bits": weight_bits,
            "act_bits": pick(4, 4, 5, 6, 8),
            "table": pick(False, True),
            "codebook": pick(False, False, False, True),
            "scheme": pick(*schemes),
            "granularity": pick(*Granularity),
        },
    )


def check(layer: Draw, folder: Path) -> list[str]:
    """Build and run one layer under every pattern; return what was wrong."""
    node, source = sample_conv(
        layer.seed,
        layer.channels,
        layer.filters,
        layer.kernel,
        layer.stride,
        layer.padding,
        layer.groups,
        **layer.options,
    )
    shape = (layer.channels, *layer.size)
    g = conv_geometry(node, shape, layer.folding)
    files = emit_conv(node, source, shape, layer.folding, "dut", file_prefix="")
    top = folder / "dut.sv"
    top.write_text(files.pop("dut.sv"))
    bench = build_bench(
        [*rtl_sources(), top],
        "dut",
        beat_bytes(source.bits, g.in_lanes),
        beat_bytes(node.output.bits, g.pe),
        folder / "cache",
    )
    frames = sample_codes(layer.seed, (FRAMES, *shape), source.bits)
    expected, _ = run_conv(node, source, frames)
    planned = conv_cycles(node, shape, layer.folding)
    wrong = []
    for seed, (idle, stall) in enumerate(PATTERNS):
        beats = [pack_beats(frame, source.bits, g.in_lanes) for frame in frames]
        run = bench.run(
            folder / "run",
            [beats],
            [g.output_beats],
            idle=idle,
            stall=stall,
            seed=seed,
            files=files,
        )
        if run.stalled or run.violation:
            wrong.append(f"pattern {seed}: {run.stalled or run.violation}")
            continue
        codes = [unpack_beats(b, expected.shape[1:], node.output.bits, g.pe) for b in run.frames]
        differing = int(np.sum(np.stack(codes) != expected))
        if differing:
            wrong.append(f"pattern {seed}: {differing} of {expected.size} values differ")
        counted = (run.interval_cycles, run.latency_cycles)
        if seed == 0 and counted != (planned.interval_cycles, planned.latency_cycles):
            wrong.append(f"counted interval and latency {counted}, planned {planned}")
    return wrong


def main() -> int:
    """Check the asked number of layers; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("count", type=int, nargs="?", default=40)
    parser.add_argument("--seed", type=int, default=1, help="seed of the first layer")
    arguments = parser.parse_args()
    failures = 0
    for seed in itertools.islice(itertools.count(arguments.seed), arguments.count):
        layer = draw(seed)
        with tempfile.TemporaryDirectory() as folder:
            wrong = check(layer, Path(folder))
        failures += bool(wrong)
        print(f"{'FAIL' if wrong else 'ok'} {layer}", *wrong, sep="\n  " if wrong else " ")
    print(f"{arguments.count - failures} of {arguments.count} layers equal and on time")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
