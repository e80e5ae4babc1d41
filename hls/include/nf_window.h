// SPDX-License-Identifier: Apache-2.0
// Window generator: walks the windows of a convolution or pool over a ring of line-buffer words.
//
// The ring is the only copy of the image: a K x K x C window is read from it word by word, once per
// filter fold, so that no window register array exists. A word carries Cfg::lanes channels of one
// pixel. Pixel n = y * in_width + x lives in slot n mod ring_pixels; every address is kept by
// wrapping counters (no divider, no multiplier).
//
//   order read   out_y, out_x, filter fold, kernel_y, kernel_x, channel word (fastest)
//   ring         (kernel_h - 1) lines + kernel_w pixels are needed at once; (stride_h - 1) lines +
//                kernel_w + stride_w pixels of slack let loading run ahead of computing
//   throughput   max(words read, words loaded) iterations per frame, plus the fill of the first
//                window; if loading is the slower, plus the reads behind the last word (one row of
//                windows at most)
//   interface    room() / loaded() for the writer, ready() / address() / padding() / step() for the
//                reader; one write and one read of the ring per iteration
#ifndef NIBBLEFLOW_NF_WINDOW_H_
#define NIBBLEFLOW_NF_WINDOW_H_

namespace nf {

// Sizes that follow from a configuration.
template <class Cfg> struct geometry {
    static const int group_channels = Cfg::in_channels / Cfg::groups;
    static const int group_filters = Cfg::filters / Cfg::groups;
    // Depthwise: every PE lane reads its own channel. Otherwise all lanes share SIMD channels.
    static const bool depthwise =
        Cfg::groups > 1 && group_channels == 1 && group_filters == 1;
    static const int lanes = depthwise ? Cfg::pe : Cfg::simd;
    static const int pixel_words = Cfg::in_channels / lanes;
    static const int group_words = depthwise ? 1 : group_channels / Cfg::simd;
    static const int group_folds = depthwise ? 1 : group_filters / Cfg::pe;
    static const int folds = Cfg::filters / Cfg::pe;
    static const int window_words = Cfg::kernel_h * Cfg::kernel_w * group_words;
    static const int in_pixels = Cfg::in_height * Cfg::in_width;
    static const int wanted_pixels = (Cfg::kernel_h - 1 + Cfg::stride_h - 1) * Cfg::in_width +
                                     2 * Cfg::kernel_w + Cfg::stride_w;
    static const int ring_pixels = wanted_pixels < in_pixels ? wanted_pixels : in_pixels;
    static const int ring_words = ring_pixels * pixel_words;
    static const int weight_words = folds * window_words;
    // Ring words that one iteration reads, and writes: see nf_types.h.
    static const int step_words = Cfg::types::whole_pixels ? group_words : 1;
    static const int load_words = Cfg::types::whole_pixels ? pixel_words : 1;

    static_assert(Cfg::in_channels % Cfg::groups == 0, "groups must divide the input channels");
    static_assert(Cfg::filters % Cfg::groups == 0, "groups must divide the filters");
    static_assert(!depthwise || Cfg::simd == 1, "a depthwise layer has SIMD 1");
    static_assert(group_channels % Cfg::simd == 0, "SIMD must divide the channels of a group");
    static_assert(depthwise ? Cfg::filters % Cfg::pe == 0 : group_filters % Cfg::pe == 0,
                  "PE must divide the filters of a group");
    static_assert(Cfg::kernel_h >= 1 && Cfg::kernel_w >= 1, "the kernel is at least 1 x 1");
    static_assert(Cfg::stride_h >= 1 && Cfg::stride_w >= 1, "the stride is at least 1");
    static_assert(Cfg::pixels_per_beat == 1, "this cell carries one pixel per beat");
};

// Counters of the ring and of the walk. Addresses are in words.
template <class Cfg> class window {
    typedef geometry<Cfg> G;

    // Ring address of pixel distance `pixels` (>= 0), and of the virtual pixel before the image
    // where the padded first window starts.
    static const int line_step = (Cfg::in_width % G::ring_pixels) * G::pixel_words;
    static const int row_step =
        ((Cfg::stride_h * Cfg::in_width) % G::ring_pixels) * G::pixel_words;
    static const int column_step = (Cfg::stride_w % G::ring_pixels) * G::pixel_words;
    static const int pad_pixels = Cfg::pad_top * Cfg::in_width + Cfg::pad_left;
    static const int start =
        ((G::ring_pixels - pad_pixels % G::ring_pixels) % G::ring_pixels) * G::pixel_words;

    int load_address;  // next ring word to write
    int load_word;     // channel word of the pixel being loaded
    int loaded_pixels; // complete pixels so far
    int out_y, out_x;
    int first_y, first_x; // window's first pixel, may lie in the padding
    int first_line;       // first_y * in_width
    int row_base, column_base, line_base, pixel_base; // ring addresses of the nested counters
    int kernel_y, kernel_x, channel_word;
    int fold, group_fold, group_base;
    int oldest; // first pixel that this or a later window still reads; never decreases
    int newest; // last pixel that this window reads; -1 when it lies above the image
    bool finished;

    static int wrap(int address) {
#pragma HLS INLINE
        return address >= G::ring_words ? address - G::ring_words : address;
    }

    static int clamp(int value, int low, int high) {
#pragma HLS INLINE
        return value < low ? low : (value > high ? high : value);
    }

    // Sets what the window at hand needs.
    void place() {
#pragma HLS INLINE
        const int last_line = (Cfg::in_height - 1) * Cfg::in_width;
        const int line = first_line + (Cfg::kernel_h - 1) * Cfg::in_width;
        const int x = clamp(first_x + Cfg::kernel_w - 1, 0, Cfg::in_width - 1);
        oldest = finished ? G::in_pixels : first_line + clamp(first_x, 0, Cfg::in_width);
        newest = line < 0 ? -1 : (line < last_line ? line : last_line) + x;
    }

    void next_pixel() {
#pragma HLS INLINE
        first_x += Cfg::stride_w;
        column_base = wrap(column_base + column_step);
        if (++out_x == Cfg::out_width) {
            out_x = 0;
            first_x = -Cfg::pad_left;
            first_y += Cfg::stride_h;
            first_line += Cfg::stride_h * Cfg::in_width;
            row_base = wrap(row_base + row_step);
            column_base = row_base;
            finished = ++out_y == Cfg::out_height;
        }
        place();
    }

  public:
    window()
        : load_address(0), load_word(0), loaded_pixels(0), out_y(0), out_x(0),
          first_y(-Cfg::pad_top), first_x(-Cfg::pad_left),
          first_line(-Cfg::pad_top * Cfg::in_width), row_base(start), column_base(start),
          line_base(start), pixel_base(start), kernel_y(0), kernel_x(0), channel_word(0), fold(0),
          group_fold(0), group_base(0), oldest(0), newest(0), finished(false) {
        place();
    }

    // Everything is computed and every word of the frame is taken from the stream.
    bool done() const { return finished && loaded_pixels == G::in_pixels; }

    // The next word of the stream may be written without hurting a pixel still to be read.
    bool room() const {
        return loaded_pixels < G::in_pixels && (G::ring_pixels == G::in_pixels ||
                                                loaded_pixels - oldest < G::ring_pixels);
    }

    int write_address() const { return load_address; }

    // One word has been written.
    void loaded() {
#pragma HLS INLINE
        load_address = wrap(load_address + 1);
        if (++load_word == G::pixel_words) {
            load_word = 0;
            ++loaded_pixels;
        }
    }

    // All pixels of the current window are in the ring.
    bool ready() const { return !finished && loaded_pixels > newest; }

    // The current position lies outside the image: the zero code is read.
    bool padding() const {
        const int y = first_y + kernel_y;
        const int x = first_x + kernel_x;
        return y < 0 || y >= Cfg::in_height || x < 0 || x >= Cfg::in_width;
    }

    int address() const { return pixel_base + group_base + channel_word; }

    int filter_fold() const { return fold; }

    // Position in the kernel, row by row, and channel word in the group.
    int position() const { return kernel_y * Cfg::kernel_w + kernel_x; }
    int word() const { return channel_word; }

    bool first_word() const { return kernel_y == 0 && kernel_x == 0 && channel_word == 0; }

    bool last_word() const {
        return kernel_y == Cfg::kernel_h - 1 && kernel_x == Cfg::kernel_w - 1 &&
                   channel_word == G::group_words - G::step_words;
    }

    // `step_words` words of the window have been read.
    void step() {
#pragma HLS INLINE
        channel_word += G::step_words;
        if (channel_word != G::group_words)
            return;
        channel_word = 0;
        pixel_base = wrap(pixel_base + G::pixel_words);
        if (++kernel_x != Cfg::kernel_w)
            return;
        kernel_x = 0;
        line_base = wrap(line_base + line_step);
        pixel_base = line_base;
        if (++kernel_y != Cfg::kernel_h)
            return;
        kernel_y = 0;
        if (++group_fold == G::group_folds) {
            group_fold = 0;
            group_base += G::group_words;
        }
        if (++fold == G::folds) {
            fold = 0;
            group_fold = 0;
            group_base = 0;
            next_pixel();
        }
        line_base = column_base;
        pixel_base = column_base;
    }
};

} // namespace nf

#endif
