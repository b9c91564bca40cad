// Along a row: the windows of the last axis where nothing lies behind it.
#pragma once
#include "down.h"

namespace anypool::ANYPOOL_ISA {

// ---------------------------------------------------------------------------------------------------------------------
// Regular windows over a row that has neutral elements on either side, so that none is clipped: output o is of row[o·stride + j·step], 0 ≤ j < width.
// Rows in scratch memory may be read and written past their end, by a few vectors.

struct Regular {
    int64_t outputs, width, step, stride, weight;
};

// The element numbered `element` of the windows that start at i, i + 1, ….
template <class R> typename R::Acc at(const R &r, typename R::Rows row, int64_t i, int64_t element, int64_t weight) {
    return r.load(row + i, R::N, R::mark(element, weight));
}

// dst[i] is of row[2i] and row[2i + 1], for n of them; dst may be the row.
template <class R> void halve(const R &r, typename R::Rows row, int64_t n, int64_t weight, typename R::Rows dst) {
    for (int64_t i = 0; i < n; i += R::N) {
        const auto a = at(r, row, 2 * i, 0, weight), b = at(r, row, 2 * i + R::N, 0, weight);
        R::store(dst + i, R::template combine<Order::any>(R::even(a, b), R::marked(R::odd(a, b), R::mark(1, weight))), R::N);
    }
}

// dst[i] is of the `width` elements `step` apart from row[i], for n of them. Windows of twice the size join two: extremes may overlap, sums take one more
// element where the size is odd. So the cost grows with the logarithm of the width, and so does the error of a sum.
template <class R> __attribute__((noinline)) void slide(const R &r, typename R::Rows row, typename R::Rows work, int64_t n, int64_t width, int64_t step, int64_t weight, typename R::Rows dst) {
    constexpr int N = R::N;
    constexpr Order any = Order::any;
    if (width <= 3) {
        each_vector(n, N, [&](int64_t i, int64_t m) {
            auto a = at(r, row, i, 0, weight);
            for (int64_t j = 1; j < width; j++) a = R::template combine<any>(a, at(r, row, i + j * step, j, weight));
            R::store(dst + i, a, m);
        });
        return;
    }
    int bits = 63 - __builtin_clzll(width);
    typename R::Rows from = row;
    for (int64_t size = 1; size < width; from = work) {
        const int64_t next = R::idempotent ? smaller(2 * size, width) : width >> --bits;
        const int64_t second = R::idempotent ? next - size : size;
        auto joined = [&](int64_t i) {
            auto a = R::template combine<any>(at(r, from, i, 0, weight), at(r, from, i + second * step, second, weight));
            if constexpr (!R::idempotent)
                if (next & 1) a = R::template combine<any>(a, at(r, row, i + (next - 1) * step, next - 1, weight));
            return a;
        };
        if (next == width) each_vector(n, N, [&](int64_t i, int64_t m) { R::store(dst + i, joined(i), m); });
        else
            for (int64_t i = 0, end = n + (width - next) * step; i < end; i += N) R::store(work + i, joined(i), N);
        size = next;
    }
}

// `work` and `spare`: rows for what is halfway.
template <class R>
__attribute__((noinline)) void along_regular(const R &r, typename R::Rows row, typename R::Rows work, typename R::Rows spare, Regular w, typename R::Rows dst) {
    constexpr int N = R::N;
    // Windows of pairs at places that are even: take the pairs first.
    while (w.step == 1 && w.width % 2 == 0 && w.stride % 2 == 0 && w.stride > 2) {
        halve(r, row, ((w.outputs - 1) * w.stride + w.width) / 2, w.weight, spare);
        row = spare;
        w.width /= 2, w.stride /= 2, w.weight *= 2;
    }
    if (w.stride == 1) return slide(r, row, work, w.outputs, w.width, w.step, w.weight, dst);
    if (w.stride == 2 && w.step == 1 && w.width <= 3) {
        each_vector(w.outputs, N, [&](int64_t o, int64_t m) {
            const auto a = at(r, row, 2 * o, 0, 0), b = at(r, row, 2 * o + N, 0, 0);
            auto value = R::even(a, b);
            if (w.width > 1) value = R::template combine<Order::any>(value, R::marked(R::odd(a, b), R::mark(1, w.weight)));
            if (w.width > 2) {
                const auto c = R::even(at(r, row, 2 * o + 2, 0, 0), at(r, row, 2 * o + 2 + N, 0, 0));
                value = R::template combine<Order::any>(value, R::marked(c, R::mark(2, w.weight)));
            }
            R::store(dst + o, value, m);
        });
        return;
    }
    const int64_t all = (w.outputs - 1) * w.stride + 1;
    const auto every = work + (all + w.width * w.step + 4 * N);
    slide(r, row, work, all, w.width, w.step, w.weight, every);
    if (w.stride == 2) each_vector(w.outputs, N, [&](int64_t o, int64_t m) { R::store(dst + o, R::even(at(r, every, 2 * o, 0, 0), at(r, every, 2 * o + N, 0, 0)), m); });
    else
        for (int64_t o = 0; o < w.outputs; o++) R::copy(every + o * w.stride, dst + o);
}

// The transpose of sums over windows of a width and a stride: dst[q·stride + r] is the sum of row[q − t] for all t ≥ 0 with r + t·stride < width, for n
// q. The row has zeros before and behind.
template <class R> __attribute__((noinline)) void along_covering(const R &r, typename R::Rows row, typename R::Rows work, int64_t n, int64_t width, int64_t stride, typename R::Rows dst) {
    constexpr int N = R::N;
    const int64_t terms = ceil_div(width, stride), full = width - (terms - 1) * stride;  // phases r < full have all the terms, others one less
    const auto more = work, less = work + (n + 2 * N), spare = work + 2 * (n + 2 * N);
    slide(r, row + (1 - terms), spare, n, terms, 1, 0, more);
    if (full < stride && terms > 1) slide(r, row + (2 - terms), spare, n, terms - 1, 1, 0, less);
    if (full < stride && terms == 1) __builtin_memset(less.value, 0, n * sizeof *less.value);
    const auto last = full < stride ? less : more;
    if (stride == 2)
        for (int64_t q = 0; q < n; q += N) {
            const auto a = at(r, more, q, 0, 0), b = at(r, last, q, 0, 0);
            R::store(dst + 2 * q, R::zip_low(a, b), N);
            R::store(dst + (2 * q + N), R::zip_high(a, b), N);
        }
    else
        for (int64_t q = 0; q < n; q++) {
            for (int64_t s = 0; s < full; s++) R::copy(more + q, dst + (q * stride + s));
            for (int64_t s = full; s < stride; s++) R::copy(last + q, dst + (q * stride + s));
        }
}

// ---------------------------------------------------------------------------------------------------------------------
// Windows of any kind

// All lanes of an accumulator into every lane.
template <class R> Strip<R, 1> across(Strip<R, 1> s) {
    using Index = Vec<SignedOf<typename R::Lane>, R::N>;
    const Index lane = count<Index>();
    for (int shift = R::N / 2; shift; shift /= 2) {
        Strip<R, 1> other{R::permute(s.acc[0], lane ^ broadcast<Index>(SignedOf<typename R::Lane>(shift)))};
        s.template combine<Order::any>(other);
    }
    return s;
}

// One window of neighbouring elements, whole vectors at a time.
template <class R> void along_long(const R &r, typename R::Rows row, const Axis &axis, Window w, typename R::Rows dst) {
    constexpr int N = R::N;
    auto at = [&](int64_t j) {
        const int64_t from = j * N, left = smaller(N, w.count - from);
        if (left == N) return Strip<R, 1>{r.ramp(r.load(row + (w.begin + from), N, r.mark(w.first + from, axis.weight)), axis.weight)};
        int64_t index[N], add[N];  // the last vector is lane by lane, the lanes behind it neutral
        for (int i = 0; i < N; i++) {
            index[i] = i < left ? w.begin + from + i : -1;
            add[i] = (w.first + from + i) * axis.weight;
        }
        return Strip<R, 1>{R::gather(row, index, add, r.neutral())};
    };
    R::store(dst, across<R>(reduce<R, Order::any>(at, 0, ceil_div(w.count, N))).acc[0], 1);
}

// Windows lo to hi along a row, any of them: a lane per output.
template <class R> __attribute__((noinline)) void along(const R &r, typename R::Rows row, const Axis &axis, int64_t lo, int64_t hi, typename R::Rows dst) {
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
