# SPDX-License-Identifier: Apache-2.0
"""Matches the outputs of a detector to the strides that its host decodes."""

from collections.abc import Sequence

from quant.hostspec import HostSpec
from quant.ptq.draft import Unsupported
from quant.ptq.translate import Translation

NAME_HEADS = "name the head convolutions, scale by scale in the order of their rows, with --outputs"


class MismatchedScaleError(Exception):
    """Internal: the outputs are not those of the host's decode."""

    def __init__(self, name: str, reason: str, way_out: str) -> None:
        """Keep the problem for the report."""
        super().__init__(reason)
        self.problem = Unsupported(name, "output", reason, way_out)


def by_stride(
    parts: Sequence[tuple[str, ...]], translation: Translation, host: HostSpec
) -> tuple[tuple[str, ...], ...]:
    """Group and order a detector's outputs by the strides of the host.

    Args:
        parts: Groups of tensors; inside a group, the order is that of the prediction rows.
        translation: Gives the shapes.
        host: Gives input size, strides, anchors and classes.

    Returns:
        Per stride of the host, the tensors of that scale.

    Raises:
        MismatchedScaleError: An output fits no stride, a stride has no output, or the order of
            several outputs of one stride is not known.
    """
    scales: dict[int, tuple[str, ...]] = {}
    for part in parts:
        for name in part:
            c, h, w = translation.shapes[name]
            if not any((h, w) == _grid(host, s) for s in host.strides):
                raise MismatchedScaleError(
                    name,
                    f"is an output of {c}x{h}x{w}, which is none of the strides "
                    f"{list(host.strides)} of {host.height}x{host.width}",
                    NAME_HEADS,
                )
        for stride in host.strides:
            names = tuple(n for n in part if translation.shapes[n][1:] == _grid(host, stride))
            if names and stride in scales:
                raise MismatchedScaleError(
                    names[0],
                    f"is one of several outputs of stride {stride}, whose order is not known",
                    NAME_HEADS,
                )
            if names:
                scales[stride] = names
    for index, stride in enumerate(host.strides):
        _check_rows(scales.get(stride, ()), index, translation, host)
    return tuple(scales[stride] for stride in host.strides)


def _grid(host: HostSpec, stride: int) -> tuple[int, int]:
    return host.height // stride, host.width // stride


def _check_rows(
    names: tuple[str, ...], index: int, translation: Translation, host: HostSpec
) -> None:
    """Check that the outputs of one scale have as many channels as the decode reads rows."""
    anchors = host.anchors_of(index)
    needed = anchors * host.fields
    stride = host.strides[index]
    if not names:
        raise MismatchedScaleError(
            f"stride {stride}",
            f"has no output; {host.decode} needs the strides {list(host.strides)}",
            NAME_HEADS,
        )
    rows = sum(translation.shapes[n][0] for n in names)
    if rows != needed:
        raise MismatchedScaleError(
            names[0],
            f"makes {rows} prediction rows of stride {stride} (with its neighbours); "
            f"{host.decode} with {anchors} anchors and {len(host.class_names)} classes needs "
            f"{needed}",
            NAME_HEADS,
        )
