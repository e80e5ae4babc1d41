# SPDX-License-Identifier: Apache-2.0
"""Classes out of logits, labels out of a file, top-1 and top-5 out of both."""

import json
import re

import cv2
import numpy as np
import pytest

from quant.errors import GraphError, InputFileError, UnsupportedLayerError
from quant.hostspec import HostSpec
from sim.host import (
    LabelledImage,
    best_classes,
    class_logits,
    read_labels,
    softmax,
    top1,
    top_accuracy,
)


def host(decode="classify", outputs=(("logits",),)):
    return HostSpec(
        8, 8, "squash", 0, "rgb", (0.0, 0.0, 0.0), (255.0,) * 3, decode, (), (), outputs, ()
    )


def write(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.zeros((4, 4, 3), np.uint8))


def test_logits_are_the_one_output():
    values = np.array([1.5, -2.0, 0.25], np.float32).reshape(3, 1, 1)
    assert class_logits({"logits": values}, host()).tolist() == [1.5, -2.0, 0.25]


@pytest.mark.parametrize(
    ("outputs", "spec", "error", "message"),
    [
        (
            {"logits": np.zeros((3, 1, 1))},
            host("none"),
            UnsupportedLayerError,
            "decode kind 'none' has no classes; quantize with --decode classify",
        ),
        (
            {"a": np.zeros((3, 1, 1)), "b": np.zeros((3, 1, 1))},
            host(outputs=(("a",), ("b",))),
            GraphError,
            "a classifier has one output; the host spec reads ['a', 'b'], the network gave "
            "['a', 'b']; choose one with --outputs",
        ),
        (
            {"logits": np.zeros((3, 2, 2))},
            host(),
            GraphError,
            "classifier output 'logits' is [3, 2, 2]; need [classes, 1, 1]",
        ),
        (
            {"logits": np.full((3, 1, 1), np.nan)},
            host(),
            GraphError,
            "classifier output 'logits' is not finite; check the model",
        ),
    ],
)
def test_refused_logits(outputs, spec, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        class_logits(outputs, spec)


def test_best_classes_break_ties_by_index():
    logits = np.array([0.0, 3.0, -1.0, 3.0, 2.0, 2.0, 3.0], np.float32)
    assert best_classes(logits).tolist() == [1, 3, 6, 4, 5]
    assert best_classes(logits, 1).tolist() == [1]
    assert top1(logits) == 1
    assert best_classes(logits[:2]).tolist() == [1, 0]


def test_softmax_of_huge_logits():
    assert softmax(np.array([1e30, 0.0], np.float32)).tolist() == [1.0, 0.0]
    assert softmax(np.zeros(4, np.float32)).tolist() == [0.25] * 4


def test_top_accuracy_counts(tmp_path):
    images = [LabelledImage(tmp_path, label) for label in (3, 1, 9, 5)]
    best = [np.array(b) for b in ([3, 0, 1, 2, 4], [0, 2, 3, 4, 1], [0, 1, 2, 3, 4], [5, 1, 2])]
    accuracy = top_accuracy(images, best)
    assert (accuracy.images, accuracy.top1, accuracy.top5) == (4, 50.0, 75.0)
    with pytest.raises(GraphError, match="0 results for 0 labelled images"):
        top_accuracy([], [])


def test_names_relative_to_the_folder_or_the_one_above(tmp_path):
    write(tmp_path, "set/b.png", "set/a.png", "other/a.png")
    inside = tmp_path / "inside.json"
    inside.write_text(json.dumps({"b.png": 7, "a.png": 2}))
    above = tmp_path / "above.json"
    above.write_text(json.dumps({"set/b.png": 7, "set/a.png": 2, "other/a.png": 5}))
    wanted = [("a.png", 2), ("b.png", 7)]
    for labels in (inside, above):
        found = read_labels(labels, tmp_path / "set")
        assert [(i.path.name, i.label) for i in found] == wanted
    both = read_labels(above, tmp_path)
    assert [str(i.path.relative_to(tmp_path)) for i in both] == [
        "other/a.png",
        "set/a.png",
        "set/b.png",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "are not readable JSON: "),
        ("[1]", "must be a JSON object of file name to class index"),
        ("{}", "must be a JSON object of file name to class index"),
        ('{"a.png": "cat"}', "'a.png' has class 'cat'; need a whole number from 0"),
        ('{"a.png": -1}', "'a.png' has class -1; need a whole number from 0"),
        ('{"a.png": true}', "'a.png' has class True; need a whole number from 0"),
        ('{"lost.png": 1}', "lost.png, which does not exist (1 in all); give the folder"),
        ('{"a.png": 1}', "b.png has no label in"),
    ],
)
def test_refused_labels(tmp_path, content, message):
    write(tmp_path, "set/a.png", "set/b.png")
    labels = tmp_path / "labels.json"
    labels.write_text(content)
    with pytest.raises(InputFileError, match=re.escape(message)):
        read_labels(labels, tmp_path / "set")


def test_missing_labels_and_folder(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputFileError, match=r"no\.json do not exist; give a JSON file"):
        read_labels(tmp_path / "no.json", tmp_path / "empty")
    with pytest.raises(InputFileError, match="is not a folder; give an existing one"):
        read_labels(tmp_path / "no.json", tmp_path / "lost")
