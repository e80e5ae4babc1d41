# SPDX-License-Identifier: Apache-2.0
"""Paired intervals, average precision by image, and what the calibration benchmark runs."""

import json
import tomllib

import numpy as np
import pytest

from quant.errors import InputFileError
from reports.bench import ablations, calibration
from reports.bench.ablations import MERGED, TASKS, Run
from reports.bench.bootstrap import MeanScores, difference, mean_score
from reports.bench.calibrated import FULL, SMALL
from reports.bench.imagewise import _matches, read_boxes, read_figures
from reports.bench.runner import Runner
from reports.bench.subjects import DEMO, MOBILEONE_SUBJECT
from sim.host import Detections, evaluate, matched, read_dataset

CLASSES = ("cat", "dog")


@pytest.fixture
def scene(tmp_path):
    """Seven labelled images and detections that are right, shifted, doubled or missing."""
    rng = np.random.default_rng(3)
    images, boxes, found = [], [], {}
    for number in range(1, 8):
        (tmp_path / f"{number}.png").write_bytes(b"")
        images.append({"id": number, "file_name": f"{number}.png", "width": 100, "height": 100})
        rows, labels = [], []
        for _ in range(3):
            x, y = rng.uniform(0, 60, 2)
            w, h = rng.uniform(10, 40, 2)
            kind = int(rng.integers(0, 2))
            boxes.append(
                {
                    "id": len(boxes) + 1, "image_id": number, "category_id": kind + 1,
                    "bbox": [x, y, w, h], "area": w * h, "iscrowd": int(rng.random() < 0.1),
                }
            )  # fmt: skip
            for _ in range(int(rng.integers(0, 3))):
                dx, dy = rng.normal(0, 3, 2)
                rows.append([x + dx, y + dy, x + w + dx, y + h + dy])
                labels.append(kind)
        order = np.sort(rng.random(len(rows)))[::-1]
        found[number] = Detections(
            np.array(rows, np.float32).reshape(-1, 4),
            order.astype(np.float32),
            np.array(labels, np.int64),
        )
    file = tmp_path / "instances.json"
    names = [{"id": i + 1, "name": name} for i, name in enumerate(CLASSES)]
    file.write_text(json.dumps({"images": images, "annotations": boxes, "categories": names}))
    return read_dataset(file, tmp_path), found


def scores_of(dataset, found):
    scorer = matched(dataset, found, CLASSES)
    text = json.dumps(_matches(scorer.evalImgs, len(scorer.params.catIds), len(found)))
    return read_boxes(json.loads(text))


def test_every_image_once_is_pycocotools_map(scene):
    dataset, found = scene
    scores = scores_of(dataset, found)
    assert scores.images == 7
    wanted = evaluate(dataset, found, CLASSES).map
    assert 5.0 < wanted < 95.0
    assert abs(scores.total(np.ones(7)) - wanted) < 1e-9


def test_an_image_that_counts_not_is_not_there(scene):
    dataset, found = scene
    counts = np.array([1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0])
    few = {number: d for number, d in found.items() if counts[number - 1]}
    wanted = evaluate(dataset, few, CLASSES).map
    assert abs(scores_of(dataset, found).total(counts) - wanted) < 1e-9


def figures(seed, shift):
    return MeanScores(np.random.default_rng(seed).normal(shift, 1.0, 400))


def test_a_paired_gain_is_seen_where_the_figures_alone_hide_it():
    base = [figures(seed, 0.0) for seed in range(3)]
    better = [MeanScores(one.values + 0.05) for one in base]
    told = difference(better, base)
    assert told.holds
    assert abs(told.mean - 0.05) < 1e-12
    assert abs(told.low - 0.05) < 1e-9
    assert abs(told.high - 0.05) < 1e-9
    assert not difference(base, better).holds


def test_noise_alone_holds_no_claim():
    told = difference([figures(s, 0.0) for s in (1, 2, 3)], [figures(s, 0.0) for s in (4, 5, 6)])
    assert told.low < 0.0 < told.high
    assert not told.holds
    # Three seeds of 400 images: a deviation of about 1 / sqrt(600).
    assert 0.02 < (told.high - told.low) / 4.0 < 0.09


