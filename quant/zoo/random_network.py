# SPDX-License-Identifier: Apache-2.0
"""Seeded random small networks over every operation that can be imported.

For tests: what a person would not think of, import, quantizer and engines must still agree on.
"""

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quant.hostspec import HostSpec
from quant.zoo.loaded import LoadedModel

Twist = Callable[[int], nn.Module]
"""Makes a module for a tensor of so many channels; it maps one tensor to one tensor."""

_T = TypeVar("_T")

_LARGEST = 24  # channels
_LARGEST_SIDE = 24
_SIDES = (8, 10, 12, 16)


class _Join(nn.Module):
    """Sum, channel concatenation, or gate of tensors."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, *tensors: Tensor) -> Tensor:
        return tensors[0] + tensors[1] if self.kind == "add" else torch.cat(tensors, 1)


class _Slice(nn.Module):
    """Channels from ``begin`` to ``end``, by slicing or by ``chunk`` where that is the same."""

    def __init__(self, begin: int, end: int) -> None:
        super().__init__()
        self.begin, self.end = begin, end

    def forward(self, x: Tensor) -> Tensor:
        if 2 * self.end == x.shape[1]:
            return x.chunk(2, 1)[0]
        return x[:, self.begin : self.end]


class _Focus(nn.Module):
    """Every second pixel, four times, side by side, then a convolution."""

    def __init__(self, inputs: int, filters: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4 * inputs, filters, kernel, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        parts = [x[..., row::2, column::2] for column in (0, 1) for row in (0, 1)]
        result: Tensor = self.conv(torch.cat(parts, 1))
        return result


class _Branches(nn.Module):
    """Parallel convolutions (and the identity where shapes allow), each normalised, summed."""

    def __init__(self, inputs: int, filters: int, stride: int, groups: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(inputs, filters, k, stride, k // 2, groups=groups, bias=False),
                nn.BatchNorm2d(filters),
            )
            for k in (3, 1, 3)
        )
        if inputs == filters and stride == 1:
            self.branches.append(nn.BatchNorm2d(filters))

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor = self.branches[0](x)
        for branch in self.branches[1:]:
            total = total + branch(x)
        return total


class _Swish(nn.Module):
    """``x * sigmoid(x)`` spelt out."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(x)


