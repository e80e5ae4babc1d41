// SPDX-License-Identifier: Apache-2.0
// Streaming maximum pool, separable: a horizontal pass, then a vertical pass.
//
//   y[r][x] = max over kx of q[r][x * stride_w + kx - pad_left]
//   z[y][x] = max over ky of y[y * stride_h + ky - pad_top][x]
//
// Codes are compared; padding never wins (the maximum starts at code 0, the smallest).
//
// Interface: both streams carry Cfg::pe channels of one pixel; order is row, column, channel group
// (fastest). One call is one frame; no state outlives it.
//
//   throughput   the slower pass: max(beats in, beats out of the pass x its kernel length)
//                iterations per frame plus fill and drain (nf_window.h), II = 1 (unverified: no
//                vendor tool has synthesised this)
//   memory       a few pixels, and kernel_h - 1 + stride_h - 1 lines of the narrowed plane
#ifndef NIBBLEFLOW_NF_MAXPOOL_H_
#define NIBBLEFLOW_NF_MAXPOOL_H_

#include "hls_stream.h"
#include "nf_types.h"
#include "nf_window.h"

namespace nf {

// Geometry of one pass: a kernel of one row, or of one column.
template <class Cfg, bool Vertical> struct pool_pass {
    typedef typename Cfg::types types;
    static const int in_height = Cfg::in_height;
    static const int in_width = Vertical ? Cfg::out_width : Cfg::in_width;
    static const int in_channels = Cfg::channels;
    static const int out_height = Vertical ? Cfg::out_height : Cfg::in_height;
    static const int out_width = Cfg::out_width;
    static const int filters = Cfg::channels;
    static const int groups = Cfg::channels;
    static const int kernel_h = Vertical ? Cfg::kernel_h : 1;
    static const int kernel_w = Vertical ? 1 : Cfg::kernel_w;
    static const int stride_h = Vertical ? Cfg::stride_h : 1;
    static const int stride_w = Vertical ? 1 : Cfg::stride_w;
    static const int pad_top = Vertical ? Cfg::pad_top : 0;
    static const int pad_left = Vertical ? 0 : Cfg::pad_left;
    static const int pe = Cfg::pe;
    static const int simd = 1;
    static const int pixels_per_beat = 1;
};

template <class Beat, class Cfg, bool Vertical>
void max_pass(hls::stream<Beat> &in, hls::stream<Beat> &out) {
    typedef pool_pass<Cfg, Vertical> Pass;
    typedef geometry<Pass> G;
    typedef typename Cfg::types::template unsigned_bits<Cfg::bits>::type code_t;
    static_assert(Beat::size == Cfg::pe, "a beat carries PE channels");

    code_t ring[G::ring_words][Cfg::pe];
#pragma HLS ARRAY_RESHAPE variable=ring complete dim=2
    code_t most[Cfg::pe];
#pragma HLS ARRAY_PARTITION variable=most complete
    window<Pass> walk;
    while (!walk.done()) {
#pragma HLS PIPELINE II=1
        const bool ready = walk.ready();
        if (walk.room()) {
            for (int word = 0; word < G::load_words; ++word) {
#pragma HLS UNROLL
                const Beat beat = in.read();
                for (int lane = 0; lane < Cfg::pe; ++lane) {
#pragma HLS UNROLL
                    ring[walk.write_address()][lane] = beat[lane];
                }
                walk.loaded();
            }
        }
        if (!ready)
            continue;

        const bool pad = walk.padding();
        const bool first = walk.first_word();
        const code_t *word = ring[walk.address()];
        for (int lane = 0; lane < Cfg::pe; ++lane) {
#pragma HLS UNROLL
            const code_t code = pad ? code_t(0) : word[lane];
            most[lane] = first || code > most[lane] ? code : most[lane];
        }
        if (walk.last_word()) {
            Beat result;
            for (int lane = 0; lane < Cfg::pe; ++lane) {
#pragma HLS UNROLL
                result[lane] = most[lane];
            }
            out.write(result);
        }
        walk.step();
    }
}

template <class Cfg, class In, class Out>
void maxpool(hls::stream<In> &in, hls::stream<Out> &out) {
#pragma HLS DATAFLOW
    hls::stream<In> narrowed("narrowed");
#pragma HLS STREAM variable=narrowed depth=Cfg::narrowed_depth
    max_pass<In, Cfg, false>(in, narrowed);
    max_pass<In, Cfg, true>(narrowed, out);
}

} // namespace nf

#endif
