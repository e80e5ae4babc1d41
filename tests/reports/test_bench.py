# SPDX-License-Identifier: Apache-2.0
import json
import sys
from dataclasses import replace

import numpy as np
import pytest

from hw.fifo_minimum import ASSUMPTION
from quant.bundle import save_bundle
from quant.errors import InputFileError, ToolError
from quant.graph import macs_of
from quant.nodes import sources_of
from quant.samples import sample_graph
from reports.bench import demo, floats, mobileone, verify, yolov5n
from reports.bench.__main__ import BENCHMARKS, main, run_benchmark
from reports.bench.benchmark import Benchmark
from reports.bench.fifoplan import main as fifo_plan
from reports.bench.fifoplan import measure as fifo_figures
from reports.bench.goldenspeed import main as goldenspeed
from reports.bench.hlsspeed import main as hlsspeed
from reports.bench.record import BenchRecord, read_record, write_record
from reports.bench.runner import ONE_CORE, Runner
from reports.readme import BEGIN, CHECKOUT, END, tables
from reports.readme import main as readme

RESULTS = CHECKOUT / "reports" / "results"

# Stands in for the command line: writes what the real verbs promise, numbers from its arguments.
FAKE = """
import json, pathlib, sys
verb, *rest = sys.argv[1:]
file = pathlib.Path(rest[rest.index("--json") + 1])
bits = lambda name: int(rest[rest.index(name) + 1])
if verb == "quantize":
    bundle = pathlib.Path(rest[rest.index("-o") + 1]) / "bundle"
    bundle.mkdir(parents=True, exist_ok=True)
    (bundle / "graph.json").write_bytes(b"g" * 30)
    (bundle / "tensors.safetensors").write_bytes(b"t" * 100 * bits("--weight-bits"))
    value = {"layers": []}
elif verb == "report":
    value = {"memory": {"honest_ratio": 3.5, "published_ratio": None,
                        "bits": {"weight_codes": 720, "biases": 64}}}
elif verb == "evaluate":
    engines = ("float", "fake_quant", "integer")
    value = {"images": 300, **{e: {"map": 20.0 + i, "map50": 40.0 + i}
                               for i, e in enumerate(engines)}}
    if "--labels" in rest:
        value |= {e: {"top1": 61.5 - i, "top5": 85.0 - i} for i, e in enumerate(engines)}
elif verb == "verify":
    node = {"counted_interval": 90, "planned_interval": 90}
    value = {"engines": ["golden", "hls", "rtl"], "values": 1000, "mismatches": 0,
             "cycles": 5000, "seconds": 2.04,
             "nodes": [{"name": "a", **node}, {"name": "b", **node},
                       {"name": "a", "counted_interval": None, "planned_interval": None}]}
else:
    print("error: no verb", verb)
    sys.exit(3)
file.write_text(json.dumps(value))
print("done", verb)
"""


@pytest.fixture
def program(tmp_path):
    script = tmp_path / "fake.py"
    script.write_text(FAKE)
    return [sys.executable, str(script)]


@pytest.fixture
def checkout(tmp_path):
    root = tmp_path / "checkout"
    root.mkdir()
    (root / "README.md").write_text(f"# Title\n{BEGIN}\n{END}\n")
    return root


def test_demo_gathers_the_figures_of_three_builds(checkout, program):
    record = run_benchmark(demo.BENCHMARK, checkout, program)
    assert [(r["weight_bits"], r["act_bits"]) for r in record.figures] == [(8, 8), (4, 8), (4, 4)]
    row = record.figures[1]
    assert row["tensor_file_bytes"] == 400
    assert row["bundle_bytes"] == 430
    assert row["stored_bits"] == 784
    assert (row["honest_ratio"], row["published_ratio"]) == (3.5, None)
    assert (row["images"], row["float_map50_percent"]) == (300, 40.0)
    assert (row["fake_quant_map50_percent"], row["integer_map_percent"]) == (41.0, 22.0)
    assert record.commands[3] == (
        "nibbleflow quantize demo -o build/bench/demo/demo_w4a8 --weight-bits 4 --act-bits 8 "
        "--force --json build/bench/demo/04-quantize.json"
    )


