# SPDX-License-Identifier: Apache-2.0
"""The C++ test bench of a project: feeds frames, compares every code, fails on a difference."""

import string

from hls.cell import ConvCell

INPUT_FILE = "tb_data/tb_input_features.dat"
EXPECTED_FILE = "tb_data/tb_output_predictions.dat"
OUTPUT_FILE = "tb_data/csim_results.log"
# hls4ml's scripts compile the bench with -DRTL_SIM for co-simulation and compare the two files.
COSIM_OUTPUT_FILE = "tb_data/rtl_cosim_results.log"

# Exit codes of the bench.
EQUAL, DIFFERENT, TROUBLE = 0, 1, 2

_TEMPLATE = string.Template("""\
// SPDX-License-Identifier: Apache-2.0
// $note
// Test bench of $name: one call of the top function per frame, nothing reset in between.
//
//   ${name}_test [input [expected [output]]]
//
// Files hold decimal codes, one frame per line, in stream order (row, column, channel fastest).
// `expected` may be `-`: the outputs are written and nothing is compared.
// Exit code: 0 equal, 1 a code differs (the first one is printed), 2 a file or a stream is wrong.
#include "firmware/$name.h"
#include <cstdio>
#include <cstring>
#include <vector>

namespace {

typedef std::vector<int> codes_t;

const int in_channels = $in_channels, in_height = $in_height, in_width = $in_width;
const int filters = $filters, out_height = $out_height, out_width = $out_width;
const int in_lanes = $in_lanes, out_lanes = $out_lanes, in_bits = $in_bits;
const size_t in_size = size_t(in_channels) * in_height * in_width;
const size_t out_size = size_t(filters) * out_height * out_width;

// Appends every number of a text file to `codes`; false when there is no such file or it holds
// anything but numbers and white space.
bool read_codes(const char *path, codes_t &codes) {
    std::FILE *file = std::fopen(path, "rb");
    if (file == NULL)
        return false;
    std::vector<char> block(1 << 16);
    int value = -1; // no digit yet
    bool clean = true;
    size_t count = 0;
    while ((count = std::fread(&block[0], 1, block.size(), file)) > 0) {
        for (size_t i = 0; i < count; ++i) {
            const char c = block[i];
            if (c >= '0' && c <= '9') {
                value = (value < 0 ? 0 : value * 10) + (c - '0');
                clean = clean && value < (1 << 20);
                value &= (1 << 20) - 1;
            } else {
                clean = clean && (c == ' ' || c == '\\n' || c == '\\r');
                if (value >= 0)
                    codes.push_back(value);
                value = -1;
            }
        }
    }
    if (value >= 0)
        codes.push_back(value);
    std::fclose(file);
    return clean;
}

bool write_codes(const char *path, const codes_t &codes) {
    std::FILE *file = std::fopen(path, "wb");
    if (file == NULL)
        return false;
    for (size_t i = 0; i < codes.size(); ++i)
        std::fprintf(file, (i + 1) % out_size == 0 ? "%d\\n" : "%d ", codes[i]);
    return std::fclose(file) == 0;
}

// Runs one frame through the top function; false when it left or lacked data.
bool run_frame(const int *in, codes_t &produced) {
    hls::stream<$input_type> input("input");
    hls::stream<$output_type> output("output");
    for (size_t i = 0; i < in_size; i += in_lanes) {
        $input_type beat;
        for (int lane = 0; lane < in_lanes; ++lane)
            beat[lane] = in[i + lane];
        input.write(beat);
    }
    $name(input, output);
    if (!input.empty() || output.size() != out_size / out_lanes) {
        std::printf("ERROR: %u input beats left, %u of %u output beats made\\n",
                    unsigned(input.size()), unsigned(output.size()),
                    unsigned(out_size / out_lanes));
        return false;
    }
    while (!output.empty()) {
        const $output_type beat = output.read();
        for (int lane = 0; lane < out_lanes; ++lane)
            produced.push_back(static_cast<int>(beat[lane]));
    }
    return true;
}

// Counts the codes that differ and prints the first one.
size_t compare(const codes_t &expected, const codes_t &produced) {
    size_t different = 0;
    for (size_t i = 0; i < produced.size(); ++i) {
        if (produced[i] == expected[i])
            continue;
        if (different++ == 0)
            std::printf("first difference: frame %u channel %u row %u column %u: expected %d, "
                        "got %d\\n",
                        unsigned(i / out_size), unsigned(i % filters),
                        unsigned(i % out_size / filters / out_width),
                        unsigned(i % out_size / filters % out_width), expected[i], produced[i]);
    }
    return different;
}

#ifdef RTL_SIM
const char *const default_output = "$cosim_output_file";
#else
const char *const default_output = "$output_file";
#endif

} // namespace

int main(int argc, char **argv) {
    const char *input_path = argc > 1 ? argv[1] : "$input_file";
    const char *expected_path = argc > 2 ? argv[2] : "$expected_file";
    const char *output_path = argc > 3 ? argv[3] : default_output;
    const bool comparing = std::strcmp(expected_path, "-") != 0;

    codes_t input, expected, produced;
    if (!read_codes(input_path, input) || input.empty() || input.size() % in_size != 0) {
        std::printf("ERROR: %s must hold frames of %u codes; it has %u codes\\n", input_path,
                    unsigned(in_size), unsigned(input.size()));
        return $trouble;
    }
    for (size_t i = 0; i < input.size(); ++i) {
        if (input[i] >> in_bits) {
            std::printf("ERROR: %s holds code %d; limit %d bits\\n", input_path, input[i], in_bits);
            return $trouble;
        }
    }
    const size_t frames = input.size() / in_size;
    if (comparing &&
        (!read_codes(expected_path, expected) || expected.size() != frames * out_size)) {
        std::printf("ERROR: %s must hold %u frames of %u codes; it has %u codes\\n", expected_path,
                    unsigned(frames), unsigned(out_size), unsigned(expected.size()));
        return $trouble;
    }
    for (size_t frame = 0; frame < frames; ++frame) {
        if (!run_frame(&input[frame * in_size], produced))
            return $trouble;
    }
    if (!write_codes(output_path, produced)) {
        std::printf("ERROR: %s cannot be written\\n", output_path);
        return $trouble;
    }
    std::printf("frames %u filters %d rows %d columns %d\\n", unsigned(frames), filters, out_height,
                out_width);
    if (!comparing)
        return $equal;
    const size_t different = compare(expected, produced);
    std::printf("%u of %u codes differ\\n", unsigned(different), unsigned(produced.size()));
    return different == 0 ? $equal : $different;
}
""")


def testbench(cell: ConvCell, name: str, note: str) -> str:
    """Return the text of ``<name>_test.cpp``.

    Args:
        cell: The folded convolution.
        name: Project name, which is the name of the top function.
        note: One line of provenance.
    """
    return _TEMPLATE.substitute(
        name=name,
        note=note,
        in_channels=cell.in_shape[0],
        in_height=cell.in_shape[1],
        in_width=cell.in_shape[2],
        filters=cell.out_shape[0],
        out_height=cell.out_shape[1],
        out_width=cell.out_shape[2],
        in_lanes=cell.lanes,
        out_lanes=cell.pe,
        in_bits=cell.source.bits,
        input_type="input_t",
        output_type="result_t",
        input_file=INPUT_FILE,
        expected_file=EXPECTED_FILE,
        output_file=OUTPUT_FILE,
        cosim_output_file=COSIM_OUTPUT_FILE,
        equal=EQUAL,
        different=DIFFERENT,
        trouble=TROUBLE,
    )
