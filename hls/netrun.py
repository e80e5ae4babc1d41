# SPDX-License-Identifier: Apache-2.0
"""Runs a compiled network: frames in, outputs and the traces of every node out."""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from hls.boundedtop import DEADLOCK
from hls.csim import RUN_SECONDS, run_command
from hls.netvectors import Codes, read_codes, write_network_vectors
from hls.network import HlsNetwork
from hls.testbench import DIFFERENT, EQUAL
from quant.errors import ToolError


@dataclass(frozen=True, eq=False)
class NetworkRun:
    """Result of one C simulation of a network.

    Attributes:
        tensors: Codes [N, C, H, W] by node name: the outputs, and with traces every node but the
            input.
        mismatches: Output codes that differ from the expected ones as the C++ bench counted them.
        first_difference: The bench's line about the first one; ``None`` when there is none.
        network_seconds: Processor time inside the top function, all frames.
        seconds: Wall time of the bench, files included.
    """

    tensors: Mapping[str, npt.NDArray[np.unsignedinteger]]
    mismatches: int
    first_difference: str | None
    network_seconds: float
    seconds: float


def run_network(
    network: HlsNetwork,
    program: Path,
    inputs: Codes,
    expected: Mapping[str, Codes],
    work_dir: Path,
    *,
    trace: bool = False,
    timeout_seconds: float = RUN_SECONDS,
) -> NetworkRun:
    """Run frames through a compiled network, one after the other without a reset.

    Args:
        network: What was compiled.
        program: What ``compile_csim`` returned.
        inputs: Input codes [N, C, H, W].
        expected: Golden codes [N, C, H, W] of every output by node name.
        work_dir: Folder for vectors and traces; made when missing.
        trace: Whether every node's output is recorded.
        timeout_seconds: Limit of the bench.

    Raises:
        ToolError: The bench refused its files, broke, stood still, ran too long, or miscounted.
    """
    started = time.perf_counter()
    vectors, traces = work_dir / "vectors", work_dir / "traces"
    streams = {name: layer.kernel.outputs[0] for name, layer in network.outputs.items()}
    write_network_vectors(
        vectors,
        (inputs, network.input.bits),
        [(expected[name], stream.bits) for name, stream in streams.items()],
    )
    command = [str(program.resolve()), str(vectors.resolve())]
    if trace:
        traces.mkdir(exist_ok=True)
        for path in traces.glob("*.bin"):
            path.unlink()
        command.append(str(traces.resolve()))
    what = f"the C simulation '{program.name}'"
    result = run_command(command, work_dir, timeout_seconds, what)
    found = re.search(r"^frames (\d+) seconds ([0-9.]+) differences (\d+)$", result.stdout, re.M)
    if result.returncode == DEADLOCK:
        full = [line.strip() for line in result.stdout.splitlines() if " waits to write " in line]
        raise ToolError(
            f"C simulation '{program.name}' stands still: {'; '.join(full)}; give these streams "
            "more places"
        )
    if result.returncode not in (EQUAL, DIFFERENT) or found is None:
        last = (result.stdout + result.stderr).strip().splitlines()[-1:] or ["no message"]
        raise ToolError(
            f"C simulation '{program.name}' stopped with code {result.returncode}: {last[0]}; "
            "check the shapes and bits of the frames"
        )
    mismatches = int(found.group(3))
    tensors = {
        name: read_codes(vectors / f"output_{index}.bin", stream)
        for index, (name, stream) in enumerate(streams.items())
    }
    wrong = sum(int(np.count_nonzero(tensors[name] != expected[name])) for name in streams)
    if wrong != mismatches or (mismatches == 0) != (result.returncode == EQUAL):
        raise ToolError(
            f"C simulation '{program.name}' exits with {result.returncode} and counts {mismatches} "
            f"differences of {wrong}; is the test bench as it was generated?"
        )
    if trace:
        for name, (file, stream) in network.traces.items():
            tensors[name] = read_codes(traces / f"{file}.bin", stream)
    first = re.search(r"^first difference: (.*)$", result.stdout, re.M)
    return NetworkRun(
        MappingProxyType(tensors),
        mismatches,
        first.group(1) if first else None,
        float(found.group(2)),
        time.perf_counter() - started,
    )
