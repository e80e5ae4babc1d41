# SPDX-License-Identifier: Apache-2.0
"""Recognises the detection head of an ONNX network by what it computes, not by names.

A YOLOv5 or YOLOv7 head is found by its reshape to [1, anchors, fields, h, w], then tried out: known
raw predictions go in, and the boxes that come out give anchors and strides, and must obey the
formula. A YOLOX head is found by its concat of boxes, objectness and classes.
"""

from dataclasses import dataclass

import numpy as np
import torch

from quant.errors import UnsupportedLayerError
from quant.hostspec import Decode
from quant.zoo.onnx_file import Array, OnnxGraph, OnnxNode
from quant.zoo.onnx_module import Observed, OnnxModule

BOX_FIELDS = 5  # x, y, w, h, objectness
PROBE_SEED = 20
# Boxes are in pixels, up to some thousands, in float32.
_TOLERANCE = 1e-3
_MARK = 9.0


@dataclass(frozen=True)
class Head:
    """A detection head, the scales in the order of their strides.

    Attributes:
        decode: Formula; ``yolov5`` stands for YOLOv7's too, which is the same.
        strides: In pixels.
        anchors: Per scale (width, height) in pixels; empty for YOLOX.
        classes: Number of classes.
    """

    decode: Decode
    strides: tuple[int, ...]
    anchors: tuple[tuple[tuple[float, float], ...], ...]
    classes: int


@dataclass(frozen=True)
class _Raw:
    """One scale's raw prediction: [1, anchors * fields, height, width]."""

    value: str
    maker: str  # node that makes it
    anchors: int
    fields: int
    height: int
    width: int

    @property
    def rows(self) -> int:
        return self.anchors * self.height * self.width


def find_anchor_head(
    graph: OnnxGraph, module: OnnxModule, seen: dict[str, Observed]
) -> Head | None:
    """Return the YOLOv5 or YOLOv7 head, or ``None`` where the network has none.

    Args:
        graph: Simplified graph.
        module: The module that runs it.
        seen: An observed run.

    Raises:
        UnsupportedLayerError: There is such a head, but the network does not decode it by the
            formula, so that anchors and strides are not known.
    """
    raws = _raw_scales(graph, seen)
    if not raws:
        return None
    rows = sum(raw.rows for raw in raws)
    wanted = (1, rows, raws[0].fields)
    decoded = [o for o in graph.outputs if seen[o].shape == wanted]
    if not decoded:
        raise UnsupportedLayerError(
            f"'{graph.path}' ends in the raw predictions of '{raws[0].maker}' and holds no "
            "anchors; export the model with its decoding, or import raw tensors with --decode none"
        )
    probe = _Probe(module, raws, decoded[0], seen, seen[graph.image].shape)
    found = [probe.scale(index) for index in range(len(raws))]
    probe.check_formula(found, graph)
    found.sort(key=lambda scale: scale[0])
    return Head(
        "yolov5",
        tuple(stride for stride, _, _ in found),
        tuple(anchors for _, anchors, _ in found),
        raws[0].fields - BOX_FIELDS,
    )


def find_decoupled_head(graph: OnnxGraph, seen: dict[str, Observed]) -> Head | None:
    """Return the YOLOX head, or ``None`` where the network has none.

    Args:
        graph: Simplified graph.
        seen: An observed run.
    """
    makers = {name: node for node in graph.nodes for name in node.outputs}
    height, width = seen[graph.image].shape[2:]
    strides: dict[int, int] = {}
    for node in graph.nodes:
        classes = _decoupled_classes(node, makers, seen)
        if classes is None:
            continue
        stride = _stride((height, width), seen[node.outputs[0]].shape[2:])
        if stride is None or stride in strides:
            return None
        strides[stride] = classes
    if not strides or len(set(strides.values())) != 1:
        return None
    return Head("yolox", tuple(sorted(strides)), (), next(iter(strides.values())))


def _decoupled_classes(
    node: OnnxNode, makers: dict[str, OnnxNode], seen: dict[str, Observed]
) -> int | None:
    """Return the classes of a concat of boxes, objectness and classes; None for another node."""
    if node.op != "Concat" or len(node.inputs) != 3:
        return None
    shapes = [seen[name].shape for name in node.inputs]
    if any(len(s) != 4 for s in shapes) or [s[1] for s in shapes[:2]] != [4, 1]:
        return None
    parts = [makers.get(name) for name in node.inputs]
    gates = [part is not None and part.op == "Sigmoid" for part in parts]
    if gates not in ([False, True, True], [False, False, False]):
        return None
    convs = [
        makers.get(part.inputs[0]) if gate and part is not None else part
        for part, gate in zip(parts, gates, strict=True)
    ]
    if not all(conv is not None and conv.op == "Conv" for conv in convs):
        return None
    return shapes[2][1]


