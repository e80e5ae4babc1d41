// SPDX-License-Identifier: Apache-2.0
// Cells that turn each code into one code.
//
//   retarget   y = requantize(codebook[q] - zero_point)     the same values in another format
//   lookup     y = table[q]                                 an activation without a convolution
//
// Interface: both streams carry Cfg::pe channels of one pixel, in the same order.
//
//   throughput   one beat per iteration, II = 1 (unverified: no vendor tool has synthesised this)
#ifndef NIBBLEFLOW_NF_POINTWISE_H_
#define NIBBLEFLOW_NF_POINTWISE_H_

#include "hls_stream.h"
#include "nf_requant.h"
#include "nf_types.h"

namespace nf {

template <class Cfg> struct pointwise {
    typedef unsigned short codebook_t[Cfg::has_codebook ? 1 << Cfg::in_bits : 1];
};

template <class Cfg, class In, class Out>
void retarget(hls::stream<In> &in, hls::stream<Out> &out,
              const typename pointwise<Cfg>::codebook_t &codebook) {
    typedef requantizer<Cfg> R;
    static_assert(In::size == Cfg::pe && Out::size == Cfg::pe, "a beat carries PE channels");
    static_assert(Cfg::requant_bits == Cfg::out_bits, "the requantizer makes the output code");
    for (int i = 0; i < Cfg::beats; ++i) {
#pragma HLS PIPELINE II=1
        const In beat = in.read();
        Out result;
        for (int lane = 0; lane < Cfg::pe; ++lane) {
#pragma HLS UNROLL
            const int q = static_cast<int>(beat[lane]);
            const int value = Cfg::has_codebook ? codebook[q] : q;
            result[lane] = R::requantize(typename R::acc_t(value - Cfg::in_zero), Cfg::multiplier,
                                         Cfg::shift, Cfg::out_zero);
        }
        out.write(result);
    }
}

template <class Cfg, class In, class Out>
void lookup(hls::stream<In> &in, hls::stream<Out> &out,
            const unsigned short (&table)[1 << Cfg::in_bits]) {
    static_assert(In::size == Cfg::pe && Out::size == Cfg::pe, "a beat carries PE channels");
    for (int i = 0; i < Cfg::beats; ++i) {
#pragma HLS PIPELINE II=1
        const In beat = in.read();
        Out result;
        for (int lane = 0; lane < Cfg::pe; ++lane) {
#pragma HLS UNROLL
            result[lane] = table[static_cast<int>(beat[lane])];
        }
        out.write(result);
    }
}

} // namespace nf

#endif
