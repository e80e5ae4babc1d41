# SPDX-License-Identifier: Apache-2.0
"""``python -m reports.readme``: make the README's result tables from ``reports/results``.

The tables stand between two marker comments; everything else is left alone. The same records give
the same text. ``--check`` writes nothing and fails when the README is out of date.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from quant.errors import InputFileError, NibbleflowError
from reports.bench.record import BenchRecord, Figure, Row, read_record

BEGIN = "<!-- results:begin -->"
END = "<!-- results:end -->"
CHECKOUT = Path(__file__).resolve().parents[1]
RESULTS = Path("reports/results")


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        heading: Heading, with the unit.
        pattern: ``str.format`` pattern over the row's figures.
    """

    heading: str
    pattern: str


_BITS = Column("bits W/A", "W{weight_bits}A{act_bits}")
_SIZES = (
    Column("stored (KiB)", "{stored_kib:,.1f}"),
    Column("bundle files (KiB)", "{bundle_kib:,.1f}"),
    Column("ratio to FP16, every bit", "{honest_ratio:.2f}"),
    Column("ratio as published", "{published_ratio:.2f}"),
)
_DETECTOR = (
    _BITS,
    Column("float mAP / AP50 (%)", "{float_map_percent:.2f} / {float_map50_percent:.2f}"),
    Column("fake-quantized (%)", "{fake_quant_map_percent:.2f} / {fake_quant_map50_percent:.2f}"),
    Column("integer (%)", "{integer_map_percent:.2f} / {integer_map50_percent:.2f}"),
    *_SIZES,
)
# Which figures of which benchmark stand in the README, in this order.
COLUMNS: dict[str, tuple[Column, ...]] = {
    "demo": (
        _BITS,
        Column("float AP50 (%)", "{float_map50_percent:.2f}"),
        Column("fake-quantized AP50 (%)", "{fake_quant_map50_percent:.2f}"),
        Column("integer AP50 (%)", "{integer_map50_percent:.2f}"),
        *_SIZES,
    ),
    "float": (
        Column("model", "{model}"),
        Column("input (pixels)", "{pixels} x {pixels}"),
        Column("mAP (%)", "{map_percent:.2f}"),
        Column("known mAP (%)", "{expected_map_percent:.2f}"),
        Column("AP50 (%)", "{map50_percent:.2f}"),
        Column("known AP50 (%)", "{expected_map50_percent:.2f}"),
        Column("top-1 (%)", "{top1_percent:.1f}"),
        Column("known top-1 (%)", "{expected_top1_percent:.1f}"),
    ),
    "yolov5n": _DETECTOR,
    "yolox_nano": _DETECTOR,
    "mobileone": (
        _BITS,
        Column("float top-1 / top-5 (%)", "{float_top1_percent:.1f} / {float_top5_percent:.1f}"),
        Column(
            "fake-quantized (%)", "{fake_quant_top1_percent:.1f} / {fake_quant_top5_percent:.1f}"
        ),
        Column("integer (%)", "{integer_top1_percent:.1f} / {integer_top5_percent:.1f}"),
        *_SIZES,
    ),
    "recipes": (
        Column("model", "{model}"),
        Column("bits", "{bits}"),
        Column("recipe", "{recipe}"),
        Column("calibration images", "{calibration_images}"),
        Column("float mAP or top-1 (%)", "{float_percent:.2f}"),
        Column("mAP / AP50 or top-1 / top-5 (%)", "{percent:.2f} / {second_percent:.2f}"),
        Column("lost (points)", "{lost_points:.2f}"),
        Column("ratio to FP16, every bit", "{honest_ratio:.2f}"),
        Column(
            "quantize, wall / processor (s)",
            "{quantize_seconds:,.0f} / {quantize_cpu_seconds:,.0f}",
        ),
        Column("peak memory (MiB)", "{quantize_peak_mib:,.0f}"),
    ),
    "verify": (
        Column("model", "{model}"),
        _BITS,
        Column("engines", "{engines}"),
        Column("convolutions", "{nodes}"),
        Column("values compared", "{values:,}"),
        Column("mismatches", "{mismatches:,}"),
        Column("cycles simulated", "{cycles:,}"),
        Column("intervals as planned", "{intervals_as_planned} of {intervals_counted}"),
        Column("seconds", "{seconds:,.0f}"),
    ),
    "network": (
        Column("model", "{model}"),
        Column("nodes", "{nodes}"),
        Column("frames", "{frames}"),
        Column("values compared", "{values:,}"),
        Column("mismatches", "{mismatches:,}"),
        Column("interval, planned / counted", "{interval_planned:,} / {interval_counted:,}"),
        Column("latency, planned / counted", "{latency_planned:,} / {latency_counted:,}"),
        Column("frames/s at 200 MHz", "{frames_per_second_at_200_mhz:.1f}"),
        Column("MAC/cycle", "{macs_per_cycle:.0f}"),
        Column("simulated (MMAC/s)", "{million_macs_per_second_simulated:.1f}"),
        Column("build / simulate (s)", "{build_seconds:.0f} / {simulation_seconds:.0f}"),
        Column("wall (s)", "{wall_seconds:.0f}"),
    ),
    "simspeed": (
        Column("folding", "{folding}"),
        Column("compiled with", "{compiler}"),
        Column("multipliers", "{multipliers:,}"),
        Column("MAC/cycle", "{macs_per_cycle:,.0f}"),
        Column("interval (cycles)", "{interval_cycles:,}"),
        Column("cycles", "{cycles:,}"),
        Column("build, processor (s)", "{build_cpu_seconds:,.0f}"),
        Column("simulate, processor (s)", "{simulation_cpu_seconds:,.0f}"),
        Column("cycles/s", "{cycles_per_cpu_second:,}"),
        Column("MMAC/s", "{million_macs_per_cpu_second:.1f}"),
        Column("MMAC/s when full", "{million_macs_per_cpu_second_when_full:.1f}"),
    ),
    "fifos": (
        Column("model", "{model} {pixels}"),
        Column("edges", "{edges}"),
        Column("least FIFOs (KiB)", "{minimal_kib:,.1f}"),
        Column("full throughput (KiB)", "{throughput_kib:,.1f}"),
        Column("whole tensors (KiB)", "{tensor_kib:,.1f}"),
        Column("slowest node (cycles)", "{bottleneck_interval_cycles:,}"),
        Column("network (cycles)", "{network_interval_cycles:,}"),
        Column("beats left by the proof", "{proof_left_beats}"),
        Column("FIFOs (s)", "{fifo_seconds:.1f}"),
        Column("cycles (s)", "{cycle_seconds:.1f}"),
        Column("memory (MiB)", "{peak_mib:,}"),
    ),
    "explore": (
        Column("model", "{model} {pixels}"),
        Column("board", "{board}"),
        Column("frames/s", "{fps:.1f}"),
        Column("cycles, plan / bound", "{interval_cycles:,} / {interval_bound_cycles:,}"),
        Column("cycles with exact FIFOs", "{exact_interval_cycles:,}"),
        Column("cost, plan / bound", "{cost:.4f} / {cost_bound:.4f}"),
        Column("LUT", "{exact_lut:,}"),
        Column("DSP", "{exact_dsp:,}"),
        Column("BRAM18", "{exact_bram18:,}"),
        Column("URAM", "{exact_uram:,}"),
        Column("solved (s), wall / CPU", "{solve_seconds:.1f} / {solve_cpu_seconds:.1f}"),
        Column("what lacks", "{lacks:s}"),
        Column("nearest that fits", "{nearest:s}"),
        Column(
            "with weights from the board's memory: frames/s, layers",
            "{streamed_fps:.1f}, {streamed_layers}",
        ),
    ),
    "front": (
        Column("bits", "{bits:s}"),
        Column("scheme", "{scheme:s}"),
        Column("frames/s", "{fps:,.1f}"),
        Column("cycles", "{interval_cycles:,}"),
        Column("LUT", "{lut:,}"),
        Column("DSP", "{dsp:,}"),
        Column("BRAM18", "{bram18:,}"),
        Column("URAM", "{uram:,}"),
        Column("SQNR of the worst output (dB)", "{sqnr_db:.1f}"),
        Column("cost, plan / bound", "{cost:.4f} / {cost_bound:.4f}"),
    ),
    "sweep": (
        Column("variants", "{variants}"),
        Column("workers", "{workers}"),
        Column("results before the kill", "{results_before_the_kill}"),
        Column("results", "{results}"),
        Column("lost", "{lost}"),
        Column("plans equal to those in processes", "{plans_equal}"),
        Column("seconds, Dask / processes", "{seconds:,.0f} / {seconds_in_processes:,.0f}"),
    ),
    "hls": (
        Column("model", "{model} {image_size}"),
        Column("nodes", "{nodes}"),
        Column("compile, plain / ap_int (s)", "{plain_compile_seconds} / {ap_int_compile_seconds}"),
        Column("plain (GMAC/s)", "{plain_gmacs_per_second:.2f}"),
        Column("ap_int (GMAC/s)", "{ap_int_gmacs_per_second:.3f}"),
        Column("values compared", "{values_compared:,}"),
        Column("mismatches, plain", "{plain_mismatches:,}"),
        Column("mismatches, ap_int", "{ap_int_mismatches:,}"),
        Column("mismatches, bounded streams", "{bounded_mismatches:,}"),
        Column("streams (KiB)", "{stream_kib:,.1f}"),
    ),
    "golden": (
        _BITS,
        Column("GMAC per frame", "{gmacs_per_frame:.3f}"),
        Column("best (s per frame)", "{best_seconds_per_frame:.3f}"),
        Column("best (GMAC/s)", "{best_gmacs_per_second:.1f}"),
        Column("median (GMAC/s)", "{median_gmacs_per_second:.1f}"),
    ),
    "study": (
        Column("scheme", "{scheme}"),
        Column("stored bits", "{bits}"),
        Column("stem, head", "{stem_and_head_bits}"),
        Column("range", "{clip}"),
        Column("granularity", "{granularity}"),
        Column("ratio to FP16, every bit", "{honest_ratio:.3f}"),
        Column("as published", "{published_ratio:.3f}"),
        Column("weights' SQNR (dB)", "{sqnr_db:.1f}"),
        Column("mAP (%)", "{map_percent:.2f}"),
        Column("known mAP (%)", "{expected_map_percent:.2f}"),
        Column("AP50 (%)", "{map50_percent:.2f}"),
        Column("precision (%)", "{precision_percent:.1f}"),
        Column("recall (%)", "{recall_percent:.1f}"),
    ),
    "yolov7": (
        Column("scheme", "{scheme}"),
        Column("stored bits", "{stored_bits}"),
        Column("granularity", "{granularity}"),
        Column("groups as trained", "{trained_groups:,}"),
        Column("ratio as published", "{published_ratio:.3f}"),
        Column("printed", "{printed_ratio:.2f}"),
        Column("ratio to FP16, every bit", "{honest_ratio:.3f}"),
        Column("with an 8-bit head", "{honest_ratio_8_bit_head:.3f}"),
        Column("processor (s)", "{cpu_seconds:.1f}"),
        Column("memory so far (MiB)", "{peak_mib:,.0f}"),
    ),
    "gptq": (
        Column("model", "{model}"),
        Column("images", "{images}"),
        Column("columns of a layer", "{columns:,}"),
        Column("wall / processor (s)", "{seconds:,.0f} / {cpu_seconds:,.0f}"),
        Column("most memory (MiB)", "{peak_mib:,.0f}"),
    ),
    "granularity": (
        Column("scheme", "{scheme}"),
        Column("granularity", "{granularity}"),
        Column("stored bits per weight, 64x64x3x3", "{stored_bits_per_weight:.3f}"),
        Column("bits of M / operand", "{multiplier_bits} / {operand_bits}"),
        Column("LUT / FF, no DSP", "{lut_without_dsp:,} / {ff_without_dsp:,}"),
        Column("LUT / FF / DSP", "{lut:,} / {ff:,} / {dsp}"),
        Column("of these decoding, LUT", "{decode_lut:,}"),
        Column("group multipliers, LUT / DSP", "{factor_lut:,} / {factor_dsp}"),
        Column("cycles per pixel", "{cycles_per_pixel}"),
        Column("latency (cycles)", "{latency_cycles}"),
        Column("possible packed cores, A4", "{cores_a4}"),
        Column("possible packed cores, A8", "{cores_a8}"),
        Column("MAC/DSP, A4 / A8", "{mac_per_dsp_a4} / {mac_per_dsp_a8}"),
    ),
    "estimates": (
        Column("cell", "{kind}"),
        Column("held-out cells", "{cells}"),
        Column("LUT of them", "{lut_smallest:,} to {lut_largest:,}"),
        Column(
            "LUT error, median / worst (%)", "{lut_median_percent:.1f} / {lut_worst_percent:.1f}"
        ),
        Column("FF error, median / worst (%)", "{ff_median_percent:.1f} / {ff_worst_percent:.1f}"),
        Column("DSP, BRAM18, URAM wrong", "{dsp_wrong} / {bram18_wrong} / {uram_wrong}"),
    ),
    "synth": (
        Column("cell", "{cell} ({module})"),
        Column("times", "{times}"),
        Column("LUT, counted / estimated", "{lut_counted:,} / {lut_estimated:,}"),
        Column("FF, counted / estimated", "{ff_counted:,} / {ff_estimated:,}"),
        Column("DSP, counted / estimated", "{dsp_counted} / {dsp_estimated}"),
        Column("BRAM18, counted / estimated", "{bram18_counted} / {bram18_estimated}"),
        Column("basis", "{basis}"),
    ),
    "schemes": (
        Column("scheme", "{scheme}"),
        Column("stored bits", "{stored_bits}"),
        Column("granularity", "{granularity}"),
        Column("layers", "{layers}"),
        Column("accumulators at an end", "{accumulators_at_an_end}"),
        Column("RTL values", "{rtl_values:,}"),
        Column("RTL mismatches", "{rtl_mismatches:,}"),
        Column("intervals as planned", "{rtl_intervals_as_planned} of {layers}"),
        Column("HLS values, ap_int / plain", "{hls_values:,} / {hls_plain_values:,}"),
        Column("HLS mismatches", "{hls_mismatches:,} / {hls_plain_mismatches:,}"),
    ),
}


