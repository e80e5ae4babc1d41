# SPDX-License-Identifier: Apache-2.0
"""quantize --recipe: named recipes and files, interruptions, weights-only builds, refusals."""

import json

import pytest

from nibbleflow.verbs import quantize as module
from quant.bundle import load_bundle

LIMIT = ("--limit", 4)
STAGES = """
[[stage]]
kind = "gptq"
images = 2
columns = 500

[[stage]]
kind = "distill"
steps = 2
batch = 1
crop = 0.3
"""


@pytest.fixture
def stages(tmp_path):
    file = tmp_path / "short.toml"
    file.write_text(STAGES)
    return file


def test_a_file_of_stages_makes_a_build(cli, tmp_path, stages):
    record = tmp_path / "q.json"
    done = cli(
        "quantize", "demo", "-o", tmp_path / "b", *LIMIT, "--recipe", stages, "--json", record
    )
    assert done.code == 0, done.err
    values = json.loads(record.read_text())
    assert values["settings"]["recipe"]["stages"][1]["steps"] == 2
    assert values["notes"][-1].startswith("distilled 2 steps of 1 images; loss ")
    assert "gptq, layers" in done.err
    assert "distilling, steps" in done.err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b", "q.json", "short.toml"]
    assert load_bundle(tmp_path / "b" / "bundle").graph.digest == values["digest"]


def test_an_interrupted_build_goes_on(cli, tmp_path, stages, monkeypatch):
    command = ("quantize", "demo", *LIMIT, "--recipe", stages, "-o")
    assert cli(*command, tmp_path / "whole").code == 0
    own = module.progress_bar

    def stopping(what, total):
        if what.startswith("distilling"):
            raise KeyboardInterrupt
        return own(what, total)

    with monkeypatch.context() as patch:
        patch.setattr(module, "progress_bar", stopping)
        assert cli(*command, tmp_path / "b").code == 130
    assert not (tmp_path / "b").exists()
    kept = tmp_path / ".b.recipe" / "state"
    assert len(list(kept.glob("0-*.npz"))) == 20
    assert cli(*command, tmp_path / "b").code == 0
    assert not kept.exists()
    first, second = (load_bundle(tmp_path / n / "bundle").graph for n in ("whole", "b"))
    assert first.digest == second.digest


def test_weights_alone(cli, tmp_path, stages):
    build = tmp_path / "w"
    done = cli("quantize", "demo", "-o", build, *LIMIT, "--weights-only", "--recipe", stages)
    assert done.code == 0, done.err
    assert (build / "float" / "biases.safetensors").is_file()
    record = tmp_path / "e.json"
    assert cli("evaluate", build, "--limit", 4, "--json", record).code == 0
    values = json.loads(record.read_text())
    assert values["integer"] is None
    assert values["fake_quant"] is not None
    (build / "float" / "biases.safetensors").write_bytes(b"no")
    refused = cli("evaluate", build, "--limit", 4)
    assert refused.error.startswith(f"'{build}/float/biases.safetensors' cannot be read (")


def test_blocks_of_ones_own(cli, tmp_path):
    stages = tmp_path / "r.toml"
    stages.write_text('[[stage]]\nkind = "repapq"\nsteps = 1\nbatch = 1\nimages = 2\n')
    blocks = tmp_path / "blocks.toml"
    names = ("model.5.rbr_dense.0", "model.9.conv", "model.13.rbr_dense.0")
    blocks.write_text(f"ends = {list(names)}\n")
    record = tmp_path / "q.json"
    command = ("quantize", "demo", "-o", tmp_path / "b", *LIMIT, "--recipe", stages)
    assert cli(*command, "--blocks", blocks, "--json", record).code == 0
    notes = json.loads(record.read_text())["notes"]
    assert any(n.startswith("repapq: 5 blocks, 5 steps of 1 images in all; ") for n in notes)
    refused = cli(*command, "--force", "--blocks", "model.99")
    assert refused.error.startswith("--blocks: no layer 'model.99'; near: model.")


def test_refusals_leave_nothing_behind(cli, tmp_path):
    command = ("quantize", "demo", "-o", tmp_path / "b", *LIMIT)
    assert cli(*command, "--minutes", 3).error == (
        "--minutes limits a recipe, and 'rtn' has no stage; leave it out"
    )
    assert cli(*command, "--recipe", "gptq", "--device", "tpu").error == (
        "--device 'tpu' is unknown; choose cpu or cuda"
    )
    assert cli(*command, "--recipe", "gptq", "--blocks", "model.5").error == (
        "--blocks is for recipes that go block by block, and 'gptq' does not; leave it out, or "
        "choose repapq or taskq"
    )
    assert list(tmp_path.iterdir()) == []
