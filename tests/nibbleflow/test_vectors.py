# SPDX-License-Identifier: Apache-2.0
"""vectors and compare: golden files for own hardware, and its first wrong value."""

import json
import shutil

import numpy as np
import pytest

from quant.bundle import load_bundle
from sim.golden import GoldenModel, run_conv

HEAD, NECK = "model.17.m.0", "model.9.conv"
HEAD_FOLDER, NECK_FOLDER = "model_17_m_0", "model_9_conv"


@pytest.fixture
def vectors(cli, build):
    """A build with the vectors of two convolutions, the later one first."""
    done = cli("vectors", build, "--nodes", f"{HEAD},{NECK}")
    assert done.code == 0, done.err
    return build / "vectors"


@pytest.fixture
def dump(vectors, tmp_path):
    """What hardware without a fault gives."""
    folder = tmp_path / "dump"
    for node in (HEAD_FOLDER, NECK_FOLDER):
        (folder / node).mkdir(parents=True)
        shutil.copyfile(vectors / node / "output.mem", folder / node / "output.mem")
    return folder


def words(path):
    """Return the words of a .mem file without its comment."""
    return [line for line in path.read_text().splitlines() if not line.startswith("//")]


def test_json_and_files(cli, build, picture, tmp_path):
    done = cli(
        *("vectors", build, "--image", picture, "--nodes", NECK, "--json", tmp_path / "v.json")
    )
    assert done.code == 0
    (row,) = json.loads((tmp_path / "v.json").read_text())["nodes"]
    folder = build / "vectors" / row["folder"]
    assert row == json.loads((folder / "vector.json").read_text())
    assert (row["name"], row["kind"], row["folder"]) == (NECK, "conv", NECK_FOLDER)
    assert row["inputs"][0]["shape"] == [80, 10, 10]
    assert row["output"]["shape"] == row["accumulator"]["shape"] == [48, 10, 10]
    assert sorted(p.name for p in folder.iterdir()) == [
        "accumulator.mem",
        "accumulator.npy",
        "bias.mem",
        "input.mem",
        "input.npy",
        "output.mem",
        "output.npy",
        "requant.multiplier.mem",
        "requant.shift.mem",
        "requant.zero_point.mem",
        "table.mem",
        "vector.json",
        "weights.codes.mem",
        "weights.mem",
        "weights.npy",
        "weights.selectors.mem",
        "weights.tables.mem",
    ]


def test_the_files_alone_say_what_to_compute(vectors):
    """Only files are read here, and the contract is written out once more."""
    for name in (HEAD_FOLDER, NECK_FOLDER):
        folder = vectors / name
        row = json.loads((folder / "vector.json").read_text())
        about = {p["file"].removesuffix(".mem"): p for p in row["parameters"]}

        def parameter(field, folder=folder, about=about):
            bits = about[field]["bits"]
            values = np.array([int(w, 16) for w in words(folder / f"{field}.mem")], np.int64)
            if about[field]["signed"]:
                values -= (values >> (bits - 1)) << bits
            return values.reshape(about[field]["shape"])

        c, h, w = row["inputs"][0]["shape"]
        f, oh, ow = row["output"]["shape"]
        assert row["geometry"]["kernel"] == [1, 1]
        image = np.array([int(x, 16) for x in words(folder / "input.mem")]).reshape(h, w, c)
        weights = parameter("weights")[:, :, 0, 0]
        assert np.array_equal(weights, np.load(folder / "weights.npy")[:, :, 0, 0])
        sums = image @ weights.T + parameter("bias")
        golden = [int(x, 16) for x in words(folder / "accumulator.mem")]
        golden = np.array(golden, np.int64).astype(np.uint32).astype(np.int32)
        assert np.array_equal(sums.ravel(), golden)
        shift = parameter("requant.shift")
        codes = (sums * parameter("requant.multiplier") + (1 << (shift - 1))) >> shift
        codes = codes + parameter("requant.zero_point")
        codes = codes.clip(row["geometry"]["low"], row["geometry"]["high"])
        if "table" in about:
            codes = parameter("table")[codes]
        output = np.array([int(x, 16) for x in words(folder / "output.mem")])
        assert output.size == f * oh * ow
        assert np.array_equal(codes.ravel(), output)


