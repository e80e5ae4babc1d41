# SPDX-License-Identifier: Apache-2.0
"""A convolution or linear layer prepared for evaluation: decoded weights and exactness proofs."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quant.errors import GraphError
from quant.formats import TensorFormat
from quant.nodes import Conv, Linear, Requantizer
from sim.golden.decode import Codes, code_dtype, decode_codes, decode_weights, zero_code
from sim.golden.requantize import FloatRequantizer, float_requantizer

FLOAT32_EXACT = 2**24
ACCUMULATOR_LIMIT = 2**31


@dataclass(frozen=True, eq=False)
class Layer:
    """Everything of a layer that does not depend on the frame.

    A sum of products in floating point is exact when every product and every partial sum, in
    whatever order a matrix product forms them, is an integer that the type holds. Activations lie
    in [0, a_max], so any partial sum lies between ``a_max * sum(min(w, 0))`` and
    ``a_max * sum(max(w, 0))`` of its filter: if both are below 2**24, float32 is exact, and float64
    is exact for every accumulator of 32 bits (its limit is 2**53).

    Attributes:
        name: Node name.
        matrix: Weights, [G, F/G, KH*KW*C/G] with the kernel position before the channel; float32
            or float64 as proven.
        groups: G.
        kernel: (KH, KW).
        stride: (vertical, horizontal).
        padding: (top, left, bottom, right).
        values: Decoded value of every source code, as the matrix type.
        zero: Decoded value that padding carries.
        plain: Whether a source code is its own decoded value.
        bias: int64 [F].
        requant: The node's requantizer.
        fused: Its float64 form, or ``None`` where only the integer form is exact.
        table: Activation table in the type of the output codes, or ``None``.
        source_bits: Bits of a source code.
        output_bits: Bits of an output code.
    """

    name: str
    matrix: npt.NDArray[np.floating]
    groups: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]
    values: npt.NDArray[np.floating]
    zero: int
    plain: bool
    bias: npt.NDArray[np.int64]
    requant: Requantizer
    fused: FloatRequantizer | None
    table: Codes | None
    source_bits: int
    output_bits: int

    @property
    def filters(self) -> int:
        """Number of output channels F."""
        return len(self.bias)

    @property
    def channels(self) -> int:
        """Number of input channels C."""
        kh, kw = self.kernel
        return int(self.groups * self.matrix.shape[2]) // (kh * kw)


def prepare_layer(node: Conv | Linear, source: TensorFormat) -> Layer:
    """Decode the weights of ``node`` and prove which number type computes it exactly.

    Raises:
        GraphError: A sum of the layer could leave 32 bits, so no engine could build it.
    """
    weights = decode_weights(node.weights)
    filters, depth, kh, kw = weights.shape
    values = decode_codes(source)
    flat = weights.reshape(filters, -1)
    above = int(values.max()) * np.maximum(flat, 0).sum(axis=1)
    below = int(values.max()) * np.minimum(flat, 0).sum(axis=1)
    bound = np.maximum(above, -below)
    reach = int(max((node.bias + above).max(), (-1 - node.bias - below).max()))
    if reach >= ACCUMULATOR_LIMIT:
        raise GraphError(
            f"'{node.name}' has an accumulator up to {reach}; limit {ACCUMULATOR_LIMIT - 1}; "
            "use fewer weight or activation bits for this layer"
        )
    dtype = np.float32 if int(bound.max()) < FLOAT32_EXACT else np.float64
    groups = node.groups if isinstance(node, Conv) else 1
    matrix = weights.transpose(0, 2, 3, 1).reshape(groups, filters // groups, kh * kw * depth)
    return Layer(
        name=node.name,
        matrix=np.ascontiguousarray(matrix.astype(dtype)),
        groups=groups,
        kernel=(kh, kw),
        stride=node.stride if isinstance(node, Conv) else (1, 1),
        padding=node.padding if isinstance(node, Conv) else (0, 0, 0, 0),
        values=values.astype(dtype),
        zero=int(values[zero_code(source)]),
        plain=source.codebook is None,
        bias=node.bias,
        requant=node.requant,
        fused=float_requantizer(node.requant, node.bias, bound),
        table=None if node.table is None else node.table.astype(code_dtype(node.output.bits)),
        source_bits=source.bits,
        output_bits=node.output.bits,
    )
