# SPDX-License-Identifier: Apache-2.0
"""Reports of vendor tools. The texts are written by hand, figures and names are invented.

Layout of the texts: ``csynth.xml`` as HLS writes it beside its text reports (figures as in UG1399
and UG902), ``report_utilization`` and ``report_timing_summary`` as in UG906, UG835 and public
reports of Vivado 2018 to 2023.
"""

import dataclasses
import re

import pytest

from hls import emit_network
from hw.network import node_stems
from hw.network_cycles import NetworkCycles, NodeCycles
from hw.planning import plan
from quant.errors import InputFileError
from quant.samples import sample_graph
from reports.tables import text_of
from reports.vendor import (
    Resources,
    VendorModule,
    VendorReport,
    planned_intervals,
    read_vendor_report,
    vendor_json,
    vendor_tables,
)

KNOWN = "csynth.xml of HLS, report_utilization or report_timing_summary of Vivado"

CSYNTH = """\
<?xml version="1.0" encoding="UTF-8"?>
<profile>
<ReportVersion><Version>2023.2</Version></ReportVersion>
<UserAssignments>
 <unit>ns</unit><Part>xczu7ev-ffvc1156-2-e</Part><TopModelName>nibble_net</TopModelName>
 <TargetClockPeriod>5.00</TargetClockPeriod><ClockUncertainty>0.62</ClockUncertainty>
</UserAssignments>
<PerformanceEstimates>
 <PipelineType>dataflow</PipelineType>
 <SummaryOfTimingAnalysis><EstimatedClockPeriod>3.650</EstimatedClockPeriod>
 </SummaryOfTimingAnalysis>
 <SummaryOfOverallLatency>
  <Best-caseLatency>9000</Best-caseLatency><Worst-caseLatency>9123</Worst-caseLatency>
  <Interval-min>4000</Interval-min><Interval-max>4100</Interval-max>
 </SummaryOfOverallLatency>
</PerformanceEstimates>
<AreaEstimates><Resources>
 <BRAM_18K>40</BRAM_18K><DSP>64</DSP><FF>12000</FF><LUT>23000</LUT><URAM>2</URAM>
</Resources></AreaEstimates>
<ModuleInformation>
 <Module><Name>conv_config3_s</Name><PerformanceEstimates>
  <SummaryOfOverallLatency><Worst-caseLatency>undef</Worst-caseLatency>
   <PipelineInitiationInterval>3 ~ 4097</PipelineInitiationInterval>
  </SummaryOfOverallLatency></PerformanceEstimates>
  <AreaEstimates><Resources><FF>400</FF><LUT>900</LUT></Resources></AreaEstimates></Module>
 <Module><Name>nibble_net</Name></Module>
</ModuleInformation>
</profile>
"""

HEADER = """\
Copyright 1986-2022 Xilinx, Inc. All Rights Reserved.
------------------------------------------------------
| Tool Version : Vivado v.2023.2 (lin64) Build 1 Fri Oct 13 20:13:54 MDT 2023
| Date         : Fri Jan 24 16:49:35 2025
| Host         : bench running 64-bit Linux
| Command      : {command} -file some.rpt
| Design       : sample_1_top
| Device       : xczu7ev-ffvc1156-2-e
| Design State : Synthesized
------------------------------------------------------
"""

UTILIZATION = (
    HEADER.format(command="report_utilization")
    + """
Utilization Design Information

Table of Contents
-----------------
1. CLB Logic

1. CLB Logic
------------

+----------------------------+-------+-------+------------+-----------+-------+
|          Site Type         |  Used | Fixed | Prohibited | Available | Util% |
+----------------------------+-------+-------+------------+-----------+-------+
| CLB LUTs*                  | 18321 |     0 |          0 |    230400 |  7.95 |
|   LUT as Logic             | 17200 |     0 |          0 |    230400 |  7.47 |
| CLB Registers              | 20100 |     0 |          0 |    460800 |  4.36 |
| F7 Muxes                   |     0 |     0 |          0 |    115200 |  0.00 |
+----------------------------+-------+-------+------------+-----------+-------+
* Warning! The Final LUT count, after physical optimizations, may be lower.

+-------------------+-------+-------+------------+-----------+-------+
|     Site Type     |  Used | Fixed | Prohibited | Available | Util% |
+-------------------+-------+-------+------------+-----------+-------+
| Block RAM Tile    |  22.5 |     0 |          0 |       312 |  7.21 |
|   RAMB36/FIFO*    |    20 |     0 |          0 |       312 |  6.41 |
|   RAMB18          |     5 |     0 |          0 |       624 |  0.80 |
| URAM              |     3 |     0 |          0 |        96 |  3.13 |
+-------------------+-------+-------+------------+-----------+-------+

+-----------+------+-------+------------+-----------+-------+
| Site Type | Used | Fixed | Prohibited | Available | Util% |
+-----------+------+-------+------------+-----------+-------+
| DSPs      |   11 |     0 |          0 |      1728 |  0.64 |
+-----------+------+-------+------------+-----------+-------+

9. Black Boxes
--------------

+----------+------+
| Ref Name | Used |
+----------+------+

"""
)

