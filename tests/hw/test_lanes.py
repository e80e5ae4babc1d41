# SPDX-License-Identifier: Apache-2.0
"""Lanes of cells that read and write the same beats: what does not divide is refused."""

import pytest

from hw.lanes import equal_lanes
from quant.errors import PlanError
from quant.schedule import Folding


def refused(folding, *channels):
    with pytest.raises(PlanError) as caught:
        equal_lanes("cat", folding, *channels)
    return str(caught.value)


def test_lanes_divide_every_count():
    assert equal_lanes("cat", Folding(4, 4), 8, 12, 0) == 4


def test_refusals():
    assert refused(Folding(4, 2), 8) == (
        "'cat' is planned with PE=4 and SIMD=2; its cell reads and writes beats of as many "
        "channels; set them equal"
    )
    assert refused(Folding(4, 4, 2), 8) == (
        "'cat' is planned with 2 pixels per beat; its cell takes 1; use pixels_per_beat=1"
    )
    assert refused(Folding(5, 5), 20, 24) == (
        "'cat' has 24 channels, not a multiple of PE=5; divisors near 5: 4, 6"
    )
