# SPDX-License-Identifier: Apache-2.0
"""Storage pragmas of both vendor tools for streams, weight memories and lookup tables."""

from typing import Literal, assert_never

from hls.layer import Layer, stream_variable
from quant.errors import PlanError
from quant.schedule import MemoryStyle

Backend = Literal["Vitis", "Vivado"]

_VITIS = {"distributed": "lutram", "block": "bram", "ultra": "uram"}
_VIVADO = {"distributed": "LUTRAM", "block": "BRAM"}


def storage_pragmas(layer: Layer, backend: Backend) -> tuple[str, ...]:
    """Return the pragmas that bind a layer's memories, one per line.

    Args:
        layer: The layer.
        backend: Vitis HLS reads ``BIND_STORAGE``, Vivado HLS ``RESOURCE``.

    Raises:
        PlanError: Vivado HLS is asked for ultra RAM.
    """
    lines = []
    for stream, style in zip(layer.outputs, layer.styles, strict=True):
        if style != "auto":
            lines.append(_fifo(layer, stream_variable(stream), style, backend))
    for array in layer.kernel.arrays:
        name = f"{layer.prefix}_{array.name}"
        if array.binding == "weights" and layer.weight_style != "auto":
            lines.append(_rom(layer, name, layer.weight_style, backend))
        elif array.binding == "lookup" and array.values.size > 1:
            # All lanes look up at once: as many read ports, copied by the tool.
            lines.append(
                f"#pragma HLS BIND_STORAGE variable={name} type=rom_np"
                if backend == "Vitis"
                else f"#pragma HLS RESOURCE variable={name} core=ROM_nP_LUTRAM"
            )
    return tuple(lines)


def _fifo(layer: Layer, name: str, style: MemoryStyle, backend: Backend) -> str:
    match backend:
        case "Vitis":
            return f"#pragma HLS BIND_STORAGE variable={name} type=fifo impl={_VITIS[style]}"
        case "Vivado":
            return f"#pragma HLS RESOURCE variable={name} core=FIFO_{_vivado(layer, style)}"
        case _:
            assert_never(backend)


def _rom(layer: Layer, name: str, style: MemoryStyle, backend: Backend) -> str:
    match backend:
        case "Vitis":
            return f"#pragma HLS BIND_STORAGE variable={name} type=rom_1p impl={_VITIS[style]}"
        case "Vivado":
            return f"#pragma HLS RESOURCE variable={name} core=ROM_1P_{_vivado(layer, style)}"
        case _:
            assert_never(backend)


def _vivado(layer: Layer, style: MemoryStyle) -> str:
    if style not in _VIVADO:
        raise PlanError(
            f"'{layer.node}' has a memory of style {style}; Vivado HLS knows distributed and "
            "block; plan without ultra RAM, or use Vitis HLS"
        )
    return _VIVADO[style]
