# SPDX-License-Identifier: Apache-2.0
"""Translates recorded calls that combine or move tensors: add, concat, split, upsample, reshape."""

from quant.floatgraph import FloatAdd, FloatConcat, FloatSplit, FloatUpsample
from quant.ptq.draft import DraftPhase, RefusedError
from quant.ptq.scope import Binding, Scope, arguments
from quant.ptq.trace import Call, Ref

_WHOLE = slice(None)


def add(call: Call, scope: Scope) -> FloatAdd | Binding:
    """Translate the sum of two tensors of equal shape; adding the number 0 is nothing."""
    a = arguments(call, "input", "other", alpha=1)
    if a["alpha"] != 1:
        raise RefusedError(f"has alpha {a['alpha']}; nibbleflow adds with alpha 1")
    operands = (a["input"], a["other"])
    for first, second in (operands, operands[::-1]):
        if not isinstance(second, Ref) and isinstance(second, int | float) and second == 0:
            return scope.binding(first)
    if not all(isinstance(o, Ref) for o in operands):
        raise RefusedError("adds a constant; nibbleflow adds two computed tensors of equal shape")
    shapes = [scope.full_shape(o) for o in operands]
    if shapes[0] != shapes[1]:
        raise RefusedError(
            f"adds tensors of shapes {list(shapes[0])} and {list(shapes[1])}; nibbleflow adds "
            "equal shapes"
        )
    if len(shapes[0]) == 2:
        bindings = [scope.binding(o) for o in operands]
        _need_unflattened(bindings, "adds")
        return FloatAdd(call.name, (bindings[0].name, bindings[1].name))
    return FloatAdd(call.name, (scope.image(operands[0]), scope.image(operands[1])))


def concat(call: Call, scope: Scope) -> FloatConcat | Binding:
    """Translate ``cat`` along channels."""
    a = arguments(call, "tensors", dim=0)
    tensors = a["tensors"]
    axis = a["dim"]
    shape = scope.full_shape(tensors[0])
    if not isinstance(axis, int) or axis % len(shape) != 1:
        raise RefusedError(f"has dim={axis}; nibbleflow concatenates channels, dim=1")
    if len(tensors) == 1:
        return scope.binding(tensors[0])
    if len(shape) == 2:
        bindings = [scope.binding(t) for t in tensors]
        _need_unflattened(bindings, "concatenates")
        return FloatConcat(call.name, tuple(b.name for b in bindings))
    return FloatConcat(call.name, tuple(scope.image(t) for t in tensors))


def _need_unflattened(bindings: list[Binding], verb: str) -> None:
    if any(b.flat for b in bindings):
        raise RefusedError(f"{verb} flattened tensors; nibbleflow does so before flattening")


def split(call: Call, scope: Scope) -> list[FloatSplit]:
    """Translate ``chunk``, ``split`` and ``narrow`` along channels, one slice per result."""
    if call.function == "narrow":
        a = arguments(call, "input", "dim", "start", "length")
    elif call.function == "chunk":
        a = arguments(call, "input", "chunks", dim=0)
    elif call.function == "split_with_sizes":
        a = arguments(call, "input", "split_sizes", dim=0)
    else:
        key = "tensor" if "tensor" in call.kwargs else "input"
        size = "split_size_or_sections" if "split_size_or_sections" in call.kwargs else "split_size"
        a = arguments(call, key, size, dim=0)
        a["input"] = a[key]
    source = scope.image(a["input"])
    if not isinstance(a["dim"], int) or a["dim"] % 4 != 1:
        raise RefusedError(f"has dim={a['dim']}; nibbleflow splits channels, dim=1")
    begin = int(a["start"]) % scope.full_shape(a["input"])[1] if "start" in a else 0
    pieces = []
    for index, value in enumerate(call.results):
        end = begin + scope.value_shape(value)[0]
        name = call.name if len(call.results) == 1 else f"{call.name}.{index}"
        pieces.append(FloatSplit(name, source, begin, end))
        begin = end
    return pieces


