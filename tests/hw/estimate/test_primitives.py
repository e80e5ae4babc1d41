# SPDX-License-Identifier: Apache-2.0
"""Resources add up."""

from hw.estimate import Resources, total


def test_sums():
    a = Resources(lut=1, ff=2, dsp=3, bram18=4, uram=5, lutram_luts=6)
    assert a + a == Resources(lut=2, ff=4, dsp=6, bram18=8, uram=10, lutram_luts=12)
    assert total([a, a, Resources(lut=1)]).lut == 3
    assert total([]) == Resources()
    assert a.all_luts == 7
