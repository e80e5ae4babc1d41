// SPDX-License-Identifier: Apache-2.0
// Streaming average pools.
//
//   acc = sum over the window of codebook[q] - n * zero_point;  y = requantize(acc)
//
// (n pixels in a window, the 1/n is inside the multiplier; there is no padding.) `avgpool` walks
// windows over a ring of line-buffer words; `globalpool` has one window, the whole plane, and needs
// one accumulator per channel in a small memory instead of a frame buffer.
//
// Interface: both streams carry Cfg::pe channels of one pixel; order is row, column, channel group
// (fastest). One call is one frame; no state outlives it.
//
//   throughput   avgpool: max(beats in, beats out x kernel pixels) iterations per frame plus fill
//                and drain (nf_window.h); globalpool: beats in; II = 1 (unverified: no vendor tool
//                has synthesised this)
#ifndef NIBBLEFLOW_NF_AVGPOOL_H_
#define NIBBLEFLOW_NF_AVGPOOL_H_

#include "hls_stream.h"
#include "nf_requant.h"
#include "nf_types.h"
#include "nf_window.h"

namespace nf {

template <class Cfg> struct average {
    typedef typename Cfg::types types;
    typedef typename types::template unsigned_bits<Cfg::in_bits>::type code_t;
    typedef typename types::template signed_bits<Cfg::acc_bits>::type acc_t;
    typedef unsigned short codebook_t[Cfg::has_codebook ? 1 << Cfg::in_bits : 1];

    static_assert(Cfg::requant_bits == Cfg::out_bits, "the requantizer makes the output code");

    static acc_t decode(code_t code, const codebook_t &codebook) {
#pragma HLS INLINE
        return Cfg::has_codebook ? acc_t(codebook[static_cast<int>(code)]) : acc_t(code);
    }

    static int finish(acc_t sum) {
#pragma HLS INLINE
        return requantizer<Cfg>::requantize(sum, Cfg::multiplier, Cfg::shift, Cfg::out_zero);
    }
};

template <class Cfg, class In, class Out>
void avgpool(hls::stream<In> &in, hls::stream<Out> &out,
             const typename average<Cfg>::codebook_t &codebook) {
    typedef geometry<Cfg> G;
    typedef average<Cfg> A;
    static_assert(In::size == Cfg::pe && Out::size == Cfg::pe, "a beat carries PE channels");

    typename A::code_t ring[G::ring_words][Cfg::pe];
#pragma HLS ARRAY_RESHAPE variable=ring complete dim=2
    typename A::acc_t acc[Cfg::pe];
#pragma HLS ARRAY_PARTITION variable=acc complete
    window<Cfg> walk;
    while (!walk.done()) {
#pragma HLS PIPELINE II=1
        const bool ready = walk.ready();
        if (walk.room()) {
            for (int word = 0; word < G::load_words; ++word) {
#pragma HLS UNROLL
                const In beat = in.read();
                for (int lane = 0; lane < Cfg::pe; ++lane) {
#pragma HLS UNROLL
                    ring[walk.write_address()][lane] = beat[lane];
                }
                walk.loaded();
            }
        }
        if (!ready)
            continue;

        const bool first = walk.first_word();
        const bool last = walk.last_word();
        const typename A::code_t *word = ring[walk.address()];
        Out result;
        for (int lane = 0; lane < Cfg::pe; ++lane) {
#pragma HLS UNROLL
            const typename A::acc_t before = first ? typename A::acc_t(Cfg::offset) : acc[lane];
            acc[lane] = before + A::decode(word[lane], codebook);
            if (last)
                result[lane] = A::finish(acc[lane]);
        }
        if (last)
            out.write(result);
        walk.step();
    }
}

template <class Cfg, class In, class Out>
void globalpool(hls::stream<In> &in, hls::stream<Out> &out,
                const typename average<Cfg>::codebook_t &codebook) {
    typedef average<Cfg> A;
    static_assert(In::size == Cfg::pe && Out::size == Cfg::pe, "a beat carries PE channels");
    static_assert(Cfg::channels % Cfg::pe == 0, "PE must divide the channels");
    const int folds = Cfg::channels / Cfg::pe;
    const int pixels = Cfg::in_height * Cfg::in_width;

    // With one fold the accumulator of an iteration is that of the iteration before.
    typename A::acc_t acc[folds][Cfg::pe];
#pragma HLS ARRAY_RESHAPE variable=acc complete dim=2
    for (int pixel = 0; pixel < pixels; ++pixel) {
        for (int fold = 0; fold < folds; ++fold) {
#pragma HLS PIPELINE II=1
            const In beat = in.read();
            Out result;
            for (int lane = 0; lane < Cfg::pe; ++lane) {
#pragma HLS UNROLL
                const typename A::acc_t before =
                    pixel == 0 ? typename A::acc_t(Cfg::offset) : acc[fold][lane];
                const typename A::acc_t sum =
                    before + A::decode(typename A::code_t(beat[lane]), codebook);
                acc[fold][lane] = sum;
                if (pixel == pixels - 1)
                    result[lane] = A::finish(sum);
            }
            if (pixel == pixels - 1)
                out.write(result);
        }
    }
}

} // namespace nf

#endif
