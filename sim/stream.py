# SPDX-License-Identifier: Apache-2.0
"""Stream order: tensors of codes to beats of an AXI stream and back, and ``.mem`` text.

Beats follow row, then pixel group, then channel group (fastest). A beat carries
``pixels_per_beat`` (Ppb) times ``channels_per_beat`` (Cpb) codes of ``A`` bits: channel
``g*Cpb + j`` of pixel ``x*Ppb + i`` at bit ``(i*Cpb + j)*A``. The pixels that the last group of a
row lacks carry the zero code; the reader drops them. Zero bits pad a beat to whole bytes.

In Python, beats are a matrix, uint8 [beats, beat_bytes], byte 0 holding bits 7..0. In a ``.mem``
file, the text that ``$readmemh`` reads, a beat is one hexadecimal word, most significant digit
first.
"""

import os
import re
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from quant.errors import InputFileError, NibbleflowError

BeatArray = npt.NDArray[np.uint8]
"""Beats, uint8 [beats, beat_bytes], least significant byte first."""

CodeArray = npt.NDArray[np.integer]
"""Codes, any integer type, [C, H, W]."""

MAX_CODE_BITS = 64

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)


class StreamError(NibbleflowError):
    """Codes or beats that do not fit the stream that they are meant for."""


def beat_bytes(bits: int, channels_per_beat: int, pixels_per_beat: int = 1) -> int:
    """Return the bytes of one beat: its codes packed tightly, rounded up to whole bytes."""
    return (bits * channels_per_beat * pixels_per_beat + 7) // 8


