# SPDX-License-Identifier: Apache-2.0
"""The way from a torch module to its float graph: trace, translate, cut, fuse."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from quant.errors import UnsupportedLayerError
from quant.floatgraph import FloatGraph, FloatInput
from quant.hostspec import HostSpec
from quant.ptq.cut import Cut, ancestors, find_cut
from quant.ptq.draft import Blocked, Draft, Step, Unsupported
from quant.ptq.fuse import fuse
from quant.ptq.trace import Trace, trace_module
from quant.ptq.translate import Translation, translate
from quant.zoo.loaded import LoadedModel

IMAGE_CHANNELS = 3
EXAMPLE_SEED = 20240607


@dataclass(frozen=True, eq=False)
class Analysis:
    """Everything found out about a network.

    Where all that blocks the integer graph runs in float, cut and graph are those of the float
    network instead, and ``cut.unsupported`` still lists what blocks.

    Attributes:
        trace: The recorded run.
        translation: Its calls as operations.
        cut: Where the integer graph ends, and what blocks it.
        graph: The integer region in float, fused; ``None`` when nothing is inside.
        blocks_float: What of ``cut.unsupported`` the float network cannot run either.
        renamed: Tensor of the graph that holds each drafted tensor.
        parameters: Parameters as published, before fusion.
    """

    trace: Trace
    translation: Translation
    cut: Cut
    graph: FloatGraph | None
    renamed: dict[str, str]
    parameters: int
    blocks_float: tuple[Unsupported, ...]

    @property
    def scales(self) -> tuple[tuple[str, ...], ...]:
        """Output tensors of the graph, per scale."""
        return tuple(tuple(self.renamed[n] for n in scale) for scale in self.cut.scales)


def analyse(loaded: LoadedModel, outputs: tuple[str, ...] | None = None) -> Analysis:
    """Trace a network and find its integer region.

    Args:
        loaded: Network and host spec.
        outputs: Where the graph shall end; found by itself when ``None``.

    Raises:
        UnsupportedLayerError: The network does not run on an image, or a chosen output does not
            exist.
    """
    trace = trace_module(loaded.module, example_image(loaded.host))
    translation = translate(trace)
    cut = find_cut(translation, loaded.host, outputs)
    in_float = {s.name for s in translation.steps if _runs_in_float(s)}
    blocks_float = tuple(u for u in cut.unsupported if u.name not in in_float)
    if cut.unsupported and not blocks_float:
        translation = translation.in_float({u.name for u in cut.unsupported})
        whole = find_cut(translation, loaded.host, outputs)
        blocks_float = whole.unsupported  # outputs that do not match the detector
        cut = replace(whole, unsupported=cut.unsupported + blocks_float)
    # Shared parameters count once, as in the published figures.
    parameters = sum(p.numel() for p in loaded.module.parameters())
    steps = {s.name: s for s in translation.steps}
    needed = ancestors(steps, cut.outputs)
    drafts: list[Draft] = []
    for step in translation.steps:
        if isinstance(step, Blocked):
            if step.name in needed:  # outputs chosen behind something unsupported
                return Analysis(trace, translation, cut, None, {}, parameters, blocks_float)
        elif step.name in needed:
            drafts.append(step)
    if not drafts:
        return Analysis(trace, translation, cut, None, {}, parameters, blocks_float)
    fused = fuse(drafts, cut.outputs)
    names = tuple(fused.renamed[n] for n in cut.outputs)
    if len(set(names)) != len(names):
        raise UnsupportedLayerError(
            f"'{names[0]}' leaves the graph twice under different names; name each output once"
        )
    shapes = {fused.renamed[d.name]: translation.shapes[d.name] for d in drafts}
    graph = FloatGraph(loaded.name, fused.ops, names, shapes, parameters)
    if not isinstance(graph.ops[0], FloatInput):
        raise UnsupportedLayerError(f"'{loaded.name}' computes its outputs without the image")
    return Analysis(trace, translation, cut, graph, fused.renamed, parameters, blocks_float)


def _runs_in_float(step: Step) -> bool:
    return isinstance(step, Blocked) and step.float_op is not None


def example_image(host: HostSpec) -> npt.NDArray[np.float32]:
    """Return a seeded noise image as the network sees it, float32 [1, 3, H, W]."""
    generator = np.random.default_rng(EXAMPLE_SEED)
    pixels = generator.integers(0, 256, (1, IMAGE_CHANNELS, host.height, host.width))
    mean = np.array(host.mean).reshape(1, -1, 1, 1)
    std = np.array(host.std).reshape(1, -1, 1, 1)
    return np.asarray((pixels - mean) / std, dtype=np.float32)
