# SPDX-License-Identifier: Apache-2.0
"""A torch module that runs an ONNX graph node by node; its submodules bear the nodes' names."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from quant.errors import UnsupportedLayerError
from quant.zoo.onnx_file import Array, OnnxGraph, OnnxNode
from quant.zoo.onnx_run import NodeOperation
from quant.zoo.onnx_simplify import TRAINED_INPUTS

# Constants up to this size are kept when a run is observed: anchors and grids of a head.
OBSERVED_ELEMENTS = 1 << 20


@dataclass(frozen=True, eq=False)
class Observed:
    """What one value was in an observed run.

    Attributes:
        shape: Full shape.
        constant: The value where it does not depend on the image; ``None`` where it does.
    """

    shape: tuple[int, ...]
    constant: Array | None


@dataclass(frozen=True, eq=False)
class _Step:
    operation: NodeOperation
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    done: tuple[str, ...]  # values that nothing reads later


class NodeFailedError(UnsupportedLayerError):
    """A node that does not run; ``node`` is the one."""

    def __init__(self, operation: NodeOperation, image: Tensor, error: Exception) -> None:
        """Keep the node, and say what the error says in one line."""
        self.node = operation.node
        text = " ".join(str(error).split())[:300]
        super().__init__(
            f"'{self.node.name}' ({operation.kind}) does not run on an image of "
            f"{list(image.shape)}: {text}; give with --img the size that the model was exported "
            "for, or export it again"
        )


class OnnxModule(nn.Module):
    """Runs the nodes of a graph in order; maps float32 [1, 3, H, W] to the graph's outputs."""

    def __init__(self, graph: OnnxGraph) -> None:
        """Build one operation per node; a trained tensor that several nodes read is shared."""
        super().__init__()
        self._image = graph.image
        self._outputs = graph.outputs
        self._steps: list[_Step] = []
        trained: dict[str, nn.Parameter] = {}
        last = {name: i for i, node in enumerate(graph.nodes) for name in node.inputs}
        for index, node in enumerate(graph.nodes):
            parameters = _parameters(node, graph, trained)
            operation = NodeOperation(node, graph.opset, parameters)
            _attach(self, node.name, operation)
            done = tuple(n for n in {*node.inputs, *node.outputs} if last.get(n, 0) <= index)
            done = tuple(n for n in done if n not in graph.outputs)
            self._steps.append(_Step(operation, node.inputs, node.outputs, done))
        self._constants: dict[str, Tensor] = {
            name: torch.from_numpy(np.array(value))
            for name, value in graph.constants.items()
            if name not in trained
        }
        self._constants.update(trained)

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Return the graph's outputs, one tensor or several."""
        values = {**self._constants, self._image: image}
        for step in self._steps:
            self._run(step, values)
            for name in step.done:
                values.pop(name, None)
        results = tuple(values[name] for name in self._outputs)
        return results[0] if len(results) == 1 else results

    def run_from(self, given: dict[str, Tensor], output: str) -> Tensor:
        """Compute one output from values inside the network instead of the image.

        Args:
            given: Values by name that all paths to the output pass; nodes before do not run.
            output: The output's name.

        Raises:
            KeyError: The output needs something of the image that is not given.
        """
        needed = {output}
        steps: list[_Step] = []
        for step in reversed(self._steps):
            if needed.intersection(step.outputs) and not given.keys() & set(step.outputs):
                needed.update(step.inputs)
                steps.append(step)
        values = {**self._constants, **given}
        with torch.no_grad():
            for step in reversed(steps):
                self._run(step, values)
        return values[output]

    def observe(self, image: Tensor) -> dict[str, Observed]:
        """Run once and return the shape of every value, and the value where it is constant.

        Raises:
            NodeFailedError: A node does not run.
        """
        values = {**self._constants, self._image: image}
        varying = {self._image}
        seen = {name: _observed(value, False) for name, value in values.items()}
        with torch.no_grad():
            for step in self._steps:
                try:
                    self._run(step, values)
                except Exception as error:  # a damaged file makes torch and numpy raise anything
                    raise NodeFailedError(step.operation, image, error) from None
                depends = step.operation.node.op != "Shape" and varying.intersection(step.inputs)
                for name in step.outputs:
                    if depends:
                        varying.add(name)
                    if name in values:
                        seen[name] = _observed(values[name], bool(depends))
                for name in step.done:
                    values.pop(name, None)
        return seen

    def _run(self, step: _Step, values: dict[str, Tensor]) -> None:
        made = step.operation(*(values[n] if n else None for n in step.inputs))
        values.update((n, v) for n, v in zip(step.outputs, made, strict=False) if n)


def _parameters(
    node: OnnxNode, graph: OnnxGraph, trained: dict[str, nn.Parameter]
) -> dict[str, nn.Parameter]:
    found = {}
    for name, label in zip(node.inputs, TRAINED_INPUTS.get(node.op, ()), strict=False):
        stored = graph.constants.get(name)
        if label and stored is not None and stored.dtype == np.float32:
            if name not in trained:
                trained[name] = nn.Parameter(torch.from_numpy(np.array(stored)), False)
            found[label] = trained[name]
    return found


def _attach(root: nn.Module, name: str, operation: NodeOperation) -> None:
    """Add an operation so that its module path is the node's name; dots make inner modules."""
    *outer, last = [part or "_" for part in name.split(".")]
    parent = root
    for part in outer:
        child = parent._modules.get(part)
        if child is None:
            part = _free(parent, part)
            child = nn.Module()
            parent.add_module(part, child)
        parent = child
    parent.add_module(_free(parent, last), operation)


def _free(parent: nn.Module, part: str) -> str:
    """Return the name, with underscores where a torch module has such an attribute itself."""
    while hasattr(parent, part):
        part += "_"
    return part


def _observed(value: Tensor, depends: bool) -> Observed:
    keep = not depends and value.numel() <= OBSERVED_ELEMENTS
    return Observed(tuple(value.shape), value.detach().numpy() if keep else None)