class _ToVector(nn.Module):
    """Global pool (by module or by ``mean``) or none, flatten, linear layers."""

    def __init__(self, inputs: int, hidden: int, outputs: int, pool: str) -> None:
        super().__init__()
        self.pool = pool
        self.first = nn.Linear(inputs, hidden)
        self.second = nn.Linear(hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        if self.pool == "module":
            x = F.adaptive_avg_pool2d(x, 1)
        elif self.pool == "mean":
            x = x.mean((2, 3), keepdim=True)
        result: Tensor = self.second(F.relu(self.first(torch.flatten(x, 1))))
        return result


class RandomNetwork(nn.Module):
    """A network drawn from a seed; every step reads tensors made before it.

    Args:
        seed: Of structure and weights.
        side: (height, width) of the input in pixels.
        steps: Number of drawn steps.
        twist: Makes a module that every output depends on; it is called ``twist``.
    """

    def __init__(
        self, seed: int, side: tuple[int, int], steps: int, twist: Twist | None = None
    ) -> None:
        super().__init__()
        self._rng = np.random.default_rng((seed, 77))
        self._generator = torch.Generator().manual_seed(seed)
        self._plan: list[tuple[str, tuple[int, ...]]] = []
        self._tensors = [torch.zeros(1, 3, *side)]
        self._heads: list[str] = []
        with torch.no_grad():
            self._stem(side)
            if twist is not None:
                self._step("fit", self._conv(8, 3, 1), 1)
                self._step("twist", twist(8), 2)
                self._step("behind", nn.LazyConv2d(8, 1), 3)
            self._first = len(self._tensors) - 1  # what drawn steps may read
            for index in range(steps):
                self._draw(f"s{index}")
            self._make_heads()
        self._tensors = []
        self.eval()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return every head's tensor.

        Args:
            x: float32 [1, 3, H, W].
        """
        tensors = [x]
        for name, sources in self._plan:
            tensors.append(self.get_submodule(name)(*(tensors[s] for s in sources)))
        made = {name: tensor for (name, _), tensor in zip(self._plan, tensors[1:], strict=True)}
        return tuple(made[name] for name in self._heads)

    def _step(self, name: str, module: nn.Module, *sources: int) -> None:
        module.eval()
        self._tensors.append(module(*(self._tensors[s] for s in sources)))
        self._randomise(module)
        self.add_module(name, module)
        self._plan.append((name, sources))

    def _randomise(self, module: nn.Module) -> None:
        def uniform(like: Tensor, low: float, high: float) -> Tensor:
            return torch.rand(like.shape, generator=self._generator) * (high - low) + low

        for layer in module.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                spread = (3 / layer.weight[0].numel()) ** 0.5
                layer.weight.copy_(uniform(layer.weight, -spread, spread))
                if layer.bias is not None:
                    layer.bias.copy_(uniform(layer.bias, -0.5, 0.5))
            elif isinstance(layer, nn.BatchNorm2d) and layer.running_mean is not None:
                layer.weight.copy_(uniform(layer.weight, 0.5, 1.5))
                layer.bias.copy_(uniform(layer.bias, -0.5, 0.5))
                layer.running_mean.copy_(uniform(layer.running_mean, -0.3, 0.3))
                variance = layer.get_buffer("running_var")
                variance.copy_(uniform(variance, 0.3, 2.0))

    def _pick(self, *choices: _T) -> _T:
        return choices[int(self._rng.integers(len(choices)))]

    def _source(self) -> int:
        """Return one of the tensors, the last one half of the time."""
        last = len(self._tensors) - 1
        return last if self._rng.random() < 0.5 else int(self._rng.integers(self._first, last + 1))

    def _stem(self, side: tuple[int, int]) -> None:
        filters = self._pick(4, 6, 8)
        focus = self._rng.random() < 0.2 and min(side) >= 16
        stem = _Focus(3, filters, self._pick(1, 3)) if focus else self._conv(filters, 3, 1)
        self._step("stem", stem, 0)

    def _conv(self, filters: int, kernel: int, stride: int) -> nn.Module:
        last = self._tensors[-1].shape[1]
        return nn.Sequential(nn.Conv2d(last, filters, kernel, stride, kernel // 2), nn.SiLU())

    def _draw(self, name: str) -> None:
        source = self._source()
        kind = self._pick(
            "conv", "conv", "conv", "conv", "branches", "norm", "activation", "max_pool",
            "avg_pool", "add", "concat", "slice", "upsample",
        )  # fmt: skip
        if kind in ("add", "concat"):
            self._join(name, kind, source)
            return
        _, channels, height, width = self._tensors[source].shape
        module = self._module(kind, channels, height, width)
        if module is not None:
            self._step(name, module, source)

    def _module(self, kind: str, channels: int, height: int, width: int) -> nn.Module | None:
        """Return a module for a tensor of that shape; ``None`` where none of the kind fits."""
        smallest = min(height, width)
        match kind:
            case "conv":
                return self._any_conv(channels, smallest)
            case "branches":
                groups = self._groups(channels, channels)
                stride = self._pick(1, 2) if smallest >= 4 else 1
                filters = channels if groups > 1 else self._pick(channels, 5, 8)
                body = _Branches(channels, filters, stride, groups)
                return nn.Sequential(body, self._activation())
            case "norm":
                return nn.BatchNorm2d(channels)
            case "activation":
                return self._activation()
            case "max_pool":
                kernel = self._pick(2, 3, 5)
                stride = self._pick(1, 2)
                padding = self._pick(0, kernel // 2)
                fits = smallest + 2 * padding >= kernel + stride
                return nn.MaxPool2d(kernel, stride, padding) if fits else None
            case "avg_pool":
                fits = smallest >= 4
                return nn.AvgPool2d(self._pick(2, 3), self._pick(1, 2)) if fits else None
            case "slice":
                begin = int(self._rng.integers(0, channels))
                end = int(self._rng.integers(begin + 1, channels + 1))
                cut = self._pick((begin, end), (0, max(channels // 2, 1)))
                return _Slice(*cut) if cut != (0, channels) else None
            case "upsample":
                factor = self._pick(2, 3)
                return (
                    nn.Upsample(scale_factor=factor) if max(height, width) * factor <= 24 else None
                )
            case _:
                raise ValueError(kind)

    def _any_conv(self, channels: int, smallest: int) -> nn.Module:
        """Return a convolution of any form, with or without normalisation and activation."""
        square = self._pick(1, 1, 2, 3, 3, 5)
        sides = self._pick((square, square), (square, square), (1, 3), (3, 1))
        strides = ((1, 1), (1, 1), (2, 2), (2, 1))
        stride = self._pick(*strides) if smallest >= 4 else (1, 1)
        padding: str | tuple[int, int] = (sides[0] // 2, sides[1] // 2)
        if stride == (1, 1) and min(side % 2 for side in sides):  # torch warns of even ones
            padding = self._pick("same", padding)
        elif smallest >= 5:
            padding = self._pick(padding, (0, 0))
        filters = self._pick(1, 3, 4, 8, 12, channels)
        groups = self._groups(channels, filters)
        bias = self._rng.random() < 0.5
        layers: list[nn.Module] = [
            nn.Conv2d(channels, filters, sides, stride, padding, groups=groups, bias=bias)
        ]
        if self._rng.random() < 0.5:
            layers.append(nn.BatchNorm2d(filters))
        if self._rng.random() < 0.8:
            layers.append(self._activation())
        return nn.Sequential(*layers)

    def _groups(self, channels: int, filters: int) -> int:
        """Return 1, all, or some divisor of both."""
        common = [g for g in range(1, channels + 1) if channels % g == 0 and filters % g == 0]
        return self._pick(1, 1, common[-1], self._pick(*common))

    def _activation(self) -> nn.Module:
        return self._pick(
            nn.ReLU(), nn.ReLU6(), nn.LeakyReLU(0.1), nn.SiLU(), nn.Hardswish(), nn.Hardsigmoid(),
            nn.Sigmoid(), nn.Hardtanh(0, 6), _Swish(), nn.Identity(),
        )  # fmt: skip

    def _join(self, name: str, kind: str, source: int) -> None:
        """Add or concatenate the source and another tensor, made to fit where needed."""
        shape = self._tensors[source].shape
        begin = 0 if kind == "concat" else 1
        wanted = shape[2:] if kind == "concat" else shape[1:]
        others = [
            i
            for i in range(self._first, len(self._tensors))
            if self._tensors[i].shape[2 - begin :] == wanted and i != source
        ]
        if not others:
            self._step(f"{name}_fit", nn.Conv2d(shape[1], shape[1], 1), source)
            others = [len(self._tensors) - 1]
        other = others[int(self._rng.integers(len(others)))]
        if kind == "concat" and shape[1] + self._tensors[other].shape[1] > _LARGEST:
            return
        self._step(name, _Join(kind), *self._pick((source, other), (other, source)))

    def _make_heads(self) -> None:
        """End in the last tensor and, half of the time each, in another one and in a vector."""
        last = len(self._tensors) - 1
        self._head("head0", last)
        if self._rng.random() < 0.5:
            self._head("head1", int(self._rng.integers(self._first, last + 1)))
        if self._rng.random() < 0.5:
            _, channels, height, width = self._tensors[last].shape
            pool = self._pick("module", "mean", "none")
            inputs = channels * height * width if pool == "none" else channels
            vector = _ToVector(inputs, self._pick(4, 9), self._pick(2, 10), pool)
            self._step("vector", vector, last)
            self._heads.append("vector")

    def _head(self, name: str, source: int) -> None:
        self._step(name, nn.Conv2d(self._tensors[source].shape[1], self._pick(2, 6), 1), source)
        self._heads.append(name)


def random_model(seed: int, *, steps: int = 8, twist: Twist | None = None) -> LoadedModel:
    """Return a random network with a host that leaves its outputs raw.

    Args:
        seed: Of everything.
        steps: Number of drawn steps; some come to nothing because they do not fit.
        twist: As for ``RandomNetwork``.
    """
    rng = np.random.default_rng((seed, 78))
    height, width = (int(_SIDES[i]) for i in rng.integers(0, len(_SIDES), 2))
    host = HostSpec(
        height=height,
        width=width,
        place="center",
        pad_value=114,
        channel_order="rgb",
        mean=(0.0, 0.0, 0.0) if seed % 2 else (123.7, 116.3, 103.5),
        std=(255.0, 255.0, 255.0) if seed % 2 else (58.4, 57.1, 57.4),
        decode="none",
        strides=(),
        anchors=(),
        outputs=(),
        class_names=(),
    )
    return LoadedModel(RandomNetwork(seed, (height, width), steps, twist), host, f"random-{seed}")
