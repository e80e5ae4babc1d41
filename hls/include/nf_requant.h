// SPDX-License-Identifier: Apache-2.0
// Requantizer: accumulator to code.
//
//   y = clip(((acc * m + (1 << (s - 1))) >> s) + zero_point, low, high)
//
// m is unsigned 17 bits, s in 1..47, the product 50 bits signed, >> arithmetic: ties round towards
// plus infinity (AP_RND). Combinational, one code per call; PE calls per finished fold.
#ifndef NIBBLEFLOW_NF_REQUANT_H_
#define NIBBLEFLOW_NF_REQUANT_H_

#include "nf_types.h"

namespace nf {

template <class Cfg> struct requantizer {
    typedef typename Cfg::types types;
    typedef typename types::template signed_bits<Cfg::acc_bits>::type acc_t;
    typedef typename types::template signed_bits<18>::type multiplier_t; // unsigned 17, sign bit 0
    typedef typename types::template unsigned_bits<6>::type shift_t;
    typedef typename types::template signed_bits<50>::type product_t;

    static_assert(Cfg::low >= 0 && Cfg::low <= Cfg::high, "clip bounds are ordered codes");
    static_assert(Cfg::high < (1 << Cfg::requant_bits), "the upper clip bound is a code");
    static_assert(Cfg::requant_bits <= 16, "requantized codes have at most 16 bits");

    static int requantize(acc_t acc, multiplier_t multiplier, shift_t shift, int zero_point) {
#pragma HLS INLINE
        const product_t product = types::template multiply<50>(acc, multiplier);
        const product_t half = product_t(1) << (static_cast<int>(shift) - 1);
        const product_t rounded = product + half;
        const product_t shifted = (rounded >> static_cast<int>(shift)) + product_t(zero_point);
        if (shifted < product_t(Cfg::low))
            return Cfg::low;
        if (shifted > product_t(Cfg::high))
            return Cfg::high;
        return static_cast<int>(shifted);
    }
};

} // namespace nf

#endif
