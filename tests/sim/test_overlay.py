# SPDX-License-Identifier: Apache-2.0
"""The host program of a board: order of transfers, packing, refusals, with a stand-in for PYNQ."""

import dataclasses
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from quant.bundle import Bundle, save_bundle
from quant.errors import GraphError, InputFileError, ToolError
from quant.hostspec import HostSpec
from quant.record import QuantRecord
from quant.samples import sample_codes, sample_graph
from sim.golden import GoldenModel
from sim.overlay import Accelerator, OverlayDesign, OverlayStream, open_accelerator
from sim.stream import pack_beats

GRAPH = sample_graph(1)
HOST = HostSpec(
    height=16,
    width=20,
    place="center",
    pad_value=114,
    channel_order="rgb",
    mean=(0.0, 0.0, 0.0),
    std=(255.0, 255.0, 255.0),
    decode="none",
    strides=(),
    anchors=(),
    outputs=(),
    class_names=(),
)
BUNDLE = Bundle(GRAPH, HOST, QuantRecord("integer", "sample", 1, 1, {}, (), ()))


def stream_of(name: str, tensor: str, lanes: int) -> OverlayStream:
    shape, bits = GRAPH.shapes[tensor], GRAPH.formats[tensor].bits
    width = (lanes * bits + 7) // 8
    return OverlayStream(name, tensor, shape, lanes, bits, 1 << (width - 1).bit_length())


INPUT = stream_of("s_axis_0", GRAPH.input.name, GRAPH.input.shape[0])
OUTPUTS = tuple(
    stream_of(f"m_axis_{k}", o.source, GRAPH.shapes[o.source][0])
    for k, o in enumerate(GRAPH.outputs)
)
DESIGN = OverlayDesign(GRAPH.digest, 0, INPUT, OUTPUTS)


def frames(count: int) -> np.ndarray:
    return sample_codes(4, (count, *INPUT.shape), INPUT.bits)


NO_WORDS = np.zeros((0, 4), np.uint8)


class Board:
    """A stand-in for the package: DMA engines that play back what the golden model says.

    A transfer that no engine waits for, or in the wrong order, fails the test.
    """

    def __init__(self, design: OverlayDesign) -> None:
        self.design = design
        self.log: list[str] = []
        self.sent: dict[str, list[np.ndarray]] = {}
        self.model = GoldenModel(GRAPH)
        self.codes: np.ndarray | None = None  # the frame that is meant to be sent

    def Overlay(self, bitfile_name: str) -> SimpleNamespace:
        self.log.append(f"overlay {bitfile_name}")
        names = [self.design.input.name, *(s.name for s in self.design.outputs)]
        names += ["s_axis_load"] if self.design.load_words else []
        return SimpleNamespace(**{f"dma_{name}": self._engine(name) for name in names})

    def allocate(self, shape, dtype):
        return np.full(shape, 0xA5, dtype)  # memory is not cleared

    def _engine(self, name: str) -> SimpleNamespace:
        way = "recvchannel" if name.startswith("m_") else "sendchannel"
        held: list[np.ndarray] = []

        def transfer(buffer: np.ndarray) -> None:
            assert not held, "the engine is busy"
            held.append(buffer)
            self.log.append(f"transfer {name}")
            if way == "sendchannel":
                self.sent.setdefault(name, []).append(np.array(buffer))

        def wait() -> None:
            buffer = held.pop()
            self.log.append(f"wait {name}")
            if way == "recvchannel":
                self._play(name, buffer)

        return SimpleNamespace(**{way: SimpleNamespace(transfer=transfer, wait=wait)})

    def _play(self, name: str, buffer: np.ndarray) -> None:
        (stream,) = [s for s in self.design.outputs if s.name == name]
        golden = self.model.run(self.codes[None], keep=[stream.tensor]).tensors[stream.tensor][0]
        buffer[:] = 0xFF  # what lies behind the codes must not be read
        beats = pack_beats(golden, stream.bits, stream.lanes)
        buffer[:, : beats.shape[1]] = beats


