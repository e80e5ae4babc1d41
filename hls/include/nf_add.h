// SPDX-License-Identifier: Apache-2.0
// Sum of two tensors of different scales.
//
//   y = clip((((a0 - z0) * m0 + (a1 - z1) * m1 + (1 << (s - 1))) >> s) + zero_point, low, high)
//
// with a = codebook[q]; m unsigned 17 bits, s in 1..47, >> arithmetic: ties go up.
//
// Interface: all three streams carry Cfg::pe channels of one pixel, in the same order.
//
//   throughput   one beat per iteration, II = 1 (unverified: no vendor tool has synthesised this)
#ifndef NIBBLEFLOW_NF_ADD_H_
#define NIBBLEFLOW_NF_ADD_H_

#include "hls_stream.h"
#include "nf_types.h"

namespace nf {

template <class Cfg> struct adder {
    typedef typename Cfg::types types;
    typedef typename types::template signed_bits<18>::type multiplier_t; // unsigned 17, sign bit 0
    typedef typename types::template signed_bits<18>::type value_t;      // 16 bits minus 16 bits
    typedef typename types::template signed_bits<50>::type sum_t;
    typedef unsigned short codebook0_t[Cfg::has_codebook0 ? 1 << Cfg::in_bits0 : 1];
    typedef unsigned short codebook1_t[Cfg::has_codebook1 ? 1 << Cfg::in_bits1 : 1];

    static_assert(Cfg::shift >= 1 && Cfg::shift <= 47, "the shift is 1 to 47");
    static_assert(Cfg::low >= 0 && Cfg::low <= Cfg::high, "clip bounds are ordered codes");
    static_assert(Cfg::high < (1 << Cfg::out_bits), "the upper clip bound is a code");

    static sum_t product(int value, int zero_point, int multiplier) {
#pragma HLS INLINE
        return types::template multiply<50>(value_t(value - zero_point), multiplier_t(multiplier));
    }

    static int code(int value0, int value1) {
#pragma HLS INLINE
        const sum_t sum = product(value0, Cfg::zero0, Cfg::multiplier0) +
                          product(value1, Cfg::zero1, Cfg::multiplier1);
        const sum_t half = sum_t(1) << (Cfg::shift - 1);
        const sum_t rounded = sum + half;
        const sum_t shifted = (rounded >> Cfg::shift) + sum_t(Cfg::out_zero);
        if (shifted < sum_t(Cfg::low))
            return Cfg::low;
        if (shifted > sum_t(Cfg::high))
            return Cfg::high;
        return static_cast<int>(shifted);
    }
};

template <class Cfg, class Out, class In0, class In1>
void add(hls::stream<Out> &out, hls::stream<In0> &in0, hls::stream<In1> &in1,
         const typename adder<Cfg>::codebook0_t &codebook0,
         const typename adder<Cfg>::codebook1_t &codebook1) {
    static_assert(In0::size == Cfg::pe && In1::size == Cfg::pe && Out::size == Cfg::pe,
                  "a beat carries PE channels");
    for (int i = 0; i < Cfg::beats; ++i) {
#pragma HLS PIPELINE II=1
        const In0 beat0 = in0.read();
        const In1 beat1 = in1.read();
        Out result;
        for (int lane = 0; lane < Cfg::pe; ++lane) {
#pragma HLS UNROLL
            const int q0 = static_cast<int>(beat0[lane]);
            const int q1 = static_cast<int>(beat1[lane]);
            result[lane] = adder<Cfg>::code(Cfg::has_codebook0 ? codebook0[q0] : q0,
                                            Cfg::has_codebook1 ? codebook1[q1] : q1);
        }
        out.write(result);
    }
}

} // namespace nf

#endif
