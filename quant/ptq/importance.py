# SPDX-License-Identifier: Apache-2.0
"""How much the outputs of a float network lose when one value inside it is rounded.

A tensor with one scale holds channels of very different weight: a depthwise convolution may blow up
a channel whose values stay below a tenth, next to one that reaches a hundred and hardly matters.
The mean squared gradient of the outputs, per channel, tells them apart: a small error ``e`` of one
value adds about ``importance * e**2`` to the outputs' squared error.

Source: the diagonal of the output Jacobian's square, estimated with random signs (Hutchinson, A
stochastic estimator of the trace of the influence matrix, 1990); the same quantity, from labels, is
the Fisher information that BRECQ weighs errors with (Li et al., ICLR 2021, section 3.2).
"""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import torch

from quant.floatgraph import FloatGraph, FloatInput, float_sources_of
from quant.ptq.executor import apply_op, last_readers

Floats = npt.NDArray[np.float64]
# Gives, of outputs [1, C, H, W] by name, what a unit squared error of each value costs.
Curvature = Callable[[Mapping[str, torch.Tensor]], Mapping[str, torch.Tensor]]

SIGNS_SEED = 20240611


def output_importance(
    graph: FloatGraph,
    tensors: set[str],
    images: npt.NDArray[np.float32],
    curvature: Curvature | None = None,
) -> dict[str, Floats]:
    """Return, per channel, the share of the outputs' energy that a unit squared error costs.

    Every output counts with its own energy, and all outputs equally. Memory is that of one image's
    activations.

    Args:
        graph: The float network.
        tensors: Names of the tensors to measure.
        images: float32 [N, C, H, W] normalised images, N >= 1.
        curvature: What errors of the outputs cost, instead of shares of their energy.

    Returns:
        By tensor, float64 [C] >= 0: mean over the pixels of the channel and the images. A tensor
        that reaches no output gets zeros.
    """
    found = {name: np.zeros(graph.shapes[name][0]) for name in tensors}
    generator = torch.Generator().manual_seed(SIGNS_SEED)
    for image in images:
        squares = {name: torch.zeros(len(found[name]), dtype=torch.float64) for name in tensors}
        with torch.enable_grad():
            _signed_sum(graph, image, squares, generator, curvature).backward()  # type: ignore[no-untyped-call]
        for name, square in squares.items():
            found[name] += square.numpy() / len(images)
    return found


def _signed_sum(
    graph: FloatGraph,
    image: npt.NDArray[np.float32],
    squares: Mapping[str, torch.Tensor],
    generator: torch.Generator,
    curvature: Curvature | None,
) -> torch.Tensor:
    """Return the outputs' sum under random signs; its gradients add to ``squares`` on the way."""
    freed_after = last_readers([(op.name, float_sources_of(op)) for op in graph.ops])
    values: dict[str, torch.Tensor] = {}
    outputs: dict[str, torch.Tensor] = {}
    for op in graph.ops:
        if isinstance(op, FloatInput):
            value = torch.from_numpy(np.array(image[None], np.float32)).requires_grad_()
        else:
            value = apply_op(op, [values[s] for s in float_sources_of(op)])
        if op.name in squares:
            value.register_hook(_Adder(squares[op.name]))  # type: ignore[no-untyped-call]
        if op.name in graph.outputs:
            outputs[op.name] = value
        values[op.name] = value
        for name in freed_after[op.name]:
            del values[name]
    costs = (curvature or _shares)({name: value.detach() for name, value in outputs.items()})
    total = torch.zeros(())
    for name, value in outputs.items():
        signs = torch.randint(0, 2, value.shape, generator=generator) * 2 - 1
        total = total + (value * signs * costs[name].sqrt()).sum()
    return total


def _shares(outputs: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
    """Return the costs of errors as shares of each output's energy, all outputs alike."""
    found = {}
    for name, value in outputs.items():
        energy = float(value.double().square().sum()) * len(outputs)
        found[name] = torch.full((), 1.0 / max(energy, 1e-30))
    return found


class _Adder:
    """Adds the mean squared gradient of every channel to its tensor."""

    def __init__(self, square: torch.Tensor) -> None:
        self._square = square

    def __call__(self, gradient: torch.Tensor) -> None:
        self._square += gradient.flatten(2).double().square().mean(dim=(0, 2))
