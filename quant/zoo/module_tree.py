# SPDX-License-Identifier: Apache-2.0
"""Walks the module tree of a checkpoint's records, and compares it with a network that was built.

The description of a checkpoint says how its network is made, the tree what was made. Both must
agree in every layer, so that nothing that the file says is left unheard.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from quant.errors import InputFileError, UnsupportedLayerError
from quant.zoo.pickle_records import Record, TensorRecord

MAX_MODULES = 20_000
MAX_DEPTH = 12
MAX_NAME = 64
MAX_VALUES = 100_000
MAX_NUMBER = 1 << 31

# Attributes that change what a layer computes; as published, and named alike in our networks.
_COMPARED: dict[str, tuple[str, ...]] = {
    "Conv2d": ("kernel_size", "stride", "padding", "dilation", "groups", "padding_mode"),
    "BatchNorm2d": ("eps", "track_running_stats"),
    "MaxPool2d": ("kernel_size", "stride", "padding", "dilation", "ceil_mode"),
    "Upsample": ("size", "scale_factor", "mode"),
    "LeakyReLU": ("negative_slope",),
    "Bottleneck": ("add",),
    "ShuffleBlock": ("stride",),
}
# Attributes that only the published layers have, and what ours always do.
_FIXED: dict[str, dict[str, object]] = {"Concat": {"d": 1}}
# Published classes that bear another name here; several blocks in a row are a Sequential there.
_OURS = {
    "ImplicitA": "Implicit",
    "ImplicitM": "Implicit",
    "Shuffle_Block": "ShuffleBlock",
    "conv_bn_relu_maxpool": "StemPool",
}
_THEIRS = {"ShuffleStage": "Sequential"}


@dataclass(frozen=True, eq=False)
class TreeModule:
    """One module of the tree.

    Attributes:
        kind: Name of its class, without the Python module.
        state: Its attributes by name.
    """

    kind: str
    state: dict[str, object]


def walk_modules(root: Record) -> dict[str, TreeModule]:
    """Return every module below ``root``, itself first, by its dotted path as in a state dict.

    Raises:
        InputFileError: The tree is no tree of modules, or too large.
    """
    found: dict[str, TreeModule] = {}
    waiting: list[tuple[str, object]] = [("", root)]
    while waiting:
        path, record = waiting.pop()
        if not isinstance(record, Record) or not isinstance(record.state, dict):
            raise InputFileError(f"checkpoint's module '{path}' is no module; copy it again")
        if len(found) >= MAX_MODULES or path.count(".") >= MAX_DEPTH:
            raise InputFileError(
                f"checkpoint's modules are more than {MAX_MODULES} or nested deeper than "
                f"{MAX_DEPTH}; convert it to safetensors in its own environment"
            )
        module = TreeModule(record.path.rpartition(".")[2], record.state)
        found[path] = module
        below = [(path + "." + n if path else n, v) for n, v in _named(module, "_modules", path)]
        waiting += reversed([(p, v) for p, v in below if v is not None])
    return found


def walk_tensors(modules: dict[str, TreeModule]) -> dict[str, TensorRecord]:
    """Return the parameters and lasting buffers of all modules by their names in a state dict.

    Raises:
        InputFileError: A parameter or buffer is no tensor.
    """
    found: dict[str, TensorRecord] = {}
    for path, module in modules.items():
        passing = _passing_buffers(module)
        for table in ("_parameters", "_buffers"):
            for name, value in _named(module, table, path):
                if value is None or (table == "_buffers" and name in passing):
                    continue
                whole = f"{path}.{name}" if path else name
                if not isinstance(value, TensorRecord):
                    raise InputFileError(f"checkpoint's '{whole}' is no tensor; copy it again")
                found[whole] = value
    return found


def plain_value(value: object, what: str) -> object:
    """Return a value as JSON would hold it: tuples become lists, keys text.

    Args:
        value: Value of the pickle.
        what: What it is, for messages.

    Raises:
        InputFileError: It holds anything but text and finite numbers, or is too large or nested
            too deep.
    """
    left = [MAX_VALUES]

    def copy(item: object, depth: int) -> object:
        left[0] -= 1
        if depth > MAX_DEPTH or left[0] < 0:
            raise InputFileError(f"checkpoint's {what} is too large or nested too deep")
        match item:
            case None | bool() | str():
                return item
            case int() if abs(item) < MAX_NUMBER:
                return item
            case float() if math.isfinite(item) and abs(item) < MAX_NUMBER:
                return item
            case list() | tuple():
                return [copy(v, depth + 1) for v in item]
            case dict():
                return {str(k): copy(v, depth + 1) for k, v in item.items()}
            case _:
                raise InputFileError(
                    f"checkpoint's {what} holds a value of type {type(item).__name__} or a number "
                    f"beyond {MAX_NUMBER}; only text, lists and numbers are read"
                )

    return copy(value, 0)


def compare_modules(
    modules: dict[str, TreeModule], built: nn.Module, reads: tuple[tuple[int, ...], ...]
) -> None:
    """Check that a built network is the tree's, layer by layer.

    Args:
        modules: The tree; ``model.N`` is layer N.
        built: Network with the same paths.
        reads: Per layer, the layers that the built one reads; -1 is the image.

    Raises:
        UnsupportedLayerError: A module is missing, left over, of another kind, or differs in an
            attribute that changes what it computes.
    """
    ours = dict(built.named_modules(remove_duplicate=False))
    for path in [*modules, *ours]:
        if path not in ours or path not in modules:
            side = "description" if path not in ours else "module tree"
            raise UnsupportedLayerError(
                f"'{path}' is not in the checkpoint's {side}; convert it to safetensors in its own "
                "environment"
            )
        if path in ("", "model"):  # the network itself and its list of layers
            continue
        module, twin = modules[path], ours[path]
        kind = _OURS.get(module.kind, module.kind)
        described = _THEIRS.get(type(twin).__name__, type(twin).__name__)
        if kind != described:
            raise UnsupportedLayerError(
                f"'{path}' is {kind}, its description says {described}; correct the "
                "description or convert the checkpoint to safetensors"
            )
        for name, theirs, wanted in _attributes(kind, module, twin):
            if theirs != wanted:
                raise UnsupportedLayerError(
                    f"'{path}' ({kind}) has {name} {_shown(theirs)}, its description makes "
                    f"{_shown(wanted)}; correct the description"
                )
    for number, sources in enumerate(reads):
        _compare_reads(modules[f"model.{number}"], number, sources)


def _attributes(
    kind: str, module: TreeModule, twin: nn.Module
) -> Iterator[tuple[str, object, object]]:
    """Give (name, the tree's value, ours) of every attribute to compare."""
    for name in _COMPARED.get(kind, ()):
        yield name, _paired(module.state.get(name, "none")), _paired(getattr(twin, name))
    for name, wanted in _FIXED.get(kind, {}).items():
        yield name, module.state.get(name, "none"), wanted


def _compare_reads(module: TreeModule, number: int, sources: tuple[int, ...]) -> None:
    origin = module.state.get("f")
    entries = origin if isinstance(origin, list) else [origin]
    theirs = tuple(number + e if e < 0 else e for e in entries if type(e) is int)
    if theirs != sources:
        raise UnsupportedLayerError(
            f"'model.{number}' reads layers {_shown(theirs)}, its description says "
            f"{_shown(sources)}; correct the description"
        )


def _named(module: TreeModule, table: str, path: str) -> list[tuple[str, object]]:
    """Return a module's children, parameters or buffers with names that can stand in a path."""
    value = module.state.get(table)
    if not isinstance(value, dict):
        raise InputFileError(f"checkpoint's '{path}' has no {table}; copy it again")
    for name in value:
        if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME or not _is_name(name):
            raise InputFileError(f"checkpoint's '{path}' has a bad name in {table}; copy it again")
    return list(value.items())


def _is_name(name: str) -> bool:
    return name.isascii() and name.replace("_", "").isalnum()


def _passing_buffers(module: TreeModule) -> set[object]:
    """Return the names of the buffers that a state dict leaves out."""
    value = module.state.get("_non_persistent_buffers_set")
    if isinstance(value, Record) and value.args:
        value = value.args[0]
    return {v for v in value if isinstance(v, str)} if isinstance(value, list | set) else set()


def _paired(value: object) -> object:
    """Return a whole number as the pair that torch makes of it."""
    return (value, value) if type(value) is int else value


def _shown(value: object) -> str:
    """Return a value for a message; of others than numbers and text only the type."""
    if isinstance(value, tuple) and all(type(v) is int for v in value[:8]):
        return ascii(value[:8])[:80]
    known = value is None or isinstance(value, bool | int | float | str)
    return ascii(value)[:80] if known else type(value).__name__
