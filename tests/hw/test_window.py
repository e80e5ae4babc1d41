# SPDX-License-Identifier: Apache-2.0
"""Window counts against literal loops over the pixels, and buffers that are just deep enough."""

import dataclasses

import numpy as np
import pytest

from hw.process import Process
from hw.window import Window

WINDOWS = {
    "3x3 p1": Window(5, 6, (3, 3), (1, 1), (1, 1, 1, 1)),
    "3x3 s2 p1": Window(7, 6, (3, 3), (2, 2), (1, 1, 1, 1)),
    "2x2 s2 odd": Window(5, 7, (2, 2), (2, 2), (0, 0, 0, 0)),
    "1x5 p2": Window(3, 8, (1, 5), (1, 1), (0, 2, 0, 2)),
    "1x2": Window(4, 6, (1, 2), (1, 1), (0, 0, 0, 0)),
    "1x4 s3": Window(3, 9, (1, 4), (1, 3), (0, 1, 0, 0)),
    "5x1 p2": Window(7, 4, (5, 1), (1, 1), (2, 0, 2, 0)),
    "13x1 on few rows": Window(4, 3, (13, 1), (1, 1), (6, 0, 6, 0)),
    "kernel below stride": Window(9, 9, (2, 1), (4, 3), (1, 0, 0, 0)),
    "one pixel": Window(1, 1, (3, 3), (1, 1), (1, 1, 1, 1)),
}


def pixels_of(window, y, x):
    """Return the numbers, in stream order, of the pixels that window (y, x) reads."""
    (kh, kw), (sh, sw), (top, left, _, _) = window.kernel, window.stride, window.padding
    rows = [y * sh - top + i for i in range(kh)]
    columns = [x * sw - left + j for j in range(kw)]
    return [
        r * window.width + c
        for r in rows
        for c in columns
        if 0 <= r < window.height and 0 <= c < window.width
    ]


@pytest.mark.parametrize("name", WINDOWS)
def test_counts_are_those_of_the_pixels(name):
    window = WINDOWS[name]
    reads = [
        pixels_of(window, y, x) for y in range(window.out_height) for x in range(window.out_width)
    ]
    needed, freed = window.counts()
    assert needed.tolist() == np.maximum.accumulate([max(r) + 1 for r in reads]).tolist()
    for index, count in enumerate(freed[:-1]):
        # No later window reads a freed pixel.
        assert count <= min(min(r) for r in reads[index + 1 :])
    assert freed[-1] == window.height * window.width
    port = window.port(folds=3, steps=2)
    assert port.needed.tolist() == [3 * n for n in needed for _ in range(2)]
    assert port.freed is not None
    assert port.freed[1::2].tolist() == (3 * freed).tolist()
    assert port.freed[0] == 0
    assert port.freed[2::2].tolist() == (3 * freed[:-1]).tolist()
    assert port.capacity == 3 * window.buffer_pixels


@pytest.mark.parametrize("name", ["3x3 p1", "1x5 p2", "1x2", "1x4 s3", "5x1 p2"])
def test_buffers_are_just_deep_enough(name, process_times):
    """At the planned depth the cell runs at its own pace; one pixel fewer holds it up."""
    window = WINDOWS[name]
    intervals = []
    for less in (0, 1):
        port = window.port(1, 1)
        process = Process(
            cycles=window.taps,
            ports=(dataclasses.replace(port, capacity=port.capacity - less),),
            emits=np.ones(port.needed.size, np.bool_),
            latency=1,
            queue=2,
        )
        _, given = process_times((process,), 4)
        intervals.append(int(given[-1] - given[-1 - process.out_beats]))
    ideal = max(window.taps * window.out_height * window.out_width, window.height * window.width)
    assert intervals[0] == ideal
    assert intervals[1] > ideal
