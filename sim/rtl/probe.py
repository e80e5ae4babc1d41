# SPDX-License-Identifier: Apache-2.0
"""Probes: record every beat of streams inside the device under test."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from quant.errors import ToolError
from sim.rtl.wrapper import Ports
from sim.stream import BeatArray

LOG = "nf_probes.log"


@dataclass(frozen=True)
class Probe:
    """One stream to watch.

    Attributes:
        name: What it is called in reports.
        data: Expression of its data in the scope of the device's top.
        valid: Likewise.
        ready: Likewise.
        bits: Bits of the data.
        record: Keep every beat; else only count them.
    """

    name: str
    data: str
    valid: str
    ready: str
    bits: int
    record: bool = True


@dataclass(frozen=True, eq=False)
class ProbeLog:
    """What a probe saw.

    Attributes:
        probe: The probe.
        count: Beats that moved.
        valid: Whether a beat was offered in the last cycle.
        ready: Whether one would have been taken in the last cycle.
        data: Beats, uint8 [count, bytes], mapped from the file; empty when only counted.
        cycles: Cycle of every beat, uint32 [count] (modulo 2**32); empty when only counted.
    """

    probe: Probe
    count: int
    valid: bool
    ready: bool
    data: BeatArray
    cycles: npt.NDArray[np.uint32]


def bind_text(top: str, ports: Ports, probes: Sequence[Probe]) -> str:
    """Return the text that puts the probes into module ``top``.

    Args:
        top: Module under test.
        ports: Its port names.
        probes: What to watch; the position is the probe's number.
    """
    reset = ports.reset if ports.reset_active_low else f"~{ports.reset}"
    lines = ["// SPDX-License-Identifier: Apache-2.0", f"// Generated: probes inside {top}."]
    for index, probe in enumerate(probes):
        parameters = f".Id({index}), .Bits({probe.bits}), .Record(1'b{int(probe.record)})"
        lines += [
            f"bind {top} nf_probe #({parameters}) nf_probe_{index} (",
            f"    .clk_i({ports.clock}), .rst_ni({reset}), .data_i({probe.data}),",
            f"    .valid_i({probe.valid}), .ready_i({probe.ready}));",
        ]
    return "\n".join([*lines, ""])


def read_probes(folder: Path, probes: Sequence[Probe]) -> tuple[ProbeLog, ...]:
    """Read what the probes of a finished simulation left in ``folder``.

    Raises:
        ToolError: A file is missing or short: the simulation did not end in order.
    """
    if not probes:
        return ()
    try:
        lines = (folder / LOG).read_text(encoding="ascii").splitlines()
        ends = {int(index): rest for index, *rest in (line.split() for line in lines)}
        logs = [_read(folder, i, probe, *map(int, ends[i])) for i, probe in enumerate(probes)]
    except (OSError, KeyError, ValueError) as error:
        raise ToolError(f"the probes in {folder} left no whole record: {error}") from None
    return tuple(logs)


def _read(folder: Path, index: int, probe: Probe, count: int, valid: int, ready: int) -> ProbeLog:
    width = (probe.bits + 7) // 8
    kind = np.dtype([("cycle", "<u4"), ("data", np.uint8, (width,))])
    records = np.zeros(0, kind)
    if probe.record and count:
        records = np.memmap(folder / f"nf_probe_{index}.bin", kind, mode="r", shape=(count,))
    return ProbeLog(probe, count, bool(valid), bool(ready), records["data"], records["cycle"])
