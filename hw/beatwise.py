# SPDX-License-Identifier: Apache-2.0
"""Process of cells without a buffer: every step takes one beat of every input and emits one."""

import numpy as np

from hw.process import Port, Process


def beatwise_process(beats: int, inputs: int, latency: int, queue: int) -> Process:
    """Return the token-level model of a cell that answers each beat with one beat.

    Args:
        beats: Beats of a frame, of every input and of the output.
        inputs: Number of inputs; a step takes a beat of all of them in the same cycle.
        latency: Cycles from taking a beat to offering the result.
        queue: Beats under way or waiting at the output; full throughput needs ``latency + 1``.
    """
    port = Port(beats=beats, capacity=0, needed=np.arange(1, beats + 1))
    return Process(
        cycles=1,
        ports=(port,) * inputs,
        emits=np.ones(beats, np.bool_),
        latency=latency,
        queue=queue,
    )
