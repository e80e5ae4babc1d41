# SPDX-License-Identifier: Apache-2.0
"""Rows of the bench of a front: one per plan, and nothing kept from an earlier run."""

from reports.bench import front
from reports.bench.runner import Runner


def test_a_row_per_plan_of_a_fresh_front(tmp_path, monkeypatch):
    runner = Runner(tmp_path, tmp_path / "scratch", say=print)
    old = tmp_path / "scratch" / "front" / "old.json"
    old.parent.mkdir()
    old.write_text("{}")
    calls = []

    def nibbleflow(_self, verb, *arguments):
        calls.append((verb, *map(str, arguments)))
        assert not old.exists()
        figures = {key: number for number, key in enumerate(front.FIGURES)}
        plan = {"bits": "W4A8", "scheme": "affine", "optimal": True, "sqnr_db": 23.5, **figures}
        return {"plans": [plan, plan | {"fps": 9.5, "optimal": False}]}

    monkeypatch.setattr(Runner, "nibbleflow", nibbleflow)
    rows = front.run(runner)
    assert [(row["fps"], row["cheapest_proved"]) for row in rows] == [(0, True), (9.5, False)]
    assert {(row["board"], row["bits"], row["sqnr_db"]) for row in rows} == {
        ("kv260", "W4A8", 23.5)
    }
    (call,) = calls
    assert call[:4] == ("explore", "demo", "--variants", ",".join(front.VARIANTS))
    assert len(front.VARIANTS) >= 3
