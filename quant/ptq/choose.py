# SPDX-License-Identifier: Apache-2.0
"""Which range a tensor's even steps cover, and which tensors get a codebook instead.

The clipped range of least squared error gives way to the full one where that costs the outputs
less, in networks where any tensor costs them too much. A codebook replaces even steps that would
still do so. Only tables can make its codes, so every maker of the tensor must be a convolution or
linear layer with an activation table, and nothing may be requantized into it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from quant.floatgraph import FloatConv, FloatGraph, FloatLinear
from quant.ptq.calibrate import Statistics
from quant.ptq.codebooks import Codebook, WeightedHistogram, fit_codebook, levels_of
from quant.ptq.executor import FloatExecutor
from quant.ptq.formats import FormatPlan, format_of, owner_steps
from quant.ptq.importance import output_importance
from quant.ptq.observers import RealRange
from quant.ptq.settings import MAX_WEIGHT_BITS, QuantizeSettings
from quant.ptq.sparsecodes import fit_two_region, outlier_error
from quant.ptq.steps import Step

Images = npt.NDArray[np.float32]

# Even steps whose rounding alone costs the outputs more than this share of their energy (37 dB)
# are replaced; a codebook at a quarter of it needs no wider grid.
COSTLY = 2e-4
GOOD_SHARE = 0.25
# Two-region codes are for tensors of at most so many bits: of more, their upper half is too coarse.
TWO_REGION_BITS = 4
# What dense codes with rare outliers would do is told with this share of outliers.
OUTLIER_SHARE = 0.01
# A table has two bits more than a codebook's entry is wide (at most 16), so it doubles with every
# bit; here it must still be finer than the codebook's smallest step.
WIDEST = 15
# What a sum may need without its bias: one bit below the contract's 32 with their sign.
SUM_BITS = 30
IMPORTANCE_IMAGES = 4
HISTOGRAM_IMAGES = 8
NAMED_IN_NOTE = 8


@dataclass(frozen=True)
class _Candidate:
    """Tensors of one format that can be chosen here.

    Attributes:
        names: Steps of the class.
        makers: Float tensors whose values decide.
        real: Range of all of them.
        widest: Largest width of a codebook's entry, so that every reader's sum fits; 0 where no
            codebook can be.
    """

    names: tuple[str, ...]
    makers: tuple[str, ...]
    real: RealRange
    widest: int


def choose_codebooks(
    graph: FloatGraph,
    steps: tuple[Step, ...],
    plan: FormatPlan,
    statistics: Statistics,
    settings: QuantizeSettings,
    images: Images,
) -> FormatPlan:
    """Return the plan with codebooks where they are needed.

    Args:
        graph: The float network.
        steps: Its steps.
        plan: Uniform formats.
        statistics: Observed ranges.
        settings: ``codebook`` may forbid all.
        images: float32 [N, C, H, W] calibration images; the first few are run again.
    """
    allowed = settings.codebook != "never"
    candidates = _candidates(graph, steps, plan, statistics) if allowed else ()
    if not any(c.widest for c in candidates):  # no activation table: nothing to gain here
        return plan
    makers = {m for c in candidates for m in c.makers}
    importance = output_importance(graph, makers, images[:IMPORTANCE_IMAGES])
    histograms = _histograms(graph, candidates, importance, images[:HISTOGRAM_IMAGES])
    formats = dict(plan.formats)
    evens = [
        h.error(levels_of(formats[c.names[0]])) for c, h in zip(candidates, histograms, strict=True)
    ]
    costly = 0.0 if settings.codebook == "always" else COSTLY
    if max(evens) <= costly:  # nothing stands out: leave a good plan alone
        return plan
    chosen: list[tuple[float, str]] = []
    regions: list[tuple[float, float, float]] = []
    for candidate, histogram, even in zip(candidates, histograms, evens, strict=True):
        first = candidate.names[0]
        bits = formats[first].bits
        least = even
        if settings.observer == "auto":
            whole = format_of(candidate.real, bits, 1)
            error = histogram.error(levels_of(whole))
            if error < least:
                least = error
                for name in candidate.names:
                    formats[name] = whole.with_channels(formats[name].channels)
        sparse = settings.codebook == "two-region" and bits <= TWO_REGION_BITS
        if not candidate.widest or (least <= costly and not sparse):
            continue
        if sparse:
            book = fit_two_region(histogram, bits, candidate.widest)
        else:
            book = fit_codebook(histogram, bits, candidate.widest, costly * GOOD_SHARE)
        if book is None or book.error >= least:
            continue
        if sparse:
            regions.append((least, book.error, outlier_error(histogram, bits, OUTLIER_SHARE)))
        for name in candidate.names:
            formats[name] = book.format(formats[name].channels)
        chosen.append((least, _words(first, least, book)))
    notes = (*plan.notes, *(_region_note(regions, chosen) if regions else _note(chosen, costly)))
    return replace(plan, formats=formats, notes=notes)


def _candidates(
    graph: FloatGraph, steps: tuple[Step, ...], plan: FormatPlan, statistics: Statistics
) -> tuple[_Candidate, ...]:
    by_name = {s.name: s for s in steps}
    owners = {s.name for s in owner_steps(steps)}
    targets = {target for _, target in plan.requantized}
    found = []
    for names in plan.classes:
        members = [by_name[n] for n in names]
        makers = [s for s in members if s.name in owners]
        if not makers or any(s.is_output for s in members):
            continue
        tables = all(s.needs_table for s in makers) and not targets.intersection(names)
        real = statistics.observers[makers[0].result].extremes
        for maker in makers[1:]:
            real = real.union(statistics.observers[maker.result].extremes)
        if real.width > 0.0:
            fits = SUM_BITS - MAX_WEIGHT_BITS - _addend_bits(graph, members)
            widest = min(WIDEST, fits) if tables else 0
            found.append(_Candidate(names, tuple(s.result for s in makers), real, widest))
    return tuple(found)


def _addend_bits(graph: FloatGraph, members: list[Step]) -> int:
    """Return the bits that the longest sum over one of the tensors adds to its products."""
    tensors = {s.result for s in members}
    longest = max(
        (
            op.weight[0].size
            for op in graph.ops
            if isinstance(op, FloatConv | FloatLinear) and op.source in tensors
        ),
        default=1,
    )
    return math.ceil(math.log2(longest))


def _histograms(
    graph: FloatGraph,
    candidates: tuple[_Candidate, ...],
    importance: dict[str, npt.NDArray[np.float64]],
    images: Images,
) -> list[WeightedHistogram]:
    histograms = [WeightedHistogram(c.real) for c in candidates]
    watching: dict[str, Callable[[torch.Tensor], None]] = {}
    for candidate, histogram in zip(candidates, histograms, strict=True):
        for maker in candidate.makers:
            watching[maker] = _watcher(histogram, importance[maker] / len(images))
    executor = FloatExecutor(graph)

    def visit(name: str, tensor: torch.Tensor) -> None:
        if name in watching:
            watching[name](tensor)

    for image in images:
        executor.run(image[None], visit)
    return histograms


def _watcher(
    histogram: WeightedHistogram, weights: npt.NDArray[np.float64]
) -> Callable[[torch.Tensor], None]:
    def see(tensor: torch.Tensor) -> None:
        histogram.see(tensor[0].flatten(1).numpy(), weights)

    return see


def _words(name: str, even: float, book: Codebook) -> str:
    width = book.entries[-1].bit_length()
    return f"'{name}' {width} bits ({_decibels(even):.1f} to {_decibels(book.error):.1f} dB)"


def _decibels(share: float) -> float:
    return -10.0 * math.log10(max(share, 1e-30))


def _note(chosen: list[tuple[float, str]], costly: float) -> tuple[str, ...]:
    """Say where codebooks are, the most costly tensors first."""
    if not chosen:
        return ()
    words = [text for _, text in sorted(chosen, key=lambda c: -c[0])]
    more = len(words) - NAMED_IN_NOTE
    why = "whose error is below that of even steps"
    if costly > 0.0:
        level = f"{_decibels(costly):.0f} dB"
        why = f"since even steps alone would bring the outputs' SQNR below {level}"
    return (
        f"{len(words)} tensors decode through a codebook, {why}: {', '.join(words[:NAMED_IN_NOTE])}"
        + (f" and {more} more" if more > 0 else ""),
    )


def _region_note(
    regions: list[tuple[float, float, float]], chosen: list[tuple[float, str]]
) -> tuple[str, ...]:
    """Say where two-region codes are and what they win, beside what rare outliers would.

    Args:
        regions: Per tensor, the errors of even steps, of its code, and of dense codes with
            outliers.
        chosen: Errors of even steps, and words for each tensor with a codebook.
    """
    even, code, outliers = (
        float(np.mean([_decibels(errors[k]) for errors in regions])) for k in range(3)
    )
    words = [text for _, text in sorted(chosen, key=lambda c: -c[0])]
    more = len(words) - NAMED_IN_NOTE
    return (
        f"{len(regions)} tensors have two-region codes; the outputs' SQNR with one of them alone "
        f"rounded is {code:.1f} dB on average, {even:.1f} dB with even steps; dense codes with "
        f"{OUTLIER_SHARE:.0%} outliers in 8 bits beside, which nothing here builds, would have "
        f"{outliers:.1f} dB; decoded widths: {', '.join(words[:NAMED_IN_NOTE])}"
        + (f" and {more} more" if more > 0 else ""),
    )
