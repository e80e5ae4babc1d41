# SPDX-License-Identifier: Apache-2.0
"""``csynth.xml`` of Vitis HLS and Vivado HLS: the synthesis report of a top and its modules.

Source: the XML beside the text reports in ``solution/syn/report`` (UG1399 and UG902 describe the
figures): ``profile`` holds ``UserAssignments``, ``PerformanceEstimates``, ``AreaEstimates`` of the
top and, in ``csynth.xml``, one ``Module`` per function in ``ModuleInformation``.
"""

import re
from xml.etree import ElementTree

from quant.errors import InputFileError
from reports.vendor.records import Resources, VendorModule, VendorReport

# What the tools write where a figure depends on data.
_UNKNOWN = ("undef", "?", "-", "no", "none")


def parse_csynth(text: str, file: str) -> VendorReport:
    """Return the record of a ``csynth.xml``.

    Args:
        text: Text of the file.
        file: Its name, for messages.

    Raises:
        InputFileError: It is not such a file, is cut off, or lacks a figure.
    """
    if "<!DOCTYPE" in text:
        raise InputFileError(f"{file} declares a document type; a synthesis report has none")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise InputFileError(f"{file} is not whole XML ({error}); synthesize again") from None
    if root.tag != "profile":
        raise InputFileError(
            f"{file} begins with <{root.tag}>, not <profile>; give csynth.xml of Vitis HLS or "
            "Vivado HLS"
        )
    top = _text(root, "UserAssignments/TopModelName", file)
    estimates = "PerformanceEstimates"
    module = VendorModule(
        top,
        _resources(root, top, file),
        _cycles(root, f"{estimates}/SummaryOfOverallLatency/Worst-caseLatency", file),
        _cycles(root, f"{estimates}/SummaryOfOverallLatency/Interval-max", file),
    )
    version = root.findtext("ReportVersion/Version")
    return VendorReport(
        file=file,
        kind="hls",
        tool="HLS" if version is None else f"HLS {version.strip()}",
        top=top,
        part=_text(root, "UserAssignments/Part", file),
        period_ns=_nanoseconds(root, "UserAssignments/TargetClockPeriod", file),
        reached_ns=_nanoseconds(
            root, f"{estimates}/SummaryOfTimingAnalysis/EstimatedClockPeriod", file
        ),
        wns_ns=None,
        modules=(module, *_modules(root, top, file)),
    )


def _modules(root: ElementTree.Element, top: str, file: str) -> list[VendorModule]:
    """Return the modules below the top, which is listed among them."""
    summary = "PerformanceEstimates/SummaryOfOverallLatency"
    found = []
    for element in root.findall("ModuleInformation/Module"):
        name = _text(element, "Name", file)
        if name != top:
            found.append(
                VendorModule(
                    name,
                    _resources(element, name, file),
                    _cycles(element, f"{summary}/Worst-caseLatency", file),
                    _cycles(element, f"{summary}/PipelineInitiationInterval", file),
                )
            )
    return found


def _resources(element: ElementTree.Element, name: str, file: str) -> Resources:
    area = element.find("AreaEstimates/Resources")
    if area is None:
        raise InputFileError(f"{file} has no resources of '{name}'; synthesize again")

    def count(*tags: str) -> int | None:
        texts = [text.strip() for tag in tags if (text := area.findtext(tag)) is not None]
        if not texts:
            return None
        if not texts[0].isdecimal():
            raise InputFileError(f"{file}: {tags[0]} of '{name}' is '{texts[0]}', not a count")
        return int(texts[0])

    return Resources(
        lut=count("LUT"),
        ff=count("FF"),
        dsp=count("DSP", "DSP48E"),
        bram18=count("BRAM_18K"),
        bram36=None,
        uram=count("URAM"),
    )


def _text(element: ElementTree.Element, path: str, file: str) -> str:
    text = element.findtext(path)
    if text is None or not text.strip():
        raise InputFileError(f"{file} has no {path}; give the csynth.xml of a finished synthesis")
    return text.strip()


def _cycles(element: ElementTree.Element, path: str, file: str) -> int | None:
    """Return a number of cycles, the largest of a range; ``None`` where the tool cannot tell."""
    text = _text(element, path, file)
    if text.lower() in _UNKNOWN:
        return None
    if re.fullmatch(r"\d+(\s*~\s*\d+)?", text) is None:
        raise InputFileError(f"{file}: {path} is '{text}', not a number of cycles")
    return int(text.split("~")[-1])


def _nanoseconds(element: ElementTree.Element, path: str, file: str) -> float:
    text = _text(element, path, file)
    if re.fullmatch(r"\d+(\.\d+)?", text) is None:
        raise InputFileError(f"{file}: {path} is '{text}', not a time in ns")
    return float(text)
