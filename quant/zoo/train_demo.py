# SPDX-License-Identifier: Apache-2.0
"""Trains the built-in detector on generated shapes: ``python -m quant.zoo.train_demo``.

The last third of the training freezes batch normalisation and shifts every inner weight by noise as
large as a 4-bit rounding error, so that the network tolerates int4 weights without being trained
for one particular quantizer.
"""

import argparse
import copy
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from rich.progress import Progress
from safetensors.torch import save_file
from torch import Tensor, nn

from quant.zoo.blocks import Conv, RepConv, fused_kernel
from quant.zoo.demo import DEMO_WEIGHTS, demo_description
from quant.zoo.demo_loss import detection_loss
from quant.zoo.demo_score import shapes_ap50
from quant.zoo.described import DescribedModel, Description
from quant.zoo.shapes import HELD_OUT_COUNT, HELD_OUT_SEED, TRAIN_SEED, shapes_sample

NOISE_LEVELS = 15  # steps of a 4-bit affine code over the range of a filter


@dataclass(frozen=True)
class TrainSettings:
    """How long and how to train.

    Attributes:
        iterations: Steps, >= 1.
        batch: Images per step.
        pool: Different images drawn; each is seen in its eight mirrored and turned forms.
        learning_rate: Peak of the cosine schedule.
        weight_decay: Of all weights with more than one axis.
        noise_from: Share of the iterations after which weights are shifted by noise.
        seed: Of initial weights, order, augmentation and noise.
    """

    iterations: int = 4000
    batch: int = 32
    pool: int = 8192
    learning_rate: float = 3e-3
    weight_decay: float = 0.02
    noise_from: float = 0.65
    seed: int = 0


def train(settings: TrainSettings, output: Path | None, checkpoint_every: int = 500) -> nn.Module:
    """Train the built-in detector on the CPU.

    Args:
        settings: How long and how.
        output: Safetensors file for the weights, its JSON written beside it; ``None`` for none.
        checkpoint_every: Iterations between intermediate writes of ``output``.

    Returns:
        The averaged model in eval mode.
    """
    torch.manual_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
    noise = torch.Generator().manual_seed(settings.seed)
    description = Description.from_json(demo_description(), "the built-in description")
    model = DescribedModel(description).train()
    model.detect.set_prior(3.5)
    average = copy.deepcopy(model).eval()
    optimizer = _optimizer(model, settings)
    with Progress() as progress:
        drawing = progress.add_task("drawing", total=settings.pool)
        pool = []
        for index in range(settings.pool):
            pool.append(shapes_sample(TRAIN_SEED, index, description.image_size))
            progress.advance(drawing)
        task = progress.add_task("training", total=settings.iterations)
        for iteration in range(settings.iterations):
            noisy = iteration >= settings.noise_from * settings.iterations
            _set_rate(optimizer, settings, iteration)
            images, targets = _batch(pool, rng, settings.batch)
            if noisy:
                _freeze_norms(model)
            with _shifted(model, noise if noisy else None):
                loss = detection_loss(model.detect, model(images), targets)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), 10.0)
            optimizer.step()
            _follow(average, model, iteration)
            progress.update(task, advance=1, description=f"training, loss {loss.item():.4f}")
            last = iteration + 1 == settings.iterations
            if output is not None and (last or (iteration + 1) % checkpoint_every == 0):
                save_demo(average, output)
                if not progress.console.is_terminal:
                    progress.console.print(f"{iteration + 1} loss {loss.item():.4f}")
    return average


def save_demo(model: nn.Module, output: Path) -> None:
    """Write weights as safetensors float32 and the description beside them."""
    tensors = {
        name: value.contiguous()
        for name, value in model.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    beside = output.with_suffix(".part")
    save_file(tensors, beside)
    beside.replace(output)
    text = json.dumps(demo_description(), indent=1) + "\n"
    beside.write_text(text)
    beside.replace(output.with_suffix(".json"))


def main() -> None:
    """Train with the settings of the command line and print the AP50 on held-out images."""
    defaults = TrainSettings()
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=DEMO_WEIGHTS)
    parser.add_argument("--iterations", type=int, default=defaults.iterations)
    parser.add_argument("--seed", type=int, default=defaults.seed)
    arguments = parser.parse_args()
    settings = TrainSettings(iterations=arguments.iterations, seed=arguments.seed)
    torch.set_num_threads(1)  # the sums, and so the weights, depend on the number of threads
    model = train(settings, arguments.output)
    size = Description.from_json(demo_description(), "the built-in description").image_size
    ap50 = shapes_ap50(model, HELD_OUT_SEED, HELD_OUT_COUNT, size)
    print(f"AP50 on {HELD_OUT_COUNT} held-out images: {100 * ap50:.2f} %")