def accelerator(board: Board, load=NO_WORDS) -> Accelerator:
    return Accelerator(board, board.design, "x.bit", BUNDLE, load)


def test_codes_come_out_as_golden():
    board = Board(DESIGN)
    device = accelerator(board)
    for frame in frames(3):
        board.codes = frame
        found = device.run(frame)
        golden = board.model.run(frame[None], keep=[o.source for o in GRAPH.outputs]).tensors
        assert set(found) == {o.source for o in GRAPH.outputs}
        for name, codes in found.items():
            assert np.array_equal(codes, golden[name][0])
        sent = board.sent["s_axis_0"][-1]
        beats = pack_beats(frame, INPUT.bits, INPUT.lanes)
        assert np.array_equal(sent[:, : beats.shape[1]], beats)
        assert not sent[:, beats.shape[1] :].any()


def test_receivers_start_before_the_image_is_sent():
    board = Board(DESIGN)
    device = accelerator(board)
    (board.codes,) = frames(1)
    device.run(board.codes)
    names = [s.name for s in OUTPUTS]
    assert board.log == [
        "overlay x.bit",
        *(f"transfer {n}" for n in names),
        "transfer s_axis_0",
        "wait s_axis_0",
        *(f"wait {n}" for n in names),
    ]


def test_weights_are_loaded_once_and_first():
    board = Board(dataclasses.replace(DESIGN, load_words=5))
    words = np.arange(20, dtype=np.uint8).reshape(5, 4)
    device = accelerator(board, words)
    for frame in frames(2):
        board.codes = frame
        device.run(frame)
    assert board.log[1:3] == ["transfer s_axis_load", "wait s_axis_load"]
    (sent,) = board.sent["s_axis_load"]
    assert np.array_equal(sent, words)


def test_another_bundle_is_refused():
    board = Board(dataclasses.replace(DESIGN, digest="0" * 64))
    with pytest.raises(GraphError) as caught:
        accelerator(board)
    assert str(caught.value) == (
        f"the bitstream belongs to graph 000000000000, the bundle is {GRAPH.digest[:12]}; "
        "generate and build again, or take the other bundle"
    )
    assert board.log == []


def test_too_few_words_are_refused():
    board = Board(dataclasses.replace(DESIGN, load_words=5000))
    with pytest.raises(InputFileError) as caught:
        accelerator(board, np.zeros((3, 4), np.uint8))
    assert str(caught.value) == (
        "3 words of weights were given; the bitstream takes 5,000; use the load.mem beside its "
        "sources"
    )


def test_opening(tmp_path, monkeypatch):
    paths = tmp_path / "x.bit", tmp_path / "bundle"
    load = tmp_path / "load.mem"
    monkeypatch.setitem(sys.modules, "pynq", None)
    with pytest.raises(ToolError) as caught:
        open_accelerator(DESIGN, *paths, load=load)
    assert str(caught.value) == (
        "the package pynq cannot be imported (import of pynq halted; None in sys.modules); run "
        "this on a board"
    )
    board = Board(dataclasses.replace(DESIGN, load_words=2))
    monkeypatch.setitem(sys.modules, "pynq", board)
    with pytest.raises(InputFileError) as caught:
        open_accelerator(board.design, *paths, load=load)
    assert str(caught.value) == f"{paths[0]} does not exist; build it with make bitstream"
    paths[0].write_bytes(b"")
    load.write_text("0000000a\ndeadbeef\n")
    save_bundle(GRAPH, HOST, BUNDLE.record, paths[1])
    open_accelerator(board.design, *paths, load=load)
    assert board.log[0] == f"overlay {paths[0]}"
    assert board.sent["s_axis_load"][0].tobytes().hex() == "0a000000efbeadde"
