# SPDX-License-Identifier: Apache-2.0
"""Lanes of the cells whose input and output beats carry equally many channels."""

from hw.divisors import divisors_near
from quant.errors import PlanError
from quant.schedule import Folding


def equal_lanes(name: str, folding: Folding, *channels: int) -> int:
    """Return the channels of a beat of a cell that reads and writes the same lanes.

    Args:
        name: Name of the node, for the message.
        folding: Its folding; PE and SIMD are equal.
        channels: Every count of channels that the lanes must divide.

    Raises:
        PlanError: PE and SIMD differ, a beat has several pixels, or the lanes do not divide.
    """
    if folding.pe != folding.simd:
        raise PlanError(
            f"'{name}' is planned with PE={folding.pe} and SIMD={folding.simd}; its cell reads and "
            "writes beats of as many channels; set them equal"
        )
    if folding.pixels_per_beat != 1:
        raise PlanError(
            f"'{name}' is planned with {folding.pixels_per_beat} pixels per beat; its cell takes "
            "1; use pixels_per_beat=1"
        )
    for count in channels:
        if count % folding.pe:
            near = ", ".join(str(d) for d in divisors_near(count, folding.pe))
            raise PlanError(
                f"'{name}' has {count} channels, not a multiple of PE={folding.pe}; divisors near "
                f"{folding.pe}: {near}"
            )
    return folding.pe
