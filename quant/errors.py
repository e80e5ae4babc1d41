# SPDX-License-Identifier: Apache-2.0
"""The one exception family: every message names thing, value, limit and way out."""


class NibbleflowError(Exception):
    """Base of everything a user can cause; the command line prints it as one line, exit code 1."""


class InputFileError(NibbleflowError):
    """A file that is missing, truncated, of another kind, or not readable."""


class UnsupportedLayerError(NibbleflowError):
    """A network contains something that the integer graph has no meaning for."""


class QuantizationError(NibbleflowError):
    """A request to the quantizer that is out of range, or a layer that cannot be quantized so."""


class GraphError(NibbleflowError):
    """A QGraph that would break the arithmetic contract; it is never constructed."""


class BundleError(NibbleflowError):
    """A bundle that is damaged, edited, newer than this program, or not a bundle at all."""


class PlanError(NibbleflowError):
    """A folding, board or target that cannot be planned."""


class ToolError(NibbleflowError):
    """An external tool (g++, Verilator, Yosys) that is missing or that failed."""


class MismatchError(NibbleflowError):
    """Two engines that disagree; names the first wrong value."""
