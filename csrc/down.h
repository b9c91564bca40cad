// Down an axis: the rows of a window into one row.
#pragma once
#include "reducers.h"
#include "windows.h"

namespace anypool::ANYPOOL_ISA {

// at(j) combined over lo ≤ j < lo + n, n > 0: one after another, or for floating-point sums in runs of 8 that are added as a tree, so
// that the error grows with log n.
template <class R, Order order, class At> auto reduce(At &&at, int64_t lo, int64_t n) -> decltype(at(lo)) {
    if constexpr (R::pairwise)
        if (n > 8) {
            const int64_t half = (n / 2 + 7) / 8 * 8;
            auto a = reduce<R, order>(at, lo, half);
            a.template combine<order>(reduce<R, order>(at, lo + half, n - half));
            return a;
        }
    auto a = at(lo);
    for (int64_t j = lo + 1; j < lo + n; j++) a.template combine<order>(at(j));
    return a;
}

// U neighbouring vectors of accumulators.
template <class R, int U> struct Strip {
    typename R::Acc acc[U];
    template <Order order> void combine(const Strip &later) {
#pragma GCC unroll 8
        for (int u = 0; u < U; u++) acc[u] = R::template combine<order>(acc[u], later.acc[u]);
    }
};

template <class R, int U, class Source> Strip<R, U> load_strip(const R &r, Source row, int64_t m, typename R::Mark mark) {
    Strip<R, U> s;
#pragma GCC unroll 8
    for (int u = 0; u < U; u++) s.acc[u] = r.load(row + u * R::N, m, mark);
    return s;
}

// What will be read soon, a few rows on: hardware stops at the end of a page.
template <int U, class Reader> void prefetch(RawRow<Reader> row) {
    constexpr int ahead = 2048, bytes = U * Reader::N * int(sizeof *row.elements);
#pragma GCC unroll 8
    for (int line = 0; line < bytes; line += 64) __builtin_prefetch((const char *)row.elements + ahead + line);
}
template <int U, class K> void prefetch(Row<K>) {}
template <int U, class K> void prefetch(MarkedRow<K>) {}

// The rows of one window into one: dst[c] over rows[begin + j·step][c], for n columns.
template <class R, Order order, class Source>
inline void down_window(const R &r, Source rows, int64_t row_stride, const Axis &axis, Window w, int64_t n, typename R::Rows dst) {
    constexpr int N = R::N;
    if (w.count == 0) {
        each_vector(n, N, [&](int64_t i, int64_t m) { R::store(dst + i, r.neutral(), m); });
        return;
    }
    const Source first = rows + w.begin * row_stride;
    const int64_t stride = axis.step * row_stride;
    const int64_t fresh = w.count - axis.stride / axis.step;  // rows before it were seen by the window before
    auto columns = [&]<int U>(int64_t i, int64_t m) {
        auto at = [&](int64_t j) {
            if (j >= fresh) prefetch<U>(first + (j * stride + i));
            return load_strip<R, U>(r, first + (j * stride + i), m, r.mark(axis, w, j));
        };
        const Strip<R, U> s = reduce<R, order>(at, 0, w.count);
#pragma GCC unroll 8
        for (int u = 0; u < U; u++) R::store(dst + (i + u * N), s.acc[u], m);
    };
    constexpr int U = 4;
    const int64_t wide = n / (U * N) * (U * N);
    for (int64_t i = 0; i < wide; i += U * N) columns.template operator()<U>(i, N);
    if (wide == n) return;
    if (n < N) return columns.template operator()<1>(0, n);
    for (int64_t i = wide; i < n; i += N) columns.template operator()<1>(smaller(i, n - N), N);
}

template <class R, Order order, class Source>
__attribute__((noinline)) void down(const R &r, Source rows, int64_t row_stride, const Axis &axis, Window w, int64_t n, typename R::Rows dst) {
    down_window<R, order>(r, rows, row_stride, axis, w, n, dst);
}

// Windows lo to hi of short rows, side by side.
template <class R, Order order, class Source>
__attribute__((noinline)) void down_each(const R &r, Source rows, int64_t row_stride, const Axis &axis, int64_t lo, int64_t hi, int64_t n, typename R::Rows dst) {
    for (int64_t i = lo; i < hi; i++) down_window<R, order>(r, rows, row_stride, axis, window(axis, i), n, dst + (i - lo) * n);
}

// ---------------------------------------------------------------------------------------------------------------------
// Many overlapping windows at once, so that the cost does not grow with them (van Herk 1992, Gil & Werman 1993)
//
// The windows of a block all hold the position where the last of them starts, the pivot. What lies before it is accumulated once, backwards, and what
// lies behind it once, forwards; each window is a piece of either.

struct Block {
    int64_t windows;  // in a block, at most; 1: not worth it
    static constexpr int U = 2;

