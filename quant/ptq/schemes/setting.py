# SPDX-License-Identifier: Apache-2.0
"""How the weights of layers are rounded, at one granularity or at the best of several."""

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
    """How the weights of some layers are rounded.

    Attributes:
        scheme: Which levels.
        bits: Stored bits per weight.
        granularity: One for all layers, or a mixture of filter-, F-shape- and C-shape-wise.
        clip: Range of a group.
        breakpoint_method: How PWLQ finds its breakpoint.
        breakpoints: Breakpoints of PWLQ.
        multiplier_bits: Width of the group multipliers; that of the granularity when absent.
    """

    scheme: SchemeName
    bits: int
    granularity: str
    clip: Clip = "minmax"
    breakpoint_method: Method = "search"
    breakpoints: int = 1
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
        self.roundings()

    def roundings(self) -> tuple[Rounding, ...]:
        """Return what a layer may be rounded with: one per granularity to choose from."""
        own = (Granularity(self.granularity),) if self.granularity not in MIXTURES else CANDIDATES
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
) -> QuantizedLayer:
    """Round the weights of one layer.

    Args:
        weight: float32 OIHW.
        setting: How.
        importance: As for ``LayerGroups``.
        least_scale: As for ``LayerGroups.quantize``.
    """
    roundings = setting.roundings()
    if setting.granularity in MIXTURES:
        return mixed(weight, roundings, MIXTURES[setting.granularity], importance, least_scale)
    groups = LayerGroups(weight, roundings[0].granularity, importance)
    return groups.quantize(roundings[0], least_scale)
