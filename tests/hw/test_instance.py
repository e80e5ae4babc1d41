# SPDX-License-Identifier: Apache-2.0
"""Text of an instance: parameters in order, strings quoted, equal names written once."""

from hw.instance import instance_text


def test_parameters_and_ports():
    ports = {"clk_i": "ap_clk", "s_data_i": "s_data_i", "m_data_o": "codes[3:0]"}
    assert instance_text("nf_cell", "u_cell", {"Lanes": 4, "File": "a.mem"}, ports) == (
        "  nf_cell #(\n"
        "    .Lanes(4),\n"
        '    .File("a.mem")\n'
        "  ) u_cell (\n"
        "    .clk_i(ap_clk),\n"
        "    .s_data_i,\n"
        "    .m_data_o(codes[3:0])\n"
        "  );"
    )


def test_without_parameters():
    assert instance_text("nf_cell", "u_cell", {}, {"clk_i": "clk_i"}) == (
        "  nf_cell u_cell (\n    .clk_i\n  );"
    )
