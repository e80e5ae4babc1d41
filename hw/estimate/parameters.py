# SPDX-License-Identifier: Apache-2.0
"""Parameters of an instance, read as numbers."""

from collections.abc import Mapping

from hw.cell import Parameter

Parameters = Mapping[str, Parameter]
"""Name to value, as ``Cell.parameters``."""


def number(p: Parameters, name: str) -> int:
    """Return a parameter that is a number."""
    return int(p[name])


def pair(p: Parameters, name: str) -> tuple[int, int]:
    """Return the vertical and the horizontal one of two parameters."""
    return int(p[f"{name}H"]), int(p[f"{name}W"])
