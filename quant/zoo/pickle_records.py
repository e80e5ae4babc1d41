# SPDX-License-Identifier: Apache-2.0
"""What a pickle of torch may speak of, as inert records: classes, objects, storages, tensors."""

from dataclasses import dataclass

import torch

from quant.errors import InputFileError

MAX_AXES = 8
# Keys hash to themselves below this, so that no key can be made to collide with many others.
MAX_KEY = 1 << 60

STORAGES: dict[str, torch.dtype] = {
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.FloatStorage": torch.float32,
    "torch.DoubleStorage": torch.float64,
    "torch.BoolStorage": torch.bool,
    "torch.ByteStorage": torch.uint8,
    "torch.CharStorage": torch.int8,
    "torch.ShortStorage": torch.int16,
    "torch.IntStorage": torch.int32,
    "torch.LongStorage": torch.int64,
}
_MODULES = ("models.yolo", "models.common", "models.experimental", "torch.nn.modules")
# numpy's are in a training state's fitness, the others in its options.
_RECORDS = frozenset(
    (
        "argparse.Namespace",
        "pathlib.PosixPath",
        "pathlib.WindowsPath",
        "_codecs.encode",
        "builtins.set",
        "numpy.dtype",
        "numpy.ndarray",
        "numpy.core.multiarray.scalar",
        "numpy.core.multiarray._reconstruct",
        "numpy._core.multiarray.scalar",
        "numpy._core.multiarray._reconstruct",
    )
)
TENSOR = "torch._utils._rebuild_tensor_v2"
PARAMETERS = ("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state")
ORDERED_DICT, SIZE = "collections.OrderedDict", "torch.Size"
_KNOWN = _RECORDS | {TENSOR, *PARAMETERS, ORDERED_DICT, SIZE} | STORAGES.keys()


@dataclass(frozen=True, eq=False)
class ClassPath:
    """The name of a class or function; it stands for nothing that could run.

    Attributes:
        path: Module and name, joined by a dot.
    """

    path: str


@dataclass(eq=False, repr=False, slots=True)
class Record:
    """An object as the pickle tells it; none of its class's code exists here.

    Attributes:
        path: Module and name of its class, or of the function that would have made it.
        args: What that would have been called with.
        state: What it was given afterwards: for most classes its attributes by name.
    """

    path: str
    args: tuple[object, ...]
    state: object = None


@dataclass(frozen=True)
class StorageRecord:
    """A storage of the archive.

    Attributes:
        key: Its name there.
        dtype: Type of its elements.
        count: Number of its elements.
    """

    key: str
    dtype: torch.dtype
    count: int


@dataclass(frozen=True, eq=False)
class TensorRecord:
    """A tensor that lies inside its storage, proven.

    Attributes:
        storage: Where its elements are.
        offset: First element there.
        size: Shape.
        stride: Elements from one index to the next, per axis.
    """

    storage: StorageRecord
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


def find_class(module: str, name: str) -> ClassPath:
    """Return the inert name of a class or function that a checkpoint may speak of.

    Raises:
        InputFileError: It is none of those.
    """
    # the spelling of Python 2, which pickles up to protocol 2 use
    path = f"{'builtins' if module == '__builtin__' else module}.{name}"
    inside = any(module == m or module.startswith(m + ".") for m in _MODULES)
    if path not in _KNOWN and not (inside and name.isidentifier()):
        raise InputFileError(
            f"checkpoint wants {path[:100]!r}; only tensors and plain records are read; convert "
            "it to safetensors in its own environment"
        )
    return ClassPath(path)


def damaged(reason: str) -> InputFileError:
    """Return the error of a pickle that does not say what a checkpoint says."""
    return InputFileError(f"checkpoint's pickle is damaged: {reason}; copy it again")


def tensor_record(args: tuple[object, ...]) -> TensorRecord:
    """Return the tensor of (storage, offset, shape, strides, ...), none of which is trusted.

    Raises:
        InputFileError: It reaches outside its storage, or has more elements than that.
    """
    if len(args) < 4 or not isinstance(args[0], StorageRecord):
        raise damaged("a tensor has no storage")
    storage, offset = args[0], args[1]
    size, stride = _whole_numbers(args[2]), _whole_numbers(args[3])
    if type(offset) is not int or offset < 0 or len(size) != len(stride):
        raise damaged("a tensor's offset, shape and strides do not belong together")
    count, last = 1, offset
    for length, step in zip(size, stride, strict=True):
        count *= length
        last += (length - 1) * step
    if count > storage.count or (count and last >= storage.count) or offset > storage.count:
        raise damaged(f"a tensor reaches outside its storage of {storage.count} elements")
    return TensorRecord(storage, offset, size, stride)


def _whole_numbers(value: object) -> tuple[int, ...]:
    if not isinstance(value, tuple) or len(value) > MAX_AXES:
        raise damaged(f"a tensor's shape is no tuple of at most {MAX_AXES} numbers")
    numbers = tuple(v for v in value if type(v) is int and 0 <= v < MAX_KEY)
    if len(numbers) != len(value):
        raise damaged("a tensor's shape or strides are no whole numbers")
    return numbers
