// Down an axis: the rows of a window into one row.
#pragma once
#include "reduce/reducers.h"
#include "core/windows.h"

namespace anypool::ANYPOOL_ISA {

// at(j) combined over lo ≤ j < lo + n, n > 0, one after another.
template <class R, Order order, class At>
__attribute__((always_inline)) inline auto in_turn(At &&at, int64_t lo, int64_t n) -> decltype(at(lo)) {
    auto a = at(lo);
    for (int64_t j = lo + 1; j < lo + n; j++) a.template combine<order>(at(j));
    return a;
}

// The same in runs of 8 that are added as a tree, so that the error of a floating-point sum grows with log n.
template <class R, Order order, class At>
__attribute__((noinline)) auto as_tree(At &&at, int64_t lo, int64_t n) -> decltype(at(lo)) {
    if (n <= 8) return in_turn<R, order>(at, lo, n);
    const int64_t half = (n / 2 + 7) / 8 * 8;
    auto a = as_tree<R, order>(at, lo, half);
    a.template combine<order>(as_tree<R, order>(at, lo + half, n - half));
    return a;
}

template <class R, Order order, class At>
__attribute__((always_inline)) inline auto reduce(At &&at, int64_t lo, int64_t n) -> decltype(at(lo)) {
    if constexpr (R::pairwise)
        if (n > 8) return as_tree<R, order>(at, lo, n);
    return in_turn<R, order>(at, lo, n);
}

// U neighbouring vectors of accumulators, a member each: GCC would keep an array in memory.
template <class R, int U> struct Strip {
    typename R::Acc acc;
    [[no_unique_address]] Strip<R, U - 1> rest;

    template <class Source>
    __attribute__((always_inline)) static Strip load(const R &r, Source row, int64_t m, typename R::Offset offset) {
        return {r.load(row, m, offset), Strip<R, U - 1>::load(r, row + R::N, m, offset)};
    }
    template <Order order> __attribute__((always_inline)) void combine(const Strip &later) {
        acc = R::template combine<order>(acc, later.acc);
        rest.template combine<order>(later.rest);
    }
    template <class Target> __attribute__((always_inline)) void put(Target dst, int64_t m) const {
        dst.put(acc, m);
        rest.put(dst + R::N, m);
    }
};
template <class R> struct Strip<R, 0> {
    template <class Source> static Strip load(const R &, Source, int64_t, typename R::Offset) { return {}; }
    template <Order> void combine(Strip) {}
    template <class Target> void put(Target, int64_t) const {}
};

// What will be read soon, a few rows on: hardware stops at the end of a page. Inlined always: GCC takes a function that
// only prefetches for one without effect, and drops its calls.
template <int U, class Reader> __attribute__((always_inline)) inline void prefetch(RawRow<Reader> row) {
    constexpr int ahead = 4096, bytes = U * Reader::N * int(sizeof *row.elements);
#pragma GCC unroll 8
    for (int line = 0; line < bytes; line += 64) __builtin_prefetch((const char *)row.elements + ahead + line);
}
template <int U, class K> inline void prefetch(Row<K>) {}
template <int U, class K> inline void prefetch(RowWithOffsets<K>) {}

// The rows of one window into one: dst[c] over rows[begin + j·step][c], for n columns.
template <class R, Order order, class Source, class Target>
__attribute__((always_inline)) inline void down_window(const R &r, Source rows, int64_t row_stride, const Axis &axis,
                                                       Window w, int64_t n, Target dst) {
    constexpr int N = R::N;
    if (w.count == 0) return each_vector(n, N, [&](int64_t i, int64_t m) { (dst + i).put(r.identity(), m); });
    const Source first = rows + w.begin * row_stride;
    const int64_t stride = axis.dilation * row_stride;
    // Rows before it were seen by the window before.
    const int64_t fresh = axis.dilation == 1 ? w.count - axis.stride : 0;
    auto columns = [&]<int U>(int64_t i, int64_t m) __attribute__((always_inline)) {
        auto at = [&](int64_t j) __attribute__((always_inline)) {
            if (j >= fresh) prefetch<U>(first + (j * stride + i));
            return Strip<R, U>::load(r, first + (j * stride + i), m, r.offset_of(axis, w, j));
        };
        reduce<R, order>(at, 0, w.count).put(dst + i, m);
    };
    // The last strip overlaps the one before where it can.
    int64_t i = 0;
    for (; n - i > 2 * N && n >= 4 * N; i += 4 * N) columns.template operator()<4>(smaller(i, n - 4 * N), N);
    for (; n - i > N && n >= 2 * N; i += 2 * N) columns.template operator()<2>(smaller(i, n - 2 * N), N);
    if (n < N) return columns.template operator()<1>(0, n);
    for (; i < n; i += N) columns.template operator()<1>(smaller(i, n - N), N);
}

// Window i, which is w, and those behind it: `count` rows side by side.
template <class R, Order order, class Source>
__attribute__((noinline)) void down(const R &r, Source rows, int64_t row_stride, const Axis &axis, int64_t i, Window w,
                                    int64_t count, int64_t n, typename R::Rows dst) {
    for (int64_t k = 0; k < count; k++)
        down_window<R, order>(r, rows, row_stride, axis, k ? window(axis, i + k) : w, n, dst + k * n);
}

// Windows lo to hi of W rows each, none of them clipped.
template <class R, Order order, int W, class Source, class Target>
inline void down_whole(const R &r, Source rows, int64_t row_stride, const Axis &axis, int64_t lo, int64_t hi, int64_t n,
                       Target dst) {
    const int64_t next = axis.dilation * row_stride;
    for (int64_t i = lo; i < hi; i++, dst = dst + n) {
        const Source first = rows + (i * axis.stride - axis.pad_before) * row_stride;
        each_vector(n, R::N, [&](int64_t c, int64_t m) {
            auto a = r.load(first + c, m, R::offset_of(0, axis.weight));
#pragma GCC unroll 4
            for (int j = 1; j < W; j++)
                a = R::template combine<order>(a, r.load(first + (j * next + c), m, R::offset_of(j, axis.weight)));
            (dst + c).put(a, m);
        });
    }
}

// Windows lo to hi of short rows, side by side.
template <class R, Order order, class Source, class Target>
__attribute__((noinline)) void down_each(const R &r, Source rows, int64_t row_stride, const Axis &axis, int64_t lo,
                                         int64_t hi, int64_t n, Target dst) {
    auto any = [&](int64_t from, int64_t to) {
        WindowsFrom windows(axis, from);
        for (int64_t i = from; i < to; i++)
            down_window<R, order>(r, rows, row_stride, axis, windows.next(), n, dst + (i - lo) * n);
    };
    const bool narrow = axis.kind == Windows::sliding && (axis.kernel_size == 2 || axis.kernel_size == 3);
    if (!narrow) return any(lo, hi);
    const int64_t reach = (axis.kernel_size - 1) * axis.dilation + 1;
    const int64_t begin = smaller(hi, larger(lo, ceil_div(axis.pad_before, axis.stride)));
    const int64_t end = larger(begin, smaller(hi, floor_div(axis.length + axis.pad_before - reach, axis.stride) + 1));
    any(lo, begin);
    if (axis.kernel_size == 2) down_whole<R, order, 2>(r, rows, row_stride, axis, begin, end, n, dst + (begin - lo) * n);
    else down_whole<R, order, 3>(r, rows, row_stride, axis, begin, end, n, dst + (begin - lo) * n);
    any(end, hi);
}

// ---------------------------------------------------------------------------------------------------------------------
// Many overlapping windows at once, so that the cost does not grow with them (van Herk 1992, Gil & Werman 1993)
//
// The windows of a block all hold the position where the last of them starts, the pivot. What lies before it is
// accumulated once, backwards, and what lies behind it once, forwards; each window joins a piece of either. Row by
// row: down a column of rows whose stride is a power of two, every element would fall into the same few sets of a
// cache.

// How many windows go together; 1: not worth it.
inline int64_t block_of(const Axis &axis) {
    if (axis.kind != Windows::sliding || axis.dilation != 1 || axis.kernel_size < 8) return 1;
    const int64_t most = smaller((axis.kernel_size - 1) / axis.stride + 1, axis.outputs);
    return most >= 4 ? most : 1;
}

// What a block keeps, rows of `pitch` columns: of each window what lies before the pivot, and what was accumulated so
// far.
template <class R> struct BlockRows {
    typename R::Rows before;
    typename R::WideRows sum;
    int64_t pitch;
};

// Windows i to i + count, of n columns: to(window) is the row that it goes to, done(window) is called when it is there.
template <class R, class Source, class To, class Done>
inline void down_block(const R &r, Source rows, int64_t row_stride, const Axis &axis, int64_t i, int64_t count,
                       int64_t n, BlockRows<R> block_rows, To to, Done done) {
    constexpr int N = R::N;
    constexpr Order any = Order::any;
    const int64_t start = i * axis.stride - axis.pad_before, pivot = start + (count - 1) * axis.stride;
    const int64_t inside_lo = larger(start, 0), inside_hi = smaller(pivot + axis.kernel_size, axis.length);
    bool empty = true;
    auto columns = [&](auto f) {
        for (int64_t c = 0; c < n; c += N) f(c, smaller(N, n - c));
    };
    auto added = [&](int64_t at, int64_t c, int64_t m) {
        auto sum = R::widen_acc(r.load(rows + (at * row_stride + c), m, R::offset_of(axis, Window{at, 1, at - start}, 0)));
        if (!empty) sum = R::template combine<any>(R::load_wide(block_rows.sum + c), sum);
        (block_rows.sum + c).put(sum, N);
        return sum;
    };
    for (int64_t window = count - 1, at = smaller(pivot, inside_hi) - 1; window >= 0; window--) {
        const auto row = block_rows.before + window * block_rows.pitch;
        const int64_t from = larger(start + window * axis.stride, inside_lo);
        if (at < from)
            columns([&](int64_t c, int64_t) {
                (row + c).put(empty ? r.identity() : R::narrow_acc(R::load_wide(block_rows.sum + c)), N);
            });
        for (; at >= from; at--, empty = false)
            columns([&](int64_t c, int64_t m) {
                const auto sum = added(at, c, m);
                if (at == from) (row + c).put(R::narrow_acc(sum), N);
            });
    }
    empty = true;
    for (int64_t window = 0, at = larger(pivot, inside_lo); window < count; window++) {
        const auto row = block_rows.before + window * block_rows.pitch;
        const auto dst = to(window);
        const auto offset = R::offset_of(-window * axis.stride, axis.weight);
        const int64_t end = smaller(start + window * axis.stride + axis.kernel_size, inside_hi);
        auto join = [&](int64_t c, int64_t m, auto sum) {
            const auto before = r.load(row + c, N, R::no_offset);
            (dst + c).put(R::shifted(R::template combine<any>(before, R::narrow_acc(sum)), offset), m);
        };
        if (at >= end)
            columns([&](int64_t c, int64_t m) {
                join(c, m, empty ? R::widen_acc(r.identity()) : R::load_wide(block_rows.sum + c));
            });
        for (; at < end; at++, empty = false)
            columns([&](int64_t c, int64_t m) {
                const auto sum = added(at, c, m);
                if (at == end - 1) join(c, m, sum);
            });
        done(window);
    }
}

}  // namespace anypool::ANYPOOL_ISA