def beat_count(
    shape: tuple[int, int, int], channels_per_beat: int, pixels_per_beat: int = 1
) -> int:
    """Return the beats of one frame of ``shape`` (C, H, W)."""
    channels, height, width = shape
    return height * -(-width // pixels_per_beat) * (channels // channels_per_beat)


def pack_beats(
    codes: CodeArray,
    bits: int,
    channels_per_beat: int,
    pixels_per_beat: int = 1,
    zero_code: int = 0,
) -> BeatArray:
    """Pack one frame of codes into beats, in stream order.

    Args:
        codes: Integers [C, H, W], each in 0..2**bits - 1, or any two's complement value when
            it fits ``bits`` signed (accumulators).
        bits: Bits of a code, 1..64.
        channels_per_beat: Divisor of C.
        pixels_per_beat: Neighbouring pixels of a row in one beat, >= 1.
        zero_code: Code of the pixels that the last group of a row lacks.

    Returns:
        uint8 [H * ceil(W / Ppb) * C / Cpb, beat_bytes].

    Raises:
        StreamError: A shape, width or code out of range.
    """
    codes = np.asarray(codes)
    if codes.ndim != 3 or codes.size == 0:
        raise StreamError(f"codes have shape {codes.shape}; a frame has three axes [C, H, W]")
    channels, height, width = codes.shape
    _check_shape((channels, height, width), bits, channels_per_beat, pixels_per_beat)
    low, high = min(int(codes.min()), zero_code), max(int(codes.max()), zero_code)
    if low < -(1 << (bits - 1)) or high >= 1 << bits or (low < 0 and high >= 1 << (bits - 1)):
        raise StreamError(f"codes {low}..{high} do not fit {bits} bits; use a wider stream")
    groups = -(-width // pixels_per_beat)
    lanes = np.full((height, groups * pixels_per_beat, channels), zero_code, _lane_type(bits))
    lanes[:, :width] = codes.transpose(1, 2, 0)
    lanes = lanes.reshape(height, groups, pixels_per_beat, -1, channels_per_beat)
    lanes = lanes.transpose(0, 1, 3, 2, 4).reshape(-1, pixels_per_beat * channels_per_beat)
    return _pack_lanes(np.ascontiguousarray(lanes), bits)


def unpack_beats(
    beats: BeatArray,
    shape: tuple[int, int, int],
    bits: int,
    channels_per_beat: int,
    pixels_per_beat: int = 1,
    *,
    signed: bool = False,
) -> npt.NDArray[np.int64]:
    """Unpack the beats of one frame into codes; the inverse of ``pack_beats``.

    Padding pixels and padding bits are dropped unread.

    Args:
        beats: uint8 [beats, beat_bytes] of one frame.
        shape: (C, H, W) of the frame.
        bits: Bits of a code, 1..64.
        channels_per_beat: Divisor of C.
        pixels_per_beat: Neighbouring pixels of a row in one beat, >= 1.
        signed: Read codes as two's complement (accumulators).

    Returns:
        int64 [C, H, W], each in 0..2**bits - 1, or signed.

    Raises:
        StreamError: The beats are not one frame of that shape.
    """
    _check_shape(shape, bits, channels_per_beat, pixels_per_beat)
    channels, height, width = shape
    needed = (
        beat_count(shape, channels_per_beat, pixels_per_beat),
        beat_bytes(bits, channels_per_beat, pixels_per_beat),
    )
    beats = np.asarray(beats)
    if beats.shape != needed or beats.dtype != np.uint8:
        raise StreamError(
            f"beats are {beats.dtype} {list(beats.shape)}; a frame {list(shape)} of {bits}-bit "
            f"codes at {channels_per_beat} channels x {pixels_per_beat} pixels per beat needs "
            f"uint8 {list(needed)}"
        )
    lanes = _unpack_lanes(beats, bits, channels_per_beat * pixels_per_beat)
    groups = -(-width // pixels_per_beat)
    lanes = lanes.reshape(height, groups, -1, pixels_per_beat, channels_per_beat)
    lanes = lanes.transpose(2, 4, 0, 1, 3).reshape(channels, height, groups * pixels_per_beat)
    codes = lanes[:, :, :width].astype(np.int64)
    if signed and bits < 64:
        codes -= (codes >> (bits - 1)) << bits
    return np.ascontiguousarray(codes)


def _check_shape(
    shape: tuple[int, int, int], bits: int, channels_per_beat: int, pixels_per_beat: int
) -> None:
    if not 1 <= bits <= MAX_CODE_BITS:
        raise StreamError(f"a stream has {bits}-bit codes; limit 1..{MAX_CODE_BITS}")
    if channels_per_beat < 1 or pixels_per_beat < 1:
        raise StreamError(
            f"a beat of {channels_per_beat} channels x {pixels_per_beat} pixels; at least 1 x 1"
        )
    if shape[0] % channels_per_beat:
        raise StreamError(
            f"{shape[0]} channels are not a multiple of {channels_per_beat} channels per beat; "
            "choose a divisor"
        )


def _lane_type(bits: int) -> npt.DTypeLike:
    # The smallest type that holds a code; casting a negative to it keeps its low bits.
    return next(t for t in ("<u1", "<u2", "<u4", "<u8") if np.dtype(t).itemsize * 8 >= bits)


def _pack_lanes(lanes: npt.NDArray[np.unsignedinteger], bits: int) -> BeatArray:
    """Pack lanes [beats, lanes] of ``bits`` bits tightly, lane 0 lowest."""
    count = lanes.shape[0]
    whole = lanes.dtype.itemsize * 8
    if bits == whole:
        return lanes.view(np.uint8).reshape(count, -1)
    if bits == 4 and lanes.shape[1] % 2 == 0:
        low, high = lanes[:, 0::2] & 15, lanes[:, 1::2] & 15
        packed: BeatArray = (low | (high << 4)).astype(np.uint8)
        return packed
    octets = lanes.view(np.uint8).reshape(count, lanes.shape[1], -1)
    spread = np.unpackbits(octets, axis=2, bitorder="little")[:, :, :bits]
    return np.packbits(spread.reshape(count, -1), axis=1, bitorder="little")


def _unpack_lanes(beats: BeatArray, bits: int, lanes: int) -> npt.NDArray[np.unsignedinteger]:
    """Return lanes [beats, lanes] of ``bits`` bits; the inverse of ``_pack_lanes``."""
    count = beats.shape[0]
    dtype = np.dtype(_lane_type(bits))
    if bits == dtype.itemsize * 8:
        return np.ascontiguousarray(beats).view(dtype).reshape(count, lanes)
    if bits == 4 and lanes % 2 == 0:
        return np.stack((beats & 15, beats >> 4), axis=2).reshape(count, lanes)
    spread = np.unpackbits(beats, axis=1, bitorder="little")[:, : lanes * bits]
    wide = np.zeros((count, lanes, dtype.itemsize * 8), np.uint8)
    wide[:, :, :bits] = spread.reshape(count, lanes, bits)
    return np.packbits(wide, axis=2, bitorder="little").view(dtype).reshape(count, lanes)


def mem_text(beats: BeatArray) -> str:
    """Return beats as ``$readmemh`` text: one word a line, most significant digit first."""
    count, width = beats.shape
    digits = np.frombuffer(beats[:, ::-1].tobytes().hex().encode(), np.uint8)
    lines = np.full((count, 2 * width + 1), ord("\n"), np.uint8)
    lines[:, :-1] = digits.reshape(count, 2 * width)
    return lines.tobytes().decode("ascii")


def write_mem(path: Path, beats: BeatArray) -> None:
    """Write beats as a ``.mem`` file, beside and then renamed."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    with os.fdopen(handle, "w", encoding="ascii") as stream:
        stream.write(mem_text(beats))
    Path(temporary).replace(path)


def read_mem(path: Path, word_bytes: int) -> BeatArray:
    """Read a ``.mem`` file, as ``$writememh`` or a user's own bench writes it.

    Comments, ``_`` between digits and ``@address`` lines are understood; addresses must continue
    where the words before them stopped.

    Args:
        path: The file.
        word_bytes: Bytes of one word; shorter words are extended with zeros.

    Returns:
        uint8 [words, word_bytes], least significant byte first.

    Raises:
        InputFileError: A missing file, an ``x`` or ``z`` digit, a word that is not hexadecimal or
            too long, or an address that leaves a gap.
    """
    try:
        text = path.read_text(encoding="ascii")
    except FileNotFoundError:
        raise InputFileError(f"{path} does not exist; was the simulation run?") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputFileError(f"{path} is not a readable .mem text: {error}") from None
    return parse_mem(text, word_bytes, str(path))


def parse_mem(text: str, word_bytes: int, name: str) -> BeatArray:
    """Parse ``.mem`` text; as ``read_mem``, with ``name`` for the messages.

    Raises:
        InputFileError: As ``read_mem``.
    """
    digits = 2 * word_bytes
    words: list[str] = []
    for token in _COMMENT.sub(" ", text).split():
        if token.startswith("@"):
            _check_address(token, len(words), name)
            continue
        word = token.replace("_", "")
        if len(word) > digits and word[:-digits].strip("0") == "":
            word = word[-digits:]
        if len(word) > digits:
            raise InputFileError(
                f"{name}: word {len(words)} is '{token}', {len(word)} digits; limit {digits}"
            )
        words.append(word.rjust(digits, "0"))
    try:
        data = bytes.fromhex("".join(words))
    except ValueError:
        raise InputFileError(_bad_word(words, name)) from None
    return np.frombuffer(data, np.uint8).reshape(len(words), word_bytes)[:, ::-1].copy()


def _check_address(token: str, words: int, name: str) -> None:
    try:
        address = int(token[1:], 16)
    except ValueError:
        raise InputFileError(f"{name}: address '{token}' is not hexadecimal") from None
    if address != words:
        raise InputFileError(
            f"{name}: address {token} follows word {words}; write the words without gaps"
        )


def _bad_word(words: list[str], name: str) -> str:
    for index, word in enumerate(words):
        if re.fullmatch(r"[0-9a-fA-F]+", word) is None:
            if re.fullmatch(r"[0-9a-fA-FxXzZ]+", word):
                return f"{name}: word {index} is '{word}', with undriven bits; reset or drive them"
            return f"{name}: word {index} is '{word}', not hexadecimal"
    return f"{name}: not hexadecimal text"