def _raw_scales(graph: OnnxGraph, seen: dict[str, Observed]) -> list[_Raw]:
    makers = {name: node.name for node in graph.nodes for name in node.outputs}
    found = []
    for node in graph.nodes:
        if node.op != "Reshape":
            continue
        before, after = seen[node.inputs[0]].shape, seen[node.outputs[0]].shape
        splits = len(before) == 4 and len(after) == 5 and after[3:] == before[2:]
        if splits and before[0] == after[0] == 1 and after[2] > BOX_FIELDS:
            maker = makers.get(node.inputs[0], node.name)
            found.append(_Raw(node.inputs[0], maker, *after[1:]))
    same = len({raw.fields for raw in found}) == 1
    return found if same else []


def _stride(image: tuple[int, ...], grid: tuple[int, ...]) -> int | None:
    stride = image[0] // grid[0]
    return stride if (grid[0] * stride, grid[1] * stride) == image else None


class _Probe:
    """Feeds raw predictions of our own to the network's decoding."""

    def __init__(
        self,
        module: OnnxModule,
        raws: list[_Raw],
        output: str,
        seen: dict[str, Observed],
        image: tuple[int, ...],
    ) -> None:
        self._module = module
        self._constants = {
            name: torch.from_numpy(np.array(value.constant))
            for name, value in seen.items()
            if value.constant is not None
        }
        self._raws = raws
        self._output = output
        self._image = image

    def scale(self, index: int) -> tuple[int, tuple[tuple[float, float], ...], _Raw]:
        """Return stride and anchors of one scale: what zeros decode to.

        With all raw values 0 a box has exactly its anchor's size.
        """
        raw = self._raws[index]
        stride = _stride(self._image[2:], (raw.height, raw.width)) or 0
        block = self._block(self._decode(self._raw_values(0)), index)
        anchors = tuple((float(w), float(h)) for w, h in block[:, 0, 0, 2:4])
        return stride, anchors, raw

    def check_formula(
        self, found: list[tuple[int, tuple[tuple[float, float], ...], _Raw]], graph: OnnxGraph
    ) -> None:
        """Compare the decoding of noise with the formula that the host computes.

        Raises:
            UnsupportedLayerError: They differ.
        """
        values = self._raw_values(PROBE_SEED)
        rows = self._decode(values)
        for index, (stride, anchors, raw) in enumerate(found):
            shape = (raw.anchors, raw.fields, raw.height, raw.width)
            wanted = _formula(values[raw.value].numpy().reshape(shape), stride, anchors)
            error = float(np.abs(self._block(rows, index) - wanted).max())
            limit = _TOLERANCE * max(self._image[2:])
            if stride == 0 or not error <= limit:
                raise UnsupportedLayerError(
                    f"'{graph.path}' decodes '{raw.maker}' otherwise than YOLOv5 and YOLOv7 do "
                    f"(off by {error:.3g} pixels, limit {limit:.3g}); import raw tensors with "
                    "--decode none"
                )

    def _raw_values(self, seed: int) -> dict[str, torch.Tensor]:
        generator = np.random.default_rng(seed)
        return {
            raw.value: torch.from_numpy(
                generator.normal(size=(1, raw.anchors * raw.fields, raw.height, raw.width)).astype(
                    np.float32
                )
                * np.float32(seed != 0)
            )
            for raw in self._raws
        }

    def _decode(self, values: dict[str, torch.Tensor]) -> Array:
        made = self._module.run_from({**self._constants, **values}, self._output)
        rows: Array = made[0].numpy()
        return rows

    def _block(self, rows: Array, index: int) -> Array:
        """Return the decoded rows of one scale, [anchors, height, width, fields].

        Which rows these are is found by raising that scale's predictions alone.
        """
        values = self._raw_values(0)
        raised = {**values, self._raws[index].value: values[self._raws[index].value] + _MARK}
        changed = np.any(self._decode(raised) != self._decode(values), axis=1)
        raw = self._raws[index]
        if int(changed.sum()) != raw.rows:
            raise UnsupportedLayerError(
                f"'{raw.maker}' decodes to {int(changed.sum())} rows of '{self._output}', not "
                f"{raw.rows}; import raw tensors with --decode none"
            )
        return rows[changed].reshape(raw.anchors, raw.height, raw.width, raw.fields)


def _formula(raw: Array, stride: int, anchors: tuple[tuple[float, float], ...]) -> Array:
    """Decode [anchors, fields, h, w] as YOLOv5 does, to [anchors, h, w, fields]."""
    s = 1 / (1 + np.exp(-raw.astype(np.float64)))
    rows, columns = np.mgrid[: raw.shape[2], : raw.shape[3]]
    s[:, 0] = (2 * s[:, 0] - 0.5 + columns) * stride
    s[:, 1] = (2 * s[:, 1] - 0.5 + rows) * stride
    s[:, 2:4] = (2 * s[:, 2:4]) ** 2 * np.array(anchors)[:, :, None, None]
    decoded: Array = np.moveaxis(s, 1, 3)
    return decoded
