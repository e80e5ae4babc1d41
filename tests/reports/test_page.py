# SPDX-License-Identifier: Apache-2.0
"""The page as text: escaped, accessible, closed in itself, and what its sections say."""

import base64
import hashlib
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files
from itertools import pairwise

import pytest

from hw.devices import DEVICES
from hw.estimate import Resources, resources, total
from hw.network import build_network
from hw.plan_network import plan_network
from quant.errors import InputFileError
from quant.samples import sample_graph
from reports.figures import new_figure, render
from reports.hardware import HardwareEstimate, Part, network_estimate
from reports.memorymap import _row_spans, fits, memory_map_plot, smallest_board
from reports.page import page_html, report_page
from reports.page.blocks import Page, Paragraph, Section
from reports.page.exploration import exploration_section
from reports.page.inlinesvg import inline_svg
from reports.page.synthesis import synthesis_section
from reports.page.verification import verification_section, verification_verdict
from reports.pareto import pareto_plot

VOID = {"meta", "link", "br", "img", "input", "hr"}


class Outline(HTMLParser):
    """Every element with its attributes, in order; what is open must be closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs)
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open and self._open[-1] not in ("script", "style"):
            self.words.append(data)

    def of(self, *tags: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.found if tag in tags]


@pytest.fixture(scope="module")
def outline(page_text) -> Outline:
    return Outline(page_text)


def test_no_name_becomes_an_element(page_text, outline):
    assert len(outline.of("script")) == 1
    assert "window.hacked" not in page_text[page_text.rindex("<script>") :]
    # The model, the table of nodes, edges, notes, settings, the verification, the run file.
    assert page_text.count("&lt;script&gt;window.hacked = 1&lt;/script&gt;") > 10
    assert sum(word.count("<script>window.hacked = 1</script>") for word in outline.words) > 10


def test_it_loads_nothing(page_text, outline):
    for _, attributes in outline.found:
        for name in ("src", "href", "action", "data", "srcset", "poster", "xlink:href"):
            if name in attributes:
                assert re.match(r"#|data:,$", attributes[name]), attributes
        assert not any(name.startswith("on") for name in attributes)
    style = page_text[page_text.index("<style>") : page_text.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    policy = outline.of("meta")[1]["content"]
    script = page_text[page_text.rindex("<script>") + 8 : page_text.rindex("</script>")]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}'" in policy


def test_it_is_accessible(outline):
    assert outline.of("html") == [{"lang": "en"}]
    assert all(len(outline.of(tag)) == 1 for tag in ("header", "nav", "main", "footer", "h1"))
    levels = [int(tag[1]) for tag, _ in outline.found if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(below - above <= 1 for above, below in pairwise(levels))
    ids = Counter(a["id"] for _, a in outline.found if "id" in a)
    assert [name for name, count in ids.items() if count > 1] == []
    for _, attributes in outline.found:
        for name in ("aria-labelledby", "aria-describedby"):
            assert all(label in ids for label in (attributes.get(name) or "").split())
        if (attributes.get("href") or "").startswith("#"):
            assert attributes["href"][1:] in ids
        if attributes.get("role") == "region":
            assert attributes["tabindex"] == "0"
            assert attributes.get("aria-label") or attributes.get("aria-labelledby")
    assert {a.get("scope") for a in outline.of("th")} == {"row", "col"}
    tables, pictures = outline.of("table"), outline.of("svg")
    assert len(tables) >= 8
    assert len(outline.of("caption")) == len(tables)
    assert len(pictures) == 8
    assert all(a["role"] == "img" and a["aria-labelledby"] for a in pictures)
    assert len(outline.of("title")) == 1 + len(pictures)
    assert len(outline.of("desc")) == len(outline.of("figcaption")) == len(pictures)


def test_references_inside_pictures_are_their_own(page_text, outline):
    ids = {a["id"] for _, a in outline.found if "id" in a}
    used = re.findall(r"url\(#([^)]+)\)", page_text)
    assert used
    assert set(used) <= ids
    assert not re.search(r"<style[^>]*>\s*\*\{", page_text)


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_contrast(theme):
    """Source: WCAG 2.2, 1.4.3 (text, 4.5:1) and 1.4.11 (graphics, 3:1)."""
    style = (files("reports.page") / "page.css").read_text()
    blocks = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", blocks[theme]))
    assert len(colours) == 19
    for paper in ("paper", "raised"):
        for text in ("ink", "muted", "link", "good", "bad", "warn"):
            assert contrast(colours[text], colours[paper]) >= 4.5, (text, paper)
    for data in ("blue", "orange", "green", "yellow", "sky", "vermillion", "purple", "grey",
                 "brown"):  # fmt: skip
        assert contrast(colours[data], colours["paper"]) >= 3, data
    for filled in ("blue", "orange", "green", "purple", "vermillion"):
        assert contrast(colours["on-colour"], colours[filled]) >= 3, filled


def test_same_input_same_bytes(page_input, page_text):
    assert page_html(report_page(page_input)) == page_text
    figure = new_figure(2, 1)
    assert render(lambda: figure, "svg") == render(lambda: figure, "svg")


def test_the_node_table_has_the_figures(page_input):
    section = next(s for s in report_page(page_input).sections if s.ident == "nodes")
    grid = section.blocks[0]
    headings = [column.heading for column in grid.columns]
    estimate = page_input.hardware.estimate
    for row, layer in zip(grid.rows, page_input.summary.layers, strict=True):
        cells = dict(zip(headings, row, strict=True))
        assert cells["node"].text == layer.name
        assert cells["output SQNR (dB)"].value == layer.sqnr_db
        node = page_input.hardware.network.cycles.nodes.get(layer.name)
        assert cells["cycles per frame"].value == (node.alone_cycles if node else None)
        assert cells["BRAM18"].value == estimate.of_node(layer.name).bram18
    assert "estimated from Yosys, not Vivado" in grid.caption


def test_without_hardware_nothing_is_said_of_it(page_input):
    pictures = {k: v for k, v in page_input.pictures.items() if k in ("memory", "weights")}
    page = report_page(replace(page_input, hardware=None, breakpoints=(), pictures=pictures))
    names = [section.ident for section in page.sections]
    assert "fifos" not in names
    assert "speed" not in names
    text = " ".join(Outline(page_html(page)).words)
    assert "No layer is in PWLQ" in text
    assert "BRAM" not in text


GOOD = {"engines": ["golden", "rtl"], "digest": "d", "mismatches": 0, "failures": 0, "values": 1200}


@pytest.mark.parametrize(
    ("record", "tone", "text"),
    [
        (None, "warn", "Not verified yet; run nibbleflow verify BUILD."),
        (GOOD, "good",
         "Bit-identical: 1,200 values of 2 engines (golden, rtl) were compared, none differs."),
        ({**GOOD, "digest": "e"}, "warn",
         "The last verification was of another graph; run nibbleflow verify BUILD again."),
        ({**GOOD, "mismatches": 3}, "bad",
         "Engines differ: 3 of 1,200 values, 0 failures (golden, rtl)."),
        ({**GOOD, "failures": 1}, "bad",
         "Engines differ: 0 of 1,200 values, 1 failures (golden, rtl)."),
    ],
)  # fmt: skip
def test_verdict(record, tone, text):
    assert verification_verdict(record, "d") == Paragraph(text, tone)


def test_a_damaged_record_is_refused():
    with pytest.raises(InputFileError) as caught:
        verification_section({**GOOD, "nodes": 7}, "d")
    assert str(caught.value) == (
        "the record of the last verification is damaged (TypeError(\"'int' object is not "
        'iterable")); run nibbleflow verify again'
    )


def test_counted_cells_stand_beside_estimated_ones(page_input):
    section = synthesis_section(page_input.synthesis, page_input.summary.digest)
    _, totals, cells = section.blocks
    assert [[c.value for c in row] for row in totals.rows] == [
        ["counted", 100, 20, 40, 2, 1, 0], ["estimated", 100, 20, 40, 2, 1, 0],
    ]  # fmt: skip
    (row,) = cells.rows
    assert [c.value for c in row[1:]] == [
        "nf_conv",
        2,
        100,
        110,
        10.0,
        40,
        0,
        -100.0,
        2,
        9,
        "synthesised",
    ]
    for record, text in (
        (None, "Nothing was synthesised; nibbleflow synth BUILD counts every distinct cell with "
               "Yosys."),
        ({"digest": "other"}, "The last synthesis was of another graph; run nibbleflow synth BUILD "
                              "again."),
    ):  # fmt: skip
        assert synthesis_section(record, "d").blocks[0].text == text
    with pytest.raises(InputFileError) as caught:
        synthesis_section({"digest": "d"}, "d")
    assert str(caught.value) == (
        "the record of the last synthesis is damaged (KeyError('basis')); run nibbleflow synth "
        "again"
    )


def test_explored_plans_are_listed_and_drawn(page_input):
    plan, front = page_input.explored_plan, page_input.explored_front
    section = exploration_section(plan, front, page_input.summary.digest)
    _, one, facts, picture, plans = section.blocks
    assert dict(one.rows)["found"] == "880.0 frames per second"
    assert dict(one.rows)["bound"] == "900.0 frames per second, cost 0.5000 or more"
    assert dict(one.rows)["kept back"] == (
        "1,042 block RAMs of 18 Kibit; what is proved is proved of the rest"
    )
    assert not {"bound", "kept back"} & dict(facts.rows).keys()
    assert dict(facts.rows)["verdict"] == "proved optimal, for the tables of estimates"
    assert [[c.value for c in row[1:]] for row in plans.rows] == [
        [90.0, 9, 7, 5, 0, 0, 0, 20.0, "yes"],
        [40.0, 9, 107, 5, 1, 0, 0, 20.0, "no"],
        [30.0, 9, 207, 5, 2, 0, 0, None, "no"],
    ]
    assert ">BRAM18<" not in picture.svg
    figure = pareto_plot(front["plans"], "estimated")
    tables, blocks = figure.axes
    assert (tables.get_title("left"), blocks.get_title("left")) == ("LUT", "DSP")
    figure.draw_without_rendering()
    assert {"20", "50", "100"} <= {label.get_text() for label in tables.get_xticklabels()}
    assert tables.get_ylim() == (0, 1.1 * 207)
    drawn = [(line.get_xdata().tolist(), line.get_ydata().tolist()) for line in tables.lines]
    assert drawn == [([30.0], [207.0]), ([40.0, 90.0], [107.0, 7.0])]


def test_what_was_not_explored():
    def texts(plan, front) -> list[str]:
        return [block.text for block in exploration_section(plan, front, "d").blocks]

    other = {"digest": "other"}
    assert texts(None, None) == [
        "No front was explored; nibbleflow explore BUILD --front finds the plans between which to "
        "choose."
    ]
    assert texts(other, other) == [
        "The last plan that was asked for was of another graph.",
        "The last front was of another graph; run nibbleflow explore BUILD --front again.",
    ]
    with pytest.raises(InputFileError) as caught:
        exploration_section(None, {"digest": "d"}, "d")
    assert str(caught.value) == (
        "the record of the last exploration is damaged (KeyError('plans')); run nibbleflow explore "
        "again"
    )


def test_first_differences_are_shown_with_their_replay():
    first = {"node": "a<b", "place": [0, 1], "replay": "nibbleflow verify BUILD --nodes 'a<b'"}
    node = {"name": "a", "engine": "rtl", "values": 5, "mismatches": 2, "first": first}
    record = {**GOOD, "mismatches": 2, "seconds": 1.0, "nodes": [node]}
    page = Page("t", "l", (verification_section(record, "d"),), "f")
    words = Outline(page_html(page)).words
    assert "nibbleflow verify BUILD --nodes 'a<b'" in words


def test_estimates_are_of_all_cells():
    graph = sample_graph(1)
    schedule = plan_network(graph, target_interval_cycles=3000)
    found = network_estimate(graph, schedule)
    network = build_network(graph, schedule)
    for name, cell in network.cells.items():
        whole = resources(cell)
        assert found.of_node(name) == whole
    others = total(p.resources for p in found.parts if p.kind not in ("weights", "cell", "loader"))
    cells = total(resources(cell) for cell in network.cells.values())
    assert found.total == cells + others
    forks = [p.owner for p in found.parts if p.kind == "fork"]
    assert forks == [n for n in network.streams if len(network.readers(n)) > 1]


def estimate_of(**counts: int) -> HardwareEstimate:
    return HardwareEstimate((Part("node", "weights", Resources(**counts)),))


def test_the_smallest_board_that_fits():
    boards = [DEVICES["u250"], DEVICES["ultra96"], DEVICES["kv260"]]
    assert smallest_board(estimate_of(bram18=432), boards).name == "ultra96"
    assert smallest_board(estimate_of(bram18=433), boards).name == "u250"
    assert smallest_board(estimate_of(uram=64), boards).name == "kv260"
    assert smallest_board(estimate_of(uram=65, lut=10), boards).name == "u250"
    too_large = estimate_of(bram18=99_999)
    assert smallest_board(too_large, boards).name == "u250"
    assert not fits(too_large, DEVICES["u250"])
    for count in ("lut", "lutram_luts", "ff", "dsp"):
        assert not fits(estimate_of(**{count: 10**7}), DEVICES["u250"])


def test_the_memory_map_shows_every_block():
    def texts(estimate: HardwareEstimate) -> list[str]:
        svg = render(lambda: memory_map_plot(estimate, DEVICES["kv260"]), "svg").decode()
        return re.findall(r"<text[^>]*>([^<]*)</text>", svg)

    blocks = texts(estimate_of(bram18=60, uram=3))
    assert "block RAM, halves of 18 Kibit: 60 of 288" in blocks
    assert "ultra RAM, 288 Kibit each: 3 of 64" in blocks
    assert "node" in blocks
    assert "block RAM, halves of 18 Kibit: 300 of 288: 12 too many" in texts(
        estimate_of(bram18=300)
    )
    for begin, end, columns in ((0, 10, 48), (40, 150, 48), (47, 49, 48), (5, 5, 48)):
        spans = _row_spans(begin, end, columns)
        covered = [row * columns + column + i for row, column, n in spans for i in range(n)]
        assert covered == list(range(begin, end))


def test_a_picture_takes_the_pages_colours():
    def draw():
        figure = new_figure(2, 1)
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color="#0072B2")
        axes.set_title("<b>&")
        return figure

    svg = str(inline_svg(render(draw, "svg"), "one", "a < b", "c & d"))
    assert svg.startswith("<svg ")
    assert "stroke: var(--blue)" in svg
    assert "#0072b2" not in svg.lower()
    assert "currentColor" in svg
    assert '<title id="one-title">a &lt; b</title>' in svg
    assert "&lt;b&gt;&amp;" in svg
    assert "metadata" not in svg
    assert "<style" not in svg


def test_sections_are_in_the_menu(page_input, outline):
    page = report_page(page_input)
    targets = [a["href"] for a in outline.of("a")]
    assert targets == ["#content", *(f"#{section.ident}" for section in page.sections)]
    assert all(isinstance(section, Section) for section in page.sections)