HIERARCHICAL = (
    HEADER.format(command="report_utilization")
    + """
+-------------------+----------------+------------+------------+---------+------+-----+--------+\
--------+------+------------+
|      Instance     |     Module     | Total LUTs | Logic LUTs | LUTRAMs | SRLs | FFs | RAMB36 |\
 RAMB18 | URAM | DSP Blocks |
+-------------------+----------------+------------+------------+---------+------+-----+--------+\
--------+------+------------+
| sample_1_top      |          (top) |        900 |        880 |       0 |   20 | 700 |      4 |\
      1 |    0 |          9 |
|   (sample_1_top)  |          (top) |         10 |         10 |       0 |    0 |   7 |      0 |\
      0 |    0 |          0 |
|   u_STEM          |        nf_conv | 500(55.6%) |        490 |       0 |   10 | 400 |      3 |\
      0 |    0 |          9 |
|     u_window      |      nf_window |        100 |        100 |       0 |    0 |  90 |      1 |\
      0 |    0 |          0 |
|   u_other         |        nf_fifo |          5 |          5 |       0 |    0 |   4 |      0 |\
      1 |    0 |          0 |
+-------------------+----------------+------------+------------+---------+------+-----+--------+\
--------+------+------------+
"""
)

RULE = "-" * 96
TIMING = (
    HEADER.format(command="report_timing_summary")
    + f"""
Timing Summary Report

{RULE}
| Design Timing Summary
| ---------------------
{RULE}

    WNS(ns)      TNS(ns)  TNS Failing Endpoints  TNS Total Endpoints      WHS(ns)
    -------      -------  ---------------------  -------------------      -------
     -0.250      -12.500                    120                 5000        0.030


Timing constraints are not met.


{RULE}
| Clock Summary
| -------------
{RULE}

Clock   Waveform(ns)         Period(ns)      Frequency(MHz)
-----   ------------         ----------      --------------
ap_clk  {{0.000 2.500}}        5.000           200.000


"""
)

FULL = Resources(18321, 20100, 11, 5, 20, 3)


@pytest.fixture
def read(tmp_path):
    """Write a text and read it as a report; messages name ``FILE``."""

    def call(text: str, name: str = "report.rpt") -> VendorReport:
        path = tmp_path / name
        path.write_text(text)
        report = read_vendor_report(path)
        return dataclasses.replace(report, file=name)

    return call


@pytest.fixture
def refused(read, tmp_path):
    """Return the message of the refusal of a text, its path replaced by ``FILE``."""

    def call(text: str) -> str:
        with pytest.raises(InputFileError) as caught:
            read(text)
        return str(caught.value).replace(str(tmp_path / "report.rpt"), "FILE")

    return call


def test_csynth(read):
    assert read(CSYNTH, "csynth.xml") == VendorReport(
        file="csynth.xml",
        kind="hls",
        tool="HLS 2023.2",
        top="nibble_net",
        part="xczu7ev-ffvc1156-2-e",
        period_ns=5.0,
        reached_ns=3.65,
        wns_ns=None,
        modules=(
            VendorModule("nibble_net", Resources(23000, 12000, 64, 40, None, 2), 9123, 4100),
            VendorModule("conv_config3_s", Resources(900, 400, None, None, None, None), None, 4097),
        ),
    )


def test_csynth_of_vivado_hls(read):
    text = CSYNTH.replace("DSP>", "DSP48E>").replace("4100<", "?<")
    text = re.sub(r"<ModuleInformation>.*</ModuleInformation>", "", text, flags=re.DOTALL)
    report = read(text)
    assert report.modules == (
        VendorModule("nibble_net", Resources(23000, 12000, 64, 40, None, 2), 9123, None),
    )


