// SPDX-License-Identifier: Apache-2.0
// Streaming convolution cell: window, folded multiply-accumulate, requantize, activation table.
//
//   acc[f] = bias[f] + sum(a * w_int);  y[f] = table[requantize(acc[f])]
//
// Interface: `in` carries one pixel per SIMD-channel group (PE channels when depthwise), `out` PE
// filters of one pixel; order is row, column, channel group (fastest). One call is one frame; no
// state outlives it. Every form of convolution is this one loop: dense, 1x1, grouped, depthwise,
// any kernel, stride and padding (padding carries the zero code of the source); a linear layer is a
// convolution whose kernel is the whole plane.
//
//   throughput   one ring word per iteration: max(out pixels x folds x window words, words in)
//                iterations per frame plus fill and drain (nf_window.h), II = 1 (unverified: no
//                vendor tool has synthesised this; array partition follows the folding only)
//   back-pressure  blocking streams; while there is room in the ring, an input word is awaited
#ifndef NIBBLEFLOW_NF_CONV_H_
#define NIBBLEFLOW_NF_CONV_H_

#include "hls_stream.h"
#include "nf_mac.h"
#include "nf_requant.h"
#include "nf_types.h"
#include "nf_window.h"

namespace nf {

// Sizes of the other constant arrays of one layer.
template <class Cfg> struct parameters {
    typedef geometry<Cfg> G;
    typedef int bias_t[G::folds][Cfg::pe];
    typedef int multipliers_t[G::folds][Cfg::pe];
    typedef unsigned char shifts_t[G::folds][Cfg::pe];
    typedef int zero_points_t[G::folds][Cfg::pe];
    typedef unsigned short activation_t[Cfg::has_table ? 1 << Cfg::requant_bits : 1];
    typedef unsigned short codebook_t[Cfg::has_codebook ? 1 << Cfg::in_bits : 1];
};

template <class Cfg, class In, class Out>
void conv(hls::stream<In> &in, hls::stream<Out> &out,
          const typename mac<Cfg>::weights_t &weights, const typename mac<Cfg>::tables_t &tables,
          const typename mac<Cfg>::selectors_t &selectors,
          const typename mac<Cfg>::factors_t &factors,
          const typename parameters<Cfg>::bias_t &bias,
          const typename parameters<Cfg>::multipliers_t &multipliers,
          const typename parameters<Cfg>::shifts_t &shifts,
          const typename parameters<Cfg>::zero_points_t &zero_points,
          const typename parameters<Cfg>::activation_t &activation,
          const typename parameters<Cfg>::codebook_t &codebook) {
    typedef geometry<Cfg> G;
    typedef mac<Cfg> M;
    typedef requantizer<Cfg> R;
    static_assert(In::size == G::lanes, "an input beat carries SIMD channels (PE if depthwise)");
    static_assert(Out::size == Cfg::pe, "an output beat carries PE filters");
    static_assert(Cfg::has_table || Cfg::requant_bits == Cfg::out_bits,
                  "without a table the requantizer makes the output code");

    // One port writes, one reads. A word is read in a later iteration than the one that writes it,
    // maybe the next: no DEPENDENCE pragma may promise more.
    typename M::code_t ring[G::ring_words][G::lanes];
#pragma HLS ARRAY_RESHAPE variable=ring complete dim=2
#pragma HLS ARRAY_RESHAPE variable=weights complete dim=2
#pragma HLS ARRAY_PARTITION variable=tables complete dim=0
#pragma HLS ARRAY_RESHAPE variable=selectors complete dim=2
#pragma HLS ARRAY_RESHAPE variable=factors complete dim=2
#pragma HLS ARRAY_RESHAPE variable=bias complete dim=2
#pragma HLS ARRAY_RESHAPE variable=multipliers complete dim=2
#pragma HLS ARRAY_RESHAPE variable=shifts complete dim=2
#pragma HLS ARRAY_RESHAPE variable=zero_points complete dim=2
    typename M::acc_t acc[Cfg::pe];
#pragma HLS ARRAY_PARTITION variable=acc complete
    weight_reader<Cfg> reader(weights, tables, selectors, factors);
    window<Cfg> walk;
    int weight_address = 0;
    while (!walk.done()) {
#pragma HLS PIPELINE II=1
        const bool ready = walk.ready();
        if (walk.room()) {
            for (int word = 0; word < G::load_words; ++word) {
#pragma HLS UNROLL
                const In beat = in.read();
                for (int lane = 0; lane < G::lanes; ++lane) {
#pragma HLS UNROLL
                    ring[walk.write_address()][lane] = beat[lane];
                }
                walk.loaded();
            }
        }
        if (!ready)
            continue;

        const int fold = walk.filter_fold();
        const bool pad = walk.padding();
        typename M::value_t values[M::step_lanes];
#pragma HLS ARRAY_PARTITION variable=values complete
        // The words of one iteration lie side by side.
        const typename M::code_t *first = ring[walk.address()];
        for (int lane = 0; lane < M::step_lanes; ++lane) {
#pragma HLS UNROLL
            const typename M::code_t code = pad ? typename M::code_t(Cfg::zero_code) : first[lane];
            values[lane] = Cfg::has_codebook ? typename M::value_t(codebook[static_cast<int>(code)])
                                             : typename M::value_t(code);
        }
        if (walk.first_word()) {
            for (int p = 0; p < Cfg::pe; ++p) {
#pragma HLS UNROLL
                acc[p] = bias[fold][p];
            }
        }
        const int row = M::group_row(fold, walk.position(), walk.word());
        reader.seek(weight_address);
        M::accumulate(values, reader, weights[weight_address], tables, selectors[row],
                      factors[Cfg::factor_bits ? row : 0], acc);
        weight_address += G::step_words;
        if (weight_address == G::weight_words)
            weight_address = 0;
        if (walk.last_word()) {
            Out result;
            for (int p = 0; p < Cfg::pe; ++p) {
#pragma HLS UNROLL
                const int code = R::requantize(acc[p], multipliers[fold][p], shifts[fold][p],
                                               zero_points[fold][p]);
                result[p] = Cfg::has_table ? activation[code] : static_cast<unsigned short>(code);
            }
            out.write(result);
        }
        walk.step();
    }
}

} // namespace nf

#endif
