# SPDX-License-Identifier: Apache-2.0
"""Checks of the values that a stage of a recipe is given."""

from quant.errors import QuantizationError


def within(kind: str, name: str, value: float, low: float, high: float) -> None:
    """Refuse a value outside ``low`` to ``high``.

    Args:
        kind: Of the stage, for the message.
        name: Of the value.
        value: The value.
        low: Least allowed.
        high: Most allowed.

    Raises:
        QuantizationError: It is outside.
    """
    if not low <= value <= high:
        raise QuantizationError(
            f"recipe stage '{kind}': {name} {value} is out of range; choose {low} to {high}"
        )


def one_of(kind: str, name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Refuse a word that is not among those allowed.

    Args:
        kind: Of the stage, for the message.
        name: Of the value.
        value: The word.
        allowed: What may stand there.

    Raises:
        QuantizationError: It is another one.
    """
    if value not in allowed:
        raise QuantizationError(
            f"recipe stage '{kind}': {name} '{value}' is not available; choose {', '.join(allowed)}"
        )
