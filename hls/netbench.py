# SPDX-License-Identifier: Apache-2.0
"""The C++ test bench of a whole network: binary vectors, every output compared, optional traces."""

import string
from collections.abc import Sequence

from hls.layer import Layer, beat_type, stream_variable
from hls.streams import Stream
from quant.bundle.names import shown

VECTOR_FOLDER = "tb_data"
INPUT_FILE = "input.bin"
# hls4ml's scripts compile the bench with -DRTL_SIM for co-simulation and compare the two files.
OUTPUT_LOG = "csim_results.log"
COSIM_LOG = "rtl_cosim_results.log"

_TEMPLATE = string.Template("""\
// SPDX-License-Identifier: Apache-2.0
// $note
// Test bench of $name: one call of the top function per frame, nothing reset in between.
//
//   ${name}_test [vectors [traces]]
//
// The folder `vectors` ($folder) holds $input_file and expected_<k>.bin, k counting the outputs:
// codes of all frames in stream order (row, column, channel fastest), one byte each, two (low byte
// first) above 8 bits. The outputs are written beside them as output_<k>.bin and, one number per
// line, to a log. With the folder `traces` every node's output is recorded there as <node>.bin.
// Exit code: 0 equal, 1 a code differs (the first one is named), 2 a file or a stream is wrong.
#include "firmware/$name.h"
#include "firmware/nnet_utils/nf_trace.h"
#include <cstdio>
#include <ctime>
#include <string>
#include <vector>

namespace {

typedef std::vector<unsigned char> bytes_t;

const int equal = 0, different = 1, trouble = 2;

// One port: codes of a frame are channels x rows x columns, a beat carries `lanes` of them.
struct port {
    const char *name;
    int channels, rows, columns, lanes, bits;
    size_t codes() const { return size_t(channels) * rows * columns; }
    size_t code_bytes() const { return bits > 8 ? 2 : 1; }
    size_t beats() const { return codes() / lanes; }
};

const port input_port = $input_port;
const port output_ports[] = {$output_ports};
const size_t outputs = sizeof output_ports / sizeof output_ports[0];

#ifdef RTL_SIM
const char *const log_name = "$cosim_log";
#else
const char *const log_name = "$output_log";
#endif

bool read_file(const std::string &path, bytes_t &bytes) {
    std::FILE *file = std::fopen(path.c_str(), "rb");
    if (file == NULL)
        return false;
    unsigned char block[1 << 14];
    for (size_t count; (count = std::fread(block, 1, sizeof block, file)) > 0;)
        bytes.insert(bytes.end(), block, block + count);
    const bool clean = std::ferror(file) == 0;
    std::fclose(file);
    return clean;
}

bool write_file(const std::string &path, const bytes_t &bytes) {
    std::FILE *file = std::fopen(path.c_str(), "wb");
    if (file == NULL)
        return false;
    const bool written = std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size();
    return std::fclose(file) == 0 && written;
}

unsigned code_at(const port &shape, const bytes_t &bytes, size_t index) {
    if (shape.code_bytes() == 1)
        return bytes[index];
    return bytes[2 * index] | unsigned(bytes[2 * index + 1]) << 8;
}

template <class Beat> void feed(const bytes_t &bytes, size_t frame, hls::stream<Beat> &stream) {
    size_t index = frame * input_port.codes();
    for (size_t i = 0; i < input_port.beats(); ++i) {
        Beat beat;
        for (int lane = 0; lane < input_port.lanes; ++lane)
            beat[lane] = code_at(input_port, bytes, index++);
        stream.write(beat);
    }
}

// Takes a frame from an output; false when it has more or fewer beats.
template <class Beat>
bool drain(const port &shape, hls::stream<Beat> &stream, std::vector<unsigned char> &bytes) {
    if (stream.size() != shape.beats()) {
        std::printf("ERROR: output %s made %u beats of %u\\n", shape.name, unsigned(stream.size()),
                    unsigned(shape.beats()));
        return false;
    }
    while (!stream.empty())
        nf::append_codes(stream.read(), bytes);
    return true;
}

// Runs one frame; false when the network left or lacked data.
bool run_frame(const bytes_t &input, size_t frame, bytes_t *produced, double &seconds) {
    hls::stream<input_t> in("in");
$streams    feed(input, frame, in);
    const std::clock_t begin = std::clock(); // processor time: other work does not count
    $name(in, $stream_names);
    seconds += double(std::clock() - begin) / CLOCKS_PER_SEC;
    if (!in.empty()) {
        std::printf("ERROR: %u input beats left\\n", unsigned(in.size()));
        return false;
    }
    return $drains;
}

// Counts the codes of one output that differ and prints the first one.
size_t compare(const port &shape, const bytes_t &expected, const bytes_t &produced) {
    const size_t codes = produced.size() / shape.code_bytes();
    size_t wrong = 0;
    for (size_t i = 0; i < codes; ++i) {
        const unsigned want = code_at(shape, expected, i), got = code_at(shape, produced, i);
        if (want != got && wrong++ == 0)
            std::printf("first difference: output %s frame %u channel %u row %u column %u: "
                        "expected %u, got %u\\n",
                        shape.name, unsigned(i / shape.codes()), unsigned(i % shape.channels),
                        unsigned(i % shape.codes() / shape.channels / shape.columns),
                        unsigned(i % shape.codes() / shape.channels % shape.columns), want, got);
    }
    std::printf("output %s: %u of %u codes differ\\n", shape.name, unsigned(wrong),
                unsigned(codes));
    return wrong;
}

bool write_log(const std::string &path, const bytes_t *produced) {
    std::FILE *file = std::fopen(path.c_str(), "wb");
    if (file == NULL)
        return false;
    for (size_t k = 0; k < outputs; ++k)
        for (size_t i = 0; i < produced[k].size() / output_ports[k].code_bytes(); ++i)
            std::fprintf(file, "%u\\n", code_at(output_ports[k], produced[k], i));
    return std::fclose(file) == 0;
}

// Reads the codes of `port` from a file and checks their number and range.
bool read_codes(const port &shape, const std::string &path, bytes_t &bytes) {
    const size_t frame_bytes = shape.codes() * shape.code_bytes();
    if (!read_file(path, bytes) || bytes.empty() || bytes.size() % frame_bytes != 0) {
        std::printf("ERROR: %s must hold frames of %u bytes; it has %u\\n", path.c_str(),
                    unsigned(frame_bytes), unsigned(bytes.size()));
        return false;
    }
    for (size_t i = 0; i < bytes.size() / shape.code_bytes(); ++i) {
        if (code_at(shape, bytes, i) >> shape.bits) {
            std::printf("ERROR: %s holds code %u; limit %d bits\\n", path.c_str(),
                        code_at(shape, bytes, i), shape.bits);
            return false;
        }
    }
    return true;
}

} // namespace

int main(int argc, char **argv) {
    const std::string vectors = std::string(argc > 1 ? argv[1] : "$folder") + "/";
    if (argc > 2)
        nf::trace_folder() = argv[2];

    bytes_t input, expected[outputs], produced[outputs];
    if (!read_codes(input_port, vectors + "$input_file", input))
        return trouble;
    const size_t frames = input.size() / (input_port.codes() * input_port.code_bytes());
    for (size_t k = 0; k < outputs; ++k) {
        const std::string path = vectors + "expected_" + std::to_string(k) + ".bin";
        if (!read_codes(output_ports[k], path, expected[k]))
            return trouble;
        if (expected[k].size() != frames * output_ports[k].codes() * output_ports[k].code_bytes()) {
            std::printf("ERROR: %s does not hold %u frames\\n", path.c_str(), unsigned(frames));
            return trouble;
        }
    }
    double seconds = 0;
    for (size_t frame = 0; frame < frames; ++frame) {
        if (!run_frame(input, frame, produced, seconds))
            return trouble;
    }
    size_t wrong = 0;
    for (size_t k = 0; k < outputs; ++k) {
        const std::string path = vectors + "output_" + std::to_string(k) + ".bin";
        if (!write_file(path, produced[k])) {
            std::printf("ERROR: %s cannot be written\\n", path.c_str());
            return trouble;
        }
        wrong += compare(output_ports[k], expected[k], produced[k]);
    }
    if (!write_log(vectors + log_name, produced)) {
        std::printf("ERROR: %s cannot be written\\n", log_name);
        return trouble;
    }
    std::printf("frames %u seconds %.6f differences %u\\n", unsigned(frames), seconds,
                unsigned(wrong));
    return wrong == 0 ? equal : different;
}
""")


