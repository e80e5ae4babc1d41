# SPDX-License-Identifier: Apache-2.0
"""Networks as ONNX: the float graph for viewers, the integer graph as executable QONNX."""

from reports.export.floats import float_model
from reports.export.integers import integer_model
from reports.export.nodefigures import model_figures, node_figures

__all__ = ["float_model", "integer_model", "model_figures", "node_figures"]
