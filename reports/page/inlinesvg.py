# SPDX-License-Identifier: Apache-2.0
"""matplotlib's SVG made fit to stand in a page: its own ids, the page's colours, a title.

Colours become the page's variables, so that one picture is readable on light and dark paper.
"""

import re
from xml.etree import ElementTree

from markupsafe import Markup

from reports.figures import (
    BLUE,
    BROWN,
    GREEN,
    GREY,
    ON_COLOUR,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    YELLOW,
)

_SVG = "http://www.w3.org/2000/svg"
_LINK = "{http://www.w3.org/1999/xlink}href"
# Paper shows through; lines and letters in black have the colour of the text around them.
_COLOURS = {
    "#000000": "currentColor",
    "#ffffff": "none",
    "#dddddd": "var(--line)",
    "#555555": "var(--muted)",
    ON_COLOUR.lower(): "var(--on-colour)",
    BLUE.lower(): "var(--blue)",
    ORANGE.lower(): "var(--orange)",
    GREEN.lower(): "var(--green)",
    YELLOW.lower(): "var(--yellow)",
    SKY.lower(): "var(--sky)",
    VERMILLION.lower(): "var(--vermillion)",
    PURPLE.lower(): "var(--purple)",
    GREY.lower(): "var(--grey)",
    BROWN.lower(): "var(--brown)",
}
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}\b")
_URL = re.compile(r"url\(#([^)]+)\)")


def inline_svg(svg: bytes, name: str, title: str, description: str) -> Markup:
    """Return the ``svg`` element of a file of matplotlib's.

    Args:
        svg: The file.
        name: Begins every id, so that the pictures of a page do not clash.
        title: Name of the picture for those who cannot see it.
        description: What it shows.
    """
    root = ElementTree.fromstring(svg)
    width = root.get("width", "0pt").removesuffix("pt")
    for attribute in ("width", "height", "version"):
        root.attrib.pop(attribute, None)
    for parent in root.iter():
        # The style is for all elements of the page; what it says stands in page.css.
        for child in list(parent):
            if child.tag in (f"{{{_SVG}}}metadata", f"{{{_SVG}}}style"):
                parent.remove(child)
    for element in root.iter():
        link = element.attrib.pop(_LINK, None)
        if link is not None:
            element.set("href", f"#{name}-{link.removeprefix('#')}")
        for attribute, value in list(element.attrib.items()):
            element.set(attribute, _adapted(attribute, value, name))
    labels = []
    for index, (tag, text) in enumerate((("title", title), ("desc", description))):
        label = ElementTree.Element(f"{{{_SVG}}}{tag}", {"id": f"{name}-{tag}"})
        label.text = text
        root.insert(index, label)
        labels.append(f"{name}-{tag}")
    root.set("role", "img")
    root.set("aria-labelledby", " ".join(labels))
    root.set("style", f"width: {float(width):g}pt")
    ElementTree.register_namespace("", _SVG)
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _adapted(attribute: str, value: str, name: str) -> str:
    if attribute == "id":
        return f"{name}-{value}"
    if attribute in ("style", "fill", "stroke", "clip-path"):
        value = _URL.sub(rf"url(#{name}-\1)", value)
        return _COLOUR.sub(lambda found: _COLOURS.get(found[0].lower(), found[0]), value)
    return value
