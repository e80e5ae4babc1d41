# SPDX-License-Identifier: Apache-2.0
from reports.bench.kept import sources_digest


def test_the_digest_sees_every_source(tmp_path):
    for name in ("hw", "sim"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.py").write_text("x")
    before = sources_digest(tmp_path, ("hw", "sim"))
    assert sources_digest(tmp_path, ("hw",)) != before
    (tmp_path / "hw" / "__pycache__").mkdir()
    (tmp_path / "hw" / "__pycache__" / "a.pyc").write_text("y")
    assert sources_digest(tmp_path, ("hw", "sim")) == before
    (tmp_path / "hw" / "b.sv").write_text("z")
    assert sources_digest(tmp_path, ("hw", "sim")) != before
    one = sources_digest(tmp_path, ("hw/b.sv",))
    (tmp_path / "hw" / "a.py").write_text("changed")
    assert sources_digest(tmp_path, ("hw/b.sv",)) == one
    (tmp_path / "hw" / "b.sv").write_text("changed")
    assert sources_digest(tmp_path, ("hw/b.sv",)) != one