def main(arguments: Sequence[str] | None = None, root: Path = CHECKOUT) -> int:
    """Rewrite or check the README; return the exit code.

    Args:
        arguments: Command line; that of the process when absent.
        root: The checkout.
    """
    parser = argparse.ArgumentParser(
        prog="python -m reports.readme", description="Make the README's result tables."
    )
    parser.add_argument("--check", action="store_true", help="write nothing; fail when outdated")
    check = parser.parse_args(arguments).check
    readme = root / "README.md"
    try:
        old = _read(readme)
        new = with_tables(old, tables(read_results(root / RESULTS)))
        if check and new != old:
            raise InputFileError(
                "README.md does not show reports/results; run python -m reports.readme"
            )
        if new != old:
            _replace(readme, new)
    except NibbleflowError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def read_results(folder: Path) -> list[BenchRecord]:
    """Return every record in ``folder``: those of ``COLUMNS`` first, others by name.

    Raises:
        InputFileError: A file is no benchmark record.
    """
    order = list(COLUMNS)
    records = [read_record(path) for path in sorted(folder.glob("*.json"))]
    return sorted(records, key=lambda r: order.index(r.name) if r.name in order else len(order))


def tables(records: Sequence[BenchRecord]) -> str:
    """Return the Markdown of all records; nothing without any.

    Raises:
        InputFileError: A record lacks a figure that the README shows.
    """
    return "\n".join(_table(record) for record in records)


