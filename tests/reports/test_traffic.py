# SPDX-License-Identifier: Apache-2.0
"""What weights from outside take of a board's bandwidth, in words and numbers."""

from dataclasses import replace
from io import StringIO

from rich.console import Console

from hw.devices import DEVICES
from hw.network import build_network
from hw.traffic import Traffic, WeightTraffic, network_traffic, picture_bytes
from reports.hardware import network_estimate
from reports.page.hardware import traffic_blocks
from reports.traffic import TrafficFigures, traffic_parts, traffic_values
from sim.verify.small_graphs import small_graph

PART = WeightTraffic("deep", "s_axis_weights_0", 12, 100, 7)
FIGURES = TrafficFigures(Traffic(600, (PART,)), 1000, 200_000_000, DEVICES["kv260"])


def shown(figures):
    console = Console(width=120, file=StringIO())
    for part in traffic_parts(figures):
        console.print(part)
    return console.file.getvalue()


def test_bytes_of_a_word_a_round_and_a_frame():
    assert (PART.word_bytes, PART.memory_bytes, PART.frame_bytes) == (2, 200, 1400)
    assert FIGURES.traffic.frame_bytes == 2000
    assert FIGURES.rate(1) == 200_000


def test_a_network_moves_its_words_picture_and_results():
    graph, schedule = small_graph("streamed")
    network = build_network(graph, schedule)
    found = network_traffic(network)
    assert [(p.node, p.port) for p in found.weights] == list(network.weight_ports.items())
    for part in found.weights:
        assert part.frame_bytes == network.cells[part.node].streamed.frame_bytes
    # Codes of one byte at most: a picture of 4 channels, results of 6.
    assert found.picture_bytes == picture_bytes(graph) == 4 * 6 * 7 + 6 * 6 * 7
    estimate = network_estimate(graph, schedule)
    assert estimate.traffic == found
    stored = replace(schedule, memory={})
    assert network_estimate(graph, stored).traffic == Traffic(found.picture_bytes)


def test_shares_of_a_board():
    assert FIGURES.verdict == (
        "400.0 MB/s in all at the planned speed, as long as no stream of weights waits: 2.1 % of "
        "the 19,200 MB/s of kv260."
    )
    assert replace(FIGURES, device=None).verdict.endswith("as long as no stream of weights waits.")
    text = shown(FIGURES)
    assert "weights from outside: none of them on the chip" in text
    assert "280.0" in text
    assert "120.0" in text
    assert traffic_values(FIGURES) == {
        "weights": [
            {
                "layer": "deep",
                "port": "s_axis_weights_0",
                "bytes_on_chip": 0,
                "bytes_in_memory": 200,
                "bytes_per_word": 2,
                "repeats": 7,
                "bytes_per_frame": 1400,
                "bytes_per_second": 280_000_000,
            }
        ],
        "picture_bytes_per_frame": 600,
        "bytes_per_second": 400_000_000,
        "board_bytes_per_second": 19_200_000_000,
    }


def test_a_board_without_memory_and_one_that_is_too_slow():
    none = replace(DEVICES["kv260"], name="bare", external_bytes_per_second=0)
    assert replace(FIGURES, device=none).verdict.endswith(
        "; bare has no memory on the board that is known."
    )
    slow = replace(none, external_bytes_per_second=100_000_000)
    said, _ = traffic_blocks(replace(FIGURES, device=slow))
    assert (said.tone, "400.0 % of the 100 MB/s of bare." in said.text) == ("bad", True)
    assert traffic_blocks(FIGURES)[0].tone == ""


def test_nothing_is_said_of_networks_that_keep_their_weights():
    figures = replace(FIGURES, traffic=Traffic(600))
    assert (traffic_parts(figures), traffic_blocks(figures)) == ((), ())
