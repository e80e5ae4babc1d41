# SPDX-License-Identifier: Apache-2.0
"""The TOML of a run: what is written is read, what was edited badly is refused."""

from pathlib import Path

import pytest

from nibbleflow.repeat import VERBS, read_run, write_run
from quant.errors import InputFileError

GIVEN = {
    "model": 'a "quoted" \\ name\nand ü',
    "output": Path("relative/build"),
    "calib": [Path("one"), Path("/two")],
    "weight_bits": 4,
    "percentile": 99.99,
    "bias_correction": True,
    "layers": [],
    "image_size": (96, 128),
    "limit": None,
}


def test_round_trip(tmp_path):
    file = tmp_path / "quantize.run.toml"
    write_run(file, "quantize", GIVEN)
    verb, given = read_run(file)
    assert verb == "quantize"
    assert given == {
        "model": GIVEN["model"],
        "output": str(Path("relative/build").resolve()),
        "calib": [str(Path("one").resolve()), "/two"],
        "weight_bits": 4,
        "percentile": 99.99,
        "bias_correction": True,
        "layers": [],
        "image_size": [96, 128],
    }


def test_no_toml_form(tmp_path):
    with pytest.raises(TypeError, match=r"^dict has no TOML form here$"):
        write_run(tmp_path / "x.toml", "check", {"model": {}})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[report\n", "{file} cannot be read as TOML: "),
        ("", f"{{file}} must have one table named after a verb ({', '.join(VERBS)}), not nothing"),
        (
            "[fly]\nbuild = 'x'\n",
            f"{{file}} must have one table named after a verb ({', '.join(VERBS)}), not fly",
        ),
        ("report = 3\n", "{file}: 'report' must be a table of arguments"),
        (
            "[report]\nbuilt = 'x'\n",
            "{file}: 'report' takes no 'built'; it takes build, vendor, fps, board, clock_mhz, "
            "max_macs, core, stream_weights",
        ),
        ("[report]\nbuild = 3\n", "{file}: 'build' of 'report' is 3, which is of no use"),
        ("[report]\n", "{file}: 'report' needs 'build'; add the line"),
        (
            "[evaluate]\nbuild = 'x'\nlimit = 'two'\n",
            "{file}: 'limit' of 'evaluate' is 'two', which is of no use",
        ),
        (
            "[evaluate]\nbuild = 'x'\nengines = ['float', 1]\n",
            "{file}: 'engines' of 'evaluate' is ['float', 1], which is of no use",
        ),
        (
            "[quantize]\nmodel = 'demo'\noutput = 'x'\nforce = 1\n",
            "{file}: 'force' of 'quantize' is 1, which is of no use",
        ),
    ],
)
def test_edited_badly(cli, tmp_path, text, message):
    file = tmp_path / "x.run.toml"
    file.write_text(text)
    done = cli("repeat", file)
    assert done.code == 1
    expected = message.format(file=file)
    assert done.error.startswith(expected) if expected.endswith(": ") else done.error == expected
    assert [p.name for p in tmp_path.iterdir()] == ["x.run.toml"]


def test_missing(cli, tmp_path):
    done = cli("repeat", tmp_path / "lost.toml")
    assert done.code == 1
    assert done.error.startswith(f"{tmp_path / 'lost.toml'} cannot be read as TOML: ")
    with pytest.raises(InputFileError):
        read_run(tmp_path)


def test_every_verb_with_a_build_repeats(cli, build, picture):
    runs = {
        "detect": (picture,),
        "vectors": ("--nodes", "model.9.conv", "--image", picture),
        "evaluate": ("--limit", 1),
        "compare": (build / "vectors",),
    }
    for verb, options in runs.items():
        assert cli(verb, build, *options).code == 0
        file = build / f"{verb}.run.toml"
        text = file.read_text()
        assert text.startswith(f"# Repeat with: nibbleflow repeat FILE\n[{verb}]\n")
        done = cli("repeat", file, "--force")
        assert done.code == 0, (verb, done.err)
        changed = text.replace("force = false", "force = true")
        assert file.read_text() == changed