def with_tables(text: str, made: str) -> str:
    """Return ``text`` with what stands between the markers replaced by ``made``.

    Raises:
        InputFileError: The markers are not there exactly once, in order.
    """
    begin, end = text.find(BEGIN), text.find(END)
    if text.count(BEGIN) != 1 or text.count(END) != 1 or end < begin:
        raise InputFileError(
            f"README.md needs the lines '{BEGIN}' and '{END}' once each, in this order"
        )
    return f"{text[: begin + len(BEGIN)]}\n{made}{text[end:]}"


def _table(record: BenchRecord) -> str:
    columns = COLUMNS.get(record.name)
    if columns is None:
        keys = dict.fromkeys(key for row in record.figures for key in row)
        columns = tuple(Column(key.replace("_", " "), f"{{{key}}}") for key in keys)
    lines = [
        f"**{record.title[:1].upper()}{record.title[1:]}.**",
        "",
        "| " + " | ".join(column.heading for column in columns) + " |",
        "|" + "---|" * len(columns),
    ]
    for row in record.figures:
        figures = {**row, **_derived(row)}
        cells = [_cell(record.name, column.pattern, figures) for column in columns]
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", _origin(record), ""]
    return "\n".join(lines)


def _cell(name: str, pattern: str, figures: Row) -> str:
    try:
        return pattern.format(**figures)
    except TypeError:
        # A figure that is not defined (null) takes no number format.
        return "-"
    except (KeyError, ValueError) as error:
        raise InputFileError(
            f"result '{name}' has no figure for '{pattern}' ({error}); run make bench NAME={name}"
        ) from None


def _derived(row: Row) -> Row:
    """Return figures in the units that people read."""
    found: Row = {}
    for source, target, unit in (
        ("stored_bits", "stored_kib", 8 * 1024),
        ("minimal_bits", "minimal_kib", 8 * 1024),
        ("throughput_bits", "throughput_kib", 8 * 1024),
        ("tensor_bits", "tensor_kib", 8 * 1024),
        ("bundle_bytes", "bundle_kib", 1024),
        ("macs_per_frame", "gmacs_per_frame", 10**9),
    ):
        value: Figure = row.get(source)
        if isinstance(value, int | float):
            found[target] = value / unit
    return found


def _origin(record: BenchRecord) -> str:
    tools = ", ".join(f"{k} {v}" for k, v in record.versions.items() if v)
    tools = tools.replace("nibbleflow_commit", "commit")
    return (
        f"`make bench NAME={record.name}`, {record.date}, {record.wall_seconds:,.0f} s on "
        f"{record.machine['cores']} cores ({record.machine['cpu']}); {tools}."
    )


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputFileError(f"{path.name} cannot be read: {error}") from None


def _replace(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise InputFileError(f"cannot write {path.name}: {error.strerror}") from None


if __name__ == "__main__":
    sys.exit(main())
