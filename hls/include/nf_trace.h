// SPDX-License-Identifier: Apache-2.0
// Traces of the C simulation: the codes of every stream that a node writes, in files.
//
// `NF_TRACE(stream, "name")` stands behind every node of the top function. Nothing is recorded until
// `nf::trace_folder()` names a folder; then each frame is appended to `<folder>/<name>.bin` in stream
// order (row, column, channel), one byte per code, two (low first) above 8 bits. Synthesis sees
// nothing of it.
#ifndef NIBBLEFLOW_NF_TRACE_H_
#define NIBBLEFLOW_NF_TRACE_H_

#ifdef __SYNTHESIS__
#define NF_TRACE(stream, name)
#else
#define NF_TRACE(stream, name) nf::trace(stream, name)

#include "hls_stream.h"
#include <cstdio>
#include <string>
#include <vector>

namespace nf {

// Folder of the traces, empty when none are wanted.
inline std::string &trace_folder() {
    static std::string folder;
    return folder;
}

// Appends the codes of a beat.
template <class Beat> void append_codes(const Beat &beat, std::vector<unsigned char> &bytes) {
    for (unsigned lane = 0; lane < Beat::size; ++lane) {
        const unsigned code = static_cast<unsigned>(beat[lane]);
        bytes.push_back(static_cast<unsigned char>(code & 255));
        if (Beat::value_type::width > 8)
            bytes.push_back(static_cast<unsigned char>(code >> 8));
    }
}

// Appends `bytes` to a file, or says that it cannot.
inline void append_file(const std::string &path, const std::vector<unsigned char> &bytes) {
    std::FILE *file = std::fopen(path.c_str(), "ab");
    const bool written =
        file != NULL && std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size();
    if (file == NULL || std::fclose(file) != 0 || !written)
        std::printf("ERROR: %s cannot be written\n", path.c_str());
}

template <class Beat> void trace(hls::stream<Beat> &stream, const char *name) {
    if (trace_folder().empty())
        return;
    std::vector<unsigned char> bytes;
    for (size_t left = stream.size(); left > 0; --left) {
        const Beat beat = stream.read();
        append_codes(beat, bytes);
        stream.write(beat);
    }
    append_file(trace_folder() + "/" + name + ".bin", bytes);
}

} // namespace nf

#endif
#endif
