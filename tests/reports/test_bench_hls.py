# SPDX-License-Identifier: Apache-2.0
import sys

import pytest

from reports.bench import hls
from reports.bench.hls import Network, label, run
from reports.bench.runner import Runner

FAKE = """
import json, pathlib, sys
rest = sys.argv[1:]
with open("calls.txt", "a") as log:
    log.write(" ".join(rest) + "\\n")
pathlib.Path(rest[rest.index("--json") + 1]).write_text(json.dumps({"nodes": 3}))
"""
NETWORKS = (
    Network("one", 32, "demo", measure=("--bounded",)),
    Network("two", 64, "arch:x", ("--seed", "1"), "pwlq"),
)


@pytest.fixture
def runner(tmp_path, monkeypatch):
    (tmp_path / "fake.py").write_text(FAKE)
    monkeypatch.setattr(hls, "sources_digest", lambda *_: "state")
    # The measuring module is run as one of the checkout; the fake stands there, too.
    monkeypatch.setattr(hls, "MODULE", "fake")
    return Runner(tmp_path, hls.SCRATCH, program=[sys.executable, "fake.py"])


def test_rows_say_what_was_measured(tmp_path, runner):
    assert run(runner, NETWORKS) == [
        {"model": "one", "image_size": 32, "weight_bits": 4, "act_bits": 8, "scheme": "affine",
         "nodes": 3},
        {"model": "two", "image_size": 64, "weight_bits": 4, "act_bits": 8, "scheme": "pwlq",
         "nodes": 3},
    ]  # fmt: skip
    calls = (tmp_path / "calls.txt").read_text().splitlines()
    bits = "--weight-bits 4 --act-bits 8 --scheme"
    scratch = hls.SCRATCH
    assert calls == [
        f"quantize demo -o {scratch}/one-32 {bits} affine --force "
        f"--json {scratch}/01-quantize.json",
        f"{scratch}/one-32 --bounded --json {scratch}/02-fake.json",
        f"quantize arch:x --seed 1 -o {scratch}/two-64 {bits} pwlq --force "
        f"--json {scratch}/03-quantize.json",
        f"{scratch}/two-64 --json {scratch}/04-fake.json",
    ]
    assert runner.commands[1].startswith("OMP_NUM_THREADS=1 ")


def test_names_are_different() -> None:
    assert len({label(network) for network in hls.NETWORKS}) == len(hls.NETWORKS)


def test_unknown_network_is_refused(capsys):
    assert hls.main(["two"]) == 2
    assert capsys.readouterr().err == (
        f"error: no network 'two'; choose {', '.join(map(label, hls.NETWORKS))}\n"
    )
