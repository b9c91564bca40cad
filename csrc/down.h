// Down an axis: the rows of a window into one row.
#pragma once
#include "reducers.h"
#include "windows.h"

namespace anypool::ANYPOOL_ISA {

// at(j) combined over lo ≤ j < lo + n, n > 0: one after another, or for floating-point sums in runs of 8 that are
// added as a tree, so that the error grows with log n.
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

template <class R, int U, class Source>
Strip<R, U> load_strip(const R &r, Source row, int64_t m, typename R::Mark mark) {
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
template <class R, Order order, class Source, class Target>
inline void down_window(const R &r, Source rows, int64_t row_stride, const Axis &axis, Window w, int64_t n,
                        Target dst) {
    constexpr int N = R::N;
    if (w.count == 0) return each_vector(n, N, [&](int64_t i, int64_t m) { (dst + i).put(r.neutral(), m); });
    const Source first = rows + w.begin * row_stride;
    const int64_t stride = axis.step * row_stride;
    const int64_t seen = axis.step == 1 ? axis.stride : axis.stride / axis.step;
    const int64_t fresh = w.count - seen;  // rows before it were seen by the window before
    auto columns = [&]<int U>(int64_t i, int64_t m) __attribute__((always_inline)) {
        auto at = [&](int64_t j) {
            if (j >= fresh) prefetch<U>(first + (j * stride + i));
            return load_strip<R, U>(r, first + (j * stride + i), m, r.mark(axis, w, j));
        };
        const Strip<R, U> s = reduce<R, order>(at, 0, w.count);
#pragma GCC unroll 8
        for (int u = 0; u < U; u++) (dst + (i + u * N)).put(s.acc[u], m);
    };
    if (n >= 4 * N) each_vector(n, 4 * N, [&](int64_t i, int64_t) { columns.template operator()<4>(i, N); });
    else if (n >= 2 * N) each_vector(n, 2 * N, [&](int64_t i, int64_t) { columns.template operator()<2>(i, N); });
    else each_vector(n, N, [&](int64_t i, int64_t m) { columns.template operator()<1>(i, m); });
}

template <class R, Order order, class Source>
__attribute__((noinline)) void down(const R &r, Source rows, int64_t row_stride, const Axis &axis, Window w, int64_t n,
                                    typename R::Rows dst) {
    down_window<R, order>(r, rows, row_stride, axis, w, n, dst);
}

// Windows lo to hi of short rows, side by side.
template <class R, Order order, class Source, class Target>
__attribute__((noinline)) void down_each(const R &r, Source rows, int64_t row_stride, const Axis &axis, int64_t lo,
                                         int64_t hi, int64_t n, Target dst) {
    WindowsFrom windows(axis, lo);
    for (int64_t i = lo; i < hi; i++)
        down_window<R, order>(r, rows, row_stride, axis, windows.next(), n, dst + (i - lo) * n);
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
    if (axis.kind != Windows::sliding || axis.step != 1 || axis.width < 8) return 1;
    const int64_t most = smaller((axis.width - 1) / axis.stride + 1, axis.outputs);
    return most >= 4 ? most : 1;
}

// What a block keeps, rows of `pitch` columns: of each window what lies before the pivot, and what was accumulated so
// far.
template <class R> struct Kept {
    typename R::Rows before;
    typename R::DeepRows sum;
    int64_t pitch;
};

// Windows i to i + count, of n columns: to(window) is the row that it goes to, done(window) is called when it is there.
template <class R, class Source, class To, class Done>
inline void down_block(const R &r, Source rows, int64_t row_stride, const Axis &axis, int64_t i, int64_t count,
                       int64_t n, Kept<R> kept, To to, Done done) {
    constexpr int N = R::N;
    constexpr Order any = Order::any;
    const int64_t start = i * axis.stride - axis.before, pivot = start + (count - 1) * axis.stride;
    const int64_t inside_lo = larger(start, 0), inside_hi = smaller(pivot + axis.width, axis.length);
    bool empty = true;
    auto columns = [&](auto f) {
        for (int64_t c = 0; c < n; c += N) f(c, smaller(N, n - c));
    };
    auto added = [&](int64_t at, int64_t c, int64_t m) {
        auto sum = R::deepen(r.load(rows + (at * row_stride + c), m, R::mark(axis, Window{at, 1, at - start}, 0)));
        if (!empty) sum = R::template combine<any>(R::load_deep(kept.sum + c), sum);
        (kept.sum + c).put(sum, N);
        return sum;
    };
    for (int64_t window = count - 1, at = smaller(pivot, inside_hi) - 1; window >= 0; window--) {
        const auto row = kept.before + window * kept.pitch;
        const int64_t from = larger(start + window * axis.stride, inside_lo);
        if (at < from)
            columns([&](int64_t c, int64_t) {
                (row + c).put(empty ? r.neutral() : R::flatten(R::load_deep(kept.sum + c)), N);
            });
        for (; at >= from; at--, empty = false)
            columns([&](int64_t c, int64_t m) {
                const auto sum = added(at, c, m);
                if (at == from) (row + c).put(R::flatten(sum), N);
            });
    }
    empty = true;
    for (int64_t window = 0, at = larger(pivot, inside_lo); window < count; window++) {
        const auto row = kept.before + window * kept.pitch;
        const auto dst = to(window);
        const auto mark = R::mark(-window * axis.stride, axis.weight);
        const int64_t end = smaller(start + window * axis.stride + axis.width, inside_hi);
        auto join = [&](int64_t c, int64_t m, auto sum) {
            const auto before = r.load(row + c, N, R::unmarked);
            (dst + c).put(R::marked(R::template combine<any>(before, R::flatten(sum)), mark), m);
        };
        if (at >= end)
            columns([&](int64_t c, int64_t m) {
                join(c, m, empty ? R::deepen(r.neutral()) : R::load_deep(kept.sum + c));
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
