# SPDX-License-Identifier: Apache-2.0
"""The page in headless Chromium: no error, no request, tables that sort, light, dark and narrow."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

START_SECONDS = 120
ANSWER_SECONDS = 120
PHONE = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
DESK = {"width": 1280, "height": 900, "deviceScaleFactor": 1, "mobile": False}


class Browser:
    """One tab over the DevTools protocol: commands with answers, and every event in between."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._last = 0
        self.events: list[dict[str, Any]] = []

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters}
        self._socket.send(json.dumps(message))
        while True:
            answer = json.loads(self._socket.recv(timeout=ANSWER_SECONDS))
            if answer.get("id") == self._last:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def open(self, page: Path) -> None:
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        self.send("Page.navigate", url=page.as_uri())
        while not self.of("Page.loadEventFired"):
            self.events.append(json.loads(self._socket.recv(timeout=ANSWER_SECONDS)))

    def run(self, expression: str) -> Any:
        answer = self.send("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def press(self, key: str, code: int, text: str = "") -> None:
        given = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.send("Input.dispatchKeyEvent", type="keyDown", text=text, **given)
        self.send("Input.dispatchKeyEvent", type="keyUp", **given)

    def of(self, method: str) -> list[dict[str, Any]]:
        return [e["params"] for e in self.events if e.get("method") == method]


@pytest.fixture(scope="module")
def page_file(page_text, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("page") / "index.html"
    path.write_text(page_text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser(page_file, tmp_path_factory) -> Iterator[Browser]:
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed (Debian package chromium)")
    client = pytest.importorskip("websockets.sync.client", reason="websockets is not installed")
    profile = tmp_path_factory.mktemp("profile")
    process = subprocess.Popen(
        [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
         "--disable-background-networking", "--disable-dev-shm-usage", "--remote-debugging-port=0",
         f"--user-data-dir={profile}", "about:blank"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        port = _port(profile / "DevToolsActivePort", process)
        with urlopen(f"http://127.0.0.1:{port}/json/list", timeout=START_SECONDS) as answer:
            tabs = json.load(answer)
        address = next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page")
        with client.connect(address, max_size=None, open_timeout=START_SECONDS) as socket:
            tab = Browser(socket)
            tab.open(page_file)
            yield tab
    finally:
        process.terminate()
        process.wait(timeout=60)


def _port(file: Path, process: subprocess.Popen[bytes]) -> int:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if file.is_file() and file.read_text().strip():
            return int(file.read_text().splitlines()[0])
        assert process.poll() is None, "Chromium ended at its start"
        time.sleep(0.1)
    raise AssertionError(f"Chromium opened no port within {START_SECONDS} s")


def test_it_renders_without_errors_and_requests(browser, page_file):
    assert browser.of("Runtime.exceptionThrown") == []
    assert browser.of("Log.entryAdded") == []
    assert browser.of("Runtime.consoleAPICalled") == []
    asked = [event["request"]["url"] for event in browser.of("Network.requestWillBeSent")]
    assert [url for url in asked if url != page_file.as_uri() and url != "data:,"] == []
    assert page_file.as_uri() in asked
    assert browser.run("document.title") == "sample-1: nibbleflow report"
    assert browser.run("typeof window.hacked") == "undefined"
    heights = browser.run(
        "[...document.querySelectorAll('figure svg')].map(e => e.getBoundingClientRect().height)"
    )
    assert len(heights) == 8
    assert all(height > 100 for height in heights)


def rows(browser: Browser, column: int) -> list[str | None]:
    return browser.run(
        "[...document.getElementById('node-table').tBodies[0].rows]"
        f".map(row => row.cells[{column}].dataset.value ?? null)"
    )


def column_of(browser: Browser, heading: str) -> int:
    headings = browser.run(
        "[...document.getElementById('node-table').tHead.rows[0].cells].map(c => c.textContent)"
    )
    return headings.index(heading)


def test_tables_sort_with_the_mouse(browser):
    column = column_of(browser, "million MACs")
    before = rows(browser, column)
    known = sorted(float(value) for value in before if value is not None)
    unknown = [None] * before.count(None)
    assert len(set(known)) > 2
    assert unknown
    heading = f"document.getElementById('node-table').tHead.rows[0].cells[{column}]"
    for direction, values in (("ascending", known), ("descending", known[::-1])):
        browser.run(f"{heading}.querySelector('button').click()")
        assert browser.run(f"{heading}.getAttribute('aria-sort')") == direction
        found = rows(browser, column)
        assert [float(v) for v in found if v is not None] == values
        assert found[len(values) :] == unknown
        told = browser.run("document.getElementById('status').textContent")
        assert told == f"million MACs: {direction}"
    browser.run(f"{heading}.querySelector('button').click()")
    assert rows(browser, column) == before
    assert browser.run(f"{heading}.getAttribute('aria-sort')") == "none"


def test_tables_sort_with_the_keyboard(browser):
    column = column_of(browser, "kind")
    heading = f"document.getElementById('node-table').tHead.rows[0].cells[{column}]"
    browser.run(f"{heading}.querySelector('button').focus()")
    browser.press("Enter", 13, "\r")
    found = rows(browser, column)
    assert found == sorted(found)
    assert len(set(found)) > 5
    # Another column takes over: only one is sorted by.
    browser.press("Tab", 9)
    browser.press(" ", 32, " ")
    states = browser.run(
        "[...document.getElementById('node-table').tHead.rows[0].cells]"
        ".map(c => c.getAttribute('aria-sort'))"
    )
    assert states.count("ascending") == 1
    assert states[column + 1] == "ascending"
    assert set(states) == {"ascending", "none"}


def test_a_phone_scrolls_tables_in_their_own_box(browser):
    browser.send("Emulation.setDeviceMetricsOverride", **PHONE)
    width = browser.run("document.documentElement.clientWidth")
    assert width == 360
    assert browser.run("document.documentElement.scrollWidth") == width
    wide = browser.run(
        "[...document.querySelectorAll('.scroll')]"
        ".filter(box => box.scrollWidth > box.clientWidth).length"
    )
    assert wide >= 5
    browser.send("Emulation.setDeviceMetricsOverride", **DESK)
    # The scroll bar of the window takes a part.
    shown = browser.run("document.documentElement.clientWidth")
    assert shown <= 1280
    assert browser.run("document.documentElement.scrollWidth") == shown


def test_pictures_follow_the_theme(browser):
    colours = {}
    for theme in ("light", "dark"):
        media = [{"name": "prefers-color-scheme", "value": theme}]
        browser.send("Emulation.setEmulatedMedia", features=media)
        colours[theme] = browser.run(
            "[getComputedStyle(document.body).backgroundColor,"
            " getComputedStyle(document.querySelector('figure svg text')).fill,"
            " getComputedStyle(document.querySelector('#plot-utilisation svg [style*=\"--blue\"]'))"
            ".fill]"
        )
    assert colours == {
        "light": ["rgb(255, 255, 255)", "rgb(22, 25, 29)", "rgb(0, 114, 178)"],
        "dark": ["rgb(20, 23, 27)", "rgb(232, 234, 237)", "rgb(74, 163, 221)"],
    }


def test_letters_stay_inside_their_pictures(browser):
    """The reader's font is not the one that the picture was laid out with."""
    outside = browser.run(
        """[...document.querySelectorAll('figure svg')].flatMap(svg => {
          const box = svg.getBoundingClientRect();
          return [...svg.querySelectorAll('text')].filter(text => {
            const own = text.getBoundingClientRect();
            return own.left < box.left - 1 || own.right > box.right + 1;
          }).map(text => text.textContent);
        })"""
    )
    assert outside == []
