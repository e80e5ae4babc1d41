# SPDX-License-Identifier: Apache-2.0
"""What a simulation gave, read from the files that the bench wrote."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sim.rtl.probe import ProbeLog
from sim.rtl.wrapper import Ports
from sim.stream import BeatArray

CycleArray = npt.NDArray[np.int64]

DRAIN_CYCLES = 64
"""Cycles after the last beat in which a surplus beat would still be seen."""

_REASONS = {
    2: "no beat moves any more",
    3: "max_cycles reached",
    4: "a beat came after the last frame",
}

_VIOLATIONS = {
    1: "tvalid fell before the beat was taken",
    2: "tdata or tlast changed while the beat waited",
    3: "tlast is not on the last beat of the frame, and only there",
    4: "a beat came after the last frame",
}


@dataclass(frozen=True, eq=False)
class AxisRun:
    """What a simulation gave. Cycle 0 is the first after reset; counts are of handshakes.

    Attributes:
        outputs: Beats per output port and frame, uint8 [beats, bytes]; the last frame is short
            when the run stalled.
        output_cycles: Cycle of every beat, per port and frame, int64 [beats].
        first_input_cycle: Cycle of the first beat taken; None when no frame was taken whole.
        last_input_cycles: Cycle of each frame's last beat taken, latest over the input ports; only
            frames taken whole.
        last_output_cycles: Cycle of each frame's last beat given, latest over the output ports;
            only frames given whole.
        input_beats: Beats taken per input port.
        cycles: Cycles of the whole run, without the drain.
        seconds: Wall time of the simulation process.
        stalled: Why it ended before every beat came; None when it did not.
        violation: First breach of the stream protocol by the device; None when there is none.
        folder: Where it ran; running the bench's executable there repeats it.
        probes: What the probes inside the device saw, in the order of the bench's probes.
    """

    outputs: tuple[tuple[BeatArray, ...], ...]
    output_cycles: tuple[tuple[CycleArray, ...], ...]
    first_input_cycle: int | None
    last_input_cycles: tuple[int, ...]
    last_output_cycles: tuple[int, ...]
    input_beats: tuple[int, ...]
    cycles: int
    seconds: float
    stalled: str | None
    violation: str | None
    folder: Path
    probes: tuple[ProbeLog, ...] = ()

    @property
    def frames(self) -> tuple[BeatArray, ...]:
        """Beats per frame of the first output port."""
        return self.outputs[0]

    @property
    def latency_cycles(self) -> int | None:
        """Cycles from the first beat taken to the last of the first frame given, both counted."""
        if self.first_input_cycle is None or not self.last_output_cycles:
            return None
        return self.last_output_cycles[0] - self.first_input_cycle + 1

    @property
    def interval_cycles(self) -> int | None:
        """Cycles between the last beats of the last two frames; None with one frame."""
        ends = self.last_output_cycles
        return ends[-1] - ends[-2] if len(ends) > 1 else None


def read_run(
    folder: Path,
    result: Mapping[str, int],
    ports: Ports,
    out_bytes: Sequence[int],
    frames: int,
    output_beats: Sequence[int],
    seconds: float,
) -> AxisRun:
    """Read what a finished simulation left in ``folder``.

    Args:
        folder: Where it ran.
        result: The counters that cocotb read.
        ports: Names of the streams.
        out_bytes: Bytes of tdata per output stream.
        frames: Frames that were fed.
        output_beats: Beats of one frame per output stream.
        seconds: Wall time of the process.
    """
    outputs, cycles = [], []
    for port, count in enumerate(output_beats):
        when, data = _read_log(folder / f"nf_out_{port}.log", out_bytes[port])
        cuts = range(0, min(len(when), frames * count), count)
        outputs.append(tuple(data[cut : cut + count] for cut in cuts))
        cycles.append(tuple(when[cut : cut + count] for cut in cuts))
    taken = _unpack(result["in_count"], len(ports.fed))
    given = _unpack(result["out_count"], len(output_beats))
    ends = [_read_ends(folder / f"nf_in_{p}.log") for p in range(len(ports.inputs))]
    firsts = [end[0][0] for end in ends if end]
    whole_in = min(len(end) for end in ends)
    whole_out = min(n // count for n, count in zip(given, output_beats, strict=True))
    whole_out = min(whole_out, frames)
    # With every beat there and one too many, the violation says it; nothing stalled.
    complete = result["reason"] == 4 and whole_in == whole_out == frames
    stalled = None
    if result["reason"] != 1 and not complete:
        why = _REASONS[result["reason"]]
        stalled = (
            f"{why} at cycle {result['cycle']}: beats taken {taken}, given {given} of "
            f"{[frames * count for count in output_beats]}"
        )
    violation = None
    if result["violation"]:
        violation = (
            f"{ports.outputs[result['violation_port']]} at cycle "
            f"{result['violation_cycle']}: {_VIOLATIONS[result['violation']]}"
        )
    drain = DRAIN_CYCLES if result["reason"] == 1 else 0
    return AxisRun(
        outputs=tuple(outputs),
        output_cycles=tuple(cycles),
        first_input_cycle=min(firsts) if firsts else None,
        last_input_cycles=tuple(max(e[f][1] for e in ends) for f in range(whole_in)),
        last_output_cycles=tuple(
            max(int(when[f][-1]) for when in cycles) for f in range(whole_out)
        ),
        input_beats=tuple(taken),
        cycles=result["cycle"] - drain,
        seconds=seconds,
        stalled=stalled,
        violation=violation,
        folder=folder,
    )


def _unpack(packed: int, count: int) -> list[int]:
    return [packed >> (64 * index) & (2**64 - 1) for index in range(count)]


def _read_log(path: Path, width: int) -> tuple[CycleArray, BeatArray]:
    """Read a sink's log: cycles, int64 [beats], and beats, uint8 [beats, width]."""
    line = 12 + 1 + 1 + 1 + 2 * width + 1
    raw = np.frombuffer(path.read_bytes(), np.uint8).reshape(-1, line)
    stamps = np.frombuffer(bytes.fromhex(raw[:, :12].tobytes().decode()), np.uint8)
    cycles = np.zeros((len(raw), 8), np.uint8)
    cycles[:, 2:] = stamps.reshape(-1, 6)
    digits = raw[:, 15 : 15 + 2 * width].tobytes().decode()
    beats = np.frombuffer(bytes.fromhex(digits), np.uint8).reshape(-1, width)[:, ::-1]
    return cycles.view(">i8").reshape(-1).astype(np.int64), beats.copy()


def _read_ends(path: Path) -> list[tuple[int, int]]:
    lines = path.read_text(encoding="ascii").splitlines()
    return [(int(first), int(last)) for first, last in (line.split() for line in lines)]