def test_utilization(read):
    report = read(UTILIZATION)
    assert (report.kind, report.tool, report.top) == (
        "utilization",
        "Vivado v.2023.2",
        "sample_1_top",
    )
    assert report.part == "xczu7ev-ffvc1156-2-e"
    assert report.modules == (VendorModule("sample_1_top", FULL),)


def test_utilization_of_series_7(read):
    text = UTILIZATION.replace("CLB LUTs*", "Slice LUTs").replace(
        "CLB Registers", "Slice Registers"
    )
    text = re.sub(r"\| URAM .*\n", "", text)
    assert read(text).modules[0].resources == dataclasses.replace(FULL, uram=None)


def test_hierarchical_utilization(read):
    assert read(HIERARCHICAL).modules == (
        VendorModule("sample_1_top", Resources(900, 700, 9, 1, 4, 0)),
        VendorModule("u_STEM", Resources(500, 400, 9, 0, 3, 0)),
        VendorModule("u_STEM/u_window", Resources(100, 90, 0, 0, 1, 0)),
        VendorModule("u_other", Resources(5, 4, 0, 1, 0, 0)),
    )


def test_timing(read):
    report = read(TIMING)
    assert (report.kind, report.period_ns, report.wns_ns) == ("timing", 5.0, -0.25)
    assert report.reached_ns == 5.25
    assert report.modules == (VendorModule("sample_1_top", None),)


def test_timing_of_several_clocks(read):
    clock = next(line for line in TIMING.splitlines() if line.startswith("ap_clk"))
    second = "  slow  {0.000 5.000}        10.000          100.000"
    report = read(TIMING.replace(clock, f"{clock}\n{second}"))
    assert (report.period_ns, report.reached_ns) == (5.0, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hello\n", f"FILE is no report that is known here; give {KNOWN}"),
        (
            HEADER.format(command="report_power"),
            f"FILE was written by report_power; give {KNOWN}",
        ),
        (
            UTILIZATION.replace("| Device ", "| Devise "),
            "FILE has no line '| Device :'; write the report again",
        ),
        (
            UTILIZATION[: UTILIZATION.index("| F7 Muxes")],
            "FILE ends inside a table; write the report again",
        ),
        (
            UTILIZATION.replace("|     0 |          0 |    230400 |  7.95 |", "| 0 |"),
            "FILE, line 24: 3 cells under 6 names; write the report again",
        ),
        (
            UTILIZATION.replace("| CLB Registers              |", "  CLB Registers               "),
            "FILE, line 26: '  CLB Registers                20100 |  ' is no row of a table; write "
            "the report again",
        ),
        (
            UTILIZATION.replace("18321", "18k21"),
            "FILE, line 24: '18k21' is not a count; write the report again",
        ),
        (
            UTILIZATION.replace("| CLB LUTs*  ", "| ALMs       "),
            "FILE has no row 'CLB LUTs' or 'Slice LUTs'; write the report again",
        ),
        (
            HIERARCHICAL.replace("|   u_STEM   ", "|     u_STEM "),
            "FILE, line 17: 'u_STEM' lies below no instance; write the report again",
        ),
        (
            HIERARCHICAL.replace("    FFs |", "Flops |").replace(" FFs |", "Flop |"),
            "FILE has no column 'FFs'; write the report again",
        ),
        (
            TIMING.replace("     -0.250 ", "         NA "),
            "FILE has no slack: no path is constrained; read clock.xdc first",
        ),
        (
            TIMING.replace("     -0.250 ", "       fast "),
            "FILE: WNS is 'fast', not a time in ns",
        ),
        (
            TIMING[: TIMING.index("| Clock Summary")],
            "FILE has no section 'Clock Summary'; write the report again",
        ),
        (
            TIMING[: TIMING.index("ap_clk")],
            "FILE has no figures in 'Clock Summary'; write the report again",
        ),
        (
            TIMING.replace("5.000           200.000", "200.000"),
            "FILE: period is '2.500}', not a time in ns",
        ),
        (
            CSYNTH[:300],
            "FILE is not whole XML (unclosed token: line 7, column 0); synthesize again",
        ),
        (
            "<html></html>",
            "FILE begins with <html>, not <profile>; give csynth.xml of Vitis HLS or Vivado HLS",
        ),
        (
            CSYNTH.replace("<profile>", "<!DOCTYPE a><profile>"),
            "FILE declares a document type; a synthesis report has none",
        ),
        (
            CSYNTH.replace("<LUT>23000", "<LUT>many"),
            "FILE: LUT of 'nibble_net' is 'many', not a count",
        ),
        (
            CSYNTH.replace("Interval-max", "Interval-most"),
            "FILE has no PerformanceEstimates/SummaryOfOverallLatency/Interval-max; give the "
            "csynth.xml of a finished synthesis",
        ),
        (
            CSYNTH.replace("9123", "9k"),
            "FILE: PerformanceEstimates/SummaryOfOverallLatency/Worst-caseLatency is '9k', not a "
            "number of cycles",
        ),
        (
            CSYNTH.replace(">5.00<", ">fast<"),
            "FILE: UserAssignments/TargetClockPeriod is 'fast', not a time in ns",
        ),
        (
            CSYNTH.replace("AreaEstimates", "Area"),
            "FILE has no resources of 'nibble_net'; synthesize again",
        ),
    ],
)
def test_refusals(refused, text, message):
    assert refused(text) == message


