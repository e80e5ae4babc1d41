# SPDX-License-Identifier: Apache-2.0
"""A restricted unpickler: reads a pickle into plain values and inert records.

It is an interpreter of its own over the decoded opcodes. It imports nothing and calls nothing that
the pickle names: a class or function is a ``ClassPath``, an object of it a ``Record``, a tensor a
``TensorRecord`` whose place in its storage has been checked. Names that no checkpoint of the
YOLOv5 and YOLOv7 families needs are refused. No opcode copies what others made, so that memory
stays in proportion to the pickle.
"""

import pickletools
import warnings
from collections.abc import Callable

from quant.errors import InputFileError
from quant.zoo.pickle_records import (
    MAX_KEY,
    ORDERED_DICT,
    PARAMETERS,
    SIZE,
    STORAGES,
    TENSOR,
    ClassPath,
    Record,
    StorageRecord,
    TensorRecord,
    damaged,
    find_class,
    tensor_record,
)

MAX_OPCODES = 2_000_000
_CONSTANTS: dict[str, Callable[[], object]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_SET": set,
}
_LITERALS = frozenset(
    (
        *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"),
        *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINSTRING", "SHORT_BINSTRING"),
        *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    )
)


def read_pickle(data: bytes, storage_bytes: Callable[[str], int]) -> object:
    """Read a pickle.

    Args:
        data: The pickle, protocol 2 to 5, with storages as persistent objects.
        storage_bytes: Gives the size in bytes of a storage by its key; raises InputFileError
            where there is none.

    Returns:
        None, bool, int, float, str, bytes, and tuples, lists, sets and dicts of these, with
        ``Record``, ``TensorRecord`` and ``ClassPath`` among them. Lists, dicts and records may hold
        themselves.

    Raises:
        InputFileError: The pickle is damaged, too long, or wants anything else.
    """
    machine = _Machine(storage_bytes)
    end = 0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes in texts that are refused anyway
            for count, (opcode, arg, position) in enumerate(pickletools.genops(data)):
                if count >= MAX_OPCODES:
                    raise InputFileError(
                        f"checkpoint's pickle has more than {MAX_OPCODES} opcodes; save the model "
                        "without its training state"
                    )
                machine.step(opcode.name, arg)
                end = (position or 0) + 1
    except (ValueError, OverflowError, IndexError) as error:
        raise damaged(ascii(str(error))[1:-1][:120]) from None
    if end != len(data):
        raise damaged(f"{len(data) - end} bytes follow its end")
    return machine.result()


