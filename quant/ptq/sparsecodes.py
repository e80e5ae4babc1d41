# SPDX-License-Identifier: Apache-2.0
"""Codes for long-tailed activations: two regions in few bits, or few codes and rare outliers.

Behind SiLU most values are small and a few reach far. A two-region code spends half its codes on
unit steps around zero and half on steps of 2, 4 or 8 beyond them: a codebook like any other to
every engine, of at most 7 decoded bits for 4 stored ones. Dense codes with sparse outliers keep
even steps up to a threshold and store the values above it in 8 bits beside; no engine builds that,
its error is there for comparison.

Source: TASKQ, ICRA 2026 (abstract: sparse quantization of activations); both forms are this
project's reconstruction. Two regions: Yuan et al., PTQ4ViT, ECCV 2022, section 3.1.
"""

import numpy as np
import numpy.typing as npt

from quant.ptq.codebooks import GOOD_ENOUGH, Codebook, WeightedHistogram

Floats = npt.NDArray[np.float64]

# Steps of the upper region, in steps of the lower one.
UPPER_STEPS = (2, 4, 8)
# Shares of the largest value that the last code may stand for.
ENDS = tuple(2.0 ** (-k / 8.0) for k in range(33))
OUTLIER_BITS = 8


def two_region_entries(bits: int, upper_step: int) -> tuple[int, ...]:
    """Return the decoded values: half of the codes in unit steps, half in ``upper_step``."""
    half = 1 << (bits - 1)
    return (*range(half), *(half - 1 + upper_step * k for k in range(1, half + 1)))


def fit_two_region(histogram: WeightedHistogram, bits: int, widest: int) -> Codebook | None:
    """Return the two-region code of least error, or a narrower one that is nearly as good.

    Args:
        histogram: What to fit, over a range that contains 0.
        bits: Bits of the codes, >= 2.
        widest: Largest width of a decoded value, in bits.

    Returns:
        The code; ``None`` when ``widest`` leaves no room for one, or no value is above 0.
    """
    best: list[Codebook] = []
    for upper_step in UPPER_STEPS:
        entries = two_region_entries(bits, upper_step)
        width = entries[-1].bit_length()
        if width > widest or histogram.high <= 0.0:
            continue
        values = np.asarray(entries, np.float64)
        tries = []
        for zero in range((1 << (bits - 2)) + 1):
            for end in ENDS:
                scale = histogram.high * end / (entries[-1] - zero)
                error = histogram.error(scale * (values - zero))
                tries.append(Codebook(entries, scale, zero, width, error))
        best.append(min(tries, key=lambda c: c.error))
    if not best:
        return None
    enough = GOOD_ENOUGH * min(c.error for c in best)
    return next(c for c in best if c.error <= enough)


def outlier_error(histogram: WeightedHistogram, bits: int, share: float) -> float:
    """Return the error of even ``bits``-bit codes with a share of the values in 8 bits beside.

    The outliers go on in the dense codes' steps, ``low + 2**bits * high`` with a sparse ``high``.

    Args:
        histogram: Of the values, over a range that contains 0.
        bits: Bits of the dense codes.
        share: Share of the values that are outliers, in (0, 1).
    """
    threshold = max(histogram.quantile(1.0 - share), histogram.high / ((1 << OUTLIER_BITS) - 1))
    levels = (1 << bits) - 1
    scale = (threshold - histogram.low) / levels
    zero = np.floor(-histogram.low / scale + 0.5)
    return histogram.error(scale * (np.arange(1 << OUTLIER_BITS) - zero))
