// From reduced rows to the output: keys back to elements, sums divided, offsets in as many bytes as they need.
#pragma once
#include "reducers.h"

namespace anypool::ANYPOOL_ISA {

// out[i · stride] for a row that is contiguous in the output or is not.
template <class T, class F> inline void write_row(T *out, int64_t stride, int64_t n, T *spare, F fill) {
    if (stride == 1) return fill(out);
    fill(spare);
    for (int64_t i = 0; i < n; i++) out[i * stride] = spare[i];
}

template <class Reader> void finish_keys(const Reader &keys, const typename Reader::Lane *row, typename Reader::Element *out, int64_t n) {
    using K = typename Reader::Lane;
    constexpr int N = Reader::N;
    each_vector(n, N, [&](int64_t i, int64_t m) {
        const auto bits = keys.bits(load<Vec<K, N>>(row + i));
        auto *to = (UnsignedOf<typename Reader::Element> *)out + i;
        if (m == N) store(to, bits);
        else store(to, bits, m);
    });
}

template <class From, class To> void copy_offsets(const From *row, To *out, int64_t n) {
    constexpr int N = lanes<From>;
    each_vector(n, N, [&](int64_t i, int64_t m) {
        const auto v = convert<To, From, N>(load<Vec<From, N>>(row + i));
        if (m == N) store(out + i, v);
        else store(out + i, v, m);
    });
}

// Quotients of whole numbers, rounded to nearest, ties to even.
inline int64_t divide_even(int64_t a, int64_t d) {
    int64_t q = a / d, r = a % d;
    if (r < 0 != d < 0 && r != 0) q--, r += d;  // now 0 ≤ r/d < 1
    const uint64_t twice = 2 * uint64_t(r < 0 ? -r : r), whole = uint64_t(d < 0 ? -d : d);
    return q + (twice > whole || (twice == whole && (q & 1)));
}

// out[i] = row[i] / divisors[i], or row[i] where there are no divisors.
template <class A, class T> void finish_sums(const A *row, Stored<T> *out, int64_t n, const A *divisors) {
    constexpr int N = lanes<A>;
    using V = Vec<A, N>;
    constexpr bool floating = is_floating<T>;
    if constexpr (is_float<A>) {
        each_vector(n, N, [&](int64_t i, int64_t m) {
            V v = load<V>(row + i);
            if (divisors) {
                v /= load<V>(divisors + i);
                if constexpr (!floating)
                    for (int l = 0; l < N; l++) v[l] = __builtin_nearbyint(v[l]);
            }
            const auto t = narrow<T, A, N>(v);
            if (m == N) store(out + i, t);
            else store(out + i, t, m);
        });
    } else if constexpr (floating) {
        using D = Vec<double, N>;
        each_vector(n, N, [&](int64_t i, int64_t m) {
            D v = __builtin_convertvector(load<V>(row + i), D);
            if (divisors) v /= __builtin_convertvector(load<V>(divisors + i), D);
            const auto t = narrow<T, double, N>(v);
            if (m == N) store(out + i, t);
            else store(out + i, t, m);
        });
    } else {
        for (int64_t i = 0; i < n; i++) out[i] = T(divisors ? divide_even(row[i], divisors[i]) : row[i]);
    }
}

template <class A> __attribute__((noinline)) void finish_sums(Type result, const A *row, void *out, int64_t n, const A *divisors) {
    if constexpr (__is_same(A, float)) {
        switch (result) {
            case Type::f16: return finish_sums<A, Half>(row, (uint16_t *)out, n, divisors);
            case Type::bf16: return finish_sums<A, Brain>(row, (uint16_t *)out, n, divisors);
            case Type::f64: return finish_sums<A, double>(row, (double *)out, n, divisors);
            default: return finish_sums<A, float>(row, (float *)out, n, divisors);
        }
    } else {
        switch (result) {
            case Type::f16: return finish_sums<A, Half>(row, (uint16_t *)out, n, divisors);
            case Type::bf16: return finish_sums<A, Brain>(row, (uint16_t *)out, n, divisors);
            case Type::f32: return finish_sums<A, float>(row, (float *)out, n, divisors);
            case Type::f64: return finish_sums<A, double>(row, (double *)out, n, divisors);
            case Type::i8: return finish_sums<A, int8_t>(row, (int8_t *)out, n, divisors);
            case Type::u8: return finish_sums<A, uint8_t>(row, (uint8_t *)out, n, divisors);
            case Type::i16: return finish_sums<A, int16_t>(row, (int16_t *)out, n, divisors);
            case Type::u16: return finish_sums<A, uint16_t>(row, (uint16_t *)out, n, divisors);
            case Type::i32: return finish_sums<A, int32_t>(row, (int32_t *)out, n, divisors);
            case Type::u32: return finish_sums<A, uint32_t>(row, (uint32_t *)out, n, divisors);
            case Type::i64: return finish_sums<A, int64_t>(row, (int64_t *)out, n, divisors);
            case Type::u64: return finish_sums<A, uint64_t>(row, (uint64_t *)out, n, divisors);
        }
    }
}

inline int64_t size_of(Type type) {
    constexpr int8_t bytes[] = {1, 1, 2, 2, 4, 4, 8, 8, 2, 2, 4, 8};
    return bytes[int(type)];
}

}  // namespace anypool::ANYPOOL_ISA