def test_float_sets_known_figures_beside_measured_ones(checkout, program):
    record = run_benchmark(floats.BENCHMARK, checkout, program)
    assert [r["model"] for r in record.figures] == [
        "YOLOv5n", "YOLOv5-Lite-s", "YOLOX-Nano", "YOLOv6Lite-L", "YOLOv6Lite-M", "YOLOv6Lite-S",
        "MobileOne-S0",
    ]  # fmt: skip
    first, last = record.figures[0], record.figures[-1]
    assert first == {
        "model": "YOLOv5n", "pixels": 640, "images": 300,
        "map_percent": 20.0, "expected_map_percent": 26.86,
        "map50_percent": 40.0, "expected_map50_percent": 42.97,
        "top1_percent": None, "expected_top1_percent": None,
        "top5_percent": None, "expected_top5_percent": None,
    }  # fmt: skip
    assert (last["top1_percent"], last["expected_top1_percent"], last["pixels"]) == (
        61.5,
        64.0,
        224,
    )
    assert (last["map_percent"], last["expected_map_percent"]) == (None, None)
    assert record.commands[-1] == (
        "nibbleflow evaluate ../shared/data/weights/mobileone_s0_reparam_fp32.safetensors "
        "--labels ../shared/data/imagenet/labels.json --images ../shared/data/imagenet/val300_224 "
        "--arch mobileone-s0 --json build/bench/float/07-evaluate.json"
    )
    shown = tables([record])
    assert "| YOLOv5n | 640 x 640 | 20.00 | 26.86 | 40.00 | 42.97 | - | - |" in shown
    assert "| MobileOne-S0 | 224 x 224 | - | - | - | - | 61.5 | 64.0 |" in shown


def test_measured_figures_are_the_known_ones():
    record = read_record(RESULTS / "float.json")
    assert len(record.figures) == len(floats.KNOWN)
    for row in record.figures:
        for key, limit in (("map", 0.15), ("map50", 0.15), ("top1", 0.4)):
            known = row[f"expected_{key}_percent"]
            assert known is None or abs(row[f"{key}_percent"] - known) <= limit, row["model"]


def test_a_classifier_is_measured_by_its_first_choices(checkout, program):
    record = run_benchmark(mobileone.BENCHMARK, checkout, program)
    assert [(row["weight_bits"], row["integer_top1_percent"]) for row in record.figures] == [
        (8, 59.5),
        (4, 59.5),
    ]
    assert record.figures[0]["float_top5_percent"] == 85.0
    assert (
        "--arch mobileone-s0 --calib ../shared/data/imagenet/sample1000_256 --limit 64"
        in (record.commands[0])
    )


def test_verify_counts_nodes_once_and_compares_intervals(checkout, program):
    record = run_benchmark(verify.BENCHMARK, checkout, program)
    row = record.figures[0]
    assert (row["nodes"], row["comparisons"], row["values"], row["mismatches"]) == (2, 3, 1000, 0)
    assert (row["engines"], row["seconds"]) == ("golden, hls, rtl", 2.0)
    assert (row["intervals_counted"], row["intervals_as_planned"]) == (2, 2)
    assert "--calib ../shared/data/coco/calib" in record.commands[0]
    assert " --nodes all-convs " in record.commands[1]


def test_a_record_says_everything_needed_to_repeat_it(checkout, program):
    assert main(["demo"], root=checkout, program=program) == 0
    path = checkout / "reports" / "results" / "demo.json"
    assert [p.name for p in path.parent.iterdir()] == ["demo.json"]
    value = json.loads(path.read_text())
    assert set(value) == {
        "name", "title", "commands", "date", "versions", "machine", "wall_seconds", "figures",
    }  # fmt: skip
    assert len(value["commands"]) == 9
    assert value["versions"]["numpy"] == np.__version__
    assert value["versions"]["python"] == sys.version.split()[0]
    assert {"torch", "verilator", "hls4ml", "nibbleflow_commit"} <= set(value["versions"])
    assert value["machine"]["cores"] >= 1
    assert len(value["date"]) == 10
    assert value["wall_seconds"] > 0
    assert readme(["--check"], root=checkout) == 0
    assert "| W4A8 | 40.00 | 41.00 | 42.00 |" in (checkout / "README.md").read_text()
    assert read_record(path).to_json() == read_record(path).to_json() | value | {
        "commands": tuple(value["commands"]),
        "figures": tuple(value["figures"]),
    }


