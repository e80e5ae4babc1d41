# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

from reports.tables import layer_table, memory_table, summary_tables, text_of, worst_table

LONG = "backbone.stage3.block12.branch_with_a_long_name.conv"


def renamed(summary, name):
    first, *rest = summary.layers
    return replace(summary, layers=(first, replace(rest[0], name=name), *rest[1:]))


def test_tables_fit_100_columns_with_long_names(summary):
    text = text_of(summary_tables(renamed(summary, LONG)))
    assert max(map(len, text.splitlines())) <= 100
    assert "backbone.stage3.block12" in text
    assert "…" in text


def test_every_node_has_a_line(summary):
    lines = text_of([layer_table(summary)]).splitlines()
    for layer in summary.layers:
        assert sum(line.split()[:2] == [layer.name, layer.kind] for line in lines) == 1


def test_memory_table_adds_up(summary):
    text = text_of([memory_table(summary)])
    for kind, bits in summary.bits_by_kind().items():
        assert f"{bits:,}" in next(line for line in text.splitlines() if kind.value in line)
    assert f"{summary.memory.bits:,}" in text
    assert f"ratio to FP16: {summary.memory.honest_ratio:.3f}" in text


def test_worst_table_begins_with_the_lowest(summary):
    lines = text_of([worst_table(summary)]).splitlines()
    lowest = min(x.sqnr_db for x in summary.layers if x.sqnr_db is not None)
    assert lines[2].split()[0] == summary.worst_layers(1)[0].name
    assert lines[2].split()[-1] == f"{lowest:.1f}"
    assert len(lines) == 2 + 5


def test_planned_figures_say_so(summary):
    text = " ".join(text_of(summary_tables(summary)).split())
    assert "cycles planned, not measured" in text
    assert "estimated at 100 MHz (planned, not measured)" in text
    plain = text_of(summary_tables(replace(summary, cycles=None)))
    assert "planned" not in plain


def test_names_are_no_markup(summary):
    text = text_of([layer_table(renamed(summary, "[red]stem[/red]"))])
    assert "[red]stem[/red]" in text


def test_many_notes_are_cut_with_their_number(summary):
    text = text_of(summary_tables(replace(summary, notes=tuple(f"note {i}" for i in range(9)))))
    assert "note 5" in text
    assert "note 6" not in text
    assert "... and 3 more, all in summary.json" in text
