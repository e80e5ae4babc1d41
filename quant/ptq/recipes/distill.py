# SPDX-License-Identifier: Apache-2.0
"""Distillation: the whole rounded network is trained towards the float one, without labels.

Weights, weight scales, biases and activation scales move together. Which images a step reads, and
how they are cut and flipped, depends on its number alone, so that a run that goes on from a saved
state does what an uninterrupted one does, bit for bit, on one machine with one number of threads.
"""

import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from quant.floatgraph import FloatAvgPool, FloatConv, FloatInput, FloatLinear, float_sources_of
from quant.hostspec import HostSpec
from quant.ptq.executor import apply_op, last_readers
from quant.ptq.recipes.images import ImageCodes
from quant.ptq.recipes.latent import LatentLayer
from quant.ptq.recipes.losses import feature_loss, feature_names, output_loss
from quant.ptq.recipes.network import FormattedNetwork, float_parameters
from quant.ptq.recipes.recipe import Distill
from quant.ptq.recipes.solution import Calibrated, LayerSolution
from quant.ptq.recipes.workspace import Workspace

Bars = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]

WARM_STEPS = 10
# Pixels of a step whose number of images is not given, and most images of such a step.
STEP_PIXELS = 2 * 640 * 640
MOST_IMAGES = 64
# A time limit is turned into a number of steps after so many of them.
TIMED_STEPS = 6


@dataclass(frozen=True)
class Training:
    """What a training says about itself.

    Attributes:
        steps: Steps made.
        first_loss: Mean loss of the first tenth of them.
        last_loss: Mean loss of the last tenth.
    """

    steps: int
    first_loss: float
    last_loss: float


