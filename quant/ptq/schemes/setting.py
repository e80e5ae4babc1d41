# SPDX-License-Identifier: Apache-2.0
"""One setting for the weights of a whole network: what each of its layers is rounded with."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quant.errors import QuantizationError
from quant.ptq.schemes.breakpoints import Method
from quant.ptq.schemes.mixture import CANDIDATES, RULES, Rule, mixed
from quant.ptq.schemes.uniform import Clip
from quant.ptq.weightquant import LayerGroups, QuantizedLayer, Rounding, SchemeName
from quant.weights import Granularity

Floats = npt.NDArray[np.float64]
# Names of mixtures beside the granularities, and the rule of each.
MIXTURES: dict[str, Rule] = {
    "mixture" if rule == "error" else f"mixture-{rule}": rule for rule in RULES
}


@dataclass(frozen=True)
class Setting:
    """One row's setting.

    Attributes:
        scheme: Which levels.
        bits: Stored bits per weight.
        granularity: One for all layers, or a mixture of filter-, F-shape- and C-shape-wise.
        clip: Range of a group.
        breakpoint_method: How PWLQ finds its breakpoint.
        breakpoints: Breakpoints of PWLQ.
        edge_bits: Stored bits of the first convolution and the head, affine; ``bits`` and the
            row's scheme when absent.
        multiplier_bits: Width of the group multipliers; that of the granularity when absent.
    """

    scheme: SchemeName
    bits: int
    granularity: str
    clip: Clip = "minmax"
    breakpoint_method: Method = "search"
    breakpoints: int = 1
    edge_bits: int | None = None
    multiplier_bits: int | None = None

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            QuantizationError: A value is not available.
        """
        known = (*(str(g) for g in Granularity), *MIXTURES)
        if self.granularity not in known:
            raise QuantizationError(
                f"granularity '{self.granularity}' is not available; choose {', '.join(known)}"
            )
        self.roundings(edge=False)
        self.roundings(edge=True)

    def roundings(self, *, edge: bool) -> tuple[Rounding, ...]:
        """Return what a layer may be rounded with; ``edge`` says stem or head."""
        own = (Granularity(self.granularity),) if self.granularity not in MIXTURES else CANDIDATES
        if edge and self.edge_bits is not None:
            return tuple(
                Rounding(
                    "affine", self.edge_bits, g, self.clip, multiplier_bits=self.multiplier_bits
                )
                for g in own
            )
        return tuple(
            Rounding(
                self.scheme,
                self.bits,
                g,
                self.clip,
                self.breakpoint_method,
                self.breakpoints,
                self.multiplier_bits,
            )
            for g in own
        )


def quantize_layer(
    weight: npt.NDArray[np.float32],
    setting: Setting,
    importance: Floats | None = None,
    least_scale: Floats | None = None,
    *,
    edge: bool = False,
) -> QuantizedLayer:
    """Round the weights of one layer.

    Args:
        weight: float32 OIHW.
        setting: How.
        importance: As for ``LayerGroups``.
        least_scale: As for ``LayerGroups.quantize``.
        edge: Whether it is the first convolution or one of the head.
    """
    roundings = setting.roundings(edge=edge)
    if setting.granularity in MIXTURES:
        return mixed(weight, roundings, MIXTURES[setting.granularity], importance, least_scale)
    groups = LayerGroups(weight, roundings[0].granularity, importance)
    return groups.quantize(roundings[0], least_scale)
