# SPDX-License-Identifier: Apache-2.0
"""JSON values to QGraph: strict, every field of the right kind, none missing, none extra."""

import sys
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import StrEnum
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
import numpy.typing as npt

from quant.errors import BundleError, GraphError
from quant.graph import QGraph
from quant.nodes import Node, Requantizer
from quant.record import QuantRecord
from quant.weights import Weights

Json = dict[str, Any]
Array = npt.NDArray[Any]
# Gives the tensor of a name; raises BundleError when there is none.
Fetch = Callable[[str], Array]

T = TypeVar("T")

# Half a step beyond the largest float32: from here on a number rounds to infinity.
_FLOAT32_LIMIT = (2.0 - 2.0**-24) * 2.0**127

_KINDS: Mapping[str, type] = {kind.__name__: kind for kind in get_args(Node)}


def decode_graph(value: Any, fetch: Fetch) -> QGraph:  # noqa: ANN401 - any JSON value
    """Rebuild the graph from ``encode_graph``'s value.

    Args:
        value: The JSON value.
        fetch: Gives the unpacked tensor of a name.

    Raises:
        BundleError: A field is missing, unknown or of another kind, or the graph breaks the
            arithmetic contract; the message begins with the place.
    """
    _need_keys(value, {"name", "nodes"}, "graph")
    name = _read(str, value["name"], "graph.name", fetch)
    if not isinstance(value["nodes"], list):
        raise BundleError("graph.nodes is no list")
    nodes = tuple(_read_node(node, i, fetch) for i, node in enumerate(value["nodes"]))
    return _made("graph", lambda: QGraph(name, nodes))


def decode_object(kind: type[T], value: Any, where: str) -> T:  # noqa: ANN401 - any JSON value
    """Rebuild a dataclass without arrays (a HostSpec, a QuantRecord) from its JSON object.

    Raises:
        BundleError: A field is missing, unknown or of another kind; the message begins with
            ``where``.
    """
    made: T = _read_object(kind, value, where, _no_tensor)
    return made


def decode_weights(value: Any, where: str, fetch: Fetch) -> Weights:  # noqa: ANN401
    """Rebuild the weights of one layer from ``encode_weights``'s value.

    Raises:
        BundleError: A field is missing, unknown or of another kind, or breaks the contract; the
            message begins with ``where``.
    """
    made: Weights = _read_object(Weights, value, where, fetch)
    return made


def _no_tensor(name: str) -> Array:
    raise BundleError(f"tensor '{name}' is named where none belongs")


def _read_node(value: Any, index: int, fetch: Fetch) -> Node:  # noqa: ANN401
    where = f"nodes[{index}]"
    if not isinstance(value, dict) or not isinstance(value.get("kind"), str):
        raise BundleError(f"{where} has no kind")
    kind = _KINDS.get(value["kind"])
    if kind is None:
        raise BundleError(
            f"{where} is of kind '{value['kind']}', which this program does not know; "
            f"it knows {', '.join(_KINDS)}"
        )
    body = {k: v for k, v in value.items() if k != "kind"}
    node: Node = _read_object(kind, body, where, fetch)
    return node


def _read_object(kind: type, value: Any, where: str, fetch: Fetch) -> Any:  # noqa: ANN401
    hints = _hints(kind)
    _need_keys(value, set(hints), where, _optional(kind))
    read = {
        k: _read(hint, value[k], f"{where}.{k}", fetch) for k, hint in hints.items() if k in value
    }
    if kind is Weights:
        shape = read["granularity"].group_shape(_four(read["codes"], f"{where}.codes"))
        for key in ("selectors", "multipliers"):
            read[key] = _filled(read[key], shape, f"{where}.{key}")
    if kind is Requantizer:
        count = _filled(read["multiplier"], (1,), f"{where}.multiplier").shape
        read["zero_point"] = _filled(read["zero_point"], count, f"{where}.zero_point")
    for key, field in read.items():
        if isinstance(field, _Fill):
            raise BundleError(f"{where}.{key} must name a tensor")
    return _made(where, lambda: kind(**read))


class _Fill:
    """An array that is one value everywhere; its shape follows from another field."""

    def __init__(self, value: int) -> None:
        self.value = value


