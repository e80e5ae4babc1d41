# SPDX-License-Identifier: Apache-2.0
"""Readable, unique names for recorded calls, from the stack of modules that are running."""

from torch import nn

from quant.zoo.operation import Operation


class ModulePaths:
    """Follows which module is running and names what happens inside it."""

    def __init__(self, root: nn.Module) -> None:
        """Remember every path of every module below ``root`` (a shared module has several)."""
        self._known: dict[int, list[str]] = {}
        for path, module in root.named_modules(remove_duplicate=False):
            self._known.setdefault(id(module), []).append(path)
        self._stack: list[tuple[str, nn.Module]] = []
        self._used: set[str] = set()

    @property
    def current(self) -> str:
        """Path of the running module; empty for the root."""
        return self._stack[-1][0] if self._stack else ""

    def enter(self, module: nn.Module) -> None:
        """Note that ``module`` begins to run."""
        parent = self.current
        paths = self._known.get(id(module))
        if paths is None:  # made inside forward
            label = type(module).__name__.lower()
            path = f"{parent}.{label}" if parent else label
        else:
            prefix = f"{parent}." if parent else ""
            below = [p for p in paths if p.startswith(prefix)]
            path = min(below or paths, key=len)
        self._stack.append((path, module))

    def leave(self) -> str:
        """Note that the running module ended; return its path."""
        return self._stack.pop()[0]

    def kind(self, function: str) -> str:
        """Return what a user calls the running call: class of a torch layer, else function."""
        if self._stack and isinstance(self._stack[-1][1], Operation):
            return self._stack[-1][1].kind
        if self._stack and _is_torch_layer(self._stack[-1][1]):
            return type(self._stack[-1][1]).__name__
        return function

    def name(self, function: str) -> str:
        """Return a new unique name for a call of ``function`` in the running module."""
        path = self.current
        label = function.strip("_") or "call"
        if self._stack and path and _is_torch_layer(self._stack[-1][1]):
            return self._unique(path)
        return self._unique(f"{path}.{label}" if path else label)

    def _unique(self, name: str) -> str:
        result, count = name, 1
        while result in self._used:
            result, count = f"{name}_{count}", count + 1
        self._used.add(result)
        return result


def _is_torch_layer(module: nn.Module) -> bool:
    """Whether the calls of a module are named like the module."""
    where = type(module).__module__
    layer = where.startswith("torch.nn.modules") and not where.endswith("container")
    return layer or isinstance(module, Operation)
