# SPDX-License-Identifier: Apache-2.0
"""Records one real run of a torch module as a list of tensor calls.

A recorded run meets no control flow: loops, shape arithmetic and lists in ``forward`` have already
happened, modules and functional calls look alike, and every shape is known. Symbolic tracing would
stop at the first ``if x.shape ...`` of a detection head.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils.weak import WeakTensorKeyDictionary

from quant.errors import UnsupportedLayerError
from quant.ptq.modulepath import ModulePaths

SAMPLE_SIZE = 256
_RUN_ERRORS = (
    RuntimeError, TypeError, ValueError, LookupError, AttributeError, AssertionError
)  # fmt: skip
CHANGED_THROUGH_VIEW = "changed through a view"
# Reading a value as a Python number can steer control flow, which a recorded run does not see.
_VALUE_READS = frozenset(
    ("item", "tolist", "numpy", "__bool__", "__int__", "__float__", "__index__", "__array__")
)


@dataclass(frozen=True)
class Ref:
    """A traced tensor inside the arguments of a call.

    Attributes:
        value: Index of the traced value.
    """

    value: int


@dataclass(frozen=True, eq=False)
class Value:
    """What is known about one traced tensor.

    Attributes:
        shape: Full shape, batch included.
        sample: float64, up to ``SAMPLE_SIZE`` of its elements at ``sample_positions``.
    """

    shape: tuple[int, ...]
    sample: npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Call:
    """One recorded tensor function.

    Attributes:
        name: Unique readable name, from the module path ('model.2.cv1.conv', 'model.4.m.0.add').
        function: Name of the function, for example ``conv2d`` or ``__getitem__``.
        kind: What a user would call it: class of the torch layer, else the function.
        args: Positional arguments; traced tensors are ``Ref``, others are themselves.
        kwargs: Keyword arguments, likewise.
        reads: Values read, in order, without repetition.
        results: Values made.
        parameterised: Whether trained parameters enter.
        steers: Whether it turns a traced value into a Python number.
    """

    name: str
    function: str
    kind: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    reads: tuple[int, ...]
    results: tuple[int, ...]
    parameterised: bool
    steers: bool


@dataclass(frozen=True, eq=False)
class Trace:
    """A recorded run.

    Attributes:
        calls: In order of execution; only calls that read a traced tensor.
        values: Every traced tensor by index; 0 is the input.
        returned: Values that ``forward`` returned, in order.
        modules: Value that each module path returned, where that was one tensor.
        example: float32 [1, C, H, W], the input of the run.
    """

    calls: tuple[Call, ...]
    values: tuple[Value, ...]
    returned: tuple[int, ...]
    modules: dict[str, int]
    example: npt.NDArray[np.float32]


def trace_module(module: nn.Module, example: npt.NDArray[np.float32]) -> Trace:
    """Run ``module`` once in eval mode and record what it computes.

    Args:
        module: Network with one tensor argument; it is switched to eval mode.
        example: float32 [1, C, H, W].

    Returns:
        The recorded calls.

    Raises:
        UnsupportedLayerError: The module does not run on the example, or returns no tensor that
            the recorded calls made.
    """
    module.eval()
    _check_float32(module)
    recorder = _Recorder(module)
    image = torch.from_numpy(example.copy())
    recorder.bind(image)
    handles = [
        register_module_forward_pre_hook(recorder.enter),
        register_module_forward_hook(recorder.leave),
    ]
    try:
        with torch.no_grad(), recorder:
            result = module(image)
    except _RUN_ERRORS as error:
        text = str(error).strip().splitlines()
        raise UnsupportedLayerError(
            f"'{recorder.paths.current or type(module).__name__}' failed on an input of shape "
            f"{list(example.shape)}: {text[0] if text else type(error).__name__}; "
            "forward must take one float32 image batch"
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    returned = tuple(recorder.read(t) for t in _tensors(result) if recorder.knows(t))
    if not returned:
        raise UnsupportedLayerError(
            f"'{type(module).__name__}' returns no tensor that was computed from its input by "
            "recorded torch calls; scripted modules cannot be imported, give the plain module"
        )
    return Trace(tuple(recorder.calls), tuple(recorder.values), returned, recorder.modules, example)


def sample_positions(size: int) -> npt.NDArray[np.int64]:
    """Return the flat positions at which a tensor of ``size`` elements is sampled, int64."""
    return np.linspace(0, size - 1, min(size, SAMPLE_SIZE)).astype(np.int64)


def _check_float32(module: nn.Module) -> None:
    for name, parameter in module.named_parameters():
        if parameter.dtype != torch.float32:
            raise UnsupportedLayerError(
                f"'{name}' is {str(parameter.dtype).removeprefix('torch.')}; import reads float32 "
                "networks; call .float() on the module first"
            )


class _Recorder(TorchFunctionMode):
    """Sees every torch function and Tensor method that runs inside its ``with`` block."""

    def __init__(self, root: nn.Module) -> None:
        super().__init__()
        self.paths = ModulePaths(root)
        self.calls: list[Call] = []
        self.values: list[Value] = []
        self.modules: dict[str, int] = {}
        # Tensor -> (value index, version counter at that time); weak, so that memory is freed.
        self._bound = WeakTensorKeyDictionary()
        self._derived = WeakTensorKeyDictionary()  # constants computed from parameters

    def enter(self, module: nn.Module, _args: object) -> None:
        self.paths.enter(module)

    def leave(self, _module: nn.Module, _args: object, result: object) -> None:
        path = self.paths.leave()
        if isinstance(result, torch.Tensor) and self.knows(result):
            self.modules[path] = self._bound[result][0]

    def knows(self, tensor: torch.Tensor) -> bool:
        return tensor in self._bound

    def bind(self, tensor: torch.Tensor) -> int:
        flat = tensor.detach().reshape(-1)
        sample = flat[torch.from_numpy(sample_positions(flat.numel()))] if flat.numel() else flat
        self.values.append(Value(tuple(tensor.shape), sample.double().numpy()))
        self._bound[tensor] = (len(self.values) - 1, _version(tensor))
        return len(self.values) - 1

    def read(self, tensor: torch.Tensor) -> int:
        """Return the value of a traced tensor; a change behind our back becomes a call."""
        value, version = self._bound[tensor]
        if version == _version(tensor):
            return int(value)
        changed = self.bind(tensor)
        self.calls.append(
            Call(
                name=self.paths.name("inplace"),
                function=CHANGED_THROUGH_VIEW,
                kind=CHANGED_THROUGH_VIEW,
                args=(Ref(value),),
                kwargs={},
                reads=(value,),
                results=(changed,),
                parameterised=False,
                steers=False,
            )
        )
        return changed

    def __torch_function__(
        self,
        func: Any,  # noqa: ANN401 - any torch callable
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        kwargs = kwargs or {}
        tensors = list(_tensors((args, kwargs)))
        traced = [t for t in tensors if self.knows(t)]
        parameterised = any(isinstance(t, nn.Parameter) or t in self._derived for t in tensors)
        if not traced:
            result = func(*args, **kwargs)
            if parameterised:
                for tensor in _tensors(result):
                    self._derived[tensor] = True
            return result
        refs = self._refs((args, kwargs))
        reads = tuple(dict.fromkeys(self.read(t) for t in traced))
        before = [_version(t) for t in traced]
        result = func(*args, **kwargs)
        written = [t for t, v in zip(traced, before, strict=True) if _version(t) != v]
        made = [t for t in _tensors(result) if not any(t is s for s in traced)]
        made += [t for i, t in enumerate(written) if not any(t is s for s in written[:i])]
        function = _function_name(func)
        steers = function in _VALUE_READS
        if made or steers:
            self.calls.append(
                Call(
                    name=self.paths.name(function),
                    function=function,
                    kind=self.paths.kind(function),
                    args=refs[0],
                    kwargs=refs[1],
                    reads=reads,
                    results=tuple(self.bind(t) for t in made),
                    parameterised=parameterised,
                    steers=steers,
                )
            )
        return result

    def _refs(self, value: Any) -> Any:  # noqa: ANN401 - walks nested arguments
        if isinstance(value, torch.Tensor):
            return Ref(self.read(value)) if self.knows(value) else value
        if isinstance(value, (list, tuple)):
            return tuple(self._refs(v) for v in value)
        if isinstance(value, dict):
            return {k: self._refs(v) for k, v in value.items()}
        return value


def _tensors(value: object) -> Iterator[torch.Tensor]:
    """Yield the tensors inside nested lists, tuples and dictionaries, in order."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item)


def _version(tensor: torch.Tensor) -> int:
    """Return the in-place write counter; tensors of inference mode have none."""
    return -1 if tensor.is_inference() else tensor._version


def _function_name(func: Any) -> str:  # noqa: ANN401
    name = str(getattr(func, "__name__", func))
    if name == "__get__":  # a property such as Tensor.T
        return (resolve_name(func) or "property.__get__").split(".")[-2]
    return name
