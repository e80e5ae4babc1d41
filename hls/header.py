# SPDX-License-Identifier: Apache-2.0
"""The C++ header with one layer's constant arrays."""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from hls.kernel import ConstantArray

_PER_LINE = 16


def data_header(arrays: Sequence[ConstantArray], prefix: str, notes: Sequence[str]) -> str:
    """Return the text of a layer's data header.

    Args:
        arrays: What it defines.
        prefix: Prefix of every array; a C identifier.
        notes: Lines for the head of the file.
    """
    guard = f"{prefix.upper()}_DATA_H_"
    return "\n".join(
        [
            "// SPDX-License-Identifier: Apache-2.0",
            *(f"// {note}" for note in notes),
            f"#ifndef {guard}",
            f"#define {guard}",
            "",
            "#include <stdint.h>",
            "",
            *(_definition(array, prefix) for array in arrays),
            "#endif",
            "",
        ]
    )


def _definition(array: ConstantArray, prefix: str) -> str:
    """Return the definition of a constant array of one or two dimensions."""
    values: npt.NDArray[np.generic] = array.values
    extents = "".join(f"[{n}]" for n in values.shape)
    rows = values.reshape(-1, values.shape[-1]).tolist()
    form = "0x{:x}" if array.hexadecimal else "{:d}"
    suffix = "ull" if array.ctype == "uint64_t" else ""
    if values.ndim == 1:
        body = _lines(_cell(v, form, suffix) for v in rows[0])
    elif values.shape[1] == 1:
        body = _lines("{" + _cell(row[0], form, suffix) + "}" for row in rows)
    else:
        body = ",\n".join(
            "{" + ", ".join(_cell(v, form, suffix) for v in row) + "}" for row in rows
        )
    return f"static const {array.ctype} {prefix}_{array.name}{extents} = {{\n{body}}};\n"


def _cell(value: int, form: str, suffix: str) -> str:
    # The most negative int has no literal of its own type in C++.
    return "(-2147483647 - 1)" if value == -(1 << 31) else form.format(value) + suffix


def _lines(items: Iterable[str]) -> str:
    values = list(items)
    rows = (values[i : i + _PER_LINE] for i in range(0, len(values), _PER_LINE))
    return ",\n".join(", ".join(row) for row in rows)