    static Block of(const Axis &axis, int64_t row_bytes) {
        if (axis.kind != Windows::sliding || axis.step != 1 || axis.width < 8) return {1};
        const int64_t most = smaller((axis.width - 1) / axis.stride + 1, larger(1, (1 << 20) / larger(1, row_bytes)));
        return {most >= 4 ? smaller(most, axis.outputs) : 1};
    }
};

// Windows i to i + count, into rows of dst that lie `pitch` apart; `kept`: scratch memory for count × U vectors.
template <class R, class Source>
__attribute__((noinline)) void down_block(const R &r, Source rows, int64_t row_stride, const Axis &axis, int64_t i, int64_t count, int64_t n,
                                          typename R::Rows dst, int64_t pitch, typename R::Rows kept) {
    constexpr int N = R::N;
    constexpr Order order = Order::any;
    const int64_t start = i * axis.stride - axis.before, pivot = start + (count - 1) * axis.stride, end = pivot + axis.width;
    const int64_t inside_lo = larger(start, 0), inside_hi = smaller(end, axis.length);
    auto columns = [&]<int U>(int64_t c, int64_t m) {
        auto row = [&](int64_t at) {
            Strip<R, U> s = load_strip<R, U>(r, rows + (at * row_stride + c), m, R::mark(axis, Window{at, 1, at - start}, 0));
            return s;
        };
        typename R::Deep sum[U];
        bool any = false;
        auto add = [&](int64_t at, bool before) {
            const auto s = row(at);
#pragma GCC unroll 4
            for (int u = 0; u < U; u++) {
                const auto one = R::deepen(s.acc[u]);
                sum[u] = !any ? one : before ? R::template combine<order>(one, sum[u]) : R::template combine<order>(sum[u], one);
            }
            any = true;
        };
        int64_t at = smaller(pivot, inside_hi) - 1, window = count - 1;
        for (; window >= 0; window--) {  // the suffix of window `window` starts where it does
            for (const int64_t from = larger(start + window * axis.stride, inside_lo); at >= from; at--) add(at, true);
#pragma GCC unroll 4
            for (int u = 0; u < U; u++) R::store(kept + (window * U + u) * N, any ? R::flatten(sum[u]) : r.neutral(), N);
        }
        any = false;
        at = larger(pivot, inside_lo);
        for (window = 0; window < count; window++) {
            for (const int64_t to = smaller(start + window * axis.stride + axis.width, inside_hi); at < to; at++) add(at, false);
#pragma GCC unroll 4
            for (int u = 0; u < U; u++) {
                auto whole = r.load(kept + (window * U + u) * N, N, R::unmarked);
                if (any) whole = R::template combine<order>(whole, R::flatten(sum[u]));
                R::store(dst + (window * pitch + c + u * N), R::marked(whole, R::mark(-window * axis.stride, axis.weight)), m);
            }
        }
    };
    constexpr int U = Block::U;
    const int64_t wide = n / (U * N) * (U * N);
    for (int64_t c = 0; c < wide; c += U * N) columns.template operator()<U>(c, N);
    if (wide == n) return;
    if (n < N) return columns.template operator()<1>(0, n);
    for (int64_t c = wide; c < n; c += N) columns.template operator()<1>(smaller(c, n - N), N);
}

}  // namespace anypool::ANYPOOL_ISA
