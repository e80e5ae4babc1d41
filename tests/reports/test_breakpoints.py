# SPDX-License-Identifier: Apache-2.0
"""PWLQ's breakpoints in a table and a plot."""

from quant.record import BreakpointRecord
from reports.breakpoints import breakpoint_plot, breakpoint_table, integer_shares, real_shares
from reports.figures import render
from reports.tables import text_of

RECORDS = (
    BreakpointRecord("stem", 1, (0.25, 0.5, 0.0), (1.0, 1.0, 0.0), (14, 28, 7), (56, 56, 14)),
    BreakpointRecord("head", 2, (0.1, 0.3), (0.5,), (7,), (35,)),
)


def test_shares_of_the_first_breakpoint():
    # A group of zeros has no real share.
    assert real_shares(RECORDS[0]) == [0.25, 0.5]
    assert integer_shares(RECORDS[0]) == [0.25, 0.5, 0.5]
    assert real_shares(RECORDS[1]) == [0.2]
    assert integer_shares(RECORDS[1]) == [0.2]


def test_table_shows_both_forms():
    lines = text_of((breakpoint_table(RECORDS),)).splitlines()
    stem = next(line for line in lines if "stem" in line)
    assert stem.split() == [
        *("stem", "3", "0.250", "0.375", "0.500", "0.250", "0.500", "0.500", "7..28"),
    ]


def test_plot_is_the_same_every_time():
    files = [render(lambda: breakpoint_plot("net", RECORDS), "png") for _ in range(2)]
    assert files[0] == files[1]
    other = render(lambda: breakpoint_plot("net", RECORDS[:1]), "png")
    assert other != files[0]
