# SPDX-License-Identifier: Apache-2.0
"""A verification as JSON values and tables."""

from collections.abc import Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from nibbleflow.result import Result
from sim.verify import NetworkVerdict, Verdict

REFERENCE = "golden"
SHOWN_DIFFERENCES = 5


def verification_result(
    verdicts: Sequence[Verdict], network: NetworkVerdict | None, seconds: float, digest: str
) -> Result:
    """Return the result of ``verify``.

    Args:
        verdicts: One per node, engine and case, those of the whole network included.
        network: The whole network in RTL, if it ran.
        seconds: Wall time of everything.
        digest: Digest of the graph.
    """
    engines = [REFERENCE, *dict.fromkeys(v.engine for v in verdicts)]
    wrong = [v for v in verdicts if not v.ok]
    failed_runs = [r for r in network.runs if r.failure is not None] if network else []
    bad = {v.engine for v in wrong} | ({"rtl"} if failed_runs else set())
    cycles = sum(v.cycles or 0 for v in verdicts)
    values = {
        "engines": engines,
        "digest": digest,
        "nodes": [v.to_json() for v in verdicts],
        "values": sum(v.values for v in verdicts),
        "mismatches": sum(v.mismatches for v in verdicts),
        "failures": sum(v.failure is not None for v in verdicts) + len(failed_runs),
        "cycles": cycles + (network.cycles if network else 0),
        "seconds": seconds,
    }
    if network:
        values |= network.to_json()
    parts: list[RenderableType] = [_engine_table(engines[1:], verdicts, network)]
    if network:
        parts.append(_network_table(network))
    parts += [Text(line, style="red") for line in _trouble(verdicts, network)]
    good = len(engines) - len(bad)
    style = "green" if not bad else "red"
    names = " = ".join(_label(e, network) for e in engines if e not in bad)
    parts.append(Text(f"{good}/{len(engines)} engines bit-identical ({names})", style=style))
    return Result("verify", values, tuple(parts), ok=not bad)


def _label(engine: str, network: NetworkVerdict | None) -> str:
    return "whole-network rtl" if engine == "rtl" and network else engine


def _engine_table(
    engines: Sequence[str], verdicts: Sequence[Verdict], network: NetworkVerdict | None
) -> Table:
    table = Table(title="every engine against the golden model", box=None)
    for column in ("engine", "nodes", "cases", "values compared", "wrong", "cycles"):
        table.add_column(column)
    for engine in engines:
        rows = [v for v in verdicts if v.engine == engine]
        cycles = sum(v.cycles or 0 for v in rows)
        if network and engine == "rtl":
            cycles += network.cycles
        table.add_row(
            _label(engine, network),
            str(len({v.name for v in rows})),
            str(len(rows)),
            f"{sum(v.values for v in rows):,}",
            f"{sum(v.mismatches for v in rows):,}",
            f"{cycles:,}",
        )
    return table


def _network_table(network: NetworkVerdict) -> Table:
    table = Table(title="the whole network in RTL", box=None, show_header=False)
    table.add_column("figure")
    table.add_column("value")
    for run in network.runs:
        table.add_row(run.name, f"{run.frames} frames, {run.cycles:,} cycles, {run.seconds:.1f} s")
    for what, planned, counted in (
        ("interval", network.planned.interval_cycles, network.counted_interval),
        ("latency", network.planned.latency_cycles, network.counted_latency),
    ):
        shown = "-" if counted is None else f"{counted:,}"
        table.add_row(f"{what}, cycles", f"planned {planned:,}, counted {shown}")
    table.add_row("build", f"{network.build_seconds:.1f} s")
    table.add_row("speed", f"{network.macs_per_second / 1e6:,.1f} MMAC/s per simulation")
    return table


def _trouble(verdicts: Sequence[Verdict], network: NetworkVerdict | None) -> list[str]:
    """Return what is wrong, line by line."""
    lines = []
    for run in network.runs if network else ():
        if run.failure is not None:
            lines.append(f"whole-network rtl, {run.name}: {run.failure}")
        lines += [f"  {line}" for line in run.stall]
    if network and network.first:
        lines.append(str(network.first))
        if network.following:
            lines.append(
                f"  {len(network.following)} nodes behind '{network.first.node}' differ too; "
                "what reads a wrong value is wrong itself"
            )
        if network.waves:
            lines.append(f"  waveform: {network.waves}")
    whole = {id(v) for v in network.nodes} if network else set()
    wrong = [v for v in verdicts if not v.ok and (id(v) not in whole or v.first is None)]
    if network and (network.first or any(run.failure for run in network.runs)):
        wrong = [v for v in wrong if id(v) not in whole]
    for verdict in wrong[:SHOWN_DIFFERENCES]:
        text = verdict.failure and f"'{verdict.name}' {verdict.engine}: {verdict.failure}"
        lines.append(str(verdict.first or text))
    if len(wrong) > SHOWN_DIFFERENCES:
        lines.append(f"and {len(wrong) - SHOWN_DIFFERENCES} more")
    return lines
