# SPDX-License-Identifier: Apache-2.0
"""Read a report file of any known tool; which one it is, its content says."""

from pathlib import Path

from quant.errors import InputFileError
from reports.vendor.hls import parse_csynth
from reports.vendor.records import VendorReport
from reports.vendor.vivado import parse_timing, parse_utilization, read_header

LARGEST_BYTES = 64 * 1024 * 1024
"""Larger files are no reports."""

_KNOWN = "csynth.xml of HLS, report_utilization or report_timing_summary of Vivado"


def read_vendor_report(path: Path) -> VendorReport:
    """Return the record of a report file.

    Raises:
        InputFileError: It cannot be read, is of no known kind, or is damaged.
    """
    try:
        size = path.stat().st_size
        if size > LARGEST_BYTES:
            raise InputFileError(
                f"{path} has {size:,} bytes; a report has at most {LARGEST_BYTES:,}; give {_KNOWN}"
            )
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise InputFileError(f"{path} cannot be read: {reason}; give {_KNOWN}") from None
    if text.lstrip().startswith("<"):
        return parse_csynth(text, str(path))
    header = read_header(text, str(path))
    if header is None or not header.command:
        raise InputFileError(f"{path} is no report that is known here; give {_KNOWN}")
    match header.command.split()[0]:
        case "report_utilization":
            return parse_utilization(text, header, str(path))
        case "report_timing_summary":
            return parse_timing(text, header, str(path))
        case other:
            raise InputFileError(f"{path} was written by {other}; give {_KNOWN}")