def test_vectors_are_the_golden_model_on_the_first_frame(vectors, build):
    graph = load_bundle(build / "bundle").graph
    codes = np.load(build / "float" / "frames.npy")[:1].transpose(0, 3, 1, 2)
    run = GoldenModel(graph).run(codes, keep=[NECK, graph.node(NECK).source])
    assert np.array_equal(np.load(vectors / NECK_FOLDER / "output.npy"), run.tensors[NECK][0])
    source = run.tensors[graph.node(NECK).source]
    assert np.array_equal(np.load(vectors / NECK_FOLDER / "input.npy"), source[0])
    sums = run_conv(graph.node(NECK), graph.formats[graph.node(NECK).source], source)[1]
    assert np.array_equal(np.load(vectors / NECK_FOLDER / "accumulator.npy"), sums[0])


def test_every_kind_of_node_and_wider_words(cli, build, tmp_path):
    record = tmp_path / "v.json"
    nodes = "model.2.add,model.8.m,model.8.cat,model.10,model.1.conv"
    done = cli("vectors", build, "--nodes", nodes, "--channels-per-beat", 8, "--json", record)
    assert done.code == 0, done.err
    rows = {r["name"]: r for r in json.loads(record.read_text())["nodes"]}
    assert [r["kind"] for r in rows.values()] == ["add", "maxpool", "concat", "upsample", "conv"]
    assert len(rows["model.2.add"]["inputs"]) == 2
    assert len(rows["model.8.cat"]["inputs"]) == 4
    first = words(build / "vectors" / "model_10" / "output.mem")[0]
    golden = np.load(build / "vectors" / "model_10" / "output.npy")
    assert first == golden[:8, 0, 0].astype(np.uint8)[::-1].tobytes().hex()
    done = cli("compare", build, build / "vectors")
    assert done.code == 0


def test_equal(cli, build, dump, tmp_path):
    done = cli("compare", build, dump, "--json", tmp_path / "c.json")
    assert done.code == 0
    values = json.loads((tmp_path / "c.json").read_text())
    assert values["mismatches"] == 0
    assert values["values"] == 48 * 100 + 33 * 400
    # In the order of the graph: what is wrong first shows first.
    assert [r["node"] for r in values["nodes"]] == [NECK, HEAD]
    assert all(r["first"] is None for r in values["nodes"])


def test_first_wrong_value_is_named(cli, build, vectors, dump, tmp_path):
    golden = np.load(vectors / NECK_FOLDER / "output.npy")
    sums = np.load(vectors / NECK_FOLDER / "accumulator.npy")
    # Later in memory order [C, H, W], earlier in stream order, and one behind both.
    places = [(40, 3, 7), (2, 9, 9), (41, 3, 7)]
    wrong = golden.copy()
    for place in places:
        wrong[place] ^= 1
    lines = [f"{v:02x}" for v in wrong.transpose(1, 2, 0).ravel()]
    (dump / NECK_FOLDER / "output.mem").write_text("\n".join(lines))
    done = cli("compare", build, dump, "--json", tmp_path / "c.json")
    assert done.code == 1
    values = json.loads((tmp_path / "c.json").read_text())
    assert values["mismatches"] == 3
    first = (
        f"'{NECK}' output [40, 3, 7] (channel, row, column): got {wrong[40, 3, 7]}, golden "
        f"{golden[40, 3, 7]}, golden accumulator {sums[40, 3, 7]} (3 of 4,800 differ)"
    )
    assert [r["first"] for r in values["nodes"]] == [first, None]
    assert first in done.out


def test_wrong_accumulator_comes_first(cli, build, vectors, dump):
    sums = np.load(vectors / NECK_FOLDER / "accumulator.npy")
    sums[5, 0, 0] -= 1
    np.save(dump / NECK_FOLDER / "accumulator.npy", sums)
    done = cli("compare", build, dump)
    assert done.code == 1
    assert (
        f"'{NECK}' accumulator [5, 0, 0] (channel, row, column): got {sums[5, 0, 0]}, golden "
        f"{sums[5, 0, 0] + 1} (1 of 4,800 differ)"
    ) in done.out