def test_the_table_shows_every_figure(checkout, program, capsys):
    main(["demo"], root=checkout, program=program)
    shown = capsys.readouterr().out
    assert "nibbleflow evaluate build/bench/demo/demo_w8a8 --json" in shown
    assert "integer map50 percent" in shown
    assert "42.000" in shown


def test_missing_data_is_skipped_by_name(checkout, program, capsys):
    assert main(["yolov5n", "verify"], root=checkout, program=program) == 0
    shown = capsys.readouterr().out
    path = "../shared/data/weights/yolov5n_coco_fp16.safetensors"
    assert f"skipped yolov5n: needs {path}" in shown
    assert f"skipped verify: needs {path}" in shown
    assert [p.name for p in checkout.iterdir()] == ["README.md"]


def test_an_unknown_name_is_refused(checkout, capsys):
    assert main(["speed"], root=checkout) == 2
    assert capsys.readouterr().err == (
        "error: no benchmark 'speed'; choose demo, float, yolov5n, yolox_nano, mobileone, verify, "
        "study, yolov7, recipes, gptq, "
        "calibration, golden, hls, granularity, schemes, packed, estimates, synth, faults, "
        "network, simspeed, deadlock, fifos, explore, front, sweep\n"
    )


def test_a_failing_command_leaves_no_result(checkout, program, capsys):
    def run(runner):
        runner.nibbleflow("fly")
        return []

    broken = Benchmark("broken", "fails", (), run)
    fine = Benchmark("fine", "works", (), lambda runner: [{"answer": 42}])
    assert main([], benchmarks=(broken, fine), root=checkout, program=program) == 1
    assert "ended with exit code 3: error: no verb fly" in capsys.readouterr().err
    assert [p.name for p in (checkout / "reports/results").iterdir()] == ["fine.json"]


def test_stale_json_of_an_earlier_run_is_not_read(checkout, program):
    runner = Runner(checkout, checkout / "s", program=[sys.executable, "-c", "pass"])
    (checkout / "s" / "01-report.json").write_text("{}")
    with pytest.raises(ToolError, match=r"wrote no JSON to .*01-report\.json"):
        runner.nibbleflow("report")


def test_one_core_is_a_setting_of_the_child(checkout):
    (checkout / "child.py").write_text(
        "import json, os, sys\n"
        "json.dump(dict(os.environ), open(sys.argv[sys.argv.index('--json') + 1], 'w'))\n"
    )
    runner = Runner(checkout, checkout / "s")
    found = runner.module("child", one_core=True)
    assert {key: found[key] for key in ONE_CORE} == ONE_CORE
    assert runner.commands[0].startswith("OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 ")
    assert " python -m child --json " in runner.commands[0]


def test_records_are_written_whole(tmp_path):
    record = BenchRecord("x", "t", ("a",), "2026-01-01", {"p": None}, {"cores": 2}, 1.5, ({},))
    path = write_record(record, tmp_path / "new")
    assert read_record(path) == record
    broken = replace(record, figures=({"speed": float("nan")},))
    with pytest.raises(ValueError, match="JSON compliant"):
        write_record(broken, tmp_path / "new")
    assert read_record(path) == record
    assert list(path.parent.iterdir()) == [path]


def test_a_foreign_file_is_no_record(tmp_path):
    (tmp_path / "x.json").write_text('{"name": "x"}')
    with pytest.raises(InputFileError, match="is no benchmark record"):
        read_record(tmp_path / "x.json")