def test_missing_and_binary_files(tmp_path):
    path = tmp_path / "none.rpt"
    with pytest.raises(InputFileError) as caught:
        read_vendor_report(path)
    assert str(caught.value) == f"{path} cannot be read: No such file or directory; give {KNOWN}"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputFileError) as caught:
        read_vendor_report(path)
    assert str(caught.value) == f"{path} cannot be read: it is not text; give {KNOWN}"


def test_beside_the_plan(read):
    graph = sample_graph(1)
    conv = graph.convs[0].name
    cycles = NetworkCycles(4096, 9000, True, conv, {conv: NodeCycles(4000, 4096, 70, 3900)})
    planned = planned_intervals(graph, cycles)
    stem = node_stems(graph)[conv]
    reports = [read(HIERARCHICAL.replace("STEM", stem), "h.rpt"), read(TIMING, "t.rpt")]
    rows = vendor_json(reports, planned)
    found = [(m["node"], m["planned_interval_cycles"]) for m in rows[0]["modules"]]
    assert found == [("", 4096), (conv, 4000), (None, None), (None, None)]
    text = text_of(vendor_tables(reports, planned), 140)
    lines = [line.split() for line in text.splitlines()]
    assert [conv, "500", "400", "9", "0", "3", "0", "-", "-", "4,000"] in lines
    assert "clock 5.000 ns asked for; 5.250 ns reached; WNS -0.250 ns" in text


def test_hls_beside_the_plan(read):
    graph = sample_graph(1)
    cycles = NetworkCycles(4096, 9000, True, "", {})
    layers = emit_network(graph, plan(graph, max_macs_per_cycle=100)).layers
    # hls4ml counts from 1, which is the input port: tests/hls builds such projects.
    numbers = {layer.name: number for number, layer in enumerate(layers, 2)}
    conv = layers[numbers["depthwise"] - 2]
    name = f"conv_config{numbers['depthwise']}_s"
    names = [name, f"fork_config{numbers['stem_fork']}_s", f"conv_config{len(layers) + 2}_s"]
    names += [f"{name[:-2]}_Pipeline_rows", f"conv_config{numbers['stem_fork']}_s", "other"]
    start, end = CSYNTH.index(" <Module>"), CSYNTH.index(" <Module><Name>nibble_net")
    module = CSYNTH[start:end]
    modules = "".join(module.replace("conv_config3_s", name) for name in names)
    reports = [read(CSYNTH[:start] + modules + CSYNTH[end:], "csynth.xml")]
    planned = planned_intervals(graph, cycles, layers)
    (row,) = vendor_json(reports, planned)
    slowest = max(layer.kernel.interval_cycles for layer in layers)
    found = [(m["node"], m["planned_interval_cycles"]) for m in row["modules"]]
    fork = layers[numbers["stem_fork"] - 2].kernel.interval_cycles
    assert found[:3] == [
        ("", slowest),
        ("depthwise", conv.kernel.interval_cycles),
        ("stem_fork", fork),
    ]
    assert found[3:] == [(None, None)] * 4
    text = text_of(vendor_tables(reports, planned), 140)
    lines = [line.split() for line in text.splitlines()]
    counts = ["23,000", "12,000", "64", "40", "-", "2", "9,123", "4,100"]
    assert ["nibble_net", *counts, f"{slowest:,}"] in lines
    assert "3.650 ns estimated" in text