class Distillation:
    """One distillation of one network.

    Attributes:
        batch: Images of a step.
    """

    def __init__(
        self,
        network: FormattedNetwork,
        host: HostSpec,
        stage: Distill,
        start: Mapping[str, LayerSolution],
        images: ImageCodes,
    ) -> None:
        """Prepare.

        Args:
            network: The network with its formats.
            host: Says what the outputs mean; its output names are those of float tensors.
            stage: Rates and steps.
            start: Where every layer starts.
            images: Unlabelled images.
        """
        self._network, self._host, self._stage, self._images = network, host, stage, images
        self._layers = {
            s.name: LatentLayer(s.op, start[s.name], network.device)
            for s in network.steps
            if isinstance(s.op, FloatConv | FloatLinear)
        }
        self._floats = float_parameters(network.graph, network.device)
        ops = network.graph.ops
        self._freed_after = last_readers([(op.name, float_sources_of(op)) for op in ops])
        features = feature_names(network.steps)
        self._features = {network.result_of[name]: name for name in features}
        name_of = {result: name for name, result in network.result_of.items()}
        self._outputs = {t: name_of[t] for scale in host.outputs for t in scale}
        self._side = _crop_of(network, stage.crop)
        self.batch = stage.batch or batch_of(self._side)
        self._short = stage.arithmetic == "auto" and short_arithmetic(network.device)
        self._losses: list[float] = []
        groups = []
        for rate, tensors in self._trained():
            for tensor in tensors:
                tensor.requires_grad_()
            groups.append({"params": tensors, "lr": rate, "base": rate})
        self._adam = torch.optim.Adam(groups, betas=(0.9, 0.99))

    def run(
        self, workspace: Workspace, number: int, bars: Bars, deadline: float | None
    ) -> tuple[Calibrated, Training]:
        """Train.

        Args:
            workspace: Keeps states.
            number: Place of the stage in the recipe.
            bars: Shows progress.
            deadline: ``time.monotonic()`` at which to be done, or ``None``.

        Returns:
            The network, and what happened.
        """
        planned = self._stage.steps
        state = workspace.load_training(number)
        done = 0
        if state is not None:
            done, planned = int(state["done"]), int(state["planned"])
            deadline = None  # the plan was made
            self._restore(state)
        begin = time.monotonic()
        with bars("distilling, steps", planned) as advance:
            advance(done)
            while done < planned:
                self._losses.append(self._step(done, planned))
                done += 1
                advance(1)
                if deadline is not None and done == min(TIMED_STEPS, planned):
                    now = time.monotonic()
                    fitting = int((deadline - now) / ((now - begin) / done))
                    advance(planned - min(planned, done + max(0, fitting)))
                    planned = min(planned, done + max(0, fitting))
                    deadline = None
                if done % self._stage.save_every == 0 or done == planned:
                    workspace.save_training(number, self._state(done, planned))
        layers = {name: layer.solution() for name, layer in self._layers.items()}
        stretches = [float(s.detach()) for s in self._network.stretches]
        tenth = max(1, len(self._losses) // 10)
        first, last = np.mean(self._losses[:tenth]), np.mean(self._losses[-tenth:])
        calibrated = Calibrated(layers, self._network.stretched_plan(stretches))
        return calibrated, Training(done, float(first), float(last))

    def _trained(self) -> list[tuple[float, list[torch.Tensor]]]:
        """Return learning rates and what learns with them."""
        stage = self._stage
        parameters = [layer.parameters for layer in self._layers.values()]
        weights, stretches, biases = (list(part) for part in zip(*parameters, strict=True))
        return [
            (stage.weight_rate, weights),
            (stage.scale_rate, stretches),
            (stage.bias_rate, biases),
            (stage.range_rate, self._network.stretches),
        ]

    def _step(self, number: int, planned: int) -> float:
        images = self._batch(number)
        teacher = self._teach(images)
        found: dict[str, torch.Tensor] = {}
        wanted = {self._features[k] for k in self._features} | set(self._outputs.values())

        def keep(name: str, value: torch.Tensor) -> None:
            if name in wanted:
                found[name] = value

        factor = _rate_factor(number, planned)
        for group in self._adam.param_groups:
            group["lr"] = group["base"] * factor
        with torch.enable_grad():
            with self._short_numbers():
                self._network.run(images, lambda name: self._layers[name].real(), keep)
            outputs = {t: found[name].float() for t, name in self._outputs.items()}
            loss = output_loss(self._host, outputs, teacher)
            if self._features and self._stage.feature > 0.0:
                inner = {t: found[name].float() for t, name in self._features.items()}
                loss = loss + self._stage.feature * feature_loss(inner, teacher)
            self._adam.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
        self._adam.step()
        for layer in self._layers.values():
            layer.confine()
        return float(loss.detach())

    @torch.no_grad()
    def _teach(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the float network's tensors that are compared, by float tensor name."""
        values: dict[str, torch.Tensor] = {}
        kept: dict[str, torch.Tensor] = {}
        with self._short_numbers():
            for op in self._network.graph.ops:
                if isinstance(op, FloatInput):
                    value = images
                else:
                    sources = [values[s] for s in float_sources_of(op)]
                    value = apply_op(op, sources, self._floats.get(op.name))
                values[op.name] = value
                if op.name in self._features or op.name in self._outputs:
                    kept[op.name] = value.float()
                for name in self._freed_after[op.name]:
                    del values[name]
        return kept

    def _short_numbers(self) -> torch.autocast:
        """Return a block whose convolutions multiply bfloat16, where the processor can.

        Both networks lose the same share of digits, far below what few-bit weights lose.
        """
        device = self._network.device.type
        return torch.autocast(device, torch.bfloat16, enabled=self._short)

    def _batch(self, number: int) -> torch.Tensor:
        """Return the images of a step, float32 [N, C, h, w], cut and flipped."""
        stage, codes = self._stage, self._images.codes
        first = number * self.batch
        cut = []
        for place in range(first, first + self.batch):
            epoch, index = divmod(place, len(codes))
            order = np.random.default_rng([stage.seed, 0, epoch]).permutation(len(codes))
            rng = np.random.default_rng([stage.seed, 1, place])
            part = part_of(codes.shape[2:], self._side, stage.reach, rng)
            cut.append(cut_out(codes[order[index]], part, self._side, rng, flip=self._flips))
        real = torch.from_numpy(self._images.real(np.stack(cut))).to(self._network.device)
        return real.contiguous(memory_format=torch.channels_last) if self._short else real

    @property
    def _flips(self) -> bool:
        return self._host.decode != "none"

    def _state(self, done: int, planned: int) -> dict[str, Any]:
        return {
            "done": done,
            "planned": planned,
            "losses": list(self._losses),
            "parameters": [p.detach().cpu() for _, group in self._trained() for p in group],
            "adam": self._adam.state_dict(),
        }

    @torch.no_grad()
    def _restore(self, state: Mapping[str, Any]) -> None:
        here = [p for _, group in self._trained() for p in group]
        for parameter, saved in zip(here, state["parameters"], strict=True):
            parameter.copy_(saved)
        self._losses = list(state["losses"])
        self._adam.load_state_dict(state["adam"])


def _rate_factor(number: int, planned: int) -> float:
    """Return the share of the learning rates at a step: a short rise, then half a cosine."""
    # The rise does not depend on the number of steps, which a time limit finds out meanwhile.
    rise = min(1.0, (number + 1) / WARM_STEPS)
    return rise * 0.5 * (1.0 + math.cos(math.pi * max(0, number - WARM_STEPS) / max(1, planned)))


def _crop_of(network: FormattedNetwork, share: float) -> tuple[int, int]:
    """Return the sides of crops in pixels: multiples of the network's largest stride.

    Networks with a layer or an average over a whole tensor take whole images only.
    """
    graph = network.graph
    _, height, width = graph.input.shape
    fixed = any(isinstance(op, FloatLinear | FloatAvgPool) for op in graph.ops)
    if fixed or share >= 1.0:
        return height, width
    step = max(max(1, height // shape[1]) for shape in graph.shapes.values())
    sides = [max(step, int(side * share / step + 0.5) * step) for side in (height, width)]
    return min(sides[0], height), min(sides[1], width)


def batch_of(side: tuple[int, int]) -> int:
    """Return the images of a step, by height and width of what it reads, where none are given."""
    return min(MOST_IMAGES, max(1, round(STEP_PIXELS / (side[0] * side[1]))))


def part_of(
    whole: tuple[int, ...], side: tuple[int, int], reach: float, rng: np.random.Generator
) -> tuple[int, int]:
    """Return height and width of the part of an image that a crop shows.

    Every size between the crop itself and ``reach`` of the image is as likely as its double.

    Args:
        whole: Height and width of the image.
        side: Those of the crop.
        reach: Largest share of the image.
        rng: Says which.
    """
    furthest = max(1.0, min(w * reach / s for w, s in zip(whole, side, strict=True)))
    zoom = furthest ** float(rng.random())
    return min(whole[0], int(side[0] * zoom + 0.5)), min(whole[1], int(side[1] * zoom + 0.5))


def cut_out(
    codes: npt.NDArray[np.uint8],
    part: tuple[int, int],
    side: tuple[int, int],
    rng: np.random.Generator,
    *,
    flip: bool,
) -> npt.NDArray[np.uint8]:
    """Return a random part of an image [C, H, W] at the size of a crop, perhaps mirrored."""
    top = int(rng.integers(0, codes.shape[1] - part[0] + 1))
    left = int(rng.integers(0, codes.shape[2] - part[1] + 1))
    found = codes[:, top : top + part[0], left : left + part[1]]
    mirrored = flip and bool(rng.integers(0, 2))
    found = np.ascontiguousarray(found[:, :, ::-1] if mirrored else found)
    if part == side:
        return found
    real = torch.from_numpy(found.astype(np.float32))[None]
    small = F.interpolate(real, side, mode="bilinear", antialias=True)[0]
    return small.round_().clamp_(0, 255).to(torch.uint8).numpy()


def short_arithmetic(device: torch.device) -> bool:
    """Return whether a device multiplies bfloat16 faster than float32."""
    able = torch.cpu.get_capabilities()
    return device.type == "cpu" and bool(able.get("avx512_bf16") or able.get("amx_bf16"))
