# SPDX-License-Identifier: Apache-2.0
"""An ONNX model under construction: names that never clash, shapes and figures of every tensor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
# The first version whose nodes have metadata of their own.
IR_VERSION = 10
QONNX_DOMAIN = "qonnx.custom_op.general"
# QONNX counts the versions of its own operators; the first one is what this file spells.
QONNX_VERSION = 1
PRODUCER = "nibbleflow"

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Tensor:
    """A tensor of the model.

    Attributes:
        name: Its name there.
        shape: Its shape, batch first.
        kind: ONNX's number of its element type.
    """

    name: str
    shape: Shape
    kind: int


class ModelBuilder:
    """Collects nodes, constants and shapes of one model."""

    def __init__(self, taken: Iterable[str], figures: Mapping[str, Mapping[str, str]]) -> None:
        """Begin a model.

        Args:
            taken: Names that tensors of the graph have; nothing else may be called so.
            figures: Texts for the metadata of nodes, by node of the graph.
        """
        self._taken = set(taken)
        self._figures = figures
        self._told: set[str] = set()
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._infos: list[Any] = []

    def constant(self, owner: str, what: str, values: npt.NDArray[Any]) -> Tensor:
        """Add a constant tensor called after its owner."""
        name = self._fresh(f"{owner}.{what}")
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        kind = helper.np_dtype_to_tensor_dtype(values.dtype)
        return Tensor(name, tuple(values.shape), kind)

    def node(
        self,
        owner: str,
        operator: str,
        sources: Sequence[Tensor],
        shape: Shape,
        *,
        kind: int | None = None,
        last: bool = False,
        domain: str = "",
        **attributes: Any,  # noqa: ANN401 - whatever the operator takes
    ) -> Tensor:
        """Add a node and return the tensor that it makes.

        Args:
            owner: Node of the graph that it belongs to. Its figures stand on the first of its
                nodes that takes a weight or, without one, on the last.
            operator: Name of the operator.
            sources: Tensors read.
            shape: Shape of the result.
            kind: Element type of the result; that of the first source when left out.
            last: Whether the result is the owner's tensor and has its name.
            domain: Domain of the operator.
            attributes: Attributes of the operator.
        """
        name = owner if last else self._fresh(f"{owner}.{operator.lower()}")
        result = Tensor(name, shape, sources[0].kind if kind is None else kind)
        made = helper.make_node(
            operator, [s.name for s in sources], [name], name=name, domain=domain, **attributes
        )
        if owner not in self._told and (last or operator in ("Conv", "Gemm")):
            self._told.add(owner)
            _set_metadata(made, self._figures.get(owner, {}))
        self._nodes.append(made)
        self._infos.append(helper.make_tensor_value_info(name, result.kind, result.shape))
        return result

    def model(
        self,
        name: str,
        source: Tensor,
        outputs: Sequence[Tensor],
        figures: Mapping[str, str],
        *,
        qonnx: bool = False,
    ) -> onnx.ModelProto:
        """Return the finished model, checked.

        Args:
            name: Name of the graph.
            source: The tensor that enters.
            outputs: The tensors that leave, in port order.
            figures: Texts for the metadata of the model.
            qonnx: Whether it uses operators of QONNX.
        """
        leaving = {tensor.name for tensor in outputs}
        graph = helper.make_graph(
            self._nodes,
            name,
            [helper.make_tensor_value_info(source.name, source.kind, source.shape)],
            [helper.make_tensor_value_info(t.name, t.kind, t.shape) for t in outputs],
            self._constants,
            value_info=[info for info in self._infos if info.name not in leaving],
        )
        versions = [helper.make_opsetid("", OPSET)]
        if qonnx:
            versions.append(helper.make_opsetid(QONNX_DOMAIN, QONNX_VERSION))
        model = helper.make_model(
            graph, opset_imports=versions, ir_version=IR_VERSION, producer_name=PRODUCER
        )
        _set_metadata(model, figures)
        onnx.checker.check_model(model)
        return model

    def _fresh(self, wanted: str) -> str:
        name, count = wanted, 1
        while name in self._taken:
            count += 1
            name = f"{wanted}.{count}"
        self._taken.add(name)
        return name


FLOAT: int = TensorProto.FLOAT
DOUBLE: int = TensorProto.DOUBLE
INT64: int = TensorProto.INT64


def model_bytes(model: onnx.ModelProto) -> bytes:
    """Return the file of a model: same model, same bytes."""
    return bytes(model.SerializeToString(deterministic=True))


def _set_metadata(owner: Any, figures: Mapping[str, str]) -> None:  # noqa: ANN401 - node or model
    for key, value in figures.items():
        entry = owner.metadata_props.add()
        entry.key, entry.value = key, value
