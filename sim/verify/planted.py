# SPDX-License-Identifier: Apache-2.0
"""Planted faults: one wrong constant in each hand-written module, which a verification must catch.

Six small graphs (``sim.verify.small_graphs``) have every module between them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from quant.errors import ToolError
from quant.samples import sample_codes
from sim.verify.network import NetworkVerdict, verify_whole
from sim.verify.small_graphs import GraphName, small_graph


@dataclass(frozen=True)
class Fault:
    """One wrong constant.

    Attributes:
        cell: Name of the module.
        what: In words.
        right: Text in the module's file.
        wrong: What takes its place, once.
        graph: Graph that shows it.
    """

    cell: str
    what: str
    right: str
    wrong: str
    graph: GraphName = "layers"


def faulty_sources(fault: Fault, sources: Sequence[Path], folder: Path) -> tuple[Path, ...]:
    """Copy the modules into ``folder`` with the fault planted; return the copies.

    Raises:
        ToolError: The module or the text to replace is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    copies, planted = [], False
    for source in sources:
        text = source.read_text(encoding="utf-8")
        if source.stem == fault.cell:
            lines = text.splitlines(keepends=True)
            # Never in the header: a fault in a comment would prove nothing.
            code = (i for i, line in enumerate(lines) if not line.lstrip().startswith("//"))
            place = next((i for i in code if fault.right in lines[i]), None)
            if place is None:
                raise ToolError(f"{source.name} has no '{fault.right}' to break; renew the fault")
            lines[place] = lines[place].replace(fault.right, fault.wrong, 1)
            text, planted = "".join(lines), True
        (folder / source.name).write_text(text, encoding="utf-8")
        copies.append(folder / source.name)
    if not planted:
        raise ToolError(f"there is no module '{fault.cell}' to break; renew the fault")
    return tuple(copies)


def verify_small(name: GraphName, sources: Sequence[Path], work: Path) -> NetworkVerdict:
    """Verify one of the six graphs with the given modules.

    Args:
        name: Graph.
        sources: Hand-written modules, whole or with a fault.
        work: Scratch folder.
    """
    graph, schedule = small_graph(name)
    return verify_whole(
        graph,
        schedule,
        np.stack([sample_codes(seed, graph.input.shape, 8) for seed in (1, 2)]),
        work,
        seed=1,
        replay=lambda node, _: f"python -m reports.bench faults  # {node}",
        sources=sources,
    )


