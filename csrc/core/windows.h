// Windows of an axis, clipped to the array.
#pragma once
#include "core/arithmetic.h"

namespace anypool::ANYPOOL_ISA {

__attribute__((noinline)) inline Window clipped_window(const Axis &axis, int64_t i) {
    if (axis.kind == Windows::table) return axis.table[i];
    if (axis.kind == Windows::transposed) {
        const int64_t place = i + axis.pad_before;
        const int64_t begin = larger(ceil_div(place - axis.kernel_size + 1, axis.stride), 0);
        return {begin, larger(smaller(floor_div(place, axis.stride) + 1, axis.length) - begin, 0), 0};
    }
    const int64_t start = i * axis.stride - axis.pad_before;
    const int64_t first = start >= 0 ? 0 : smaller(ceil_div(-start, axis.dilation), axis.kernel_size);
    const int64_t stop = larger(smaller(ceil_div(axis.length - start, axis.dilation), axis.kernel_size), first);
    return {start + first * axis.dilation, stop - first, first};
}

__attribute__((always_inline)) inline Window window(const Axis &axis, int64_t i) {
    if (axis.kind == Windows::sliding) {
        const int64_t start = i * axis.stride - axis.pad_before;
        if (start >= 0 && start + (axis.kernel_size - 1) * axis.dilation < axis.length) return {start, axis.kernel_size, 0};
    }
    return clipped_window(axis, i);
}

// The positions of an axis that outputs lo to hi read.
struct Range {
    int64_t begin, end;
};
inline Range reads(const Axis &axis, int64_t lo, int64_t hi) {
    int64_t begin = 0, end = axis.length;
    if (axis.kind == Windows::sliding) {
        begin = lo * axis.stride - axis.pad_before;
        end = (hi - 1) * axis.stride - axis.pad_before + (axis.kernel_size - 1) * axis.dilation + 1;
    } else if (axis.kind == Windows::transposed) {
        begin = ceil_div(lo + axis.pad_before - axis.kernel_size + 1, axis.stride);
        end = floor_div(hi - 1 + axis.pad_before, axis.stride) + 1;
    } else {
        begin = axis.length, end = 0;
        for (int64_t i = lo; i < hi; i++)
            if (const Window w = axis.table[i]; w.count > 0) {
                begin = smaller(begin, w.begin);
                end = larger(end, w.begin + (w.count - 1) * axis.dilation + 1);
            }
    }
    begin = smaller(larger(begin, 0), axis.length);
    return {begin, larger(smaller(end, axis.length), begin)};
}

// Whether an axis falls into tiles of `stride` elements, maybe with a rest, and each window lies in its own.
inline bool lies_in_tiles(const Axis &axis) {
    return axis.kind == Windows::sliding && axis.pad_before == 0 && axis.outputs > 0 && axis.kernel_size > 0 &&
           (axis.kernel_size - 1) * axis.dilation < axis.stride && axis.stride <= axis.length / axis.outputs;
}

// The windows from one on, one after another: transposed ones without a division for each.
class WindowsFrom {
    const Axis &axis;
    int64_t i;
    // Of a transposed axis: windows last − terms + 1 to last, and one less from phase `full` on.
    int64_t last, phase, full, terms;

  public:
    WindowsFrom(const Axis &axis, int64_t i) : axis(axis), i(i) {
        if (axis.kind != Windows::transposed) return;
        terms = ceil_div(axis.kernel_size, axis.stride);
        full = axis.kernel_size - (terms - 1) * axis.stride;
        last = floor_div(i + axis.pad_before, axis.stride);
        phase = i + axis.pad_before - last * axis.stride;
    }
    Window next() {
        if (axis.kind != Windows::transposed) return window(axis, i++);
        const int64_t begin = larger(last + 1 - (phase < full ? terms : terms - 1), 0);
        const Window w{begin, larger(smaller(last + 1, axis.length) - begin, 0), 0};
        if (++phase == axis.stride) phase = 0, last++;
        return w;
    }
};

}  // namespace anypool::ANYPOOL_ISA
