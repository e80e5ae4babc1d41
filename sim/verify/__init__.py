# SPDX-License-Identifier: Apache-2.0
"""Verify: numpy, HLS C++ and RTL compute the same integers, or the first wrong value is named."""

from sim.verify.case import Case, different_frames, full_size_nodes, make_cases
from sim.verify.network import NetworkVerdict, verify_network, verify_whole
from sim.verify.replay import replay_node
from sim.verify.run import verify_cases
from sim.verify.verdict import Difference, Verdict, judge

__all__ = [
    "Case",
    "Difference",
    "NetworkVerdict",
    "Verdict",
    "different_frames",
    "full_size_nodes",
    "judge",
    "make_cases",
    "replay_node",
    "verify_cases",
    "verify_network",
    "verify_whole",
]
