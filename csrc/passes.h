// One axis at a time: down a window's rows, or along one row.
#pragma once
#include "reducers.h"
#include "windows.h"

namespace anypool::ANYPOOL_ISA {

template <class K> Row<K> operator+(Row<K> row, int64_t i) { return row.at(i); }
template <class K> MarkedRow<K> operator+(MarkedRow<K> row, int64_t i) { return row.at(i); }

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

// The rows of one window into one: dst[c] over rows[begin + j·step][c], for n columns.
template <class R, Order order, class Source>
void down(const R &r, Source rows, int64_t row_stride, const Axis &axis, Window w, int64_t n, typename R::Rows dst) {
    constexpr int N = R::N;
    if (w.count == 0) {
        each_vector(n, N, [&](int64_t i, int64_t m) { R::store(dst + i, r.neutral(), m); });
        return;
    }
    const Source first = rows + w.begin * row_stride;
    const int64_t stride = axis.step * row_stride;
    auto columns = [&]<int U>(int64_t i, int64_t m) {
        auto at = [&](int64_t j) { return load_strip<R, U>(r, first + (j * stride + i), m, r.mark(axis, w, j)); };
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

// All lanes of an accumulator into every lane.
template <class R> Strip<R, 1> across(Strip<R, 1> s) {
    using Index = Vec<SignedOf<typename R::Lane>, R::N>;
    Index lane;
    for (int i = 0; i < R::N; i++) lane[i] = i;
    for (int shift = R::N / 2; shift; shift /= 2) {
        Strip<R, 1> other{R::permute(s.acc[0], lane ^ broadcast<Index>(SignedOf<typename R::Lane>(shift)))};
        s.template combine<Order::any>(other);
    }
    return s;
}

// One window of neighbouring elements, whole vectors at a time.
template <class R> void along_long(const R &r, typename R::Rows row, const Axis &axis, Window w, typename R::Rows dst) {
    constexpr int N = R::N;
    auto at = [&](int64_t j) {  // the last vector is lane by lane, the lanes behind it neutral
        const int64_t from = j * N, left = smaller(N, w.count - from);
        int64_t index[N], add[N];
        for (int i = 0; i < N; i++) {
            index[i] = i < left ? w.begin + from + i : -1;
            add[i] = (w.first + from + i) * axis.weight;
        }
        return Strip<R, 1>{R::gather(row, index, add, r.neutral())};
    };
    R::store(dst, across<R>(reduce<R, Order::any>(at, 0, ceil_div(w.count, N))).acc[0], 1);
}

// Windows lo to hi along a row, any of them: a lane per output.
template <class R> void along(const R &r, typename R::Rows row, const Axis &axis, int64_t lo, int64_t hi, typename R::Rows dst) {
    constexpr int N = R::N;
    each_vector(hi - lo, N, [&](int64_t o, int64_t m) {
        Window w[N];
        int64_t most = 0;
        for (int i = 0; i < N; i++) {
            w[i] = i < m ? window(axis, lo + o + i) : Window{0, 0, 0};
            most = larger(most, w[i].count);
        }
        if (axis.step == 1 && most >= 2 * N) {
            for (int i = 0; i < m; i++) along_long(r, row, axis, w[i], dst + (o + i));
            return;
        }
        auto at = [&](int64_t j) {
            int64_t index[N], add[N];
            for (int i = 0; i < N; i++) {
                index[i] = j < w[i].count ? w[i].begin + j * axis.step : -1;
                add[i] = (w[i].first + j) * axis.weight;
            }
            return Strip<R, 1>{R::gather(row, index, add, r.neutral())};
        };
        const Strip<R, 1> s = most ? reduce<R, Order::any>(at, 0, most) : Strip<R, 1>{r.neutral()};
        R::store(dst + o, s.acc[0], m);
    });
}

}  // namespace anypool::ANYPOOL_ISA
