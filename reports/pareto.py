# SPDX-License-Identifier: Apache-2.0
"""The front of explored plans as a picture: speed against every resource, by bits and scheme."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from reports.figures import BLUE, BROWN, GREEN, GREY, ORANGE, PURPLE, VERMILLION, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Plan = Mapping[str, Any]

_PANELS = (("lut", "LUT"), ("bram18", "BRAM18"), ("uram", "URAM"), ("dsp", "DSP"))
# Told apart by shape as well as by colour.
_LOOKS = tuple(zip((BLUE, ORANGE, GREEN, VERMILLION, PURPLE, GREY, BROWN), "osD^vPX", strict=True))


def pareto_plot(plans: Sequence[Plan], basis: str) -> Figure:
    """Draw frames per second against every resource that some plan takes.

    Args:
        plans: As ``explore`` gives them, at least one: ``fps``, ``bits``, ``scheme``, ``sqnr_db``,
            ``lut``, ``dsp``, ``bram18``, ``uram``.
        basis: Where the figures come from.
    """
    from matplotlib.ticker import LogLocator, NullLocator

    panels = [(key, name) for key, name in _PANELS if any(plan[key] for plan in plans)]
    series: dict[str, list[Plan]] = {}
    for plan in sorted(plans, key=lambda p: p["fps"]):
        series.setdefault(series_name(plan), []).append(plan)
    figure = new_figure(10.0, 3.6)
    figure.suptitle(f"Plans between which to choose, {basis}", fontsize=10, weight="bold")
    for index, (key, name) in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), index + 1)
        for place, (label, members) in enumerate(series.items()):
            colour, mark = _LOOKS[place % len(_LOOKS)]
            axes.plot(
                [plan["fps"] for plan in members],
                [plan[key] for plan in members],
                f"{mark}-",
                color=colour,
                markersize=4,
                linewidth=0.8,
                label=label,
            )
        axes.set_xscale("log")
        # Numbers as they are read; matplotlib would write powers as formulas.
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter("{x:,.10g}")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_ylim(0, 1.1 * max(plan[key] for plan in plans))
        axes.set_title(name, loc="left", fontsize=9)
        axes.set_xlabel("frames per second", fontsize=7)
        axes.tick_params(labelsize=7)
        axes.yaxis.set_major_formatter("{x:,.0f}")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=7)
    return figure


def series_name(plan: Plan) -> str:
    """Return what distinguishes a plan's network from others: bits, scheme, SQNR."""
    sqnr = plan["sqnr_db"]
    quality = "SQNR not measured" if sqnr is None else f"SQNR {sqnr:.1f} dB"
    return f"{plan['bits']} {plan['scheme']}, {quality}"
