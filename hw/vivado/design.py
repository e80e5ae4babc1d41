# SPDX-License-Identifier: Apache-2.0
"""VivadoDesign: what the scripts around a generated top have to know of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hw.cell import Stream
from hw.devices import Device
from hw.rtl_project import RtlProject
from hw.traffic import network_traffic
from hw.vivado.boards import VivadoBoard, vivado_board
from quant.errors import PlanError

DMA_LENGTH_BITS = 26
"""Width of the length register of an AXI DMA, its largest; one transfer is shorter than 64 MiB."""

LARGEST_BEAT_BYTES = 512
"""Widest stream of the AXI4-Stream converters."""

LOAD_BYTES = 4

Role = Literal["load", "input", "weights", "output"]

UNTESTED = "Untested here: no vendor tool was run on this file."


@dataclass(frozen=True)
class AxiStream:
    """One AXI4-Stream port of the top, and how its beats lie in memory.

    In memory a beat takes a power of two of bytes, because a DMA engine has no other widths; the
    bytes behind the codes are zero and are dropped on the way.

    Attributes:
        name: Prefix of the port, as ``s_axis_0``.
        role: Weights at start, image, weights over and over, or result.
        tensor: Node whose tensor it carries, or whose weights; empty for those at start.
        stream: Shape, lanes and bits of the tensor; ``None`` for weights.
        beat_bytes: Bytes of ``tdata``.
        beats: Beats of one frame, or all words of the weights, of one round.
    """

    name: str
    role: Role
    tensor: str
    stream: Stream | None
    beat_bytes: int
    beats: int

    @property
    def memory_bytes(self) -> int:
        """Bytes of a beat in memory: the next power of two."""
        return 1 << (self.beat_bytes - 1).bit_length()


@dataclass(frozen=True)
class VivadoDesign:
    """A generated top for Vivado.

    Attributes:
        top: Name of the top module.
        digest: Digest of the graph.
        clock_hz: Planned clock.
        sources: SystemVerilog files in order, relative to the folder of the top.
        memories: Memory images that the sources read, relative to the same folder.
        streams: All ports: weights at start first, then image, other weights, then results.
        board: Board; ``None`` when the plan was made for none.
    """

    top: str
    digest: str
    clock_hz: int
    sources: tuple[str, ...]
    memories: tuple[str, ...]
    streams: tuple[AxiStream, ...]
    board: VivadoBoard | None

    @property
    def ip(self) -> str:
        """Name of the Verilog module around the top, which is also the name of the IP."""
        return f"{self.top}_ip"

    @property
    def period_ps(self) -> int:
        """Period of the planned clock in ps, rounded down: never easier than planned."""
        return 10**12 // self.clock_hz

    @property
    def on_zynq(self) -> bool:
        """Whether the board has processors that can feed the streams."""
        return self.board is not None and self.board.processing_system is not None

    @property
    def streamed(self) -> tuple[str, ...]:
        """Layers whose weights come from outside, over and over."""
        return tuple(port.tensor for port in self.streams if port.role == "weights")


def vivado_design(
    project: RtlProject, sources: Sequence[str], device: Device | None
) -> VivadoDesign:
    """Return what the scripts need of ``project``.

    Args:
        project: The generated network.
        sources: SystemVerilog files in order, relative to the folder of the top.
        device: Board that it is planned for.

    Raises:
        PlanError: A beat or a frame is larger than a DMA engine moves.
    """
    network = project.network
    streams: list[AxiStream] = []
    if project.load_words.size:
        words = int(project.load_words.size)
        streams.append(AxiStream("s_axis_load", "load", "", None, LOAD_BYTES, words))
    streams.append(_tensor_stream("s_axis_0", "input", network.input_node, network.input))
    for part in network_traffic(network).weights:
        port = AxiStream(part.port, "weights", part.node, None, part.word_bytes, part.words)
        streams.append(port)
    for k, (name, stream) in enumerate(network.outputs.items()):
        source = network.sources(name)[0].producer
        streams.append(_tensor_stream(f"m_axis_{k}", "output", source, stream))
    for port in streams:
        # No example system feeds the weights from outside.
        if port.role != "weights":
            _check(port)
    return VivadoDesign(
        top=project.top,
        digest=network.graph.digest,
        clock_hz=network.schedule.clock_hz,
        sources=tuple(sources),
        memories=tuple(sorted(name for name in project.files if name.endswith(".mem"))),
        streams=tuple(streams),
        board=None if device is None else vivado_board(device),
    )


def _tensor_stream(name: str, role: Role, tensor: str, stream: Stream) -> AxiStream:
    return AxiStream(name, role, tensor, stream, -(-stream.beat_bits // 8), stream.beats)


def _check(port: AxiStream) -> None:
    if port.beat_bytes > LARGEST_BEAT_BYTES:
        raise PlanError(
            f"'{port.name}' has beats of {port.beat_bytes:,} bytes; Vivado's stream converters "
            f"take {LARGEST_BEAT_BYTES}; plan with fewer lanes (--max-macs, --fps)"
        )
    size, limit = port.beats * port.memory_bytes, (1 << DMA_LENGTH_BITS) - 1
    if size > limit:
        raise PlanError(
            f"a frame on '{port.name}' takes {size:,} bytes in memory; a DMA transfer has at most "
            f"{limit:,}; use a smaller input"
        )
