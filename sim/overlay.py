# SPDX-License-Identifier: Apache-2.0
"""The network on a PYNQ board: codes through DMA engines, the rest as on the host.

PYNQ is imported when an accelerator is opened, and only there: the module loads everywhere.
"""

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from quant.bundle import Bundle, load_bundle
from quant.errors import GraphError, InputFileError, ToolError
from quant.hostspec import HostSpec
from sim.host import Detections, detect, input_codes, letterbox, read_image, real_outputs
from sim.stream import beat_bytes, beat_count, pack_beats, read_mem, unpack_beats

Codes = dict[str, npt.NDArray[np.int64]]
LOAD = "s_axis_load"
_LOAD_BYTES = 4


@dataclass(frozen=True)
class OverlayStream:
    """One stream of the network and the DMA engine ``dma_<name>`` at its end.

    Attributes:
        name: Port, as ``s_axis_0``.
        tensor: Node whose tensor it carries.
        shape: (C, H, W) of a frame.
        lanes: Channels of a beat.
        bits: Bits of a code.
        memory_bytes: Bytes of a beat in memory; those behind the codes are zero and not read.
    """

    name: str
    tensor: str
    shape: tuple[int, int, int]
    lanes: int
    bits: int
    memory_bytes: int

    @property
    def beats(self) -> int:
        """Beats of one frame."""
        return beat_count(self.shape, self.lanes)

    @property
    def beat_bytes(self) -> int:
        """Bytes of a beat that hold codes."""
        return beat_bytes(self.bits, self.lanes)


@dataclass(frozen=True)
class OverlayDesign:
    """What a bitstream expects.

    Attributes:
        digest: Digest of the graph that it was generated from.
        load_words: Words of 32 bits that it takes once after start; 0 when none.
        input: The image.
        outputs: The results.
    """

    digest: str
    load_words: int
    input: OverlayStream
    outputs: tuple[OverlayStream, ...]


class Buffer(Protocol):
    """Memory that DMA engines reach; in PYNQ an array."""

    def __setitem__(self, key: Any, value: npt.NDArray[np.uint8] | int) -> None: ...  # noqa: ANN401

    def __array__(self) -> npt.NDArray[np.uint8]: ...


class Channel(Protocol):
    """One direction of a DMA engine; PYNQ keeps the caches in step."""

    def transfer(self, array: Buffer) -> None:
        """Start to move the whole buffer."""

    def wait(self) -> None:
        """Wait until it has moved."""


class Engine(Protocol):
    """A DMA engine; it has the direction that its stream has."""

    sendchannel: Channel
    recvchannel: Channel


class Pynq(Protocol):
    """What of PYNQ is used; the engines are attributes of the overlay."""

    def Overlay(self, bitfile_name: str) -> object:
        """Write a bitstream into the device."""

    def allocate(self, shape: tuple[int, ...], dtype: type[np.uint8]) -> Buffer:
        """Return memory that DMA engines reach."""


class Accelerator:
    """A network that runs on the board; weights are loaded, buffers are allocated once.

    Attributes:
        host: What the host does before and after the network.
    """

    def __init__(
        self,
        pynq: Pynq,
        design: OverlayDesign,
        bitstream: Path,
        bundle: Bundle,
        load: npt.NDArray[np.uint8],
    ) -> None:
        """Write the bitstream into the device and load the weights.

        Args:
            pynq: The package.
            design: What the bitstream expects.
            bitstream: ``.bit`` file, its ``.hwh`` beside it.
            bundle: The integer network.
            load: Words for the weights, uint8 [words, 4], least significant byte first.

        Raises:
            GraphError: The bundle is not the one that the bitstream was generated from.
            InputFileError: The words are more or fewer than the bitstream expects.
        """
        if bundle.graph.digest != design.digest:
            raise GraphError(
                f"the bitstream belongs to graph {design.digest[:12]}, the bundle is "
                f"{bundle.graph.digest[:12]}; generate and build again, or take the other bundle"
            )
        if len(load) != design.load_words:
            raise InputFileError(
                f"{len(load):,} words of weights were given; the bitstream takes "
                f"{design.load_words:,}; use the load.mem beside its sources"
            )
        self.host: HostSpec = bundle.host
        self._graph = bundle.graph
        self._design = design
        self._overlay = pynq.Overlay(str(bitstream))
        if design.load_words:
            words = pynq.allocate(shape=(design.load_words, _LOAD_BYTES), dtype=np.uint8)
            words[:] = load
            self._send(LOAD, words)
        self._input = _buffer(pynq, design.input)
        self._outputs = [(stream, _buffer(pynq, stream)) for stream in design.outputs]

    def run(self, codes: npt.NDArray[np.integer]) -> Codes:
        """Run one frame.

        Args:
            codes: Input codes [C, H, W].

        Returns:
            Output codes, int64 [C, H, W], by tensor name.
        """
        source = self._design.input
        self._input[:, : source.beat_bytes] = pack_beats(codes, source.bits, source.lanes)
        # Receivers first: a result that nobody takes would hold up the others.
        for stream, buffer in self._outputs:
            self._engine(stream.name).recvchannel.transfer(buffer)
        self._send(source.name, self._input)
        result = {}
        for stream, buffer in self._outputs:
            self._engine(stream.name).recvchannel.wait()
            beats = np.ascontiguousarray(np.asarray(buffer)[:, : stream.beat_bytes])
            result[stream.tensor] = unpack_beats(beats, stream.shape, stream.bits, stream.lanes)
        return result

    def detect(self, image: npt.NDArray[np.uint8]) -> Detections:
        """Return the boxes in an image, uint8 [height, width, 3] in blue, green, red."""
        canvas, placement = letterbox(image, self.host)
        fmt = self._graph.input.output
        codes = self.run(input_codes(canvas, self.host, fmt.scale, fmt.zero_point))
        return detect(real_outputs(self._graph, codes), self.host, placement)

    def _send(self, name: str, buffer: Buffer) -> None:
        channel = self._engine(name).sendchannel
        channel.transfer(buffer)
        channel.wait()

    def _engine(self, name: str) -> Engine:
        engine: Engine = getattr(self._overlay, f"dma_{name}")
        return engine


def open_accelerator(
    design: OverlayDesign, bitstream: Path, bundle: Path, *, load: Path
) -> Accelerator:
    """Open the network on this board.

    Args:
        design: What the bitstream expects.
        bitstream: ``.bit`` file, its ``.hwh`` beside it.
        bundle: Folder of the bundle.
        load: ``load.mem``; only read when the bitstream takes weights at start.

    Raises:
        ToolError: PYNQ is not installed.
        NibbleflowError: A file is missing or belongs to another network.
    """
    try:
        pynq: Any = importlib.import_module("pynq")
    except ImportError as error:
        raise ToolError(
            f"the package pynq cannot be imported ({error}); run this on a board"
        ) from None
    if not bitstream.is_file():
        raise InputFileError(f"{bitstream} does not exist; build it with make bitstream")
    words = read_mem(load, _LOAD_BYTES) if design.load_words else np.zeros((0, 4), np.uint8)
    return Accelerator(pynq, design, bitstream, load_bundle(bundle), words)


def detect_image(accelerator: Accelerator, image: Path) -> Detections:
    """Return the boxes in an image file."""
    return accelerator.detect(read_image(image))


def _buffer(pynq: Pynq, stream: OverlayStream) -> Buffer:
    """Return a buffer of one frame that DMA engines reach: uint8 [beats, memory_bytes], zeros."""
    buffer = pynq.allocate(shape=(stream.beats, stream.memory_bytes), dtype=np.uint8)
    buffer[:] = 0
    return buffer