FAULTS = (
    Fault(
        "nf_adder_tree", "a pair adds its first term twice", "lane*Before+2*i+1", "lane*Before+2*i"
    ),
    Fault(
        "nf_mac_plain",
        "the first product joins the sum of the fold before",
        "(first_q[Stages-1] ? '0",
        "(last_q[Stages-1] ? '0",
    ),
    Fault(
        "nf_tap_count",
        "runs end one tap early",
        "count_q == CountW'(Taps - 1)",
        "count_q == CountW'(Taps - 2)",
        "groups",
    ),
    Fault(
        "nf_part_sum",
        "the first partial sum joins the fold before",
        "(first_q[1] ? '0",
        "(last_q[1] ? '0",
        "groups",
    ),
    Fault(
        "nf_scale_acts",
        "the multiplier of the neighbouring channel",
        "(FactorLanes == 1 ? 0 : i)",
        "(FactorLanes == 1 ? 0 : i ^ 1)",
        "groups",
    ),
    Fault(
        "nf_conv",
        "padding carries the code above that of zero",
        ".ZeroCode(ZeroCode)",
        ".ZeroCode(ZeroCode + 1)",
    ),
    Fault(
        "nf_window",
        "one column too many to the next kernel row",
        "+ Width - (KernelW - 1)",
        "+ Width + 1 - (KernelW - 1)",
    ),
    Fault(
        "nf_window_banks",
        "the pixel beside",
        "(BankW + 1)'(x * Apart);",
        "(BankW + 1)'(x * Apart + 1);",
        "packed",
    ),
    Fault(
        "nf_conv_plain",
        "the first tap of a fold is marked a cycle early",
        ".first_i(first_q)",
        ".first_i(sum_first)",
    ),
    Fault(
        "nf_conv_finish",
        "every step of a fold has the parameters of its first",
        ".next_i(param_next)",
        ".next_i(valid_i)",
    ),
    Fault(
        "nf_conv_packed",
        "the weights of later blocks are read too early",
        ".next_i(next[k])",
        ".next_i(next[0])",
        "packed",
    ),
    Fault(
        "nf_mac_outer4",
        "lanes forget the borrow below them",
        "product[(i == 0) ? 0 : i*LaneBits-1]",
        "1'b0",
        "packed",
    ),
    Fault(
        "nf_mac_pack6",
        "lanes forget the borrow below them",
        "product[(i == 0) ? 0 : i*LaneBits-1]",
        "1'b0",
        "packed",
    ),
    Fault(
        "nf_mac_pack12",
        "carries between lanes are one too low",
        "~lane_q[i+1], 1'b1",
        "~lane_q[i+1], 1'b0",
        "packed",
    ),
    Fault(
        "nf_row_accumulator",
        "a row begins with what the row before has left",
        "i < 2 && !row_i",
        "i < 2 && row_i",
        "packed",
    ),
    Fault(
        "nf_carry_tree",
        "a pair adds its first term twice",
        "lane*Before+2*i+1",
        "lane*Before+2*i",
        "packed",
    ),
    Fault("nf_delay", "every delay is one cycle", "line_q[Cycles-1]", "line_q[0]", "packed"),
    Fault("nf_dsp48e2", "signs are added", "5'b01100", "5'b00100", "packed"),
    Fault(
        "nf_window_sum",
        "the first tap joins the window before",
        "(first_q[Stages-1] ? '0",
        "(last_q[Stages-1] ? '0",
        "packed",
    ),
    Fault(
        "nf_offset",
        "the window before the right one",
        "first_i ? sum_i",
        "last_i ? sum_i",
        "packed",
    ),
    Fault(
        "nf_pixel_order",
        "pixels of a group swapped",
        "+ 32'(pixel_q))",
        "+ (32'(pixel_q) ^ 32'd1))",
        "packed",
    ),
    Fault("nf_requant", "shift by one bit too many", ">>> (ShiftLow - 1))", ">>> ShiftLow)"),
    Fault(
        "nf_table",
        "the neighbour's entry",
        "data[lane] = entries[index_i[lane]]",
        "data[lane] = entries[index_i[lane] ^ 1]",
    ),
    Fault(
        "nf_rom_cycle",
        "the last word is left out",
        "addr_q == AddrW'(Depth - 1)",
        "addr_q == AddrW'(Depth - 2)",
    ),
    Fault(
        "nf_narrow",
        "the burst begins with the wrong lanes",
        "data_i[StepBits-1:0]",
        "data_i[2*StepBits-1:StepBits]",
    ),
    Fault(
        "nf_widen", "lanes come out in the wrong order", "{data_i, before_q}", "{before_q, data_i}"
    ),
    Fault(
        "nf_fifo",
        "the read address wraps one word early",
        "(read_q == AddrW'(Depth - 1))",
        "(read_q == AddrW'(Depth - 2))",
    ),
    Fault("nf_output_queue", "one credit too many", "CreditW'(Depth);", "CreditW'(Depth + 1);"),
    Fault(
        "nf_decode",
        "the lowest bit is lost",
        "data_o <= codes_i;",
        "data_o <= codes_i & ~(Lanes*OutBits)'(1);",
    ),
    Fault(
        "nf_add",
        "the zero point is one too high",
        "(2 * ZeroOut + 1)",
        "(2 * ZeroOut + 3)",
    ),
    Fault(
        "nf_fork",
        "a branch takes its beat twice",
        "{Branches{s_valid_i}} & ~done_q;",
        "{Branches{s_valid_i}};",
    ),
    Fault(
        "nf_stream_fifo",
        "the write address wraps one word early",
        "(write_q == AddrW'(Depth - 1))",
        "(write_q == AddrW'(Depth - 2))",
    ),
    Fault(
        "nf_width",
        "channels swapped in a narrow beat",
        "assign beat = word[OutBits-1:0];",
        "assign beat = word[OutBits-1:0] ^ OutBits'(1);",
    ),
    Fault("nf_axis_end", "tlast one beat early", "CountW'(Beats - 1)", "CountW'(Beats - 2)"),
    Fault(
        "nf_maxpool",
        "rows padded with one pixel less",
        ".PadLeft(PadLeft)",
        ".PadLeft(PadLeft - 1)",
        "routes",
    ),
    Fault("nf_maxpool_pass", "the smaller code wins", "> tap_codes", "< tap_codes", "routes"),
    Fault(
        "nf_upsample",
        "a row is repeated once too often",
        "copy_y_q == CopyW'(Factor - 1)",
        "copy_y_q == CopyW'(Factor - 2)",
        "routes",
    ),
    Fault(
        "nf_concat",
        "a source ends one beat early",
        "beat_q == last_beats[source_q]",
        "beat_q + 1'b1 == last_beats[source_q]",
        "routes",
    ),
    Fault(
        "nf_split",
        "the range begins one beat late",
        "32'(beat) - First <",
        "32'(beat) - First - 1 <",
        "routes",
    ),
    Fault(
        "nf_requantize",
        "the zero point is one too high",
        "(2 * ZeroOut + 1)",
        "(2 * ZeroOut + 3)",
        "routes",
    ),
    Fault(
        "nf_lookup",
        "the other half of the table",
        ".codes_i(s_data_i)",
        ".codes_i(~s_data_i)",
        "routes",
    ),
    Fault(
        "nf_avgpool",
        "one tap too few in the zero point",
        "Taps * ZeroIn",
        "(Taps - 1) * ZeroIn",
        "routes",
    ),
    Fault(
        "nf_globalpool",
        "one pixel too few in the zero point",
        "Pixels * ZeroIn",
        "(Pixels - 1) * ZeroIn",
        "routes",
    ),
    Fault("nf_mean", "half a code too much", "2 * ZeroOut + 1", "2 * ZeroOut + 2", "routes"),
    Fault(
        "nf_load_gate",
        "the last word is not let in",
        "count_q != CountW'(Words)",
        "count_q != CountW'(Words - 1)",
        "loaded",
    ),
    Fault(
        "nf_rom_load",
        "the memory is called full one word early",
        "AddrW'(Depth - 1)",
        "AddrW'(Depth - 2)",
        "loaded",
    ),
    Fault(
        "nf_weight_stream",
        "a word that comes while the queue is full is dropped",
        "rst_ni & free;",
        "rst_ni;",
        "streamed",
    ),
    Fault(
        "nf_ram",
        "the read address is off by one",
        "read_q <= words[read_addr_i]",
        "read_q <= words[read_addr_i ^ 1]",
        "loaded",
    ),
)
