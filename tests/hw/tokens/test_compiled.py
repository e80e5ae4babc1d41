# SPDX-License-Identifier: Apache-2.0
"""Compiled functions: kept in a folder named by all sources, and usable without one."""

import numba
import numpy as np

from hw.tokens import compiled as module


def double(values):
    for index in range(values.size):
        values[index] *= 2


def test_code_is_kept_in_a_folder_named_by_the_sources(tmp_path, monkeypatch):
    monkeypatch.setenv("NIBBLEFLOW_CACHE", str(tmp_path))
    before = numba.config.CACHE_DIR
    values = np.arange(3)
    module.compiled(double)(values)
    assert values.tolist() == [0, 2, 4]
    (folder,) = tmp_path.iterdir()
    assert folder.name == f"numba-{module.sources_digest()}"
    assert list(folder.rglob("*.nbi"))
    assert before == numba.config.CACHE_DIR


def test_without_a_cache_every_process_compiles(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    monkeypatch.setenv("NIBBLEFLOW_CACHE", str(blocked))
    values = np.arange(3)
    module.compiled(double)(values)
    assert values.tolist() == [0, 2, 4]
    assert blocked.read_text() == "no folder"
