# SPDX-License-Identifier: Apache-2.0
"""How the weights of layers are rounded, at one granularity or at the best of several."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quant.errors import QuantizationError
from quant.ptq.schemes.mixture import RULES, Rule, mixed
from quant.ptq.weightquant import LayerGroups, QuantizedLayer, Rounding
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
        rounding: Scheme and bits.
        granularity: One for all layers, or a mixture of filter-, F-shape- and C-shape-wise.
    """

    rounding: Rounding
    granularity: str

    def __post_init__(self) -> None:
        """Check the granularity.

        Raises:
            QuantizationError: It is not available.
        """
        known = (*(str(g) for g in Granularity), *MIXTURES)
        if self.granularity not in known:
            raise QuantizationError(
                f"granularity '{self.granularity}' is not available; choose {', '.join(known)}"
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
    rule = MIXTURES.get(setting.granularity)
    if rule is not None:
        return mixed(weight, setting.rounding, rule, importance, least_scale)
    groups = LayerGroups(weight, Granularity(setting.granularity), importance)
    return groups.quantize(setting.rounding, least_scale)
