# SPDX-License-Identifier: Apache-2.0
"""A page as one HTML file: no other file, no network, the same bytes for the same page."""

import base64
import hashlib
from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from reports.page.blocks import Page

_TEMPLATE = "page.html"


def page_html(page: Page) -> str:
    """Return the page as HTML text; every text of it is escaped.

    Args:
        page: The page.
    """
    environment = Environment(
        loader=FunctionLoader(_source),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    # What stands between the tags: the hash allows exactly this script and no other.
    script = "\n" + _source("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template(_TEMPLATE).render(
        page=page,
        style=Markup(_source("page.css")),
        script=Markup(script.removeprefix("\n")),
        script_hash=f"sha256-{digest}",
    )


def _source(name: str) -> str:
    return (files("reports.page") / name).read_text(encoding="utf-8")
