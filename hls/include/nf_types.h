// SPDX-License-Identifier: Apache-2.0
// Number types of the cells, chosen through one type parameter.
//
// A configuration names its family: `typedef nf::default_types types;`. `ap_types` are the types
// that Vitis HLS synthesises, and what the C simulation runs by default. `plain_types` are native
// integers that hold as many bits: the same source, faster C simulation, chosen by -DNF_PLAIN.
// Native integers are wider than declared, so only `ap_types` prove the widths.
//
// A family also says how much one iteration of a loop handles. Hardware handles one memory word;
// native code handles all channel words of a pixel and decodes weights ahead, because there a loop
// turn costs more than the arithmetic in it. Order and results are the same.
#ifndef NIBBLEFLOW_NF_TYPES_H_
#define NIBBLEFLOW_NF_TYPES_H_

#include "ap_int.h"
#include <stdint.h>
#include <type_traits>

namespace nf {

// Arbitrary precision integers: exactly B bits.
struct ap_types {
    static const bool whole_pixels = false;
    template <int B> struct unsigned_bits {
        typedef ap_uint<B> type;
    };
    template <int B> struct signed_bits {
        typedef ap_int<B> type;
    };
    // Operands of a product: a magnitude of B bits, and a signed factor of B bits.
    template <int B> struct magnitude {
        typedef ap_uint<B> type;
    };
    template <int B> struct factor {
        typedef ap_int<B> type;
    };
    // Exact product; operand widths add up. Native factors: synthesis narrows them to the bits that
    // they come from, and the C simulation is spared two objects per product.
    template <int B, class X, class Y> static typename signed_bits<B>::type multiply(X x, Y y) {
#pragma HLS INLINE
        typedef typename std::conditional<(B <= 32), int, long long>::type wide;
        return static_cast<wide>(x) * static_cast<wide>(y);
    }
};

// Native integers of at least B bits.
struct plain_types {
    static const bool whole_pixels = true;
    template <int B> struct unsigned_bits {
        static_assert(B >= 1 && B <= 64, "native integers have 1 to 64 bits");
        typedef typename std::conditional<
            (B <= 8), uint8_t,
            typename std::conditional<
                (B <= 16), uint16_t,
                typename std::conditional<(B <= 32), uint32_t, uint64_t>::type>::type>::type type;
    };
    template <int B> struct signed_bits {
        typedef typename std::make_signed<typename unsigned_bits<B>::type>::type type;
    };
    // At least 16 bits and signed: what the multipliers of a processor read in parallel.
    template <int B> struct magnitude {
        typedef typename signed_bits<(B < 15 ? 16 : B + 1)>::type type;
    };
    template <int B> struct factor {
        typedef typename signed_bits<(B < 16 ? 16 : B)>::type type;
    };
    // Widened before the product: native operands would overflow or change their sign.
    template <int B, class X, class Y>
    static typename signed_bits<(B < 32 ? 32 : B)>::type multiply(X x, Y y) {
        typedef typename signed_bits<(B < 32 ? 32 : B)>::type wide;
        return static_cast<wide>(x) * static_cast<wide>(y);
    }
};

#ifdef NF_PLAIN
typedef plain_types default_types;
#else
typedef ap_types default_types;
#endif

} // namespace nf

#endif
