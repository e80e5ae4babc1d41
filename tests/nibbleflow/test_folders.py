# SPDX-License-Identifier: Apache-2.0
"""Folders and files appear whole or not at all."""

import pytest

from nibbleflow.folders import BuildFolder, whole_folder, write_whole
from quant.errors import InputFileError


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def test_folder_appears_at_the_end(tmp_path):
    target = tmp_path / "deep" / "build"
    with whole_folder(target, force=False) as partial:
        (partial / "file").write_text("new")
        assert not target.exists()
    assert names(tmp_path / "deep") == ["build"]
    assert names(target) == ["file"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_failure_leaves_nothing(tmp_path, error):
    def fail():
        with whole_folder(tmp_path / "build", force=False) as partial:
            (partial / "file").write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert names(tmp_path) == []


def test_old_folder_stays_until_the_new_one_is_whole(tmp_path):
    target = tmp_path / "build"
    target.mkdir()
    (target / "old").write_text("kept")
    with pytest.raises(ValueError, match="stop"), whole_folder(target, force=True):
        raise ValueError("stop")
    assert names(target) == ["old"]
    with whole_folder(target, force=True) as partial:
        (partial / "new").write_text("")
        assert names(target) == ["old"]
    assert names(target) == ["new"]
    assert names(tmp_path) == ["build"]


def test_existing_needs_force(tmp_path):
    with (
        pytest.raises(InputFileError) as caught,
        whole_folder(tmp_path, force=False),
    ):
        pytest.fail("must not run")
    assert str(caught.value) == f"{tmp_path} exists already; give --force to replace it"


def test_file_appears_whole(tmp_path):
    target = tmp_path / "deep" / "file.json"
    write_whole(target, "ä\n")
    assert target.read_bytes() == "ä\n".encode()
    write_whole(target, "new")
    assert target.read_text() == "new"
    assert names(target.parent) == ["file.json"]


def test_file_that_cannot_be_written(tmp_path):
    target = tmp_path / "folder"
    target.mkdir()
    with pytest.raises(InputFileError) as caught:
        write_whole(target, "text")
    assert str(caught.value).startswith(f"cannot write {target} (")
    assert names(tmp_path) == ["folder"]


def test_places_of_a_build(tmp_path):
    build = BuildFolder(tmp_path)
    places = (build.bundle, build.floats, build.rtl, build.hls, build.vectors, build.sim)
    assert [p.name for p in places] == ["bundle", "float", "rtl", "hls", "vectors", "sim"]
    assert build.frames == tmp_path / "float" / "frames.npy"
    with pytest.raises(InputFileError, match="is not a build folder"):
        BuildFolder.existing(tmp_path)
    build.bundle.mkdir()
    assert BuildFolder.existing(str(tmp_path)) == build