class _Machine:
    """The stack, its marks and the memo."""

    def __init__(self, storage_bytes: Callable[[str], int]) -> None:
        self._storage_bytes = storage_bytes
        self._stack: list[object] = []
        self._marks: list[int] = []
        self._memo: dict[int, object] = {}
        self._steps: dict[str, Callable[[], None]] = {
            "MARK": lambda: self._marks.append(len(self._stack)),
            "POP": self._drop,
            "POP_MARK": lambda: _ignore(self._items()),
            "DUP": lambda: self._stack.append(self._top()),
            "TUPLE": lambda: self._stack.append(tuple(self._items())),
            "TUPLE1": lambda: self._tuple(1),
            "TUPLE2": lambda: self._tuple(2),
            "TUPLE3": lambda: self._tuple(3),
            "LIST": lambda: self._stack.append(self._items()),
            "DICT": lambda: self._stack.append(_set_items({}, self._items())),
            "APPEND": lambda: _extend(*self._target(1)),
            "APPENDS": lambda: _extend(*self._target()),
            "SETITEM": lambda: _ignore(_set_items(*self._target(2))),
            "SETITEMS": lambda: _ignore(_set_items(*self._target())),
            "ADDITEMS": lambda: _ignore(_add_items(*self._target())),
            "MEMOIZE": lambda: self._put(len(self._memo)),
            "STACK_GLOBAL": self._stack_global,
            "REDUCE": self._reduce,
            "NEWOBJ": self._new_object,
            "BUILD": self._build,
            "BINPERSID": lambda: self._stack.append(self._persistent(self._pop())),
            "PROTO": lambda: None,
            "FRAME": lambda: None,
            "STOP": lambda: None,
        }

    def step(self, opcode: str, arg: object) -> None:
        """Do one opcode."""
        if opcode in _LITERALS:
            self._stack.append(arg)
        elif opcode in _CONSTANTS:
            self._stack.append(_CONSTANTS[opcode]())
        elif opcode in self._steps:
            self._steps[opcode]()
        elif opcode in ("BINPUT", "LONG_BINPUT") and isinstance(arg, int):
            self._put(arg)
        elif opcode in ("BINGET", "LONG_BINGET") and isinstance(arg, int):
            if arg not in self._memo:
                raise damaged(f"it has no object {arg} yet")
            self._stack.append(self._memo[arg])
        elif opcode == "GLOBAL":
            module, _, name = str(arg).partition(" ")
            self._stack.append(find_class(module, name))
        else:
            raise InputFileError(
                f"checkpoint's pickle uses opcode {opcode}, which torch does not write; convert "
                "it to safetensors in its own environment"
            )

    def result(self) -> object:
        """Return what is left at the end."""
        value = self._pop()
        if self._stack or self._marks:
            raise damaged("objects are left over")
        return value

    def _floor(self) -> int:
        return self._marks[-1] if self._marks else 0

    def _top(self) -> object:
        if len(self._stack) <= self._floor():
            raise damaged("an object is missing")
        return self._stack[-1]

    def _pop(self) -> object:
        value = self._top()
        del self._stack[-1]
        return value

    def _drop(self) -> None:
        """Take away the top; where that is a mark, the mark."""
        if self._marks and self._marks[-1] == len(self._stack):
            del self._marks[-1]
        else:
            self._pop()

    def _items(self) -> list[object]:
        """Take everything above the last mark."""
        if not self._marks:
            raise damaged("a mark is missing")
        start = self._marks.pop()
        items = self._stack[start:]
        del self._stack[start:]
        return items

    def _target(self, count: int | None = None) -> tuple[object, list[object]]:
        """Return the object below ``count`` items (or below the mark) and take those."""
        items = self._items() if count is None else [self._pop() for _ in range(count)][::-1]
        return self._top(), items

    def _tuple(self, count: int) -> None:
        self._stack.append(tuple([self._pop() for _ in range(count)][::-1]))

    def _put(self, index: int) -> None:
        self._memo[index] = self._top()

    def _stack_global(self) -> None:
        name, module = self._pop(), self._pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise damaged("a class name is no text")
        self._stack.append(find_class(module, name))

    def _call(self) -> tuple[str, tuple[object, ...]]:
        """Take a name and the arguments for it."""
        args, target = self._pop(), self._pop()
        if not isinstance(target, ClassPath) or not isinstance(args, tuple):
            raise damaged("it calls what is no class")
        return target.path, args

    def _new_object(self) -> None:
        path, args = self._call()
        self._stack.append(Record(path, args))

    def _reduce(self) -> None:
        path, args = self._call()
        if path == TENSOR:
            self._stack.append(tensor_record(args))
        elif path in PARAMETERS:
            if not args or not isinstance(args[0], TensorRecord):
                raise damaged("a parameter has no tensor")
            self._stack.append(args[0])
        elif path == ORDERED_DICT and not args:
            self._stack.append({})
        elif path == SIZE and len(args) == 1 and isinstance(args[0], tuple):
            self._stack.append(args[0])
        elif path in (ORDERED_DICT, SIZE):
            raise damaged(f"{path} has {len(args)} arguments of other types than expected")
        else:
            self._stack.append(Record(path, args))

    def _build(self) -> None:
        state, target = self._pop(), self._top()
        if isinstance(target, dict):
            return  # attributes of an ordered dict: the versions beside a state dict, no values
        if not isinstance(target, Record) or target.state is not None:
            raise damaged(f"it gives attributes to a {type(target).__name__} that takes none")
        target.state = state

    def _persistent(self, value: object) -> StorageRecord:
        match value:
            case ("storage", ClassPath(path), str(key), str(), int(count)) if path in STORAGES:
                dtype = STORAGES[path]
            case _:
                raise damaged("a storage is not told as torch tells it")
        held = self._storage_bytes(key)
        if count < 0 or count * dtype.itemsize != held:
            raise damaged(
                f"storage {key[:40]!r} has {held} bytes, not {str(count)[:20]} times "
                f"{dtype.itemsize}"
            )
        return StorageRecord(key, dtype, count)


def _key(value: object) -> str | int:
    if isinstance(value, str) or (isinstance(value, int) and abs(value) < MAX_KEY):
        return value
    raise damaged(f"a key is a {type(value).__name__}, only text and numbers are read")


def _extend(target: object, items: list[object]) -> None:
    if not isinstance(target, list):
        raise damaged(f"it appends to a {type(target).__name__}")
    target.extend(items)


def _set_items(target: object, items: list[object]) -> object:
    if not isinstance(target, dict) or len(items) % 2:
        raise damaged(f"it sets items of a {type(target).__name__}")
    for key, value in zip(items[::2], items[1::2], strict=True):
        target[_key(key)] = value
    return target


def _add_items(target: object, items: list[object]) -> object:
    if not isinstance(target, set):
        raise damaged(f"it adds to a {type(target).__name__}")
    target.update(_key(item) for item in items)
    return target


def _ignore(value: object) -> None:
    """Take a value that is not needed."""
