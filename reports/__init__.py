# SPDX-License-Identifier: Apache-2.0
"""Results to records, tables, plots and pages."""

from reports.summary import CycleSummary, LayerSummary, Summary, summarise
from reports.tables import (
    layer_table,
    memory_table,
    summary_table,
    summary_tables,
    text_of,
    worst_table,
)
from reports.write import json_text, report_files, write_report

__all__ = [
    "CycleSummary",
    "LayerSummary",
    "Summary",
    "json_text",
    "layer_table",
    "memory_table",
    "report_files",
    "summarise",
    "summary_table",
    "summary_tables",
    "text_of",
    "worst_table",
    "write_report",
]
