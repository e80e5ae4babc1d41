# SPDX-License-Identifier: Apache-2.0
"""What a vendor's report says, whichever tool wrote it."""

from dataclasses import dataclass
from typing import Literal

ReportKind = Literal["hls", "utilization", "timing"]


@dataclass(frozen=True)
class Resources:
    """Resources of a module, as the tool counts them; ``None``: the report does not say.

    Attributes:
        lut: Lookup tables, those of memories included.
        ff: Flip-flops.
        dsp: DSP blocks.
        bram18: Block RAMs of 18 Kibit. HLS counts all block RAM in them.
        bram36: Block RAMs of 36 Kibit.
        uram: Ultra RAMs.
    """

    lut: int | None
    ff: int | None
    dsp: int | None
    bram18: int | None
    bram36: int | None
    uram: int | None


@dataclass(frozen=True)
class VendorModule:
    """One module, or one instance of it.

    Attributes:
        name: Name of the module (HLS) or path of the instance below the top (Vivado).
        resources: What it takes; ``None`` in a timing report.
        latency_cycles: Longest latency; ``None`` where the tool says none or cannot tell.
        interval_cycles: Longest initiation interval; ``None`` likewise.
    """

    name: str
    resources: Resources | None
    latency_cycles: int | None = None
    interval_cycles: int | None = None


@dataclass(frozen=True)
class VendorReport:
    """One report file.

    Attributes:
        file: Its name.
        kind: What it is a report of.
        tool: Tool and version.
        top: Top module.
        part: Device.
        period_ns: Clock period asked for; the shortest of several clocks.
        reached_ns: Period that the tool estimates or reached; ``None`` without timing.
        wns_ns: Worst negative slack of setup paths; below 0 the clock is not met.
        modules: The top first, then what is in it; a report of timing has the top alone.
    """

    file: str
    kind: ReportKind
    tool: str
    top: str
    part: str
    period_ns: float | None
    reached_ns: float | None
    wns_ns: float | None
    modules: tuple[VendorModule, ...]
