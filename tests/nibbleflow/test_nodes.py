# SPDX-License-Identifier: Apache-2.0
"""Which nodes --nodes means; which images a verb reads."""

import numpy as np
import pytest

from nibbleflow.nodes import choose_convs, choose_nodes
from nibbleflow.pictures import Pictures, load_frames
from quant.errors import GraphError, InputFileError
from quant.nodes import Conv, Input, Output
from quant.samples import sample_graph


@pytest.fixture(scope="module")
def graph():
    return sample_graph(1)


def test_all(graph):
    chosen = choose_nodes(graph, "all")
    assert [type(n) for n in chosen if isinstance(n, Input | Output)] == []
    assert len(chosen) == len(graph.nodes) - 1 - len(graph.outputs)
    assert choose_nodes(graph, "all-convs") == graph.convs
    assert choose_convs(graph, "all") == graph.convs


def test_names(graph):
    first, second = graph.convs[:2]
    text = f" {second.name}, {first.name},{second.name}"
    assert choose_nodes(graph, text) == (second, first)  # in the user's order, each once
    assert choose_convs(graph, text) == (second, first)


def test_refused(graph):
    other = next(n for n in graph.nodes if not isinstance(n, Conv | Input | Output))
    with pytest.raises(InputFileError) as caught:
        choose_convs(graph, f"{graph.convs[0].name},{other.name}")
    assert str(caught.value).startswith(
        f"'{other.name}' is a node of kind {type(other).__name__.lower()}; "
    )
    with pytest.raises(GraphError, match=r"^no node is called 'nope'; there are: "):
        choose_nodes(graph, "nope")
    with pytest.raises(InputFileError):
        choose_nodes(graph, "")


def test_generated_pictures_are_the_same_each_time():
    pictures = Pictures((), 3, (96, 128))
    first, second = list(pictures), list(pictures)
    assert len(pictures) == len(first) == 3
    assert all(p.shape == (96, 128, 3) for p in first)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert not np.array_equal(first[0], first[1])


def test_folders_and_files(images):
    both = Pictures([images, images / "1.jpg"], None, (8, 8))
    assert len(both) == len(list(both)) == 4
    shown = list(both)
    assert np.array_equal(shown[1], shown[3])
    assert len(Pictures([images], 2, (8, 8))) == 2
    assert len(Pictures([images], 20, (8, 8))) == 3


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((0, 4, 4, 3), np.uint8),
        np.zeros((2, 4, 4, 3), np.float32),
        np.zeros((4, 4, 3), np.uint8),
    ],
)
def test_foreign_frames(tmp_path, array):
    path = tmp_path / "frames.npy"
    np.save(path, array)
    with pytest.raises(InputFileError) as caught:
        load_frames(path)
    assert str(caught.value) == f"{path} holds {array.dtype} {array.shape}; quantize again"
