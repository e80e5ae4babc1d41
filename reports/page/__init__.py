# SPDX-License-Identifier: Apache-2.0
"""The report as one HTML file that needs no other file and no network."""

from reports.page.build import Hardware, PageInput, report_page
from reports.page.render import page_html
from reports.page.reproduce import RunFile, installed_versions

__all__ = [
    "Hardware",
    "PageInput",
    "RunFile",
    "installed_versions",
    "page_html",
    "report_page",
]