def test_seeds_are_drawn_too():
    """One seed in three that fails must not look certain."""
    first = [MeanScores(np.full(50, value)) for value in (1.0, 1.0, -3.0)]
    second = [MeanScores(np.zeros(50)) for _ in range(3)]
    told = difference(first, second)
    assert told.low < -1.0 < 0.9 < told.high
    assert mean_score(first) == pytest.approx(-1.0 / 3.0)


def test_classifiers_have_two_figures():
    found = {"agrees": [1, 0, 1, 1], "error": [0.1, 0.2, 0.3, 0.4]}
    assert read_figures(found, "agrees").total(np.ones(4)) == 0.75
    assert read_figures(found, "error").total(np.array([0.0, 2.0, 0.0, 0.0])) == 0.2


def test_recipes_are_written_at_the_scopes_size(tmp_path):
    runner = Runner(tmp_path, tmp_path / "s", say=lambda line: None)
    assert SMALL.recipe(runner, "rtn") == "rtn"
    assert FULL.recipe(runner, "best") == "best"
    content = tomllib.loads(runner.path(SMALL.recipe(runner, "taskq")).read_text())
    assert [s["kind"] for s in content["stage"]] == ["gptq", "taskq"]
    assert content["stage"][1]["steps"] == SMALL.steps
    own = SMALL.file(runner, "x", (("repapq", {"qprep": False, "error": "mse", "seed": 2}),))
    stage = tomllib.loads(runner.path(own).read_text())["stage"][0]
    assert (stage["qprep"], stage["error"], stage["seed"]) == (False, "mse", 2)


@pytest.mark.parametrize("each", [*MERGED, *TASKS], ids=lambda each: each.claim)
@pytest.mark.parametrize("on", [True, False])
def test_variants_differ_in_one_part_and_are_recipes(tmp_path, monkeypatch, each, on):
    from quant.ptq.recipes.recipe import recipe_of

    lines = []

    def fake(self, program, shown, arguments, label, settings):
        lines.append(arguments)
        self.commands.append(label)
        return {"images": 2, "classes": [], "agrees": [1, 0], "error": [0.5, 0.25]}

    monkeypatch.setattr(Runner, "_run", fake)
    runner = Runner(tmp_path, tmp_path / "s", say=lambda line: None)
    runs = Run(runner, SMALL, "digest")
    subject = DEMO if each.kind == "taskq" else MOBILEONE_SUBJECT
    found = runs.results(subject, (6, 6), each, 2, on=on)
    assert found[next(iter(found))].images == 2
    made = lines[0]
    stages = recipe_of(str(runner.path(made[made.index("--recipe") + 1]))).stages
    assert stages[1].seed == 2
    for key, value in each.fields.items():
        assert (getattr(stages[1], key) == value) != on
    assert all((word in made) != on for word in each.without)
    again = len(lines)
    runs.results(subject, (6, 6), each, 2, on=on)
    assert len(lines) == again  # kept


def test_the_scope_is_one_of_two(tmp_path, monkeypatch):
    monkeypatch.setenv(calibration.SCOPE, "tiny")
    with pytest.raises(InputFileError) as caught:
        calibration.run(Runner(tmp_path, tmp_path / "s", say=lambda line: None))
    assert str(caught.value) == ("NIBBLEFLOW_CALIBRATION=tiny is unknown; choose full or small")


def test_a_claim_holds_only_above_zero(tmp_path, monkeypatch):
    runner = Runner(tmp_path, tmp_path / "s", say=lambda line: None)
    values = {True: 0.6, False: 0.5}
    monkeypatch.setattr(
        Run,
        "results",
        lambda self, subject, bits, each, seed, on: {"m": MeanScores(np.full(9, values[on]))},
    )
    rows = ablations.all_ablations(Run(runner, SMALL, "d"))
    assert [row["claim"] for row in rows] == [each.claim for each in (*TASKS, *MERGED)]
    assert all(row["holds"] is True for row in rows)
    values[False] = 0.6
    assert not any(row["holds"] for row in ablations.all_ablations(Run(runner, SMALL, "d")))