def _optimizer(model: nn.Module, settings: TrainSettings) -> torch.optim.AdamW:
    weights = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [
        {"params": weights, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate)


def _set_rate(optimizer: torch.optim.Optimizer, settings: TrainSettings, iteration: int) -> None:
    warmup = max(1, settings.iterations // 40)
    cosine = 0.5 * (1 + math.cos(math.pi * iteration / settings.iterations))
    factor = min(1.0, (iteration + 1) / warmup) * (0.02 + 0.98 * cosine)
    for group in optimizer.param_groups:
        group["lr"] = settings.learning_rate * factor


def _batch(
    pool: list[tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32], npt.NDArray[np.int64]]],
    rng: np.random.Generator,
    size: int,
) -> tuple[Tensor, Tensor]:
    """Return float32 images [N, 3, H, W] in 0..1 and targets as ``detection_loss`` reads them."""
    images, targets = [], []
    for number in range(size):
        image, boxes, classes = pool[int(rng.integers(len(pool)))]
        mirror_x, mirror_y, transpose = rng.integers(0, 2, 3)
        height, width = image.shape[:2]
        boxes = boxes.copy()
        if mirror_x:
            image = image[:, ::-1]
            boxes[:, [0, 2]] = width - boxes[:, [2, 0]]
        if mirror_y:
            image = image[::-1]
            boxes[:, [1, 3]] = height - boxes[:, [3, 1]]
        if transpose and height == width:
            image = image.transpose(1, 0, 2)
            boxes = boxes[:, [1, 0, 3, 2]]
        images.append(image.transpose(2, 0, 1))
        centre, extent = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
        first = np.stack((np.full(len(boxes), number), classes), 1)
        targets.append(np.concatenate((first, centre, extent), 1).astype(np.float32))
    batch = torch.from_numpy(np.stack(images)).float() / 255
    return batch, torch.from_numpy(np.concatenate(targets))


def _freeze_norms(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


@contextmanager
def _shifted(model: DescribedModel, noise: torch.Generator | None) -> Iterator[None]:
    """Shift every inner convolution's fused weights by half a 4-bit step at most, for a while."""
    moved: list[tuple[Tensor, Tensor]] = []
    if noise is not None:
        blocks = [m for m in model.modules() if isinstance(m, Conv | RepConv)]
        for block in blocks[1:]:  # the stem keeps 8 bits, as do the head's plain convolutions
            conv, norm = _carrier(block)
            with torch.no_grad():
                fused = fused_kernel(block)[0].flatten(1)
                step = (fused.amax(1).clamp(min=0) - fused.amin(1).clamp(max=0)) / NOISE_LEVELS
                gain = norm.weight / torch.sqrt(norm.get_buffer("running_var") + norm.eps)
                uniform = torch.rand(conv.weight.shape, generator=noise) - 0.5
                shift = uniform * (step / gain.abs().clamp(min=1e-3))[:, None, None, None]
                conv.weight.add_(shift)
            moved.append((conv.weight, shift))
    try:
        yield
    finally:
        with torch.no_grad():
            for weight, shift in moved:
                weight.sub_(shift)


def _carrier(block: Conv | RepConv) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    """Return the convolution whose weights carry the shift, and its normalisation."""
    if isinstance(block, Conv):
        return block.conv, block.bn
    conv, norm = block.rbr_dense
    if not isinstance(conv, nn.Conv2d) or not isinstance(norm, nn.BatchNorm2d):
        raise TypeError("a RepConv branch is not a convolution with batch normalisation")
    return conv, norm


def _follow(average: nn.Module, model: nn.Module, iteration: int) -> None:
    """Move the averaged model towards the trained one."""
    decay = 0.998 * (1 - math.exp(-(iteration + 1) / 300))
    current = model.state_dict()
    with torch.no_grad():
        for name, value in average.state_dict().items():
            if value.dtype.is_floating_point:
                value.lerp_(current[name], 1 - decay)
            else:
                value.copy_(current[name])


if __name__ == "__main__":
    main()
