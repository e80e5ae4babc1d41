# SPDX-License-Identifier: Apache-2.0
"""Rebuilds a draft operation so that it reads other tensors."""

from dataclasses import replace
from typing import assert_never

from quant.floatgraph import (
    FloatActivation,
    FloatAdd,
    FloatAvgPool,
    FloatConcat,
    FloatInput,
    FloatMaxPool,
    FloatMultiply,
    FloatShuffle,
    FloatSplit,
    FloatUpsample,
)
from quant.ptq.draft import Draft, DraftConv, DraftLinear, DraftNorm, DraftPhase


def with_sources(draft: Draft, sources: tuple[str, ...]) -> Draft:
    """Return ``draft`` reading ``sources``, as many as it read before."""
    match draft:
        case FloatInput():
            return draft
        case FloatAdd() | FloatMultiply():
            return replace(draft, sources=(sources[0], sources[1]))
        case FloatConcat():
            return replace(draft, sources=sources)
        case (
            DraftConv()
            | DraftLinear()
            | DraftNorm()
            | DraftPhase()
            | FloatActivation()
            | FloatMaxPool()
            | FloatAvgPool()
            | FloatSplit()
            | FloatUpsample()
            | FloatShuffle()
        ):
            return replace(draft, source=sources[0])
        case _:
            assert_never(draft)
