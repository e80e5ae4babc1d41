# SPDX-License-Identifier: Apache-2.0
"""Registers our layers with hls4ml's Vitis and Vivado backends, by its extension API.

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

from hls.layer import beat_type, stream_variable

BACKENDS = ("Vitis", "Vivado")

_INCLUDE = Path(__file__).resolve().parent / "include"


class NibbleLayer(Layer):  # type: ignore[misc]
    """hls4ml layer of one kernel; a word of its streams is the last axis of ``stream_shape``."""

    _expected_attributes = [  # noqa: RUF012 - hls4ml reads a plain list
        Attribute("stream_shape", value_type=list),
        Attribute("code_bits"),
        Attribute("configuration", value_type=str),
        Attribute("header", value_type=str),
        Attribute("data_header", value_type=str),
        Attribute("function", value_type=str),
        Attribute("arguments", value_type=str),
        Attribute("arrays", value_type=str),
        Attribute("pragmas", value_type=str),
        Attribute("trace_name", value_type=str),
    ]

    def initialize(self) -> None:
        """Declare the output streams."""
        for name in self.outputs:
            self.add_output_variable(
                self.get_attr("stream_shape"),
                out_name=name,
                var_name=stream_variable(name),
                # hls4ml defines one type per layer.
                type_name=beat_type(self.name),
                precision=IntegerPrecisionType(width=self.get_attr("code_bits"), signed=False),
            )


class NibbleConv(NibbleLayer):
    """Convolution of every form."""


class NibbleLinear(NibbleLayer):
    """Fully connected layer."""


class NibbleMaxPool(NibbleLayer):
    """Maximum pool."""


class NibbleAvgPool(NibbleLayer):
    """Average pool, global or over windows."""


class NibbleAdd(NibbleLayer):
    """Sum of two tensors of different scales."""


class NibbleConcat(NibbleLayer):
    """Channels of any number of tensors."""


class NibbleSplit(NibbleLayer):
    """Slice of channels."""


class NibbleUpsample(NibbleLayer):
    """Repeated pixels."""


class NibbleRequantize(NibbleLayer):
    """Change of format."""


class NibbleLookup(NibbleLayer):
    """Activation table."""


class NibbleOutput(NibbleLayer):
    """Output port."""


class NibbleFork(NibbleLayer):
    """Copy of a stream to several readers."""


class NibbleWidth(NibbleLayer):
    """Change of the codes per word."""


LAYERS: tuple[type[NibbleLayer], ...] = (
    NibbleConv,
    NibbleLinear,
    NibbleMaxPool,
    NibbleAvgPool,
    NibbleAdd,
    NibbleConcat,
    NibbleSplit,
    NibbleUpsample,
    NibbleRequantize,
    NibbleLookup,
    NibbleOutput,
    NibbleFork,
    NibbleWidth,
)


class NibbleConfigTemplate(LayerConfigTemplate):  # type: ignore[misc]
    """Writes the configuration struct of a kernel."""

    def __init__(self) -> None:
        super().__init__(LAYERS)

    def format(self, node: Any) -> str:  # noqa: ANN401 - hls4ml is untyped
        """Return the struct ``config<index>``."""
        return f"struct config{node.index} {{\n{node.get_attr('configuration')}}};\n"


class NibbleCallTemplate(FunctionCallTemplate):  # type: ignore[misc]
    """Writes the call of a kernel, its storage pragmas and its trace."""

    def __init__(self) -> None:
        super().__init__(LAYERS)

    def format(self, node: Any) -> list[str]:  # noqa: ANN401 - hls4ml is untyped
        """Return the lines; the layer's headers are included beside it."""
        headers = [f"nnet_utils/{node.get_attr('header')}", "nnet_utils/nf_trace.h"]
        if node.get_attr("data_header"):
            headers.append(node.get_attr("data_header"))
        node.set_attr("include_header", headers)
        inputs = [node.get_input_variable(name).name for name in node.inputs]
        outputs = [node.get_output_variable(name).name for name in node.outputs]
        # The side with one stream comes first: the other may be a parameter pack.
        streams = outputs + inputs if len(inputs) > 1 else inputs + outputs
        arguments = f"config{node.index}{node.get_attr('arguments')}"
        values = ", ".join([*streams, *node.get_attr("arrays").split()])
        lines = [*node.get_attr("pragmas").splitlines()]
        lines.append(f"{node.get_attr('function')}<{arguments}>({values});")
        if node.get_attr("trace_name"):
            lines.append(f'NF_TRACE({outputs[0]}, "{node.get_attr("trace_name")}");')
        return lines


def register() -> None:
    """Register layers, templates and headers; a second call does nothing."""
    for layer in LAYERS:
        register_layer(layer.__name__, layer)
    for name in BACKENDS:
        backend = get_backend(name)
        passes = get_backend_passes(name)
        for template in (NibbleConfigTemplate, NibbleCallTemplate):
            if f"{name.lower()}:{template().get_name()}" not in passes:
                backend.register_template(template)
        for header in sorted(_INCLUDE.glob("nf_*.h")):
            backend.register_source(header)
