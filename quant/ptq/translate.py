# SPDX-License-Identifier: Apache-2.0
"""Turns recorded calls into draft operations; what has no meaning becomes a ``Blocked`` step."""

from collections.abc import Container
from dataclasses import dataclass, replace

from quant.floatgraph import ActivationKind, FloatActivation, FloatInput
from quant.ptq import floatonly, layers, moves
from quant.ptq.draft import (
    BUILT,
    END_BEFORE,
    Blocked,
    Draft,
    RefusedError,
    Shape,
    Step,
    Unsupported,
)
from quant.ptq.scope import Binding, Scope
from quant.ptq.trace import CHANGED_THROUGH_VIEW, Call, Ref, Trace

INPUT_NAME = "images"


@dataclass(frozen=True, eq=False)
class Translation:
    """All recorded calls as steps.

    Attributes:
        steps: In order of execution; the input first.
        shapes: (C, H, W) of every tensor that a step makes which runs in float at least.
        value_of: Traced value that each tensor holds.
        returned: Tensors that ``forward`` returned, without repetition.
        modules: Tensor that each module path returned.
    """

    steps: tuple[Step, ...]
    shapes: dict[str, Shape]
    value_of: dict[str, int]
    returned: tuple[str, ...]
    modules: dict[str, str]

    def in_float(self, names: Container[str]) -> "Translation":
        """Return the same with the named blocked steps as what they mean in float."""
        steps = tuple(
            s.float_op
            if isinstance(s, Blocked) and s.float_op is not None and s.name in names
            else s
            for s in self.steps
        )
        return replace(self, steps=steps)


def translate(trace: Trace) -> Translation:
    """Translate every call of ``trace``; nothing raises for what is unsupported."""
    scope = Scope(trace)
    shape = scope.value_shape(0)
    steps: list[Step] = [FloatInput(INPUT_NAME, shape)]
    names = {c.name for c in trace.calls}
    name = INPUT_NAME if INPUT_NAME not in names else f"{INPUT_NAME}_in"
    steps[0] = FloatInput(name, shape)
    scope.bindings[0] = Binding(name)
    shapes = {name: shape}
    value_of = {name: 0}
    for call in trace.calls:
        try:
            made = _translate(call, scope, steps)
            if isinstance(made, Binding):
                for value in call.results:
                    scope.bindings[value] = made
                continue
            for draft, value in zip(made, call.results, strict=True):
                shapes[draft.name] = _shape(draft, value, scope, shapes)
                scope.bindings[value] = Binding(draft.name, _stays_flat(draft, call, scope))
                value_of[draft.name] = value
            steps.extend(made)
        except RefusedError as refused:
            problem = Unsupported(call.name, call.kind, refused.reason, refused.way_out)
            sources = tuple(dict.fromkeys(scope.bindings[v].name for v in call.reads))
            op = refused.float_op
            steps.append(Blocked(problem, sources, call.parameterised, call.steers, op))
            for value in call.results:
                scope.bindings[value] = Binding(call.name)
                if op is not None:
                    shapes[call.name] = scope.value_shape(value)
                    value_of[call.name] = value
    return Translation(
        tuple(steps),
        shapes,
        value_of,
        tuple(dict.fromkeys(scope.bindings[v].name for v in trace.returned)),
        {path: scope.bindings[v].name for path, v in trace.modules.items() if v in scope.bindings},
    )


def _translate(call: Call, scope: Scope, steps: list[Step]) -> list[Draft] | Binding:
    match call.function:
        case "conv2d":
            made: Draft | Binding = layers.convolution(call, scope)
        case "batch_norm":
            made = layers.batch_norm(call, scope)
        case "linear":
            made = layers.linear(call, scope)
        case "max_pool2d" | "max_pool2d_with_indices":
            made = layers.max_pool(call, scope)
        case "avg_pool2d":
            made = layers.avg_pool(call, scope)
        case "adaptive_avg_pool2d":
            made = layers.adaptive_pool(call, scope)
        case "pad":
            made = layers.pad(call, scope)
        case "mean":
            made = layers.mean(call, scope)
        case "add" | "add_" | "__radd__" | "__iadd__" | "__add__":
            made = moves.add(call, scope)
        case "mul" | "__mul__" | "mul_":
            made = _swish(call, scope, steps)
        case "cat" | "concat" | "concatenate":
            made = moves.concat(call, scope)
        case "chunk" | "split" | "split_with_sizes" | "narrow":
            return list(moves.split(call, scope))
        case "__getitem__":
            made = moves.getitem(call, scope)
        case "interpolate":
            made = moves.upsample(call, scope)
        case "channel_shuffle":
            floatonly.refuse_shuffle(call, scope)
        case "flatten" | "reshape" | "view" | "squeeze" | "view_as" | "unsqueeze":
            made = moves.reshape(call, scope)
        case _:
            made = _pointwise(call, scope)
    return made if isinstance(made, Binding) else [made]


def _pointwise(call: Call, scope: Scope) -> Draft | Binding:
    """Translate activations and calls that change no value."""
    match call.function.rstrip("_"):
        case (
            "relu"
            | "relu6"
            | "silu"
            | "leaky_relu"
            | "hardswish"
            | "hardsigmoid"
            | "sigmoid"
            | "hardtanh"
        ):
            return layers.activation(call, scope)
        case "contiguous" | "clone" | "detach" | "to" | "float" | "alias":
            return scope.binding(call.args[0])
        case "dropout" | "dropout2d" | "feature_dropout" | "alpha_dropout":
            training = call.kwargs.get("training", call.args[2:3] == (True,))
            if training:
                raise RefusedError("drops values at random (training=True)", "call .eval() on it")
            return scope.binding(call.args[0] if call.args else call.kwargs["input"])
        case _ if call.function == CHANGED_THROUGH_VIEW:
            raise RefusedError(
                "reads a tensor that was changed in place through a slice of it",
                "use the out-of-place form (inplace=False)",
            )
        case _:
            raise RefusedError(f"is {call.kind}; {BUILT}", END_BEFORE)


def _swish(call: Call, scope: Scope, steps: list[Step]) -> FloatActivation:
    """Translate ``x * sigmoid(x)`` and ``x * hardsigmoid(x)``; other products are refused.

    Raises:
        RefusedError: Another product.
    """
    kinds: dict[str, ActivationKind] = {"sigmoid": "silu", "hardsigmoid": "hardswish"}
    operands = [*call.args, *call.kwargs.values()]
    if len(operands) == 2 and all(isinstance(o, Ref) for o in operands):
        names = [scope.binding(o).name for o in operands]
        for step in steps:
            if isinstance(step, FloatActivation) and step.kind in kinds:
                for gate, source in (names, names[::-1]):
                    if step.name == gate and step.source == source:
                        return FloatActivation(call.name, source, kinds[step.kind])
        floatonly.refuse_product(call, scope, (operands[0], operands[1]))
    raise RefusedError(f"is {call.kind}; {BUILT}", END_BEFORE)


def _shape(draft: Draft, value: int, scope: Scope, shapes: dict[str, Shape]) -> Shape:
    """Return (C, H, W) of a new tensor; a pointwise one keeps its source's, flattened or not."""
    if isinstance(draft, FloatActivation) and draft.source in shapes:
        return shapes[draft.source]
    return scope.value_shape(value)


def _stays_flat(draft: Draft, call: Call, scope: Scope) -> bool:
    if not isinstance(draft, FloatActivation):
        return False
    return any(scope.bindings[v].flat for v in call.reads)
