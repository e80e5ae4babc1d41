# SPDX-License-Identifier: Apache-2.0
"""What the translators see of a trace: argument binding and the names of traced tensors."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from quant.ptq.draft import Float64, RefusedError, Shape
from quant.ptq.trace import Call, Ref, Trace


@dataclass(frozen=True)
class Binding:
    """Which graph tensor holds a traced value.

    Attributes:
        name: Tensor name.
        flat: Whether the value is that tensor flattened to [1, C*H*W].
    """

    name: str
    flat: bool = False


class Scope:
    """Names and shapes of the values translated so far."""

    def __init__(self, trace: Trace) -> None:
        """Begin with no names; ``trace`` knows the shapes."""
        self._trace = trace
        self.bindings: dict[int, Binding] = {}
        self.shapes: dict[str, Shape] = {}

    def is_traced(self, arg: object) -> bool:
        """Whether the argument is a traced tensor (else a constant)."""
        return isinstance(arg, Ref)

    def binding(self, arg: object) -> Binding:
        """Return the tensor that holds ``arg``.

        Raises:
            RefusedError: The argument is a constant.
        """
        if not isinstance(arg, Ref):
            raise RefusedError(f"takes the constant {_short(arg)} where a computed tensor belongs")
        return self.bindings[arg.value]

    def full_shape(self, arg: object) -> tuple[int, ...]:
        """Return the shape of a traced tensor, batch included."""
        if not isinstance(arg, Ref):
            raise RefusedError(f"takes the constant {_short(arg)} where a computed tensor belongs")
        return self._trace.values[arg.value].shape

    def image(self, arg: object) -> str:
        """Return the name of a traced [1, C, H, W] tensor.

        Raises:
            RefusedError: The argument is a constant or has another number of axes.
        """
        shape = self.full_shape(arg)
        if len(shape) != 4 or shape[0] != 1:
            raise RefusedError(f"reads a tensor of shape {list(shape)}, not [1, C, H, W]")
        return self.binding(arg).name

    def value_shape(self, value: int) -> Shape:
        """Return (C, H, W) of a value of shape [1, C, H, W] or [1, F].

        Raises:
            RefusedError: The value has another form.
        """
        shape = self._trace.values[value].shape
        if len(shape) == 4 and shape[0] == 1:
            return shape[1], shape[2], shape[3]
        if len(shape) == 2 and shape[0] == 1:
            return shape[1], 1, 1
        raise RefusedError(f"makes a tensor of shape {list(shape)}, not [1, C, H, W]")


def arguments(call: Call, *names: str, **defaults: Any) -> dict[str, Any]:  # noqa: ANN401
    """Bind the arguments of a call to parameter names.

    Args:
        call: The recorded call.
        *names: Parameters without default, in order.
        **defaults: Parameters with default, in the order that follows.

    Returns:
        Value of every parameter that was given or has a default.

    Raises:
        RefusedError: The call has arguments that are not among the names.
    """
    order = [*names, *defaults]
    if len(call.args) > len(order):
        raise RefusedError(f"takes {len(call.args)} arguments; {len(order)} are known")
    bound = {**defaults, **dict(zip(order, call.args, strict=False))}
    for key, value in call.kwargs.items():
        key = {"self": "input"}.get(key, key)
        if key not in order:
            raise RefusedError(f"has {key}={_short(value)}, which is not honoured")
        bound[key] = value
    missing = [n for n in names if n not in bound]
    if missing:
        raise RefusedError(f"has no argument '{missing[0]}'")
    return bound


def pair(value: Any) -> tuple[int, int]:  # noqa: ANN401 - int, list, tuple or torch.Size
    """Return an int or a pair of ints as a pair."""
    if isinstance(value, int):
        return value, value
    items = tuple(int(v) for v in value)
    return (items[0], items[0]) if len(items) == 1 else (items[0], items[1])


def constant(value: object, what: str) -> Float64:
    """Return a constant tensor as float64.

    Raises:
        RefusedError: It depends on the image, is no tensor, or is not finite.
    """
    if not isinstance(value, torch.Tensor):
        raise RefusedError(f"computes its {what} from the image; a constant {what} is needed")
    result: Float64 = value.detach().to(torch.float64).numpy().copy()
    if not np.isfinite(result).all():
        raise RefusedError(f"has a {what} that is not finite", "check the model file")
    return result


def _short(value: object) -> str:
    if isinstance(value, torch.Tensor):
        return f"tensor of shape {list(value.shape)}"
    return str(value)
