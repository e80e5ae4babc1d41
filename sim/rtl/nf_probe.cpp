// SPDX-License-Identifier: Apache-2.0
//
// What nf_probe.sv hands over, written to files; nothing is compared here.
//
// nf_probe_<id>.bin: per beat its cycle, 4 bytes, and its data, rounded up to whole bytes, both
//   least significant byte first.
// nf_probes.log: per probe a line "id beats valid ready", the signals as they were at the end.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace {

constexpr std::size_t kBufferBytes = std::size_t{1} << 18;

// One file, written in large pieces. The machine's byte order is that of the file.
struct Recorder {
  std::FILE* file = nullptr;
  int bytes = 0;    // of a beat
  int pending = 0;  // bytes that the beat still lacks
};

std::vector<Recorder> recorders;
std::FILE* ends = nullptr;

std::FILE* opened(const std::string& name) {
  std::FILE* const file = std::fopen(name.c_str(), "wb");
  if (file == nullptr || std::setvbuf(file, nullptr, _IOFBF, kBufferBytes) != 0) {
    std::fprintf(stderr, "%%Error: %s cannot be written\n", name.c_str());
    std::exit(1);
  }
  return file;
}

void write(std::FILE* file, const void* data, int bytes) {
  if (fwrite_unlocked(data, 1, bytes, file) != static_cast<std::size_t>(bytes)) {
    std::fprintf(stderr, "%%Error: a probe's file cannot be written; is the disk full?\n");
    std::exit(1);
  }
}

void write_data(Recorder& recorder, std::int64_t data) {
  const int bytes = recorder.pending < 8 ? recorder.pending : 8;
  write(recorder.file, &data, bytes);
  recorder.pending -= bytes;
}

}  // namespace

extern "C" {

void nf_probe_open(int id, int bytes) {
  if (recorders.size() <= static_cast<std::size_t>(id)) recorders.resize(id + 1);
  recorders[id].file = opened("nf_probe_" + std::to_string(id) + ".bin");
  recorders[id].bytes = bytes;
}

void nf_probe_beat(int id, int cycle, long long data) {
  Recorder& recorder = recorders[id];
  write(recorder.file, &cycle, 4);
  recorder.pending = recorder.bytes;
  write_data(recorder, data);
}

void nf_probe_more(int id, long long data) { write_data(recorders[id], data); }

void nf_probe_end(int id, long long beats, unsigned char valid, unsigned char ready) {
  if (ends == nullptr) ends = opened("nf_probes.log");
  std::fprintf(ends, "%d %lld %d %d\n", id, beats, valid, ready);
}

}  // extern "C"