def test_golden_speed_of_a_build(tmp_path, bundle):
    save_bundle(bundle.graph, bundle.host, bundle.record, tmp_path / "bundle")
    (tmp_path / "float").mkdir()
    frames = np.random.default_rng(1).integers(0, 256, (2, 16, 20, 3), dtype=np.uint8)
    np.save(tmp_path / "float" / "frames.npy", frames)
    file = tmp_path / "speed.json"
    assert goldenspeed([str(tmp_path), "--rounds", "3", "--json", str(file)]) == 0
    value = json.loads(file.read_text())
    assert value["rounds"] == 3
    assert value["macs_per_frame"] == sum(macs_of(bundle.graph, n.name) for n in bundle.graph.nodes)
    assert value["best_gmacs_per_second"] >= value["median_gmacs_per_second"]


def test_golden_speed_without_frames_is_refused(tmp_path, bundle, capsys):
    save_bundle(bundle.graph, bundle.host, bundle.record, tmp_path / "bundle")
    assert goldenspeed([str(tmp_path), "--json", str(tmp_path / "f")]) == 1
    assert "frames.npy cannot be read" in capsys.readouterr().err
    assert not (tmp_path / "f").exists()


def test_hls_speed_of_a_build(tmp_path, bundle):
    pytest.importorskip("hls4ml")
    save_bundle(bundle.graph, bundle.host, bundle.record, tmp_path / "bundle")
    (tmp_path / "float").mkdir()
    frames = np.random.default_rng(1).integers(0, 256, (1, 16, 20, 3), dtype=np.uint8)
    np.save(tmp_path / "float" / "frames.npy", frames)
    file = tmp_path / "hls.json"
    assert hlsspeed([str(tmp_path), "--bounded", "--json", str(file)]) == 0
    value = json.loads(file.read_text())
    assert value["plain_mismatches"] == value["ap_int_mismatches"] == 0
    assert value["bounded_mismatches"] == 0
    assert value["streams"] > 0
    assert value["stream_kib"] > 0
    assert value["interval_cycles"] > 0
    assert min(value["plain_gmacs_per_second"], value["ap_int_gmacs_per_second"]) > 0
    assert value["values_compared"] > 0
    only = tmp_path / "only.json"
    assert hlsspeed([str(tmp_path), "--compile-only", "--json", str(only)]) == 0
    compiled = json.loads(only.read_text())
    assert compiled.keys() == value.keys()
    assert compiled["plain_mismatches"] is compiled["bounded_mismatches"] is None


def test_fifo_plan_of_a_build(tmp_path):
    graph = sample_graph(1)
    figures = fifo_figures(graph, 24)
    assert figures["edges"] == len(
        {(source, node.name) for node in graph.nodes for source in sources_of(node)}
    )
    assert figures["network_interval_cycles"] == figures["bottleneck_interval_cycles"]
    assert 0 < figures["minimal_bits"] <= figures["throughput_bits"] < figures["tensor_bits"]
    assert 0 < figures["minimal_fifos"] <= figures["throughput_fifos"] <= figures["edges"]
    assert figures["proof_left_beats"] == 0
    assert figures["proof_assumption"] == ASSUMPTION
    assert min(figures["fifo_seconds"], figures["cycle_seconds"], figures["peak_mib"]) > 0
    missing = tmp_path / "missing"
    assert fifo_plan([str(missing), "--json", str(tmp_path / "fifos.json")]) == 1
    assert not (tmp_path / "fifos.json").exists()


def test_names_and_needs_are_those_of_the_real_data():
    assert [b.name for b in BENCHMARKS] == [
        "demo",
        "float",
        "yolov5n",
        "yolox_nano",
        "mobileone",
        "verify",
        "study",
        "yolov7",
        "recipes",
        "gptq",
        "calibration",
        "golden",
        "hls",
        "granularity",
        "schemes",
        "packed",
        "estimates",
        "synth",
        "faults",
        "network",
        "simspeed",
        "deadlock",
        "fifos",
        "explore",
        "front",
        "sweep",
    ]
    assert demo.BENCHMARK.needs == ()
    assert all(path.startswith("../shared/data/") for path in yolov5n.BENCHMARK.needs)