def network_bench(name: str, note: str, source: Stream, outputs: Sequence[Layer]) -> str:
    """Return the text of ``<name>_test.cpp``.

    Args:
        name: Project name, which is the name of the top function.
        note: One line of provenance.
        source: Stream of the input port.
        outputs: Layers of the output ports, in port order.
    """
    # hls4ml gives the output of a network with one output a type name of its own.
    types = [beat_type(layer.name) for layer in outputs] if len(outputs) > 1 else ["result_t"]
    variables = [stream_variable(layer.name) for layer in outputs]
    return _TEMPLATE.substitute(
        name=name,
        note=note,
        folder=VECTOR_FOLDER,
        input_file=INPUT_FILE,
        output_log=OUTPUT_LOG,
        cosim_log=COSIM_LOG,
        input_port=_port("input", source),
        output_ports=", ".join(_port(x.node, x.kernel.outputs[0]) for x in outputs),
        streams="".join(
            f'    hls::stream<{beat}> {variable}("{variable}");\n'
            for beat, variable in zip(types, variables, strict=True)
        ),
        stream_names=", ".join(variables),
        drains=" && ".join(
            f"drain(output_ports[{k}], {variable}, produced[{k}])"
            for k, variable in enumerate(variables)
        ),
    )


def _port(name: str, stream: Stream) -> str:
    channels, rows, columns = stream.shape
    label = shown(name).replace('"', "'")
    return f'{{"{label}", {channels}, {rows}, {columns}, {stream.lanes}, {stream.bits}}}'
