# SPDX-License-Identifier: Apache-2.0
"""Registers the convolution cell with hls4ml's Vitis and Vivado backends, by its extension API.

Importing this module imports hls4ml; the rest of ``hls`` does so only when a project is written.
"""

from pathlib import Path
from typing import Any

from hls4ml.backends import get_backend
from hls4ml.backends.template import FunctionCallTemplate, LayerConfigTemplate
from hls4ml.model.attributes import Attribute
from hls4ml.model.layers import Layer, register_layer
from hls4ml.model.optimizer import get_backend_passes
from hls4ml.model.types import IntegerPrecisionType

LAYER_KIND = "NibbleConvolution"
BACKENDS = ("Vitis", "Vivado")
HEADERS = ("nf_types.h", "nf_window.h", "nf_mac.h", "nf_requant.h", "nf_conv.h")

_INCLUDE = Path(__file__).resolve().parent / "include"

# Order of the constant arrays in the call of nf::conv.
_ARRAYS = (
    "weights",
    "tables",
    "selectors",
    "bias",
    "multipliers",
    "shifts",
    "zero_points",
    "activation",
    "codebook",
)


class NibbleConvolution(Layer):  # type: ignore[misc]
    """hls4ml layer of one convolution cell; its stream carries ``lanes`` codes per word."""

    _expected_attributes = [  # noqa: RUF012 - hls4ml reads a plain list
        Attribute("beats"),
        Attribute("lanes"),
        Attribute("code_bits"),
        Attribute("constants", value_type=str),
        Attribute("data_prefix", value_type=str),
    ]

    def initialize(self) -> None:
        """Declare the output stream."""
        self.add_output_variable(
            [self.get_attr("beats"), self.get_attr("lanes")],
            precision=IntegerPrecisionType(width=self.get_attr("code_bits"), signed=False),
        )


class NibbleConfigTemplate(LayerConfigTemplate):  # type: ignore[misc]
    """Writes the configuration struct of a cell."""

    def __init__(self) -> None:
        super().__init__(NibbleConvolution)

    def format(self, node: Any) -> str:  # noqa: ANN401 - hls4ml is untyped
        """Return the struct ``config<index>``."""
        return f"struct config{node.index} {{\n{node.get_attr('constants')}}};\n"


class NibbleCallTemplate(FunctionCallTemplate):  # type: ignore[misc]
    """Writes the call of ``nf::conv``."""

    def __init__(self) -> None:
        super().__init__(NibbleConvolution)

    def format(self, node: Any) -> str:  # noqa: ANN401 - hls4ml is untyped
        """Return the call; the layer's data header is included beside the cell."""
        prefix = node.get_attr("data_prefix")
        node.set_attr("include_header", ["nnet_utils/nf_conv.h", f"weights/{prefix}_data.h"])
        source, result = node.get_input_variable(), node.get_output_variable()
        arrays = ", ".join(f"{prefix}_{array}" for array in _ARRAYS)
        return (
            f"nf::conv<{source.type.name}, {result.type.name}, config{node.index}>"
            f"({source.name}, {result.name}, {arrays});"
        )


def register() -> None:
    """Register layer, templates and headers; a second call does nothing."""
    register_layer(LAYER_KIND, NibbleConvolution)
    for name in BACKENDS:
        backend = get_backend(name)
        passes = get_backend_passes(name)
        for template in (NibbleConfigTemplate, NibbleCallTemplate):
            if f"{name.lower()}:{template().get_name()}" not in passes:
                backend.register_template(template)
        for header in HEADERS:
            backend.register_source(_INCLUDE / header)