def _read(hint: Any, value: Any, where: str, fetch: Fetch) -> Any:  # noqa: ANN401
    origin = get_origin(hint)
    if origin is np.ndarray:
        return _read_array(hint, value, where, fetch)
    if origin in (Union, types.UnionType):
        options = [h for h in get_args(hint) if h is not type(None)]
        return None if value is None else _read(options[0], value, where, fetch)
    if origin is tuple:
        return _read_tuple(get_args(hint), value, where, fetch)
    if origin is Literal or (isinstance(hint, type) and issubclass(hint, StrEnum)):
        choices = [str(c) for c in (get_args(hint) if origin is Literal else hint)]
        if value not in choices:
            raise BundleError(f"{where} is {value!r}, none of {', '.join(choices)}")
        return value if origin is Literal else hint(value)
    if origin is Mapping:
        if not isinstance(value, dict):
            raise BundleError(f"{where} is no object")
        return value
    if is_dataclass(hint) and isinstance(hint, type):
        return _read_object(hint, value, where, fetch)
    return _read_scalar(hint, value, where)


def _read_scalar(hint: type, value: Any, where: str) -> int | float | str:  # noqa: ANN401
    accepted = (int, float) if hint is float else (hint,)
    if type(value) not in accepted:
        raise BundleError(f"{where} is {value!r}, no {hint.__name__}")
    if hint is float and abs(value) > sys.float_info.max:
        raise BundleError(f"{where} is beyond every double")
    result: int | float | str = value
    return result


def _read_tuple(hints: tuple[Any, ...], value: Any, where: str, fetch: Fetch) -> tuple[Any, ...]:  # noqa: ANN401
    if not isinstance(value, list):
        raise BundleError(f"{where} is {value!r}, no list")
    if hints[-1] is Ellipsis:
        hints = (hints[0],) * len(value)
    if len(value) != len(hints):
        raise BundleError(f"{where} has {len(value)} entries; needed {len(hints)}")
    return tuple(
        _read(h, v, f"{where}[{i}]", fetch)
        for i, (h, v) in enumerate(zip(hints, value, strict=True))
    )


def _read_array(hint: Any, value: Any, where: str, fetch: Fetch) -> Any:  # noqa: ANN401
    dtype = np.dtype(get_args(get_args(hint)[1])[0])
    if np.issubdtype(dtype, np.floating):
        if not isinstance(value, list) or any(type(v) not in (int, float) for v in value):
            raise BundleError(f"{where} is no list of numbers")
        if any(abs(v) >= _FLOAT32_LIMIT for v in value):
            raise BundleError(f"{where} has a number beyond {dtype}")
        return np.array(value, dtype)
    if isinstance(value, dict) and set(value) == {"tensor"} and isinstance(value["tensor"], str):
        tensor = fetch(value["tensor"])
        if tensor.dtype != dtype:
            raise BundleError(
                f"{where} is tensor '{value['tensor']}' of {tensor.dtype}, no {dtype}"
            )
        return tensor
    if isinstance(value, dict) and set(value) == {"fill"} and type(value["fill"]) is int:
        return _Fill(value["fill"])
    raise BundleError(f'{where} must be {{"tensor": name}} or {{"fill": number}}')


def _filled(value: Array | _Fill, shape: tuple[int, ...], where: str) -> Array:
    if isinstance(value, _Fill):
        if not 0 <= value.value < 1 << 16:
            raise BundleError(f"{where} is filled with {value.value}; limit 0..{(1 << 16) - 1}")
        return np.full(shape, value.value, np.int64)
    return value


def _four(codes: Array | _Fill, where: str) -> tuple[int, int, int, int]:
    if isinstance(codes, _Fill) or codes.ndim != 4:
        raise BundleError(f"{where} must be a tensor of four axes OIHW")
    f, c, kh, kw = codes.shape
    return f, c, kh, kw


def _made(where: str, make: Callable[[], T]) -> T:
    try:
        return make()
    except GraphError as error:
        raise BundleError(f"{where}: {error}") from None
    except (ArithmeticError, TypeError, ValueError) as error:
        raise BundleError(f"{where} is malformed: {error}") from None


def _need_keys(
    value: Any,  # noqa: ANN401
    needed: set[str],
    where: str,
    optional: frozenset[str] = frozenset(),
) -> None:
    if not isinstance(value, dict):
        raise BundleError(f"{where} is no object")
    missing, extra = sorted(needed - optional - set(value)), sorted(set(value) - needed)
    if missing:
        raise BundleError(f"{where} has no field '{missing[0]}'")
    if extra:
        raise BundleError(f"{where} has an unknown field '{extra[0]}'")


@cache
def _optional(kind: type) -> frozenset[str]:
    """Return the fields that a record may leave out; graph and host are always complete."""
    if kind is not QuantRecord:
        return frozenset()
    return frozenset(f.name for f in fields(kind) if f.default is not MISSING)


@cache
def _hints(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {f.name: hints[f.name] for f in fields(kind)}