def getitem(call: Call, scope: Scope) -> FloatSplit | DraftPhase | Binding:
    """Translate ``x[:, begin:end]``, and ``x[..., row::step, column::step]`` of a Focus layer."""
    source = call.args[0]
    name = scope.image(source)
    shape = scope.full_shape(source)
    refused = RefusedError(
        f"takes the elements {_index_text(call.args[1])}; nibbleflow slices contiguous channels"
    )
    index = call.args[1] if isinstance(call.args[1], tuple) else (call.args[1],)
    if index.count(Ellipsis) == 1:
        at = index.index(Ellipsis)
        index = (*index[:at], *(_WHOLE,) * (5 - len(index)), *index[at + 1 :])
    index = (*index, *(_WHOLE,) * (4 - len(index)))
    if len(index) != 4 or not all(isinstance(i, slice) for i in index):
        raise refused
    spans = [i.indices(size) for i, size in zip(index, shape, strict=True)]
    whole = [span == (0, size, 1) for span, size in zip(spans, shape, strict=True)]
    if all(whole):
        return scope.binding(source)
    if whole[0] and whole[2] and whole[3] and spans[1][2] == 1:
        return FloatSplit(call.name, name, *spans[1][:2])
    (row, bottom, step), (column, right, other) = spans[2:]
    fits = step == other > max(row, column) and shape[2] % step == 0 and shape[3] % step == 0
    if not (whole[0] and whole[1] and fits and (bottom, right) == shape[2:]):
        raise refused
    return DraftPhase(call.name, name, step, row, column, shape[1])


def _index_text(index: object) -> str:
    items = index if isinstance(index, tuple) else (index,)
    return f"[{', '.join(_item_text(i) for i in items)}]"


def _item_text(item: object) -> str:
    if item is Ellipsis:
        return "..."
    if isinstance(item, slice):
        parts = ["" if p is None else str(p) for p in (item.start, item.stop)]
        return ":".join(parts if item.step is None else [*parts, str(item.step)])
    return str(item)


def upsample(call: Call, scope: Scope) -> FloatUpsample | Binding:
    """Translate nearest-neighbour ``interpolate`` by an integer factor."""
    a = arguments(
        call,
        "input",
        size=None,
        scale_factor=None,
        mode="nearest",
        align_corners=None,
        recompute_scale_factor=None,
        antialias=False,
    )
    # At an integer factor 'nearest-exact' picks the same pixels as 'nearest'.
    if a["mode"] not in ("nearest", "nearest-exact"):
        raise RefusedError(
            f"has mode '{a['mode']}'; nibbleflow builds nearest-neighbour upsampling"
        )
    if a["align_corners"] or a["antialias"]:
        raise RefusedError("has align_corners or antialias; nibbleflow builds neither")
    source = scope.image(a["input"])
    _, height, width = scope.full_shape(a["input"])[1:]
    _, new_height, new_width = scope.value_shape(call.results[0])
    factor = new_height // height
    if (new_height, new_width) != (factor * height, factor * width) or factor < 1:
        raise RefusedError(
            f"resizes {height}x{width} to {new_height}x{new_width}; nibbleflow upsamples by one "
            "integer factor"
        )
    if factor == 1:
        return scope.binding(a["input"])
    return FloatUpsample(call.name, source, factor)


def reshape(call: Call, scope: Scope) -> Binding:
    """Translate a reshape that changes nothing, or flattens to [1, C*H*W]."""
    source = call.args[0] if call.args else call.kwargs.get("input")
    binding = scope.binding(source)
    before = scope.full_shape(source)
    after = scope.full_shape(Ref(call.results[0]))
    if after == before:
        return binding
    size = 1
    for length in before[1:]:
        size *= length
    if len(before) == 4 and after == (1, size):
        return Binding(binding.name, flat=before[2:] != (1, 1))
    if len(before) == 2 and after == (*before, 1, 1) and not binding.flat:
        return binding
    raise RefusedError(
        f"reshapes {list(before)} to {list(after)}; nibbleflow only flattens, before a linear layer"
    )
