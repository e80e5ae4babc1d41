# SPDX-License-Identifier: Apache-2.0
"""What the host does around the integer graph: preprocessing, and the meaning of the outputs."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from quant.errors import GraphError

Decode = Literal["yolov5", "yolov6", "yolov7", "yolox", "classify", "none"]
Place = Literal["center", "top_left", "squash"]


@dataclass(frozen=True)
class HostSpec:
    """Everything the host needs to turn an image into input codes and output codes into boxes.

    Attributes:
        height: Input height in pixels.
        width: Input width in pixels.
        place: Where the resized image sits on the canvas: ``center`` (YOLOv5), ``top_left``
            (YOLOX); ``squash`` resizes without keeping the aspect ratio (classifiers).
        pad_value: Canvas byte value around the image, 0..255.
        channel_order: Order of the three input channels.
        mean: Per channel, in byte units; the network sees ``(byte - mean) / std``.
        std: Per channel, in byte units (255 means the usual 0..1 input).
        decode: Formula that turns the outputs into boxes; ``none`` leaves raw tensors.
        strides: Stride of each scale in pixels, one per entry of ``outputs``.
        anchors: Per scale, the (width, height) anchor boxes in pixels; empty for anchor-free heads.
        outputs: Per scale, the names of the output tensors whose channels, concatenated in order,
            form that scale's raw prediction rows.
        class_names: One name per class.
    """

    height: int
    width: int
    place: Place
    pad_value: int
    channel_order: Literal["rgb", "bgr"]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    decode: Decode
    strides: tuple[int, ...]
    anchors: tuple[tuple[tuple[float, float], ...], ...]
    outputs: tuple[tuple[str, ...], ...]
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check that the fields agree.

        Raises:
            GraphError: A field is out of range or two fields disagree.
        """
        if self.height < 1 or self.width < 1:
            raise GraphError(f"host input size {self.height}x{self.width} must be at least 1x1")
        if not 0 <= self.pad_value <= 255:
            raise GraphError(f"host pad_value {self.pad_value} must be a byte, 0..255")
        if any(s <= 0 for s in self.std):
            raise GraphError(f"host std {self.std} must be positive in every channel")
        if self.finds_boxes and len(self.strides) != len(self.outputs):
            raise GraphError(
                f"host spec has {len(self.strides)} strides for {len(self.outputs)} output scales"
            )
        if self.decode in ("yolov5", "yolov7") and len(self.anchors) != len(self.outputs):
            raise GraphError(
                f"host spec has {len(self.anchors)} anchor sets for {len(self.outputs)} scales; "
                f"{self.decode} needs one per scale"
            )

    @property
    def finds_boxes(self) -> bool:
        """Whether the outputs decode to boxes."""
        return self.decode in ("yolov5", "yolov6", "yolov7", "yolox")

    def anchors_of(self, scale: int) -> int:
        """Return how often the prediction rows of a scale repeat; 1 without anchor boxes."""
        return len(self.anchors[scale]) if self.decode in ("yolov5", "yolov7") else 1

    @property
    def fields(self) -> int:
        """Prediction rows of one anchor: 4 of the box, objectness except in YOLOv6, classes."""
        return (4 if self.decode == "yolov6" else 5) + len(self.class_names)

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "HostSpec":
        """Rebuild the spec from ``to_json``'s value.

        Raises:
            GraphError: A field is missing, unknown, or out of range.
        """
        try:
            fields = dict(value)
            for key in ("mean", "std", "strides", "class_names"):
                fields[key] = tuple(fields[key])
            fields["anchors"] = tuple(tuple((w, h) for w, h in a) for a in fields["anchors"])
            fields["outputs"] = tuple(tuple(names) for names in fields["outputs"])
            return cls(**fields)
        except (KeyError, TypeError, ValueError) as error:
            raise GraphError(f"host spec is malformed: {error}; quantize the model again") from None
