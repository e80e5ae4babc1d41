// SPDX-License-Identifier: Apache-2.0
// Folded multiply-accumulate with decode tables.
//
//   acc[p] += sum over s of codebook[q[s]] * w[p][s]
//   w[p][s] = factor[g] * tables[selector[g]][code[p][s]]
//
// (depthwise: lane p reads q[p] only). Weights are stored as codes: one memory word holds
// PE x SIMD codes, code (p, s) at bit (p * SIMD + s) * weight_bits, cut into native integers of
// Cfg::chunk_bits bits, lowest first, so that the initialiser is a constant expression. The group g
// follows from filter, kernel position and channel, as Cfg::by_filter, by_position and by_channel
// say; a group runs over everything that they leave out.
//
//   throughput   PE x SIMD products per memory word, one word per iteration (II = 1, unverified: no
//                vendor tool has synthesised this)
//   width        acc_bits holds bias + every partial sum: proved from the weights, see quant.widths
#ifndef NIBBLEFLOW_NF_MAC_H_
#define NIBBLEFLOW_NF_MAC_H_

#include "nf_types.h"
#include "nf_window.h"
#include <vector>

namespace nf {

template <class Cfg, bool Ahead = Cfg::types::whole_pixels> struct weight_reader;

// Types and sizes of one layer.
template <class Cfg> struct mac {
    typedef typename Cfg::types types;
    typedef geometry<Cfg> G;
    static const int weight_width = Cfg::entry_bits + Cfg::factor_bits;
    static const int product_bits = Cfg::decoded_bits + weight_width;

    typedef typename types::template unsigned_bits<Cfg::in_bits>::type code_t;
    typedef typename types::template magnitude<Cfg::decoded_bits>::type value_t;
    typedef typename types::template factor<weight_width>::type weight_t;
    typedef typename types::template signed_bits<Cfg::acc_bits>::type acc_t;

    // Codes that one filter lane multiplies in one iteration, and all lanes read.
    static const int depth = G::step_words * Cfg::simd;
    static const int step_lanes = G::step_words * G::lanes;

    static const int word_bits = Cfg::pe * Cfg::simd * Cfg::weight_bits;
    static const int chunks = (word_bits + Cfg::chunk_bits - 1) / Cfg::chunk_bits;

    static const int group_lanes = Cfg::by_filter ? Cfg::pe : (Cfg::by_channel ? Cfg::simd : 1);
    static const int group_rows = (Cfg::by_filter ? G::folds : 1) *
                                  (Cfg::by_position ? Cfg::kernel_h * Cfg::kernel_w : 1) *
                                  (Cfg::by_channel ? G::group_words : 1);

    static_assert(Cfg::in_bits >= 1 && Cfg::in_bits <= 16, "activation codes have 1 to 16 bits");
    static_assert(Cfg::weight_bits >= 1 && Cfg::weight_bits <= 8, "weight codes have 1 to 8 bits");
    static_assert(Cfg::tables >= 1 && Cfg::tables <= 16, "a layer has 1 to 16 decode tables");
    static_assert(Cfg::acc_bits <= 32, "the accumulator has at most 32 bits");
    static_assert(Cfg::chunk_bits >= Cfg::weight_bits, "a code spans at most two chunks");
    static_assert(!(Cfg::by_filter && Cfg::by_channel), "groups go by filter or by channel");

    typedef typename Cfg::chunk_t weights_t[G::weight_words][chunks];
    typedef short tables_t[Cfg::tables][1 << Cfg::weight_bits];
    typedef unsigned char selectors_t[group_rows][group_lanes];
    typedef unsigned char factors_t[Cfg::factor_bits ? group_rows : 1]
                                             [Cfg::factor_bits ? group_lanes : 1];

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

    // Row of the group parameters at a place in the walk.
    static int group_row(int fold, int position, int word) {
#pragma HLS INLINE
        int row = Cfg::by_filter ? fold : 0;
        if (Cfg::by_position)
            row = row * (Cfg::kernel_h * Cfg::kernel_w) + position;
        return Cfg::by_channel ? row * G::group_words + word : row;
    }

    // Weight of lane (p, s).
    static weight_t weight(const typename Cfg::chunk_t word[chunks], const tables_t &tables,
                           const unsigned char selectors[group_lanes],
                           const unsigned char *factors, int p, int s) {
#pragma HLS INLINE
        const int group = Cfg::by_filter ? p : (Cfg::by_channel ? s : 0);
        const int entry = tables[selectors[group]][code(word, p * Cfg::simd + s)];
        return weight_t(Cfg::factor_bits ? entry * factors[group] : entry);
    }

    // Adds the products of one iteration to the PE accumulators.
    static void accumulate(const value_t values[step_lanes], const weight_reader<Cfg> &reader,
                           const typename Cfg::chunk_t word[chunks], const tables_t &tables,
                           const unsigned char selectors[group_lanes],
                           const unsigned char *factors, acc_t acc[Cfg::pe]) {
#pragma HLS INLINE
        for (int p = 0; p < Cfg::pe; ++p) {
#pragma HLS UNROLL
            int sum = 0; // what it is added to keeps acc_bits of it
            for (int s = 0; s < depth; ++s) {
#pragma HLS UNROLL
                sum += types::template multiply<product_bits>(
                    values[G::depthwise ? p : s],
                    reader.weight(word, tables, selectors, factors, p, s));
            }
            acc[p] += sum;
        }
    }
};

// Where the weights of an iteration come from. In hardware a word is decoded as it is read.
template <class Cfg, bool Ahead> struct weight_reader {
    typedef mac<Cfg> M;

    weight_reader(const typename M::weights_t &, const typename M::tables_t &,
                  const typename M::selectors_t &, const typename M::factors_t &) {}

    void seek(int) {}

    typename M::weight_t weight(const typename Cfg::chunk_t word[M::chunks],
                                const typename M::tables_t &tables,
                                const unsigned char selectors[M::group_lanes],
                                const unsigned char *factors, int p, int s) const {
#pragma HLS INLINE
        return M::weight(word, tables, selectors, factors, p, s);
    }
};

// Native code decodes the whole memory once per frame, into the order of the walk.
template <class Cfg> struct weight_reader<Cfg, true> {
    typedef mac<Cfg> M;
    typedef geometry<Cfg> G;
    static const int row_weights = Cfg::pe * M::depth;
    std::vector<typename M::weight_t> all;
    const typename M::weight_t *now;

    weight_reader(const typename M::weights_t &weights, const typename M::tables_t &tables,
                  const typename M::selectors_t &selectors, const typename M::factors_t &factors)
        : all(G::weight_words / G::step_words * row_weights), now(&all[0]) {
        const int positions = Cfg::kernel_h * Cfg::kernel_w;
        for (int address = 0; address < G::weight_words; ++address) {
            const int word = address % G::group_words;
            const int position = address / G::group_words % positions;
            const int row = M::group_row(address / G::window_words, position, word);
            typename M::weight_t *target = &all[address / G::step_words * row_weights];
            for (int p = 0; p < Cfg::pe; ++p)
                for (int s = 0; s < Cfg::simd; ++s)
                    target[p * M::depth + word * Cfg::simd + s] =
                        M::weight(weights[address], tables, selectors[row],
                                  factors[Cfg::factor_bits ? row : 0], p, s);
        }
    }

    void seek(int address) { now = &all[address / G::step_words * row_weights]; }

    typename M::weight_t weight(const typename Cfg::chunk_t *, const typename M::tables_t &,
                                const unsigned char *, const unsigned char *, int p,
                                int s) const {
        return now[p * M::depth + s];
    }
};

} // namespace nf

#endif
