# SPDX-License-Identifier: Apache-2.0
"""FIFO plans and cycles as JSON: there and back, and what is refused."""

import json
import re

import pytest

from hw.fifo_depths import planning_parts
from hw.network_cycles import network_cycles
from hw.plan_network import plan_network
from hw.planning import complete_schedule
from hw.planstore import parse_plan, plan_value
from quant.errors import InputFileError
from quant.samples import sample_graph


@pytest.fixture(scope="module")
def found():
    """Return a plan, its cycles, and how often its progress was told."""
    graph = sample_graph(1)
    calls = []
    plan = complete_schedule(
        graph,
        plan_network(graph, target_interval_cycles=3000),
        progress=lambda: calls.append(1),
    )
    assert len(calls) == planning_parts(graph)
    cycles = network_cycles(graph, plan.schedule, plan.fifos.alone)
    assert cycles == network_cycles(graph, plan.schedule)
    return plan.fifos, cycles


def test_there_and_back(found):
    fifos, cycles = found
    value = json.loads(json.dumps(plan_value(fifos, cycles)))
    again, cycles_again = parse_plan(value, "fifos.json")
    assert cycles_again == cycles
    assert again.rows == fifos.rows
    assert again.minimal.proof == fifos.minimal.proof
    assert dict(again.minimal.depths) == dict(fifos.minimal.depths)
    assert again.minimal.stalls
    assert dict(again.minimal.stalls) == dict(fifos.minimal.stalls)
    assert dict(again.throughput.depths) == dict(fifos.throughput.depths)
    assert again.throughput.reason == fifos.throughput.reason
    assert again.alone == fifos.alone


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"rows": 3}, "'int' object is not iterable"),
        ({"proof": {}}, r"FrameProof\.__init__\(\) missing 5 required positional arguments: .*"),
        ({"stalls": [{"key": ["a"], "waits": []}]}, r"not enough values to unpack .*"),
        ({"cycles": {"nodes": {}}}, r"NetworkCycles\.__init__\(\) missing 4 .*"),
    ],
)
def test_damaged(found, change, reason):
    value = plan_value(*found) | change
    whole = rf"fifos\.json is no plan of a network \({reason}\); remove it"
    with pytest.raises(InputFileError, match=re.compile(f"^{whole}$")):
        parse_plan(value, "fifos.json")
