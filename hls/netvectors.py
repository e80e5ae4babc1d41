# SPDX-License-Identifier: Apache-2.0
"""Binary vectors and traces of a network's test bench: codes of all frames in stream order."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hls.netbench import INPUT_FILE
from hls.streams import Stream
from quant.errors import ToolError

Codes = npt.NDArray[np.integer]


def write_codes(path: Path, codes: Codes, bits: int) -> None:
    """Write codes [N, C, H, W] of ``bits`` bits; one byte each, two (low first) above 8 bits."""
    order = codes.transpose(0, 2, 3, 1).astype("<u2" if bits > 8 else "u1")
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(np.ascontiguousarray(order).tobytes())
    partial.replace(path)


def read_codes(path: Path, stream: Stream) -> npt.NDArray[np.unsignedinteger]:
    """Read the codes of all frames, uint8 or uint16 [N, C, H, W].

    Args:
        path: File in the order of ``write_codes``.
        stream: Stream that it holds.

    Raises:
        ToolError: The file is missing or does not hold whole frames.
    """
    channels, height, width = stream.shape
    try:
        flat = np.frombuffer(path.read_bytes(), "<u2" if stream.bits > 8 else "u1")
    except (OSError, ValueError) as error:
        raise ToolError(
            f"C simulation file '{path.name}' cannot be read: {error}; run the bench again"
        ) from error
    size = channels * height * width
    if not flat.size or flat.size % size:
        raise ToolError(
            f"C simulation file '{path.name}' holds {flat.size} codes, not frames of {size}; "
            "run the bench again"
        )
    native = flat.astype(flat.dtype.newbyteorder("="))
    return native.reshape(-1, height, width, channels).transpose(0, 3, 1, 2)


def write_network_vectors(
    folder: Path, inputs: tuple[Codes, int], expected: Sequence[tuple[Codes, int]]
) -> None:
    """Write what the bench reads.

    Args:
        folder: Vector folder; made when missing.
        inputs: Input codes [N, C, H, W] and their bits.
        expected: Golden codes of every output in port order and their bits.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_codes(folder / INPUT_FILE, *inputs)
    for index, (codes, bits) in enumerate(expected):
        write_codes(folder / f"expected_{index}.bin", codes, bits)