def test_dumps_that_do_not_fit(cli, build, vectors, dump):
    output = dump / NECK_FOLDER / "output.mem"
    whole = output.read_text()
    shape = "[48, 10, 10]"
    for text, message in (
        (
            whole[:-3],
            f"{output} holds 4,799 words; {shape} at 1 channels per word needs 4,800",
        ),
        (
            "xx" + whole[2:],
            f"{output}: word 0 is 'xx', with undriven bits; reset or drive them",
        ),
        (
            "123" + whole[2:],
            f"{output}: word 0 is '123', 3 digits; limit 2",
        ),
    ):
        output.write_text(text)
        done = cli("compare", build, dump)
        assert (done.code, done.error) == (1, message)
    output.unlink()
    array = dump / NECK_FOLDER / "output.npy"
    np.save(array, np.zeros((48, 10, 9), np.uint8))
    done = cli("compare", build, dump)
    assert done.error == f"{array} holds uint8 [48, 10, 9]; needed integers {shape}"
    np.save(array, np.zeros((48, 10, 10), np.float32))
    done = cli("compare", build, dump)
    assert done.error == f"{array} holds float32 [48, 10, 10]; needed integers {shape}"
    array.write_bytes(b"no")
    done = cli("compare", build, dump)
    assert done.error.startswith(f"{array} cannot be read as .npy: ")


def test_folders_that_do_not_fit(cli, build, vectors, dump, tmp_path):
    lost = tmp_path / "lost"
    done = cli("compare", build, lost)
    assert done.error == f"{lost} is no folder; dump to FOLDER/<node>/output.mem or output.npy"
    lost.mkdir()
    done = cli("compare", build, lost)
    assert done.error == (
        f"{lost} has nothing to compare; dump to {lost}/<node>/output.mem or output.npy with "
        f"<node> as in the vectors folder: {NECK_FOLDER}, {HEAD_FOLDER}"
    )
    (dump / NECK_FOLDER).rename(dump / "model9")
    done = cli("compare", build, dump)
    assert (done.code, done.error) == (
        1,
        f"{dump / 'model9'} belongs to no node of {vectors}; there are: {NECK_FOLDER}, "
        f"{HEAD_FOLDER}; write its vectors too or remove it",
    )


def test_damaged_vectors(cli, build, vectors, dump):
    manifest = vectors / HEAD_FOLDER / "vector.json"
    whole = manifest.read_text()
    manifest.write_text(whole.replace('"position"', '"place"'))
    done = cli("compare", build, dump)
    assert done.error == f"{manifest} is damaged; write the vectors again with --force"
    manifest.write_text(whole)
    golden = vectors / HEAD_FOLDER / "output.npy"
    golden.write_bytes(golden.read_bytes()[:1000])
    done = cli("compare", build, dump)
    assert done.error.startswith(f"{golden} cannot be read (")
    assert done.error.endswith("); write the vectors again with --force")


def test_refusals_leave_nothing(cli, build, tmp_path, tree):
    done = cli("compare", build, tmp_path)
    assert done.error == (
        f"{build} has no vectors yet; run 'nibbleflow vectors {build} --image X' first"
    )
    before = tree(build)
    lost = tmp_path / "lost.png"
    done = cli("vectors", build, "--image", lost)
    assert done.error == f"image {lost} does not exist; give the path of a file"
    done = cli("vectors", build, "--nodes", HEAD, "--channels-per-beat", 5)
    assert done.error == ("48 channels are not a multiple of 5 channels per beat; choose a divisor")
    frames = build / "float" / "frames.npy"
    whole = frames.read_bytes()
    frames.write_bytes(whole[:2000])
    done = cli("vectors", build)
    assert done.error.startswith(f"{frames} cannot be read (")
    assert done.error.endswith("); quantize again")
    frames.write_bytes(whole)
    assert tree(build) == before


def test_existing_vectors_need_force(cli, build, vectors, tree):
    before = tree(vectors)
    done = cli("vectors", build, "--nodes", NECK)
    assert done.error == f"{vectors} exists already; give --force to replace it"
    assert tree(vectors) == before
    assert cli("vectors", build, "--nodes", NECK, "--force").code == 0
    assert [p.name for p in vectors.iterdir()] == [NECK_FOLDER]
