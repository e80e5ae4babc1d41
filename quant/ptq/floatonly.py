# SPDX-License-Identifier: Apache-2.0
"""Calls that run in float only: refused for the integer graph, but with their meaning.

So that a network which cannot be quantized can still be counted and its accuracy measured.
"""

from typing import NoReturn

from quant.floatgraph import FloatMultiply, FloatShuffle
from quant.ptq.draft import BUILT, END_BEFORE, RefusedError
from quant.ptq.scope import Scope, arguments
from quant.ptq.trace import Call

WAY_OUT = (
    "quantize a model without it, or end the graph before it with --outputs; 'nibbleflow evaluate "
    "MODEL' measures it in float"
)


def refuse_product(call: Call, scope: Scope, operands: tuple[object, object]) -> NoReturn:
    """Refuse the product of two computed tensors, such as a squeeze-and-excitation gate.

    Raises:
        RefusedError: Always.
    """
    shapes = [scope.full_shape(o) for o in operands]
    images = all(len(s) == 4 for s in shapes) and shapes[0][:2] == shapes[1][:2]
    if not images or not (shapes[0] == shapes[1] or (1, 1) in (s[2:] for s in shapes)):
        raise RefusedError(f"is {call.kind}; {BUILT}", END_BEFORE)
    names = (scope.image(operands[0]), scope.image(operands[1]))
    raise RefusedError(
        "multiplies two computed tensors (a gate, as in squeeze-and-excitation); the integer graph "
        "has no such operation",
        WAY_OUT,
        FloatMultiply(call.name, names),
    )


def refuse_shuffle(call: Call, scope: Scope) -> NoReturn:
    """Refuse ``channel_shuffle``.

    Raises:
        RefusedError: Always.
    """
    a = arguments(call, "input", "groups")
    groups = int(a["groups"])
    raise RefusedError(
        f"interleaves the channels of {groups} groups; the integer graph has no such operation",
        WAY_OUT,
        FloatShuffle(call.name, scope.image(a["input"]), groups),
    )
