# SPDX-License-Identifier: Apache-2.0
"""Read image files, refusing incomplete ones whatever the decoder does.

OpenCV releases differ: some return a cut JPEG with its missing part grey.
"""

import re
import zlib
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from quant.errors import InputFileError

SUFFIXES = (".jpg", ".jpeg", ".png")
"""File name endings that ``list_images`` picks up, in lower case."""

_JPEG_START = b"\xff\xd8"
_PNG_START = b"\x89PNG\r\n\x1a\n"
# Inside entropy-coded data FF00 is a stuffed byte and FFD0..FFD7 are restarts: neither ends a scan.
_SCAN_END = re.compile(rb"\xff+[^\x00\xd0-\xd7\xff]")
_JPEG_EOI, _JPEG_SOS = 0xD9, 0xDA


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read one JPEG or PNG file.

    An orientation stored in the file is applied; grey becomes three equal channels, an alpha
    channel is dropped and 16-bit PNG samples are reduced to 8 bits.

    Args:
        path: The file; its content, not its name, decides how it is read.

    Returns:
        Pixels, uint8 [height, width, 3] in the channel order blue, green, red.

    Raises:
        InputFileError: The file is missing, unreadable, of another kind, or incomplete.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputFileError(f"image {path} does not exist; give the path of a file") from None
    except OSError as error:
        raise InputFileError(
            f"image {path} cannot be read: {error.strerror}; give a readable file"
        ) from None
    _check_complete(data, path)
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        pixels = None
    if pixels is None:
        raise InputFileError(f"image {path} is damaged: its pixels cannot be decoded; replace it")
    return np.ascontiguousarray(pixels, dtype=np.uint8)


def list_images(directory: Path) -> tuple[Path, ...]:
    """List the image files directly inside a directory, sorted by name.

    Files with other endings than ``SUFFIXES`` (labels, manifests) are not images and not listed.

    Args:
        directory: The folder to look in; subfolders are not searched.

    Returns:
        At least one path.

    Raises:
        InputFileError: The folder is missing, not a folder, or holds no image.
    """
    if not directory.is_dir():
        raise InputFileError(f"image folder {directory} is not a folder; give an existing one")
    found = sorted(
        p for p in directory.iterdir() if p.suffix.lower() in SUFFIXES and not p.is_dir()
    )
    if not found:
        raise InputFileError(
            f"image folder {directory} holds no image; put {', '.join(SUFFIXES)} files in it"
        )
    return tuple(found)


def _check_complete(data: bytes, path: Path) -> None:
    """Refuse an empty, foreign or cut file."""
    if not data:
        raise InputFileError(f"image {path} is empty (0 bytes); replace it")
    if data.startswith(_JPEG_START):
        complete = _jpeg_complete(data)
    elif data.startswith(_PNG_START):
        complete = _png_complete(data)
    else:
        raise InputFileError(f"image {path} is neither JPEG nor PNG; convert it to one of them")
    if not complete:
        raise InputFileError(
            f"image {path} is truncated or damaged after {len(data)} bytes; replace it"
        )


def _jpeg_complete(data: bytes) -> bool:
    """Walk the marker segments to the end-of-image marker.

    A plain search would find the end marker of an embedded thumbnail, so segments are skipped by
    their stated length and only scans are searched.
    """
    at, scans = len(_JPEG_START), 0
    while at + 2 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte before a marker
            at += 1
            continue
        if marker == _JPEG_EOI:
            return scans > 0
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if length < 2:
            return False
        at += 2 + length
        if marker == _JPEG_SOS:
            scans += 1
            found = _SCAN_END.search(data, at)
            if found is None:
                return False
            at = found.end() - 2
    return False


def _png_complete(data: bytes) -> bool:
    """Walk the chunks, checking each length and checksum, to the end chunk."""
    at = len(_PNG_START)
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        kind = data[at + 4 : at + 8]
        if zlib.crc32(data[at + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            return False
        if kind == b"IEND":
            return True
        at = end + 4
    return False
