// Along a row: the windows of the last axis where nothing lies behind it.
#pragma once
#include "reduce/down.h"

namespace anypool::ANYPOOL_ISA {

// ---------------------------------------------------------------------------------------------------------------------
// Regular windows over a row that has identity elements on either side, so that none is clipped: output o is of
// row[o·stride + j·dilation], 0 ≤ j < kernel_size. Rows in scratch memory may be read and written past their end, by a few
// vectors.

struct Regular {
    int64_t outputs, kernel_size, dilation, stride, weight;
};

// The element numbered `element` of the windows that start at i, i + 1, ….
template <class R> typename R::Acc at(const R &r, typename R::Rows row, int64_t i, int64_t element, int64_t weight) {
    return r.load(row + i, R::N, R::offset_of(element, weight));
}

// dst[i] is of row[2i] and row[2i + 1], for n of them; dst may be the row.
template <class R> void halve(const R &r, typename R::Rows row, int64_t n, int64_t weight, typename R::Rows dst) {
    for (int64_t i = 0; i < n; i += R::N) {
        const auto a = at(r, row, 2 * i, 0, weight), b = at(r, row, 2 * i + R::N, 0, weight);
        const auto pair = R::template combine<Order::any>(R::even(a, b), R::shifted(R::odd(a, b), R::offset_of(1, weight)));
        (dst + i).put(pair, R::N);
    }
}

// The last step of windows at every place of a row: what begins at i is of from[i], from[i + second] and row[i +
// third].
template <class R> struct Slide {
    const R &r;
    typename R::Rows row, from;
    int64_t dilation, weight, second, third;  // elements of the window; 0: none

    __attribute__((always_inline)) typename R::Acc operator()(int64_t i) const {
        auto a = at(r, from, i, 0, weight);
        if (second) a = R::template combine<Order::any>(a, at(r, from, i + second * dilation, second, weight));
        if (third) a = R::template combine<Order::any>(a, at(r, row, i + third * dilation, third, weight));
        return a;
    }
};

// The steps before, over n places, in `work`. Windows of twice the size join two: extremes may overlap, sums take one
// more element where the size is odd. So the cost grows with the logarithm of the width, and so does the error of a
// sum.
template <class R>
__attribute__((noinline)) Slide<R> slide(const R &r, typename R::Rows row, typename R::Rows work, int64_t n,
                                         int64_t width, int64_t dilation, int64_t weight) {
    Slide<R> s{r, row, row, dilation, weight, width > 1, width == 3 ? 2 : 0};
    if (width <= 3) return s;
    int bits = 63 - __builtin_clzll(width);
    for (int64_t size = 1;;) {
        const int64_t next = R::idempotent ? smaller(2 * size, width) : width >> --bits;
        s.second = R::idempotent ? next - size : size;
        s.third = !R::idempotent && (next & 1) ? next - 1 : 0;
        if (next == width) return s;
        for (int64_t i = 0, end = n + (width - next) * dilation; i < end; i += R::N) (work + i).put(s(i), R::N);
        s.from = work;
        size = next;
    }
}

// `work` and `spare`: rows for what is halfway.
template <class R, class Target>
__attribute__((noinline)) void along_regular(const R &r, typename R::Rows row, typename R::Rows work,
                                             typename R::Rows spare, const Regular &windows, const Target &dst) {
    constexpr int N = R::N;
    const int64_t outputs = windows.outputs, dilation = windows.dilation;
    int64_t width = windows.kernel_size, stride = windows.stride, weight = windows.weight;
    // Windows of pairs at places that are even: take the pairs first.
    while (dilation == 1 && width % 2 == 0 && stride % 2 == 0 && stride > 2) {
        halve(r, row, ((outputs - 1) * stride + width) / 2, weight, spare);
        row = spare;
        width /= 2, stride /= 2, weight *= 2;
    }
    if (stride == 2 && dilation == 1 && width <= 3)
        return each_vector(outputs, N, [&](int64_t o, int64_t m) {
            const auto a = at(r, row, 2 * o, 0, 0), b = at(r, row, 2 * o + N, 0, 0);
            auto value = R::even(a, b);
            if (width > 1) value = R::template combine<Order::any>(value, R::shifted(R::odd(a, b), R::offset_of(1, weight)));
            if (width > 2) {
                const auto c = R::even(at(r, row, 2 * o + 2, 0, 0), at(r, row, 2 * o + 2 + N, 0, 0));
                value = R::template combine<Order::any>(value, R::shifted(c, R::offset_of(2, weight)));
            }
            (dst + o).put(value, m);
        });
    const int64_t all = (outputs - 1) * stride + 1;
    const Slide<R> s = slide(r, row, work, all, width, dilation, weight);
    if (stride == 1) return each_vector(all, N, [&](int64_t o, int64_t m) { (dst + o).put(s(o), m); });
    if (stride == 2)
        return each_vector(outputs, N,
                           [&](int64_t o, int64_t m) { (dst + o).put(R::even(s(2 * o), s(2 * o + N)), m); });
    for (int64_t i = 0; i < all; i += N) (work + i).put(s(i), N);
    for (int64_t o = 1; o < outputs; o++) R::copy(work + o * stride, work + o);
    each_vector(outputs, N, [&](int64_t o, int64_t m) { (dst + o).put(at(r, work, o, 0, 0), m); });
}

// The transpose of sums over windows of a width and a stride: place q·stride + p has the sum of row[q − t] for all t
// ≥ 0 with p + t·stride < width. dst begins at place `first`, for n of them; the row has zeros before and behind.
inline int64_t transposed_room(int64_t n, int64_t width, int64_t stride, int64_t lanes) {
    return 3 * (n / stride + width + 4 * lanes + 3) + n + 3 * stride + 2 * lanes;
}

template <class R, class Target>
__attribute__((noinline)) void along_transposed(const R &r, typename R::Rows row, typename R::Rows work, int64_t first,
                                              int64_t n, int64_t width, int64_t stride, const Target &dst) {
    constexpr int N = R::N;
    const int64_t terms = ceil_div(width, stride), full = width - (terms - 1) * stride;
    const int64_t from = floor_div(first, stride), count = floor_div(first + n - 1, stride) + 1 - from;
    const int64_t pitch = count + terms + 4 * N;
    const auto rest = work + pitch, spare = rest + pitch, all = spare + pitch;
    // Phases p < full have all the terms, others one less.
    const Slide<R> more = slide(r, row + (from + 1 - terms), work, count + 1, terms, 1, 0);
    const Slide<R> less = slide(r, row + (from + 2 - terms), rest, count + 1, terms - 1, 1, 0);
    auto phase = [&](int64_t p, int64_t q) { return p < full ? more(q) : terms > 1 ? less(q) : r.identity(); };
    if (stride == 2) {
        const int64_t odd = first - from * 2;
        for (int64_t i = 0; i < n; i += 2 * N) {
            const auto a = phase(odd, i / 2), b = phase(1 - odd, i / 2 + odd);
            (dst + i).put(R::zip_low(a, b), smaller(N, n - i));
            if (n - i > N) (dst + (i + N)).put(R::zip_high(a, b), smaller(N, n - i - N));
        }
        return;
    }
    for (int64_t p = 0; p < stride; p++) {
        for (int64_t q = 0; q < count; q += N) (spare + q).put(phase(p, q), N);
        for (int64_t q = 0; q < count; q++) R::copy(spare + q, all + (q * stride + p));
    }
    each_vector(n, N, [&](int64_t i, int64_t m) { (dst + i).put(at(r, all, first - from * stride + i, 0, 0), m); });
}

// ---------------------------------------------------------------------------------------------------------------------
// Windows of any kind

// One window of neighbouring elements, whole vectors at a time: its lanes are yet to be combined.
template <class R, class Source> typename R::Acc run_of(const R &r, Source row, const Axis &axis, Window w) {
    constexpr int N = R::N, U = 4;
    constexpr Order any = Order::any;
    auto vector = [&](int64_t from, int64_t m = R::N) {
        const auto a = r.load(row + (w.begin + from), m, r.offset_of(w.first + from, axis.weight));
        return R::ramp(a, axis.weight);
    };
    auto strip = [&](int64_t j) {
        const int64_t from = j * U * N;
        return Strip<R, U>{
            vector(from), {vector(from + N), {vector(from + 2 * N), {vector(from + 3 * N), {}}}}};
    };
    auto total = r.identity();
    int64_t done = w.count / (U * N) * (U * N);
    if (done > 0) {
        const auto s = reduce<R, any>(strip, 0, done / (U * N));
        const auto &[first, others] = s;
        const auto &[second, pair] = others;
        total = R::template combine<any>(R::template combine<any>(first, second),
                                         R::template combine<any>(pair.acc, pair.rest.acc));
    }
    for (; done + N <= w.count; done += N) total = R::template combine<any>(total, vector(done));
    if (done == w.count) return total;
    // The rest, with what lies before it where that fills a vector. Other lanes are identity.
    using Index = Vec<SignedOf<typename R::Lane>, N>;
    const int64_t rest = w.count - done, from = larger(w.count - N, 0);
    const auto seen = SignedOf<typename R::Lane>(done - from);
    const auto last = from ? R::only(count<Index>() >= seen, vector(from), r.identity())
                           : R::only(count<Index>() < SignedOf<typename R::Lane>(rest), vector(0, rest), r.identity());
    return R::template combine<any>(total, last);
}

// Windows lo to hi of neighbouring elements, N at a time: the lanes of all are combined in pairs until each is one.
template <class R, class Source, class Target>
__attribute__((noinline)) void along_runs(const R &r, Source row, const Axis &axis, int64_t lo, int64_t hi,
                                          const Target &dst) {
    constexpr int N = R::N;
    for (int64_t o = lo; o < hi; o += N) {
        const int64_t m = smaller(N, hi - o);
        typename R::Acc acc[N];
        for (int i = 0; i < N; i++) acc[i] = i < m ? run_of(r, row, axis, window(axis, o + i)) : r.identity();
        for (int n = N / 2; n > 0; n /= 2)
            for (int i = 0; i < n; i++)
                acc[i] = R::template combine<Order::any>(R::even(acc[2 * i], acc[2 * i + 1]),
                                                         R::odd(acc[2 * i], acc[2 * i + 1]));
        (dst + (o - lo)).put(acc[0], m);
    }
}

// Windows lo to hi along a row, any of them: a lane per output.
template <class R, class Target>
__attribute__((noinline)) void along(const R &r, typename R::Rows row, const Axis &axis, int64_t lo, int64_t hi,
                                     const Target &dst) {
    constexpr int N = R::N;
    each_vector(hi - lo, N, [&](int64_t o, int64_t m) {
        Window w[N];
        int64_t most = 0;
        for (int i = 0; i < N; i++) {
            w[i] = i < m ? window(axis, lo + o + i) : Window{0, 0, 0};
            most = larger(most, w[i].count);
        }
        auto at = [&](int64_t j) {
            int64_t index[N], add[N];
            for (int i = 0; i < N; i++) {
                index[i] = j < w[i].count ? w[i].begin + j * axis.dilation : -1;
                add[i] = (w[i].first + j) * axis.weight;
            }
            return Strip<R, 1>{R::gather(row, index, add, r.identity()), {}};
        };
        const Strip<R, 1> s = most ? reduce<R, Order::any>(at, 0, most) : Strip<R, 1>{r.identity(), {}};
        (dst + o).put(s.acc, m);
    });
}

}  // namespace anypool::ANYPOOL_ISA
