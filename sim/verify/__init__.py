# SPDX-License-Identifier: Apache-2.0
"""Verify: numpy, HLS C++ and RTL compute the same integers, or the first wrong value is named."""

from sim.verify.case import Case, full_size_nodes, make_cases
from sim.verify.run import verify_cases
from sim.verify.verdict import Difference, Verdict, judge

__all__ = [
    "Case",
    "Difference",
    "Verdict",
    "full_size_nodes",
    "judge",
    "make_cases",
    "verify_cases",
]
