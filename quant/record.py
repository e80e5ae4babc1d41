# SPDX-License-Identifier: Apache-2.0
"""What quantization measured and decided: facts for reports, stored beside the graph."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from quant.errors import BundleError


@dataclass(frozen=True)
class LayerRecord:
    """Facts about one node, measured at quantization on calibration images.

    Attributes:
        name: Node name.
        kind: Node kind in lower case.
        weight_bits: Stored bits per weight; 0 without weights.
        act_bits: Bits of the output codes.
        scheme: Weight scheme; empty without weights.
        granularity: Weight granularity; empty without weights.
        weight_sqnr_db: 10*log10(|w|^2 / |w - what|^2); null without weights.
        sqnr_db: The same of the node's integer output against the float model's, over the
            calibration images measured.
        dead_filters: Filters whose weights all became zero.
    """

    name: str
    kind: str
    weight_bits: int
    act_bits: int
    scheme: str
    granularity: str
    weight_sqnr_db: float | None
    sqnr_db: float | None
    dead_filters: int


@dataclass(frozen=True)
class BreakpointRecord:
    """Breakpoints of one PWLQ layer, float and integer, one entry per group in C order.

    Attributes:
        layer: Node name.
        breakpoints: Number of breakpoints of a group, n.
        real: Breakpoints, ascending, n per group, in units of the weights.
        tops: Largest magnitude of each group.
        integers: The first breakpoint's place in ``w_int``: multiplier times table entry.
        integer_tops: Largest ``|w_int|`` that the group's table can give.
    """

    layer: str
    breakpoints: int
    real: tuple[float, ...]
    tops: tuple[float, ...]
    integers: tuple[int, ...]
    integer_tops: tuple[int, ...]


@dataclass(frozen=True)
class QuantRecord:
    """How a bundle was made.

    Attributes:
        kind: ``integer``, or ``weights`` when only weights were quantized.
        model: What the user named.
        source_parameters: Parameters of the model as published, before fusion.
        fused_parameters: Parameters after fusion (weights and biases of the float graph).
        settings: The quantize settings, JSON values.
        notes: Decisions worth reading (retargeted formats, inserted requantize nodes, ...).
        layers: One record per node that computes.
        breakpoints: One record per layer in PWLQ; not written where there is none.
    """

    kind: Literal["integer", "weights"]
    model: str
    source_parameters: int
    fused_parameters: int
    settings: Mapping[str, Any]
    notes: tuple[str, ...]
    layers: tuple[LayerRecord, ...]
    breakpoints: tuple[BreakpointRecord, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        value = {**asdict(self), "settings": dict(self.settings), "notes": list(self.notes)}
        if not self.breakpoints:
            del value["breakpoints"]
        return value

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "QuantRecord":
        """Rebuild from ``to_json``'s value.

        Raises:
            BundleError: A field is missing or unknown.
        """
        try:
            fields = dict(value)
            fields["notes"] = tuple(fields["notes"])
            fields["layers"] = tuple(LayerRecord(**layer) for layer in fields["layers"])
            if "breakpoints" in fields:
                fields["breakpoints"] = tuple(_breakpoint(b) for b in fields["breakpoints"])
            return cls(**fields)
        except (KeyError, TypeError) as error:
            raise BundleError(f"quantization record is malformed: {error}") from None


def _breakpoint(value: dict[str, Any]) -> BreakpointRecord:
    lists: Any = {k: tuple(v) if isinstance(v, list) else v for k, v in value.items()}
    return BreakpointRecord(**lists)
