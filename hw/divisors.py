# SPDX-License-Identifier: Apache-2.0
"""Divisors: the values that PE and SIMD may take."""


def divisors(count: int) -> tuple[int, ...]:
    """Return the divisors of ``count`` >= 1, increasing."""
    return tuple(d for d in range(1, count + 1) if count % d == 0)


def divisors_near(count: int, value: int) -> tuple[int, ...]:
    """Return the largest divisor of ``count`` not above ``value`` and the smallest not below it.

    One or two numbers, increasing: the larger one is missing when ``value`` exceeds ``count``.
    """
    below = [d for d in divisors(count) if d <= value]
    above = [d for d in divisors(count) if d >= value]
    return tuple(sorted({*below[-1:], *above[:1]}))
