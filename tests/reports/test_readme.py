# SPDX-License-Identifier: Apache-2.0
import re
from pathlib import Path

import pytest

from quant.errors import InputFileError
from reports.bench.record import BenchRecord, write_record
from reports.readme import BEGIN, CHECKOUT, COLUMNS, END, main, tables, with_tables


def record(name, *rows):
    return BenchRecord(
        name, f"what {name} measures", ("cmd",), "2026-01-02",
        {"python": "3.11.2", "verilator": None, "nibbleflow_commit": "abc"},
        {"cores": 2, "cpu": "Some CPU"}, 61.5, rows,
    )  # fmt: skip


DEMO_ROW = {
    "weight_bits": 4, "act_bits": 8, "float_map50_percent": 90.126,
    "fake_quant_map50_percent": 89.5, "integer_map50_percent": 89.25, "stored_bits": 8192 * 150,
    "bundle_bytes": 204800, "honest_ratio": 3.456, "published_ratio": None,
}  # fmt: skip


@pytest.fixture
def checkout(tmp_path):
    (tmp_path / "README.md").write_text(f"# Title\n\n{BEGIN}\nold\n{END}\n\nEnd.\n")
    write_record(record("demo", DEMO_ROW), tmp_path / "reports" / "results")
    return tmp_path


def test_the_table_stands_between_the_markers(checkout):
    assert main([], root=checkout) == 0
    assert (checkout / "README.md").read_text() == (
        f"# Title\n\n{BEGIN}\n"
        "**What demo measures.**\n\n"
        "| bits W/A | float AP50 (%) | fake-quantized AP50 (%) | integer AP50 (%) | stored (KiB) "
        "| bundle files (KiB) | ratio to FP16, every bit | ratio as published |\n"
        "|---|---|---|---|---|---|---|---|\n"
        "| W4A8 | 90.13 | 89.50 | 89.25 | 150.0 | 200.0 | 3.46 | - |\n\n"
        "`make bench NAME=demo`, 2026-01-02, 62 s on 2 cores (Some CPU); python 3.11.2, "
        "commit abc.\n"
        f"{END}\n\nEnd.\n"
    )


def test_check_fails_until_the_tables_are_made(checkout, capsys):
    before = (checkout / "README.md").read_text()
    assert main(["--check"], root=checkout) == 1
    assert "run python -m reports.readme" in capsys.readouterr().err
    assert (checkout / "README.md").read_text() == before
    assert main([], root=checkout) == 0
    assert main(["--check"], root=checkout) == 0
    made = (checkout / "README.md").read_text()
    assert main([], root=checkout) == 0
    assert (checkout / "README.md").read_text() == made
    assert sorted(p.name for p in checkout.iterdir()) == ["README.md", "reports"]


def test_a_changed_result_is_noticed(checkout):
    main([], root=checkout)
    changed = record("demo", {**DEMO_ROW, "integer_map50_percent": 12.0})
    write_record(changed, checkout / "reports" / "results")
    assert main(["--check"], root=checkout) == 1


def test_known_benchmarks_come_first_and_others_show_their_keys(checkout):
    results = checkout / "reports" / "results"
    write_record(record("alpha", {"rate_hz": 5, "note": "x"}), results)
    write_record(record("golden", {
        "weight_bits": 8, "act_bits": 8, "macs_per_frame": 2_234_060_800,
        "best_seconds_per_frame": 0.25, "best_gmacs_per_second": 8.94,
        "median_gmacs_per_second": 8.5,
    }), results)  # fmt: skip
    main([], root=checkout)
    text = (checkout / "README.md").read_text()
    titles = re.findall(r"\*\*What (\w+) measures", text)
    assert titles == ["demo", "golden", "alpha"]
    assert "| rate hz | note |\n|---|---|\n| 5 | x |" in text
    assert "| W8A8 | 2.234 | 0.250 | 8.9 | 8.5 |" in text


def test_a_record_without_its_figures_is_refused():
    with pytest.raises(InputFileError, match=r"result 'demo' has no figure .*make bench NAME=demo"):
        tables([record("demo", {"weight_bits": 4, "act_bits": 8})])


def test_without_results_nothing_stands_between_the_markers():
    assert with_tables(f"a {BEGIN}old{END} z", tables([])) == f"a {BEGIN}\n{END} z"


@pytest.mark.parametrize("text", ["", f"{BEGIN}", f"{END}{BEGIN}", f"{BEGIN}{END}{BEGIN}{END}"])
def test_missing_markers_are_refused(text):
    with pytest.raises(InputFileError, match="once each, in this order"):
        with_tables(text, "x")


def test_every_shown_figure_is_one_that_benchmarks_measure():
    folder = Path(CHECKOUT, "reports", "bench")
    source = "".join(path.read_text() for path in sorted(folder.glob("*.py")))
    derived = {"stored_kib", "bundle_kib", "gmacs_per_frame"}
    derived |= {"minimal_kib", "throughput_kib", "tensor_kib"}
    # Made of the names of resources, engines and figures of accuracy.
    derived |= {f"{name}_percent" for name in ("map", "map50", "precision", "recall")}
    engines, counts = ("rtl", "hls", "hls_plain"), ("values", "mismatches")
    derived |= {f"{engine}_{count}" for engine in engines for count in counts}
    errors = ("median_percent", "worst_percent")
    derived |= {f"{name}_{error}" for name in ("lut", "ff") for error in errors}
    resources = ("lut", "ff", "dsp", "bram18")
    derived |= {f"{name}_{how}" for name in resources for how in ("counted", "estimated")}
    derived |= {f"{name}_wrong" for name in ("dsp", "bram18", "uram")}
    derived |= {f"exact_{name}" for name in ("lut", "dsp", "bram18", "uram")}
    for columns in COLUMNS.values():
        for column in columns:
            for key in re.findall(r"{(\w+)", column.pattern):
                engine = re.sub(r"^(float|fake_quant|integer)_(map|top)", r"_\2", key)
                assert key in derived or f'"{key}"' in source or f"{engine}" in source


def test_the_readme_of_this_checkout_is_up_to_date():
    assert main(["--check"]) == 0
