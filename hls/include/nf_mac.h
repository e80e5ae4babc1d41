// SPDX-License-Identifier: Apache-2.0
// Folded multiply-accumulate with a decode table per filter.
//
//   acc[p] += sum over s of codebook[q[s]] * tables[selector[p]][code[p][s]]
//
// (depthwise: lane p reads q[p] only). Weights are stored as codes: one memory word holds
// PE x SIMD codes, code (p, s) at bit (p * SIMD + s) * weight_bits, cut into native integers of
// Cfg::chunk_bits bits, lowest first, so that the initialiser is a constant expression.
//
//   throughput   PE x SIMD products per call, one call per iteration (II = 1, unverified: no
//                vendor tool has synthesised this)
//   width        acc_bits holds bias + every partial sum: proved from the weights, see quant.widths
#ifndef NIBBLEFLOW_NF_MAC_H_
#define NIBBLEFLOW_NF_MAC_H_

#include "nf_types.h"
#include "nf_window.h"

namespace nf {

template <class Cfg> struct mac {
    typedef typename Cfg::types types;
    typedef typename types::template unsigned_bits<Cfg::in_bits>::type code_t;
    typedef typename types::template unsigned_bits<Cfg::decoded_bits>::type value_t;
    typedef typename types::template signed_bits<Cfg::entry_bits>::type weight_t;
    typedef typename types::template signed_bits<Cfg::acc_bits>::type acc_t;
    typedef geometry<Cfg> G;

    static const int word_bits = Cfg::pe * Cfg::simd * Cfg::weight_bits;
    static const int chunks = (word_bits + Cfg::chunk_bits - 1) / Cfg::chunk_bits;
    static const int product_bits = Cfg::decoded_bits + Cfg::entry_bits;

    static_assert(Cfg::in_bits >= 1 && Cfg::in_bits <= 16, "activation codes have 1 to 16 bits");
    static_assert(Cfg::weight_bits >= 1 && Cfg::weight_bits <= 8, "weight codes have 1 to 8 bits");
    static_assert(Cfg::tables >= 1 && Cfg::tables <= 16, "a layer has 1 to 16 decode tables");
    static_assert(Cfg::acc_bits <= 32, "the accumulator has at most 32 bits");
    static_assert(Cfg::chunk_bits >= Cfg::weight_bits, "a code spans at most two chunks");

    // Code of lane `index` in a memory word.
    static int code(const typename Cfg::chunk_t word[chunks], int index) {
#pragma HLS INLINE
        const int bit = index * Cfg::weight_bits;
        const int offset = bit % Cfg::chunk_bits;
        int value = static_cast<int>(word[bit / Cfg::chunk_bits] >> offset);
        if (offset + Cfg::weight_bits > Cfg::chunk_bits)
            value |= static_cast<int>(word[bit / Cfg::chunk_bits + 1])
                     << (Cfg::chunk_bits - offset);
        return value & ((1 << Cfg::weight_bits) - 1);
    }

    // Adds one window word to the PE accumulators.
    static void accumulate(const code_t window_word[G::lanes],
                           const typename Cfg::chunk_t weight_word[chunks],
                           const short tables[Cfg::tables][1 << Cfg::weight_bits],
                           const unsigned char selectors[Cfg::pe], const unsigned short *codebook,
                           acc_t acc[Cfg::pe]) {
#pragma HLS INLINE
        value_t values[G::lanes];
#pragma HLS ARRAY_PARTITION variable=values complete
        for (int lane = 0; lane < G::lanes; ++lane) {
#pragma HLS UNROLL
            values[lane] = Cfg::has_codebook ? value_t(codebook[static_cast<int>(window_word[lane])])
                                             : value_t(window_word[lane]);
        }
        for (int p = 0; p < Cfg::pe; ++p) {
#pragma HLS UNROLL
            acc_t sum = 0;
            for (int s = 0; s < Cfg::simd; ++s) {
#pragma HLS UNROLL
                const weight_t weight = tables[selectors[p]][code(weight_word, p * Cfg::simd + s)];
                const value_t value = values[G::depthwise ? p : s];
                sum += types::template multiply<product_bits>(value, weight);
            }
            acc[p] += sum;
        }
    }
};

} // namespace nf

#endif
