# SPDX-License-Identifier: Apache-2.0
"""Reports of vendor tools, read back into records: Vitis and Vivado HLS, Vivado.

    reports = [read_vendor_report(path) for path in paths]
    vendor_tables(reports, planned)     # beside the plan

No vendor tool runs here: the layouts are those that the vendor documents and that public reports
show.
"""

from reports.vendor.read import read_vendor_report
from reports.vendor.records import Resources, VendorModule, VendorReport
from reports.vendor.table import PlannedIntervals, planned_intervals, vendor_json, vendor_tables

__all__ = [
    "PlannedIntervals",
    "Resources",
    "VendorModule",
    "VendorReport",
    "planned_intervals",
    "read_vendor_report",
    "vendor_json",
    "vendor_tables",
]
