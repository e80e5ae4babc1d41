// SPDX-License-Identifier: Apache-2.0
// Cells that move codes and change none: fork, concat, split, upsample, width converter.
//
// Interface: streams carry `pe` channels of one pixel; order is row, column, channel group
// (fastest). One call is one frame; no state outlives it.
//
//   fork       every beat to all outputs; no storage
//   concat     per pixel the channels of all inputs, one after the other (any number of inputs)
//   split      channels [begin, end) of every pixel; the others are read and dropped
//   upsample   every pixel `factor` times both ways; one line of storage
//   width      in_lanes to out_lanes codes per beat, any two numbers that divide the channels
//
//   throughput   one beat of the busiest stream per iteration, II = 1 (unverified: no vendor tool
//                has synthesised this)
#ifndef NIBBLEFLOW_NF_ROUTE_H_
#define NIBBLEFLOW_NF_ROUTE_H_

#include "hls_stream.h"
#include "nf_types.h"

namespace nf {

template <class Beat> void write_all(const Beat &) {
#pragma HLS INLINE
}

template <class Beat, class... Outs>
void write_all(const Beat &beat, hls::stream<Beat> &out, Outs &...outs) {
#pragma HLS INLINE
    out.write(beat);
    write_all(beat, outs...);
}

template <class Cfg, class Beat, class... Outs>
void fork(hls::stream<Beat> &in, hls::stream<Beat> &out, Outs &...outs) {
    for (int i = 0; i < Cfg::beats; ++i) {
#pragma HLS PIPELINE II=1
        const Beat beat = in.read();
        write_all(beat, out, outs...);
    }
}

// Beats of one pixel over all inputs of a concat.
template <int... Words> struct total;
template <> struct total<> {
    static const int value = 0;
};
template <int Head, int... Tail> struct total<Head, Tail...> {
    static const int value = Head + total<Tail...>::value;
};

// Reads beat `word` of a pixel from the input that it belongs to.
template <int... Words> struct source;
template <int Words> struct source<Words> {
    template <class Beat> static Beat read(int, hls::stream<Beat> &in) {
#pragma HLS INLINE
        return in.read();
    }
};
template <int Head, int... Tail> struct source<Head, Tail...> {
    template <class Beat, class... Ins>
    static Beat read(int word, hls::stream<Beat> &in, Ins &...ins) {
#pragma HLS INLINE
        if (word < Head)
            return in.read();
        return source<Tail...>::template read<Beat>(word - Head, ins...);
    }
};

// `Words` are the beats of one pixel of each input.
template <class Cfg, int... Words, class Beat, class... Ins>
void concat(hls::stream<Beat> &out, Ins &...ins) {
    static_assert(sizeof...(Words) == sizeof...(Ins), "as many word counts as inputs");
    static_assert(total<Words...>::value * Cfg::pe == Cfg::channels, "all channels are there");
    for (int pixel = 0; pixel < Cfg::pixels; ++pixel) {
        for (int word = 0; word < total<Words...>::value; ++word) {
#pragma HLS PIPELINE II=1
            out.write(source<Words...>::template read<Beat>(word, ins...));
        }
    }
}

template <class Cfg, class Beat>
void split(hls::stream<Beat> &in, hls::stream<Beat> &out) {
    static_assert(Cfg::begin % Cfg::pe == 0 && Cfg::end % Cfg::pe == 0,
                  "the slice begins and ends between beats");
    static_assert(Cfg::channels % Cfg::pe == 0, "PE must divide the channels");
    for (int pixel = 0; pixel < Cfg::pixels; ++pixel) {
        for (int word = 0; word < Cfg::channels / Cfg::pe; ++word) {
#pragma HLS PIPELINE II=1
            const Beat beat = in.read();
            if (word >= Cfg::begin / Cfg::pe && word < Cfg::end / Cfg::pe)
                out.write(beat);
        }
    }
}

template <class Cfg, class Beat>
void upsample(hls::stream<Beat> &in, hls::stream<Beat> &out) {
    const int folds = Cfg::channels / Cfg::pe;
    static_assert(Cfg::channels % Cfg::pe == 0, "PE must divide the channels");
    Beat line[Cfg::in_width * folds];
    Beat beat;
    for (int row = 0; row < Cfg::in_height; ++row) {
        for (int repeat = 0; repeat < Cfg::factor; ++repeat) {
            for (int column = 0; column < Cfg::in_width; ++column) {
                for (int copy = 0; copy < Cfg::factor; ++copy) {
                    for (int fold = 0; fold < folds; ++fold) {
#pragma HLS PIPELINE II=1
                        // With one fold the beat of the iteration before is the one to copy.
                        if (repeat == 0 && copy == 0) {
                            beat = in.read();
                            line[column * folds + fold] = beat;
                        } else if (copy == 0 || folds > 1) {
                            beat = line[column * folds + fold];
                        }
                        out.write(beat);
                    }
                }
            }
        }
    }
}

// A gearbox in units of the greatest common divisor of both widths: an iteration reads a beat when
// it holds less than an output beat, and writes one when it holds as much.
template <class Cfg, class In, class Out>
void width(hls::stream<In> &in, hls::stream<Out> &out) {
    static_assert(In::size == Cfg::in_lanes && Out::size == Cfg::out_lanes, "lanes as configured");
    static_assert(Cfg::in_lanes % Cfg::unit == 0 && Cfg::out_lanes % Cfg::unit == 0,
                  "the unit divides both widths");
    static_assert(Cfg::channels % Cfg::in_lanes == 0 && Cfg::channels % Cfg::out_lanes == 0,
                  "both widths divide the channels");
    const int in_units = Cfg::in_lanes / Cfg::unit;
    const int out_units = Cfg::out_lanes / Cfg::unit;
    const int places = in_units + out_units - 1;
    const int frame_units = Cfg::pixels * (Cfg::channels / Cfg::unit);
    typename In::value_type held[places][Cfg::unit];
#pragma HLS ARRAY_PARTITION variable=held complete dim=0
    int fill = 0;
    for (int written = 0; written < frame_units;) {
#pragma HLS PIPELINE II=1
        if (fill < out_units) {
            const In beat = in.read();
            for (int unit = 0; unit < in_units; ++unit) {
#pragma HLS UNROLL
                for (int lane = 0; lane < Cfg::unit; ++lane) {
#pragma HLS UNROLL
                    held[fill + unit][lane] = beat[unit * Cfg::unit + lane];
                }
            }
            fill += in_units;
        }
        if (fill >= out_units) {
            Out result;
            for (int unit = 0; unit < out_units; ++unit) {
#pragma HLS UNROLL
                for (int lane = 0; lane < Cfg::unit; ++lane) {
#pragma HLS UNROLL
                    result[unit * Cfg::unit + lane] = held[unit][lane];
                }
            }
            out.write(result);
            for (int unit = 0; unit + out_units < places; ++unit) {
#pragma HLS UNROLL
                for (int lane = 0; lane < Cfg::unit; ++lane) {
#pragma HLS UNROLL
                    held[unit][lane] = held[unit + out_units][lane];
                }
            }
            fill -= out_units;
            written += out_units;
        }
    }
}

} // namespace nf

#endif
