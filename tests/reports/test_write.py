# SPDX-License-Identifier: Apache-2.0
import json
from dataclasses import replace

import pytest

from quant.errors import BundleError
from reports.write import report_files, write_report


def test_the_folder_holds_json_tables_and_plots(tmp_path, summary, bundle, float_graph):
    folder = tmp_path / "build" / "report"
    written = write_report(summary, bundle, float_graph, folder)
    names = {"summary.json", "tables.txt", "weights.png", "memory.png", "sqnr.png", "cycles.png"}
    assert {p.name for p in written} == {p.name for p in folder.iterdir()} == names
    assert json.loads((folder / "summary.json").read_text()) == summary.to_json()
    assert all(p.read_bytes()[:4] == b"\x89PNG" for p in folder.glob("*.png"))


def test_plots_without_data_are_left_out(summary, bundle, float_graph):
    bare = replace(
        summary,
        cycles=None,
        layers=tuple(replace(x, sqnr_db=None, cycles=None) for x in summary.layers),
    )
    made = report_files(bare, bundle, float_graph, ())
    assert set(made) == {"summary.json", "tables.txt"}
    assert "cycle" not in made["tables.txt"].decode()


def test_an_older_report_is_replaced_but_nothing_else(tmp_path, summary, bundle, float_graph):
    folder = tmp_path / "report"
    folder.mkdir()
    (folder / "old.png").write_bytes(b"")
    write_report(summary, bundle, float_graph, folder, formats=())
    assert sorted(p.name for p in folder.iterdir()) == ["summary.json", "tables.txt"]
    (folder / "thesis.tex").write_text("mine")
    with pytest.raises(BundleError, match=r"thesis\.tex"):
        write_report(summary, bundle, float_graph, folder, formats=())
    assert (folder / "thesis.tex").read_text() == "mine"
