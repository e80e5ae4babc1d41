# SPDX-License-Identifier: Apache-2.0
"""Text vectors of the C++ test bench: decimal codes, one frame per line, in stream order."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from hls.testbench import EXPECTED_FILE, INPUT_FILE
from quant.errors import ToolError

Codes = npt.NDArray[np.integer]


def write_frames(path: Path, codes: Codes) -> None:
    """Write frames of codes.

    Args:
        path: File to write.
        codes: Codes [N, C, H, W], >= 0. A line holds rows, then columns, then channels (fastest).
    """
    frames = codes.transpose(0, 2, 3, 1).reshape(len(codes), -1)
    text = "".join(" ".join(map(str, frame)) + "\n" for frame in frames.tolist())
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="ascii")
    partial.replace(path)


def read_frames(path: Path, shape: tuple[int, int, int, int]) -> npt.NDArray[np.uint16]:
    """Read frames of codes, uint16 [N, C, H, W].

    Args:
        path: File in the order of ``write_frames``.
        shape: (N, C, H, W) that the file must hold.

    Raises:
        ToolError: The file is missing or holds another number of codes.
    """
    frames, channels, height, width = shape
    try:
        flat = np.array(path.read_bytes().split(), dtype=np.uint16)
    except (OSError, ValueError) as error:
        raise ToolError(
            f"C simulation output '{path.name}' cannot be read: {error}; run the bench again"
        ) from error
    expected = frames * channels * height * width
    if flat.size != expected:
        raise ToolError(
            f"C simulation output '{path.name}' holds {flat.size} codes, expected {expected}; "
            "run the bench again"
        )
    return flat.reshape(frames, height, width, channels).transpose(0, 3, 1, 2)


def write_vectors(project_dir: Path, inputs: Codes, expected: Codes) -> None:
    """Put test vectors where the bench and the Tcl scripts of a project look for them.

    Args:
        project_dir: A written project.
        inputs: Input codes [N, C, H, W].
        expected: Golden output codes [N, F, OH, OW].
    """
    write_frames(project_dir / INPUT_FILE, inputs)
    write_frames(project_dir / EXPECTED_FILE, expected)
