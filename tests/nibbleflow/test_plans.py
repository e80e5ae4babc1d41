# SPDX-License-Identifier: Apache-2.0
"""The plan kept in a build: used when it is the right one, else made anew."""

import json
import re
from dataclasses import replace

import pytest

from nibbleflow.folders import BuildFolder
from nibbleflow.foldings import Aim
from nibbleflow.plans import network_plan
from quant.errors import GraphError, InputFileError
from quant.samples import sample_graph

GRAPH = sample_graph(1)
SMALL = Aim(max_macs=24)


def planned(folder, aim, graph=GRAPH, **options):
    """Return the plan and what was said of it."""
    said = []
    plan = network_plan(folder, graph, aim, say=said.append, **options)
    return plan, said


def test_kept_and_used_again(tmp_path):
    folder = BuildFolder(tmp_path)
    first, said = planned(folder, SMALL)
    assert said == ["planned anew"]
    again, said = planned(folder, SMALL)
    assert said == [f"plan of {tmp_path / 'schedule.json'}"]
    assert again.schedule.fifo_depth == first.schedule.fifo_depth != {}
    assert again.cycles == first.cycles
    assert again.fifos.rows == first.fifos.rows


def test_another_aim_or_graph_plans_anew(tmp_path):
    folder = BuildFolder(tmp_path)
    planned(folder, SMALL)
    kept = folder.schedule.read_text()
    large, said = planned(folder, Aim(max_macs=96))
    other = f"planned anew; {folder.schedule} is for another aim or version"
    assert said == [other]
    assert folder.schedule.read_text() == kept
    assert planned(folder, SMALL, sample_graph(2))[1] == [other]
    _, said = planned(folder, Aim(max_macs=96), replace_saved=True)
    assert said == ["planned anew"]
    assert folder.schedule.read_text() != kept
    assert planned(folder, Aim(max_macs=96))[0].cycles == large.cycles


def test_layers_whose_weights_come_from_outside_are_part_of_the_aim(tmp_path):
    folder = BuildFolder(tmp_path)
    inside, _ = planned(folder, SMALL)
    names = [conv.name for conv in GRAPH.convs[:2]]
    aim = replace(SMALL, stream_weights=f"{names[0]}, {names[1]},{names[0]}")
    assert aim.options == f" --max-macs 24 --stream-weights '{names[0]}, {names[1]},{names[0]}'"
    outside, said = planned(folder, aim, replace_saved=True)
    assert said == ["planned anew"]
    assert outside.schedule.memory == {
        **inside.schedule.memory, **dict.fromkeys((f"{n}.weights" for n in names), "external")
    }  # fmt: skip
    assert outside.cycles == inside.cycles
    # Kept, read again, and used by verbs that name no aim.
    for again in (aim, Aim()):
        kept, said = planned(folder, again)
        assert said == [f"plan of {tmp_path / 'schedule.json'}"]
        assert kept.schedule.memory == outside.schedule.memory


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (" , ", "--stream-weights is empty; write NAME,… of layers with weights"),
        (
            "pool",
            "--stream-weights: 'pool' is a node of kind maxpool, which has no weights; name "
            "convolutions and linear layers",
        ),
    ],
)
def test_only_layers_have_weights_to_stream(tmp_path, names, message):
    with pytest.raises(InputFileError) as caught:
        planned(BuildFolder(tmp_path), replace(SMALL, stream_weights=names))
    assert str(caught.value) == message
    with pytest.raises(GraphError, match=r"^no node is called 'gone'; there are: "):
        planned(BuildFolder(tmp_path), replace(SMALL, stream_weights="gone"))


@pytest.mark.parametrize("key", ["graph_digest", "schedule_digest", "planner_digest"])
def test_a_plan_of_other_origin_is_not_used(tmp_path, key):
    folder = BuildFolder(tmp_path)
    planned(folder, SMALL)
    value = json.loads(folder.fifos.read_text())
    folder.fifos.write_text(json.dumps(value | {key: "0" * 64}))
    assert planned(folder, SMALL)[1][0].startswith("planned anew")


def test_a_damaged_plan_is_refused(tmp_path):
    folder = BuildFolder(tmp_path)
    planned(folder, SMALL)
    value = json.loads(folder.fifos.read_text())
    folder.fifos.write_text("{")
    whole = rf"{re.escape(str(folder.fifos))} cannot be read \(Expecting .*\); remove it"
    with pytest.raises(InputFileError, match=f"^{whole}$"):
        planned(folder, SMALL)
    for key in ("seconds", "device"):
        folder.fifos.write_text(json.dumps({k: v for k, v in value.items() if k != key}))
        whole = rf"{re.escape(str(folder.fifos))} has no {key} \('{key}'\); remove it"
        with pytest.raises(InputFileError, match=f"^{whole}$"):
            planned(folder, SMALL)
